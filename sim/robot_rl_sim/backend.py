"""Batched MuJoCo stepping: n copies of one model, read back as a `StateView` of named arrays.

The only place that knows MuJoCo's quaternion order (wxyz); everything it hands out is xyzw, in
the robot base frame. What a task means by these arrays lives in `robot_rl_sim.tasks`.
"""

# mujoco ships its core without type stubs.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from mujoco.batch import Batch, SimulationError
from numpy.typing import NDArray

from robot_rl.core.errors import HardwareError

Array = NDArray[np.float64]

_DIVERGED = (
    mujoco.mjtWarning.mjWARN_BADQPOS,
    mujoco.mjtWarning.mjWARN_BADQVEL,
    mujoco.mjtWarning.mjWARN_BADQACC,
    mujoco.mjtWarning.mjWARN_BADCTRL,
)
WRENCH_WINDOW = 10
"""Substeps over which the wrist sensor averages: 20 ms, as a 500 Hz driver's low-pass would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateView:
    """The physics of n simulations at one instant, true and without noise.

    Args:
        joint_position, joint_velocity: float64[n, joints] rad, rad/s.
        tcp_pose: float64[n, 7] position [m] and quaternion xyzw in the base frame.
        tcp_twist: float64[n, 6] m/s and rad/s in the base frame.
        force_torque: float64[n, 6] N and N m, environment on tool, in the sensor's frame, not
            tared, averaged over `WRENCH_WINDOW` substeps; zeros without such a sensor.
        gripper: float64[n] opening [m]; zeros without a gripper.
        frames: `{name: float64[n, 7]}` poses of the task's tracked frames.
    """

    joint_position: Array
    joint_velocity: Array
    tcp_pose: Array
    tcp_twist: Array
    force_torque: Array
    gripper: Array
    frames: Mapping[str, Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where an episode starts, for one simulation.

    Args:
        qpos: float64[nq].
        ctrl: float64[nu], actuator targets that hold `qpos`.
        mocap: `{body name: float64[7]}` poses (position, quaternion xyzw) of movable fixtures.
        model: `{model field: values}` for this episode alone, e.g. `qpos_spring`.
        estimate_error: float64[k], what perception gets wrong in this episode.
    """

    qpos: Array
    ctrl: Array
    mocap: Mapping[str, Array]
    model: Mapping[str, Array]
    estimate_error: Array


class MujocoBackend:
    """Steps n simulations of `model` together.

    The model names its sensors `tcp_pos, tcp_quat, tcp_linvel, tcp_angvel`, for each tracked
    frame `<frame>_pos` and `<frame>_quat`, and where there are such, `ft_force, ft_torque,
    gripper_opening`.

    One thread steps. `lock` is held for each call that does, so that others may look, or stop the
    arm, in between.

    Args:
        model: a compiled model.
        frames: names of the tracked frames.
        nsim: number of simulations.
        joints: number of the arm's joints, the first of the model.
    """

    def __init__(
        self, model: mujoco.MjModel, frames: tuple[str, ...], nsim: int = 1, *, joints: int = 7
    ) -> None:
        self.model = model
        self.nsim = nsim
        self._joints = joints
        self._frames = frames
        # One thread: the learner owns the other core.
        self._batch = Batch(model, nsim, nthread=1)
        self.qpos = self._batch.bind("qpos")
        self.qvel = self._batch.bind("qvel")
        self.ctrl = self._batch.bind("ctrl")
        self._mocap_pos = self._batch.bind("mocap_pos")
        self._mocap_quat = self._batch.bind("mocap_quat")
        self._slices = {
            model.sensor(i).name: slice(
                model.sensor_adr[i], model.sensor_adr[i] + model.sensor_dim[i]
            )
            for i in range(model.nsensor)
        }
        self._record = np.zeros((nsim, 1, model.nsensordata))
        self._state: StateView | None = None
        self.resets = 0
        """Grows whenever a simulation may have got a model of its own."""
        # A signal handler may stop the arm while this very thread steps.
        self.lock = threading.RLock()

    @property
    def timestep_s(self) -> float:
        """Physics time step [s]."""
        return float(self.model.opt.timestep)

    def reset(self, index: int, start: Start, settle: int = 25) -> None:
        """Put one simulation into its start state and let contacts and springs settle."""
        with self.lock:
            self.resets += 1
            self._batch.reset(ids=[index], stage=mujoco.mjtStage.mjSTAGE_NONE)
            for field, values in start.model.items():
                self._batch.expand(field)[index] = values
            self.qpos[index] = start.qpos
            self.qvel[index] = 0.0
            self.ctrl[index] = start.ctrl
            for body, pose in start.mocap.items():
                mocap = int(self.model.body(body).mocapid[0])
                self._mocap_pos[index, mocap] = pose[:3]
                self._mocap_quat[index, mocap] = pose[[6, 3, 4, 5]]
            self._advance(settle, [index])

    def step(self, substeps: int, ids: Sequence[int] | None = None) -> None:
        """Advance every simulation, or those of `ids`, by `substeps` physics steps.

        Raises:
            HardwareError: if a simulation diverged.
        """
        with self.lock:
            self._advance(substeps, ids)

    def step_on(self, substeps: int) -> None:
        """Advance every simulation as a part of the step before, which comes to be longer by it.

        Steps in parts give bit by bit what one step gives.

        Raises:
            HardwareError: if a simulation diverged.
        """
        with self.lock:
            before = self._record
            self._advance(substeps, None)
            self._record = np.concatenate([before, self._record], axis=1)

    def state(self) -> StateView:
        """The state at the end of the last step (sensors lag by one physics step)."""
        if self._state is None:
            self._state = self._view(self.qpos, self.qvel, self._record)
        return self._state

    def force_history(self) -> Array:
        """The wrist sensor's raw force [N] at each physics step of the last period.

        float64[n, substeps, 3], sensor frame, not tared: for judging how believable contact is.
        """
        return self._record[..., self._slices["ft_force"]].copy()

    def data(self, index: int) -> mujoco.MjData:
        """A copy of one simulation's full data, for rendering; from any thread."""
        return Likeness(self, index).data()

    def write_model(self, index: int, model: mujoco.MjModel) -> None:
        """Make `model`, a copy of this one's, that of one simulation."""
        self._batch.get_model(index, model)

    def row(self, index: int) -> Array:
        """A copy of one simulation's state, float64[k], in MuJoCo's order for integration."""
        return self._batch.state[index].copy()

    def foresee(self, index: int, ctrl: Array, substeps: int) -> StateView:
        """What one simulation would come to under other controls; nothing changes.

        Args:
            index: which simulation; the view has it alone.
            ctrl: float64[nu], actuator targets.
            substeps: physics steps ahead.
        """
        data = self._batch.get_data(index)
        data.ctrl[:] = ctrl
        mujoco.mj_step(self._batch.get_model(index), data, nstep=substeps)
        return self._view(data.qpos[None], data.qvel[None], data.sensordata[None, None])

    def _view(self, qpos: Array, qvel: Array, record: Array) -> StateView:
        """Name what n simulations recorded, float64[n, substeps, sensors]."""
        now = record[:, -1]
        return StateView(
            joint_position=qpos[:, : self._joints].copy(),
            joint_velocity=qvel[:, : self._joints].copy(),
            tcp_pose=self._pose(now, "tcp"),
            tcp_twist=np.concatenate(
                [now[:, self._slices["tcp_linvel"]], now[:, self._slices["tcp_angvel"]]], -1
            ),
            force_torque=self._force_torque(record),
            gripper=self._gripper(now),
            frames={name: self._pose(now, name) for name in self._frames},
        )

    def _advance(self, substeps: int, ids: Sequence[int] | None) -> None:
        self._state = None
        try:
            record = self._batch.rollout(substeps, record=("sensordata",), ids=ids)["sensordata"]
        except SimulationError as error:
            raise HardwareError(f"the simulation failed: {error}") from error
        self._check_finite()
        if ids is None:
            self._record = record
            return
        # The others keep what they last recorded, up to the new length.
        kept = self._record[:, -substeps:]
        short = substeps - kept.shape[1]
        self._record = np.concatenate([np.repeat(kept[:, :1], short, axis=1), kept], axis=1)
        self._record[ids] = record

    def _pose(self, now: Array, name: str) -> Array:
        position, wxyz = now[:, self._slices[f"{name}_pos"]], now[:, self._slices[f"{name}_quat"]]
        return np.concatenate([position, wxyz[:, [1, 2, 3, 0]]], -1)

    def _check_finite(self) -> None:
        # MuJoCo answers a state that is no longer finite with a warning and a reset of its own.
        for warning in _DIVERGED:
            sick = np.flatnonzero(self._batch.warning[:, warning.value, 1])
            if len(sick):
                raise HardwareError(
                    f"the simulation diverged ({warning.name}) in {sick.tolist()}: reset it, and "
                    "look for too stiff a contact or controller"
                )

    def _force_torque(self, record: Array) -> Array:
        if "ft_force" not in self._slices:
            return np.zeros((len(record), 6))
        parts = [record[..., self._slices[name]] for name in ("ft_force", "ft_torque")]
        return np.concatenate(parts, -1)[:, -WRENCH_WINDOW:].mean(1)

    def _gripper(self, now: Array) -> Array:
        if "gripper_opening" not in self._slices:
            return np.zeros(len(now))
        return now[:, self._slices["gripper_opening"]][:, 0]


class Likeness:
    """A copy of one simulation, brought up to date again and again by whoever draws it.

    Used by one thread, which need not be the one that steps. It keeps that one waiting for some
    microseconds at most: until a row of numbers is copied.

    Args:
        backend: whose simulation it is.
        index: which.
    """

    def __init__(self, backend: MujocoBackend, index: int) -> None:
        self._backend = backend
        self._index = index
        self._model = copy.copy(backend.model)
        self._data = mujoco.MjData(self._model)
        self._resets = -1

    def data(self) -> mujoco.MjData:
        """The simulation as it is now, all of it computed; the same object at each call."""
        backend = self._backend
        with backend.lock:
            row = backend.row(self._index)
            if self._resets != backend.resets:
                self._resets = backend.resets
                backend.write_model(self._index, self._model)
        mujoco.mj_setState(self._model, self._data, row, mujoco.mjtState.mjSTATE_INTEGRATION)
        mujoco.mj_forward(self._model, self._data)
        return self._data
