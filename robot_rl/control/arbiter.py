"""Who drives in this tick: the policy, a person or nobody. What may be driven is the gate's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from robot_rl.control.operator_lease import LeaseChange, LeaseEvent, OperatorLease
from robot_rl.control.watchdog import watched
from robot_rl.core.clock import Clock
from robot_rl.core.errors import ConfigError
from robot_rl.core.protocol import OperatorInput
from robot_rl.core.spec import ActionSpec
from robot_rl.core.types import Source, Vector

AfterRelease = Literal["auto", "hold"]
"""`auto`: the policy goes on once the arm has rested; `hold`: when it is given back."""

DEAD_MAN_S = watched("device", "gate").limit_s
"""For a device at the bench; a browser may be silent for as long as the page's row says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    """What follows when a person lets go, or cannot be heard any more.

    Args:
        release_s: how long the arm is held once a release is noticed.
        after_release: what follows then.
        dead_man_s: silence of the person's device that is borne.

    Raises:
        ConfigError: if there is no such rule after a release.
    """

    release_s: float = 0.5
    after_release: AfterRelease = "auto"
    dead_man_s: float = DEAD_MAN_S

    def __post_init__(self) -> None:
        if self.after_release not in get_args(AfterRelease):
            raise ConfigError(
                f"after_release: got {self.after_release!r}, expected 'auto' or 'hold'"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whose action goes to the gate.

    Args:
        action: float32[d], normalised; zeros, but for the gripper, if nobody drives.
        source: POLICY, HUMAN, or HOLD while nobody drives.
        intervention_start: a person takes over from the policy in this very step.
    """

    action: Vector
    source: Source
    intervention_start: bool


_DEFAULT = HandOver()


class Arbiter:
    """A person wins in the same tick, whatever the policy wants and however it fares.

    After a release the arm rests before the policy goes on; a person who comes back before the
    policy has acted again continues the same intervention. A person whose device or dead-man is
    lost leaves the arm held, whoever drove: only a person ends that, by taking over once the
    device was seen at rest, or by giving back.

    Nothing is blended here: where the person's motion begins, and how fast the policy's may go
    on, is limited by the gate as any change is.

    Args:
        action: space of the actions; a last element named `gripper` keeps its value on a hold.
        clock: the control loop's own, by which `OperatorInput.heard_ns` is stamped.
        rule: what follows a release or a loss.
        operator: name of the person, for the record.
    """

    def __init__(
        self,
        action: ActionSpec,
        clock: Clock,
        rule: HandOver = _DEFAULT,
        *,
        operator: str = "",
    ) -> None:
        self._clock = clock
        self._lease = OperatorLease(operator, rule.dead_man_s)
        # Rounded first: 0.3 / 0.1 must be 3 ticks, not 4.
        self._hold_ticks = math.ceil(round(rule.release_s / action.period_s, 6))
        self._by_itself = rule.after_release == "auto"
        self._rest = np.zeros(action.size, np.float32)
        self._gripper = action.names[-1] == "gripper"
        self._abandoned = False
        self.reset()

    @property
    def events(self) -> tuple[LeaseEvent, ...]:
        """Who took over, when, and how it ended; the newest, oldest first."""
        return self._lease.events

    @property
    def lost(self) -> bool:
        """Whether the person cannot be heard: then nobody could take over."""
        return self._lease.lost

    def reset(self) -> None:
        """Begin an episode: the policy drives, unless the person was lost and has not acted."""
        self._lease.end(LeaseChange.EPISODE_ENDED, self._clock.now_ns())
        self._waits = False
        self._ticks_left = 0
        self._intervening = False

    def hold(self) -> None:
        """Let nobody but a person drive, until `reset` or until the arm is given back."""
        self._waits = True

    def lose(self, detail: str) -> None:
        """The person's device is gone, as whoever reads it knows for sure."""
        self._lease.lose(LeaseChange.DEVICE_LOST, detail, self._clock.now_ns())
        self._abandoned = True

    def resume(self) -> None:
        """Give the arm back to the policy at once."""
        self._lease.note(LeaseChange.GIVEN_BACK, self._clock.now_ns())
        self._waits = self._abandoned = False
        self._ticks_left = 0

    def decide(self, proposed: Vector | None, operator: OperatorInput | None) -> Decision:
        """Return the action of this tick and who decided it.

        Args:
            proposed: float32[d], the policy's; None if it has none, and the arm is to rest.
            operator: what the person does, or None if there is nobody.
        """
        self._lease.hear(operator, self._clock.now_ns())
        if self._lease.held and operator is not None:
            return self._human(operator.action)
        self._abandoned |= self._lease.lost
        if operator is not None and operator.hold:
            self.hold()
        elif operator is not None and operator.give_back and self._may_be_given_back:
            self.resume()
        if proposed is None or self._waits or self._abandoned or self._ticks_left > 0:
            self._ticks_left -= 1
            return Decision(action=self._rest.copy(), source=Source.HOLD, intervention_start=False)
        self._intervening = False
        self._remember_gripper(proposed)
        return Decision(action=proposed, source=Source.POLICY, intervention_start=False)

    @property
    def _may_be_given_back(self) -> bool:
        rests = self._waits or self._abandoned or self._ticks_left > 0
        return rests and not self._lease.lost

    def _human(self, action: Vector) -> Decision:
        start = not self._intervening
        self._intervening, self._abandoned = True, False
        self._waits |= not self._by_itself
        self._ticks_left = self._hold_ticks
        self._remember_gripper(action)
        return Decision(action=action, source=Source.HUMAN, intervention_start=start)

    def _remember_gripper(self, action: Vector) -> None:
        # What is no action at all is for the gate to refuse; here it only must do no harm.
        if self._gripper and action.shape == self._rest.shape and np.isfinite(action[-1]):
            self._rest[-1] = action[-1]
