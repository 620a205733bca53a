"""What travels, before it travels: shapes, names, units and scales of observations and actions.

Keys follow LeRobot's (`observation.state`, `observation.images.<camera>`, `action`) everywhere,
so that datasets and policies need no mapping.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.errors import ContractError, did_you_mean

JOINT_POSITION = "observation.state"
"""Joint positions [rad], the key that LeRobot gives to the robot's own state."""
JOINT_VELOCITY = "observation.velocity"
"""Joint velocities [rad/s]."""
TCP_POSE = "observation.tcp_pose"
"""TCP position [m] and quaternion xyzw in the robot base frame, float32[7]."""
TCP_TWIST = "observation.tcp_twist"
"""TCP linear [m/s] and angular [rad/s] velocity in the robot base frame, float32[6]."""
WRENCH = "observation.wrench"
"""Tared force [N] and torque [N m] of the environment on the tool, tcp frame, float32[6]."""
GRIPPER = "observation.gripper"
"""Gripper opening [m], float32[1]."""
ENVIRONMENT = "observation.environment_state"
"""What perception estimates of the task's objects; the task's spec names the elements."""
IMAGE_PREFIX = "observation.images."

ActionKind = Literal["tcp_delta", "joint_delta", "opaque"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorSpec:
    """One vector of an observation: its element names, unit and frame."""

    names: tuple[str, ...]
    unit: str
    frame: str = ""

    @property
    def size(self) -> int:
        """Number of elements."""
        return len(self.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSpec:
    """One camera image, uint8[height, width, 3] RGB."""

    height: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationSpec:
    """Keys, shapes and units of an `Observation`."""

    vectors: Mapping[str, VectorSpec]
    images: Mapping[str, ImageSpec] = field(default_factory=lambda: dict[str, ImageSpec]())

    @property
    def packed_size(self) -> int:
        """Length of what `pack` returns."""
        return sum(v.size for v in self.vectors.values())

    def pack(self, vectors: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Concatenate vectors float32[..., d_k] in the order of the spec to float32[..., n]."""
        return np.concatenate([vectors[key] for key in self.vectors], axis=-1)

    def columns(self, keys: Sequence[str]) -> NDArray[np.int64]:
        """Indices int64[m] of the elements of `keys` within what `pack` returns.

        Raises:
            ContractError: naming the unknown key and the nearest valid one.
        """
        starts = dict(
            zip(
                self.vectors,
                np.cumsum([0, *(v.size for v in self.vectors.values())])[:-1].tolist(),
                strict=True,
            )
        )
        for key in keys:
            if key not in starts:
                raise ContractError(f"unknown vector {key!r}{did_you_mean(key, starts)}")
        return np.concatenate(
            [
                np.arange(starts[key], starts[key] + self.vectors[key].size, dtype=np.int64)
                for key in keys
            ]
        )

    def check(
        self, vectors: Mapping[str, NDArray[Any]], images: Mapping[str, NDArray[Any]]
    ) -> None:
        """Check keys, shapes and dtypes.

        Raises:
            ContractError: naming the key, what came and what was expected.
        """
        _check_keys("vector", vectors, self.vectors)
        _check_keys("image", images, self.images)
        for key, vector in self.vectors.items():
            _check_array(key, vectors[key], (vector.size,), np.dtype(np.float32))
        for key, image in self.images.items():
            _check_array(key, images[key], (image.height, image.width, 3), np.dtype(np.uint8))


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSpec:
    """The action space: normalised to [-1, 1] per element; `scale` converts to SI units.

    Args:
        kind: `tcp_delta`: translation [m] and rotation vector [rad] in the robot base frame,
            relative to the measured tcp pose, optionally followed by one `gripper` element
            (+1 open, -1 closed); `joint_delta`: relative to the measured joint positions [rad].
            Zeros hold what was measured when the first of them came. `opaque`: as the robot of
            imported data defines it; data alone has it, no gate lets it through.
        names: element names.
        scale: SI value of a normalised 1, per element.
        period_s: control period; one action holds for one period.
    """

    kind: ActionKind
    names: tuple[str, ...]
    scale: tuple[float, ...]
    period_s: float

    def __post_init__(self) -> None:
        if len(self.scale) != len(self.names):
            raise ContractError(
                f"action scale has {len(self.scale)} elements, names has {len(self.names)}"
            )
        if not all(np.isfinite(s) and s > 0 for s in self.scale) or not self.period_s > 0:
            raise ContractError("action scale and period must be positive and finite")

    @property
    def size(self) -> int:
        """Number of elements."""
        return len(self.names)

    def to_si(self, action: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert a normalised action float32[..., d] to SI units."""
        return action * np.asarray(self.scale, np.float32)

    def from_si(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert an SI action float32[..., d] back to the normalised space."""
        return values / np.asarray(self.scale, np.float32)

    def misfit(self, action: NDArray[np.float32]) -> str:
        """Why whoever wants such an action drives something else, in words; empty if it fits."""
        if action.shape == (self.size,):
            return ""
        names = ", ".join(self.names)
        return f"drives {action.size} elements, the task's action has {self.size}: {names}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RobotSpec:
    """What a robot is and how it is driven."""

    name: str
    observation: ObservationSpec
    action: ActionSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """What is to be done, as far as loop, data and learning must know it.

    Args:
        name: the task's name.
        horizon: time limit in control periods.
        instruction: the task in words.
    """

    name: str
    horizon: int
    observation: ObservationSpec
    action: ActionSpec
    instruction: str = ""

    @property
    def contract(self) -> str:
        """Hash under which data, policies and benches must agree."""
        return contract_hash(self.name, self.observation, self.action)


def contract_hash(*parts: Any) -> str:
    """Return a 16-digit hash of specs (dataclasses) or plain JSON values.

    Two parties whose hashes agree may exchange data without a mapping: the order of keys counts,
    it is the order in which vectors are packed.
    """
    plain = [asdict(p) if hasattr(p, "__dataclass_fields__") else p for p in parts]
    text = json.dumps(plain, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check_keys(what: str, got: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    for key in got:
        if key not in expected:
            raise ContractError(f"unknown {what} {key!r}{did_you_mean(key, expected)}")
    for key in expected:
        if key not in got:
            raise ContractError(f"missing {what} {key!r}; got: {', '.join(sorted(got)) or 'none'}")


def _check_array(
    key: str, array: NDArray[Any], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise ContractError(
            f"{key}: got {array.dtype}{list(array.shape)}, expected {dtype}{list(shape)}"
        )
