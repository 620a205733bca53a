"""Who drives in this tick: the policy or a person. What may be driven is the gate's question."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from robot_rl.core.errors import ConfigError
from robot_rl.core.protocol import OperatorInput
from robot_rl.core.types import Source, Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whose action goes to the gate.

    Args:
        action: float32[d], normalised.
        source: POLICY, HUMAN, or HOLD while nobody drives after a release.
        intervention_start: a person takes over from the policy in this very step.
    """

    action: Vector
    source: Source
    intervention_start: bool


class Arbiter:
    """A person wins in the same tick; after a release the arm rests before the policy goes on.

    A person who comes back before the policy has acted again continues the same intervention.

    Args:
        period_s: control period.
        release_s: how long the arm is held once a release is noticed.
        after_release: `auto`: then the policy goes on; `hold`: only after `resume` or `reset`.
        gripper: the last element is a gripper, which keeps its value while the arm is held.
    """

    def __init__(
        self,
        period_s: float,
        release_s: float = 0.5,
        after_release: Literal["auto", "hold"] = "auto",
        *,
        gripper: bool = False,
    ) -> None:
        if after_release not in ("auto", "hold"):
            raise ConfigError(f"after_release: got {after_release!r}, expected 'auto' or 'hold'")
        # Rounded first: 0.3 / 0.1 must be 3 ticks, not 4.
        self._hold_ticks = math.ceil(round(release_s / period_s, 6))
        self._by_itself = after_release == "auto"
        self._gripper = gripper
        self.reset()

    def reset(self) -> None:
        """Begin an episode: the policy drives."""
        self._held: Vector | None = None
        self._ticks_left = 0

    def resume(self) -> None:
        """Give the arm back to the policy at once."""
        self.reset()

    def decide(self, proposed: Vector, operator: OperatorInput | None) -> Decision:
        """Return the action of this tick and who decided it.

        Args:
            proposed: float32[d], the policy's.
            operator: what the person does, or None if there is nobody.
        """
        if operator is not None and operator.active:
            start = self._held is None
            self._held = self._rest(operator.action)
            self._ticks_left = self._hold_ticks
            return Decision(action=operator.action, source=Source.HUMAN, intervention_start=start)
        if self._held is not None and (self._ticks_left > 0 or not self._by_itself):
            self._ticks_left -= 1
            return Decision(action=self._held, source=Source.HOLD, intervention_start=False)
        self._held = None
        return Decision(action=proposed, source=Source.POLICY, intervention_start=False)

    def _rest(self, action: Vector) -> Vector:
        rest = np.zeros_like(action)
        if self._gripper:
            rest[-1] = action[-1]
        return rest
