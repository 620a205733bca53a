"""What the gate did in one control period, from what it says of each of its ticks. No rclpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.errors import HardwareError
from robot_rl.core.types import GateReason, GateState, Source, Vector

PERSONS = (Source.HUMAN, Source.DEMO)
"""Sources behind which a person sits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateTick:
    """One tick of the gate; see `robot_rl_msgs/ExecutedAction`.

    Args:
        tick: its number.
        heard_ns: when it was heard, by this machine's monotonic clock.
        source: who decided.
        intervention_start: a person took over in this very tick.
        state, reason: the gate's.
        data: float32[d], normalised, what the arm was told.
        travel: float64[d], sum of `data` in periods of the commanders' actions.
    """

    tick: int
    heard_ns: int
    source: Source
    intervention_start: bool
    state: GateState
    reason: GateReason
    data: Vector
    travel: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """All ticks of one control period as one.

    Args:
        executed: float32[d], normalised, what the arm was told to do in all of it; of a gripper,
            whose element is a position, the last value.
        source: a person's if one drove at any time, POLICY if the policy drove at any time, else
            HOLD.
        intervention_start: a person took over within it.
        state: at its end.
        reason: the last one that refused, else the last that changed something, else PASSED;
            NOT_RUNNING if an action was on offer and the gate let nobody drive.
    """

    executed: Vector
    source: Source
    intervention_start: bool
    state: GateState
    reason: GateReason


def period_of(
    ticks: Sequence[GateTick], before: GateTick, *, offered: bool, gripper: bool
) -> Period:
    """Return what the ticks of a period come to.

    Args:
        ticks: those heard in it, the oldest first; none if the gate was silent for so long.
        before: the newest before them.
        offered: whether the policy's action was on offer.
        gripper: whether the last element is a gripper's.

    Raises:
        HardwareError: if the gate was started anew meanwhile.
    """
    last = ticks[-1] if ticks else before
    if last.tick < before.tick:
        raise HardwareError(
            f"the gate was started anew: its tick {before.tick} was followed by {last.tick}; what "
            "was executed in between cannot be known"
        )
    executed = np.clip(last.travel - before.travel, -1.0, 1.0).astype(np.float32)
    if gripper:
        executed[-1] = last.data[-1]
    source = _source(ticks)
    reason = _reason(ticks or (before,))
    if offered and source == Source.HOLD and not reason.refuses:
        reason = GateReason.NOT_RUNNING
    return Period(
        executed=executed,
        source=source,
        intervention_start=any(tick.intervention_start for tick in ticks),
        state=last.state,
        reason=reason,
    )


def _source(ticks: Sequence[GateTick]) -> Source:
    sources = [tick.source for tick in ticks]
    persons = [source for source in sources if source in PERSONS]
    if persons:
        return persons[-1]
    return Source.POLICY if Source.POLICY in sources else Source.HOLD


def _reason(ticks: Sequence[GateTick]) -> GateReason:
    reasons = [tick.reason for tick in ticks if tick.reason != GateReason.PASSED]
    refusals = [reason for reason in reasons if reason.refuses]
    return (refusals or reasons or [GateReason.PASSED])[-1]
