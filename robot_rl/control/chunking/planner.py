"""Who makes the next plan while this one plays. Playing it is the business of `async_player`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from robot_rl.core.errors import RobotRlError
from robot_rl.core.protocol import Policy
from robot_rl.core.types import ActionChunk, Observation, Vector


class PlannerError(RobotRlError):
    """The planner has failed: there will be no plan from what was asked last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanContext:
    """What is in play when a plan is begun.

    Args:
        ahead: float32[p, d], what is left of the newest plan, from the observation's instant on;
            p = 0 if nothing is. They are the base policy's own actions, without what an online
            policy adds and before a gate bends them.
        frozen: how many of them will have been played when the plan is there, at most p. It is
            foreseen from counts.
    """

    ahead: Vector
    frozen: int


class ContinuingPolicy(Protocol):
    """A policy that is told what is in play, and may carry on with it."""

    @property
    def fingerprint(self) -> str:
        """See `Policy.fingerprint`."""
        ...

    def reset(self, seed: int) -> None:
        """See `Policy.reset`."""
        ...

    def act(self, observation: Observation, context: PlanContext) -> ActionChunk:
        """Return a chunk float32[h, d] whose first action is for the observation's instant."""
        ...


class Planner(Protocol):
    """Makes one plan at a time. No method waits."""

    @property
    def fingerprint(self) -> str:
        """The policy's."""
        ...

    @property
    def busy(self) -> bool:
        """Whether a plan is being made, also one that was discarded; `start` has to wait then."""
        ...

    def reset(self, seed: int) -> None:
        """An episode begins: discard what is in the making, seed what is begun from now on."""
        ...

    def start(self, observation: Observation, context: PlanContext) -> None:
        """Begin a plan from `observation`; only while not `busy`."""
        ...

    def poll(self) -> ActionChunk | None:
        """Return the plan that was begun last, once; None while there is none.

        Its `start_ns` is the observation's stamp. What was discarded is never returned.

        Raises:
            PlannerError: if making a plan has failed since the last call, a discarded one too.
        """
        ...

    def discard(self) -> None:
        """Let go of the plan in the making."""
        ...


class Unguided:
    """A `ContinuingPolicy` that plans without regard to what is in play.

    Args:
        policy: makes the plans.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    @property
    def fingerprint(self) -> str:
        """The policy's."""
        return self._policy.fingerprint

    def reset(self, seed: int) -> None:
        """Seed the policy."""
        self._policy.reset(seed)

    def act(self, observation: Observation, context: PlanContext) -> ActionChunk:
        """Plan from the observation alone."""
        return self._policy.act(observation)
