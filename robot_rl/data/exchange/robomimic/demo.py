"""One demo of a robomimic file, read under our keys and checked.

| robomimic | here |
|---|---|
| `robot0_joint_pos` | `observation.state` [rad] |
| `robot0_joint_vel` | `observation.velocity` [rad/s] |
| `robot0_eef_pos` + `robot0_eef_quat` (xyzw) | `observation.tcp_pose`, world frame |
| `robot0_gripper_qpos` | `observation.gripper`, each finger as recorded |
| `object` | `observation.environment_state` |
| `<camera>_image`, `<camera>_rgb` (uint8[T, h, w, 3]) | `observation.images.<camera>` |
| any other `<key>` | `observation.<key>` |
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.errors import StorageError
from robot_rl.core.spec import (
    ENVIRONMENT,
    GRIPPER,
    IMAGE_PREFIX,
    JOINT_POSITION,
    JOINT_VELOCITY,
    TCP_POSE,
    VectorSpec,
)
from robot_rl.core.types import Vector
from robot_rl.data.exchange.robomimic.hdf5_file import Hdf5Group

_POSITION, _ROTATION = "robot0_eef_pos", "robot0_eef_quat"
_KNOWN = {
    "robot0_joint_pos": (JOINT_POSITION, "rad"),
    "robot0_joint_vel": (JOINT_VELOCITY, "rad/s"),
    "robot0_gripper_qpos": (GRIPPER, "m"),
    "object": (ENVIRONMENT, "m"),
}
_POSE_NAMES = ("x", "y", "z", "qx", "qy", "qz", "qw")


class RobomimicDemo:
    """A group `data/demo_N`.

    Args:
        path: the file's, for errors.
        name: `demo_N`.
        group: the group.
        flip: turn images upside down.
        skip: observations to leave out.
    """

    def __init__(
        self, path: Path, name: str, group: Hdf5Group, *, flip: bool, skip: Collection[str]
    ) -> None:
        self._path = path
        self._name = name
        self._group = group
        self._flip = flip
        self._skip = skip

    @property
    def has_next(self) -> bool:
        """Whether the observation after each step was recorded too."""
        return "next_obs" in self._group

    def actions(self) -> Vector:
        """Read the actions as recorded, float32[T >= 1, d].

        Raises:
            StorageError: if they are missing, of another shape or length, or not finite.
        """
        actions = self._group.array("actions")
        if actions.ndim != 2 or not actions.size or actions.dtype.kind not in "fiu":
            raise self.error("actions", _shape(actions), "numbers [T >= 1, d >= 1]")
        told = self._group.attribute("num_samples")
        if told is not None and not np.array_equal(told, len(actions)):
            raise self.error("actions", f"{len(actions)} rows", f"num_samples = {told}")
        return self._finite("actions", actions)

    def column(self, key: str, steps: int) -> Vector | None:
        """Read `rewards` or `dones`, float32[T]; None if there are none.

        Raises:
            StorageError: if there is not one a step, or one is not finite.
        """
        if key not in self._group:
            return None
        values = self._group.array(key)
        if values.size != steps or len(values) != steps:
            raise self.error(key, _shape(values), f"numbers [{steps}]")
        return self._finite(key, values).reshape(-1)

    def observations(self, group: str = "obs") -> dict[str, NDArray[Any]]:
        """Read `obs` or `next_obs` under our keys: float32[T, d], uint8[T, h, w, 3].

        Raises:
            StorageError: if one is neither a vector nor an image, or not finite.
        """
        source = self._group.group(group)
        raw = {key: source.array(key) for key in source.names() if key not in self._skip}
        found: dict[str, NDArray[Any]] = {}
        if raw.keys() >= {_POSITION, _ROTATION}:
            found[TCP_POSE] = self._pose(group, raw.pop(_POSITION), raw.pop(_ROTATION))
        for key, value in raw.items():
            ours, column = self._observation(group, key, value)
            if ours in found:
                raise self.error(
                    f"{group}/{key}", f"a second {ours!r}", f"one (skip {key!r} or the other)"
                )
            found[ours] = column
        return found

    def error(self, key: str, got: str, expected: str) -> StorageError:
        """Return an error that names file, demo and key."""
        return StorageError(
            f"{self._path}: data/{self._name}/{key}: got {got}, expected {expected}; correct the "
            "file, or leave the demo out through a filter key"
        )

    def _pose(self, group: str, position: NDArray[Any], rotation: NDArray[Any]) -> Vector:
        if position.shape[1:] != (3,) or rotation.shape != (len(position), 4):
            raise self.error(
                f"{group}/{_POSITION} and {_ROTATION}",
                f"{_shape(position)} and {_shape(rotation)}",
                "numbers [T, 3] and [T, 4]",
            )
        pose = np.concatenate([position, rotation], axis=1)
        return self._finite(f"{group}/{_POSITION} and {_ROTATION}", pose)

    def _observation(self, group: str, key: str, value: NDArray[Any]) -> tuple[str, NDArray[Any]]:
        if value.ndim == 4 and value.shape[3] == 3 and value.dtype == np.uint8:
            camera = key.removesuffix("_image").removesuffix("_rgb")
            return f"{IMAGE_PREFIX}{camera}", value[:, ::-1] if self._flip else value
        if value.ndim in (1, 2) and value.size and value.dtype.kind in "fiub":
            column = self._finite(f"{group}/{key}", value)
            ours = _KNOWN[key][0] if key in _KNOWN else f"observation.{key}"
            return ours, column.reshape(len(value), -1)
        raise self.error(
            f"{group}/{key}",
            _shape(value),
            f"numbers [T, d] or uint8[T, h, w, 3] (skip {key!r} to go without it)",
        )

    def _finite(self, key: str, values: NDArray[Any]) -> Vector:
        with np.errstate(over="ignore"):
            column = values.astype(np.float32)
        if not np.isfinite(column).all():
            row = int(np.argwhere(~np.isfinite(column))[0][0])
            raise self.error(key, f"a number that is not finite in row {row}", "finite numbers")
        return column


def vector_spec(key: str, size: int) -> VectorSpec:
    """Return the spec of a vector under our key; robomimic names no elements."""
    if key == TCP_POSE:
        return VectorSpec(names=_POSE_NAMES, unit="m, quaternion xyzw", frame="world")
    name = key.removeprefix("observation.")
    unit = dict(_KNOWN.values()).get(key, "")
    return VectorSpec(names=tuple(f"{name}_{i}" for i in range(size)), unit=unit)


def _shape(array: NDArray[Any]) -> str:
    return f"{array.dtype}{list(array.shape)}"
