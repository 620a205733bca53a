"""What a person says to the gate, action by action. Knows no middleware.

Every reading of a held device is a new action, for it ages within its period; while nothing is
wanted, the same word again is a sign of life. Whoever has just been given the seat must let go of
the dead-man once, so that a device that is jammed or held already moves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robot_rl.core.clock import NS_PER_S
from robot_rl.core.errors import ContractError, HardwareError
from robot_rl.core.protocol import OperatorInput
from robot_rl.core.types import Vector

_NOTHING = np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One thing said.

    Args:
        seq: epoch of the seat in the upper half, number of the word in the lower.
        active: the person drives.
        action: float32[d], normalised; empty unless active.
    """

    seq: int
    active: bool
    action: Vector


class Voice:
    """Numbers what a person does.

    Args:
        silent_after_s: a device that was not heard for longer is lost.

    Attributes:
        let_go: the dead-man was seen released since the seat was given.
    """

    def __init__(self, silent_after_s: float) -> None:
        self._silent_ns = round(silent_after_s * NS_PER_S)
        self.let_go = False
        self.given(0, 0)

    def given(self, epoch: int, size: int) -> None:
        """The seat was given under an epoch, for actions of this many elements."""
        self._epoch, self._size = epoch, size
        self._number = 0
        self._spoken = False
        self.let_go = False

    def say(self, said: OperatorInput, now_ns: int) -> Word:
        """Return what the gate is to hear.

        Raises:
            HardwareError: if the person's device has not been heard for too long.
            ContractError: if what it says is no action.
        """
        silent_ns = 0 if said.heard_ns is None else now_ns - said.heard_ns
        if silent_ns > self._silent_ns:
            raise HardwareError(
                f"the person's device is silent for {silent_ns / NS_PER_S:.2f} s, at most "
                f"{self._silent_ns / NS_PER_S:g} s are borne: is it still connected?"
            )
        self.let_go |= not said.active
        drives = said.active and self.let_go
        if drives:
            self._check(said.action)
        if drives or self._spoken or self._number == 0:
            self._number += 1
        self._spoken = drives
        return Word(
            seq=(self._epoch << 32) | self._number,
            active=drives,
            action=said.action if drives else _NOTHING,
        )

    def _check(self, action: Vector) -> None:
        if action.shape != (self._size,) or not np.isfinite(action).all():
            raise ContractError(
                f"the person's device says {action.tolist()}, the gate plays {self._size} finite "
                "numbers: is it set up for this task?"
            )
