"""Tells when critics promise more than can be had."""

from __future__ import annotations

import logging
from collections.abc import Mapping

_LOG = logging.getLogger(__name__)

MARGIN = 0.1
"""How far above the bound the largest Q may be: fresh critics are never quite at it."""
PATIENCE = 200
"""Cycles in a row above the margin before somebody is warned."""


class ReturnAlarm:
    """Compares the critics' `q_max` with what no return exceeds.

    Critics that are above it over-estimate: their targets run away, or the reward is not what it
    was taken for. Under the non-positive reward of interventions this is Q > 0 (RLIF, Luo et al.
    2023, arXiv 2311.12996).

    Args:
        bound: no return is larger; None if nobody knows.
    """

    def __init__(self, bound: float | None) -> None:
        self._bound = bound
        self._above = 0
        self._told = False

    def check(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Return `q_above_bound`, by how much `q_max` of one cycle is too large, if it is."""
        if self._bound is None or "q_max" not in metrics:
            return {}
        excess = metrics["q_max"] - self._bound
        self._above = self._above + 1 if excess > MARGIN else 0
        if self._above >= PATIENCE and not self._told:
            self._told = True
            _LOG.warning(
                "q_max is %.3g where no return exceeds %.3g, for %d cycles now: the critics "
                "over-estimate; lower critic_lr, set learner.target_range, or check the reward",
                metrics["q_max"],
                self._bound,
                self._above,
            )
        return {"q_above_bound": excess} if excess > 0 else {}
