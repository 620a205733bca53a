"""A command that was bent, and which of several reasons for it is told."""

from __future__ import annotations

from collections.abc import Sequence

from robot_rl.control.clearance import ROUNDING
from robot_rl.core.types import GateReason

Bent = tuple[list[float], GateReason]
"""A command, and the reason for which it is another than was asked for; PASSED if it is not."""

_GRAVITY = {
    reason: rank
    for rank, reason in enumerate(
        (
            GateReason.PASSED,
            GateReason.RANGE,
            GateReason.ACCELERATION,
            GateReason.VELOCITY,
            GateReason.JERK,
            GateReason.WORKSPACE,
            GateReason.SINGULARITY,
            GateReason.JOINT_LIMIT,
            GateReason.COLLISION,
            GateReason.FORCE,
        )
    )
}


def graver(*reasons: GateReason) -> GateReason:
    """The one to be told: what guards a position or a contact before what guards a speed."""
    return max(reasons, key=_GRAVITY.__getitem__)


def is_bent(given: Sequence[float], asked: Sequence[float], rounding: float = ROUNDING) -> bool:
    """Whether two commands differ by more than rounding."""
    return any(abs(a - b) > rounding for a, b in zip(given, asked, strict=True))
