"""An arm's MuJoCo model as a library of kinematics: poses and Jacobians in named frames.

Nothing is simulated here, and the model's inertias, actuators and contacts do not matter.
"""

# mujoco ships its core without type stubs.
# pyright: reportAttributeAccessIssue=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import math

import mink
import mujoco
import numpy as np

from robot_rl.control.cartesian.refusal import Array
from robot_rl.core.errors import ConfigError, did_you_mean


class ArmModel:
    """Kinematics of an arm with revolute joints only, at one configuration at a time.

    Frames are sites of the model. `base` must not move; poses and Jacobians are told in it.
    MuJoCo's order of quaternions (wxyz) and its world frame do not leave this class.

    Args:
        model: of the arm alone; what stands around it may be there as geoms that do not move.
        tcp_site: the tool centre point.
        base_site: the robot's base frame.

    Raises:
        ConfigError: if a site is missing, the base moves, or a joint is not revolute.
    """

    def __init__(self, model: mujoco.MjModel, tcp_site: str, base_site: str) -> None:
        if not (model.njnt == model.nv == model.nq and model.njnt > 0):
            raise ConfigError(
                f"kinematics needs a model of the arm alone, with one degree of freedom per "
                f"joint: got {model.njnt} joints and {model.nv} degrees of freedom; compile one "
                "without free objects"
            )
        if not (model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE).all():
            raise ConfigError("kinematics expects revolute joints (hinges) alone")
        self.model = model
        self.joints: int = model.nv
        self.tcp_site = tcp_site
        self._tcp = _site(model, tcp_site)
        self.configuration = mink.Configuration(model)
        self._data = self.configuration.data
        base = _site(model, base_site)
        if model.body_weldid[model.site_bodyid[base]] != 0:
            raise ConfigError(f"base site {base_site!r} moves with a joint; expected a fixed one")
        self._base_position: Array = self._data.site_xpos[base].copy()
        self._world_from_base: Array = self._data.site_xmat[base].reshape(3, 3).copy()
        self._base_from_world = self._world_from_base.T
        self._jacobian = np.zeros((6, self.joints))
        # Views that every update fills anew.
        self._position: Array = self._data.site_xpos[self._tcp]
        self._rotation: Array = self._data.site_xmat[self._tcp]

    def update(self, q: Array) -> None:
        """Go to joint positions float64[n] [rad]; what is asked next refers to them."""
        self.configuration.update(q)

    def tcp_pose(self) -> Array:
        """The tcp in the base frame, float64[7]: position [m] and quaternion xyzw."""
        position = self._base_from_world @ (self._position - self._base_position)
        rotation = self._base_from_world @ self._rotation.reshape(3, 3)
        return np.concatenate([position, _wxyz(rotation.ravel())[[1, 2, 3, 0]]])

    def jacobian(self) -> Array:
        """The geometric Jacobian at the tcp, float64[6, n]: linear then angular, base frame."""
        rows = self._jacobian
        mujoco.mj_jacSite(self.model, self._data, rows[:3], rows[3:], self._tcp)
        return np.concatenate([self._base_from_world @ rows[:3], self._base_from_world @ rows[3:]])

    def target_at(self, pose: Array) -> mink.SE3:
        """A tcp pose float64[7] in the base frame as a target for mink."""
        position = self._base_position + self._world_from_base @ pose[:3]
        wxyz = np.empty(4)
        mujoco.mju_mulQuat(wxyz, _wxyz(self._world_from_base.ravel()), pose[[6, 3, 4, 5]])
        return _se3(wxyz / math.hypot(*wxyz), position)

    def target_after(self, delta: Array) -> mink.SE3:
        """Where a delta float64[6] (m, rad, base frame) takes the tcp, as a target for mink."""
        position = self._position + self._world_from_base @ delta[:3]
        # MuJoCo turns by a rotation vector in the turned frame itself.
        local = (self._world_from_base @ delta[3:]) @ self._rotation.reshape(3, 3)
        wxyz = _wxyz(self._rotation)
        mujoco.mju_quatIntegrate(wxyz, local, 1.0)
        return _se3(wxyz, position)

    def delta_to(self, target: mink.SE3) -> Array:
        """The delta float64[6] (m, rad, base frame) that takes the tcp to a target."""
        local = np.empty(3)
        mujoco.mju_subQuat(local, target.wxyz_xyz[:4], _wxyz(self._rotation))
        rotation = self._rotation.reshape(3, 3) @ local
        motion = np.array([target.wxyz_xyz[4:] - self._position, rotation])
        return (motion @ self._world_from_base).ravel()


def _wxyz(matrix: Array) -> Array:
    """Quaternion of a rotation matrix float64[9] in MuJoCo's order."""
    wxyz = np.empty(4)
    mujoco.mju_mat2Quat(wxyz, matrix)
    return wxyz


def _se3(wxyz: Array, position: Array) -> mink.SE3:
    return mink.SE3(wxyz_xyz=np.concatenate([wxyz, position]))


def _site(model: mujoco.MjModel, name: str) -> int:
    names = [model.site(i).name for i in range(model.nsite)]
    if name not in names:
        raise ConfigError(f"the model has no site {name!r}{did_you_mean(name, names)}")
    return names.index(name)
