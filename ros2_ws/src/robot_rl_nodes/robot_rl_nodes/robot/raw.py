"""What the raw messages of one robot's driver say. Knows messages by their fields alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.errors import ContractError
from robot_rl.core.geometry import quat_multiply, quat_rotate
from robot_rl_nodes.conversion import ns_from_stamp, pose_from, twist_from, wrench_from

Array = NDArray[np.float64]
Place = Literal["tcp", "flange", "base"]

_UNTURNED = (0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a robot's driver says what it says.

    Args:
        joints: names of the arm's joints, from the base outwards; others are not looked at.
        base_frames: `{frame_id: quaternion xyzw}` of frames at the robot base's origin, as they
            are turned in it, in which poses and twists may come.
        wrench_frames: `{frame_id: place}`: a wrench at the tcp in its axes, at the flange in its
            axes, or at the tcp in the axes of the base.
        fingers: `{joint: metres of opening for one unit of its position}`.
        opening_m: of the gripper where its joints are at 0.
        slow: parts that come more rarely than the joints, so that nobody waits for them.
    """

    joints: tuple[str, ...]
    base_frames: Mapping[str, tuple[float, float, float, float]]
    wrench_frames: Mapping[str, Place]
    fingers: Mapping[str, float]
    opening_m: float = 0.0
    slow: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RawSample:
    """One part of a robot at one instant.

    Args:
        stamp: of the header.
        ns: the same [ns].
        frame: of the header.
        values: positions over velocities float64[2, n] [rad, rad/s] of the joints; pose
            float64[7] [m, xyzw] or twist float64[6] in the base frame; wrench float64[6] [N, N m]
            in `frame`; opening float64[1] [m].
    """

    stamp: Any
    ns: int
    frame: str
    values: Array


class RawMessages:
    """Reads the messages of one robot's driver.

    Args:
        layout: of them.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._read: dict[str, Callable[[Any], Array]] = {
            "joints": self._joints,
            "pose": self._pose,
            "twist": self._twist,
            "wrench": self._wrench,
            "gripper": self._gripper,
        }

    def read(self, part: str, message: Any) -> RawSample:
        """Return what a message says of a part: joints, pose, twist, wrench or gripper.

        Raises:
            ContractError: if its stamp is zero, a number is not finite, a joint is missing, or
                its frame is none of the layout's.
        """
        ns = ns_from_stamp(message.header.stamp)
        if ns == 0:
            raise ContractError("header.stamp is zero: its sender stamps nothing")
        values = self._read[part](message)
        if not np.isfinite(values).all():
            raise ContractError(f"got {values.ravel().tolist()}, expected finite numbers")
        return RawSample(message.header.stamp, ns, str(message.header.frame_id), values)

    def _joints(self, message: Any) -> Array:
        position = _by_name(message, self._layout.joints, "position")
        return np.stack([position, _by_name(message, self._layout.joints, "velocity")])

    def _gripper(self, message: Any) -> Array:
        position = _by_name(message, tuple(self._layout.fingers), "position")
        scale = np.array(list(self._layout.fingers.values()))
        return np.array([self._layout.opening_m + position @ scale])

    def _pose(self, message: Any) -> Array:
        pose = pose_from(message.pose).astype(np.float64)
        norm = float(np.linalg.norm(pose[3:]))
        if abs(norm - 1.0) > 1e-3:
            raise ContractError(f"the quaternion has norm {norm:.4g}, expected 1")
        turn = self._turn(message)
        if turn is None:
            return pose
        return np.concatenate([quat_rotate(turn, pose[:3]), quat_multiply(turn, pose[3:])])

    def _twist(self, message: Any) -> Array:
        twist = twist_from(message.twist).astype(np.float64)
        turn = self._turn(message)
        return twist if turn is None else quat_rotate(turn, twist.reshape(2, 3)).ravel()

    def _wrench(self, message: Any) -> Array:
        _known(message.header.frame_id, self._layout.wrench_frames)
        return wrench_from(message.wrench).astype(np.float64)

    def _turn(self, message: Any) -> Array | None:
        """How the message's frame is turned in the base's; None if it is not."""
        turn = _known(message.header.frame_id, self._layout.base_frames)
        return None if turn == _UNTURNED else np.array(turn)


def _known[T](frame: str, frames: Mapping[str, T]) -> T:
    if frame not in frames:
        raise ContractError(f"frame_id {frame!r}, expected one of: {', '.join(frames)}")
    return frames[frame]


def _by_name(message: Any, names: tuple[str, ...], field: str) -> Array:
    """A `JointState`'s numbers of these joints, in their order."""
    index = {name: i for i, name in enumerate(message.name)}
    absent = [name for name in names if name not in index]
    if absent:
        raise ContractError(f"no joint is called {absent}; it has {list(message.name)}")
    values = getattr(message, field)
    if len(values) != len(message.name):
        raise ContractError(
            f"{len(values)} numbers of {field} for {len(message.name)} joints, expected one each"
        )
    return np.array([values[index[name]] for name in names], np.float64)
