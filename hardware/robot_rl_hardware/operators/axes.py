"""From how far something is pushed to motion of the tool. Pure: no device, no time, no limits.

What is pushed comes as six numbers about [-1, 1] in a right-handed frame, seen by whoever holds
the device: x forward, y to the left, z up, then the rotations about them.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robot_rl.config.model import Config
from robot_rl.core.errors import ContractError
from robot_rl.core.geometry import quat_rotate
from robot_rl.core.spec import TCP_POSE
from robot_rl.core.types import Observation

Array = NDArray[np.float64]
Element = Literal["x", "y", "z", "rx", "ry", "rz"]
ELEMENTS: tuple[Element, ...] = ("x", "y", "z", "rx", "ry", "rz")

_EVERY = (True, True, True, True, True, True)
Sign = Literal[1, -1]
Part = Annotated[float, Field(gt=0, le=1)]


class AxesConfig(Config):
    """What becomes of the six elements x, y, z, rx, ry, rz, in this order of steps.

    Args:
        mask: elements that are used; the others are exactly 0.
        sign: 1, or -1 for a person who faces the arm, or a device that counts the other way.
        dead_band: what is pushed less than this is nothing; motion begins at its edge with 0.
        exponent: above 1 for finer motion near the rest.
        scale: normalised motion when pushed fully.
        frame: `base`, or `tool`: along the axes of the tool as it stands now. There the scales of
            x, y, z are best alike, and those of the rotations too.
    """

    mask: tuple[bool, bool, bool, bool, bool, bool] = _EVERY
    sign: tuple[Sign, Sign, Sign, Sign, Sign, Sign] = (1, 1, 1, 1, 1, 1)
    dead_band: float = Field(default=0.1, ge=0, lt=1)
    exponent: float = Field(default=1.0, ge=1, le=5)
    scale: tuple[Part, Part, Part, Part, Part, Part] = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    frame: Literal["base", "tool"] = "base"


class Axes:
    """Maps what is pushed to normalised motion in the robot base frame.

    Args:
        config: the mapping.
        used: elements that the task has, beside the config's own mask.
    """

    def __init__(self, config: AxesConfig, used: tuple[bool, ...] = _EVERY) -> None:
        self._config = config
        gain = np.asarray(config.sign, np.float64) * np.asarray(config.scale, np.float64)
        self._gain = np.where(np.logical_and(config.mask, used), gain, 0.0)

    def shaped(self, pushed: Array) -> Array:
        """Return float64[6] in [-1, 1], in the frame that the config names.

        Args:
            pushed: float64[6], any finite numbers; beyond 1 counts as 1.
        """
        c = self._config
        pushed = np.clip(pushed, -1.0, 1.0)
        beyond = np.maximum(np.abs(pushed) - c.dead_band, 0.0) / (1.0 - c.dead_band)
        # Rounding may leave a trace above 1.
        return np.sign(pushed) * np.minimum(beyond, 1.0) ** c.exponent * self._gain

    def motion(self, pushed: Array, observation: Observation) -> Array:
        """Return float64[6] in [-1, 1], in the robot base frame.

        A tool whose orientation is not known does not move.

        Raises:
            ContractError: if the frame is the tool's, and nothing observed says where it is.
        """
        shaped = self.shaped(pushed)
        if self._config.frame == "base":
            return shaped
        pose = observation.vectors.get(TCP_POSE)
        if pose is None:
            raise ContractError(
                f"frame 'tool' needs {TCP_POSE}, which the robot does not tell; expected "
                "frame 'base' for it"
            )
        quat = np.asarray(pose[3:7], np.float64)
        norm = float(np.linalg.norm(quat))
        if not np.isfinite(norm) or norm < 0.5:
            return np.zeros(6)
        turned = quat_rotate(quat / norm, shaped.reshape(2, 3))
        # A diagonal of the tool may be an axis of the base: shortened, it keeps its direction.
        longest = np.abs(turned).max(axis=1, keepdims=True)
        return (turned / np.maximum(longest, 1.0)).reshape(6)
