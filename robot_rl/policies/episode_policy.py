"""A base policy within an episode: keeps what it has seen and draws its noise. No torch."""

from __future__ import annotations

from collections import deque
from threading import Lock

import numpy as np

from robot_rl.control.chunk_player import Player
from robot_rl.control.chunking.planner import PlanContext
from robot_rl.core.errors import ContractError
from robot_rl.core.types import ActionChunk, Observation, Vector
from robot_rl.policies.base import BasePolicy, PlanRequest

_KEPT = 64
"""Observations that are remembered while a plan from an earlier one is still in the making."""


class EpisodePolicy:
    """A `core.protocol.Policy` and a `ContinuingPolicy` around any base policy.

    Args:
        base: makes the plans; it may be shared.
        max_guidance_weight: see `PlanRequest`.
        observed: somebody calls `observe` in every control period and `forget` before an episode,
            as `RememberingPlayer` does; else only what is planned from is remembered.
    """

    def __init__(
        self, base: BasePolicy, max_guidance_weight: float = 5.0, *, observed: bool = False
    ) -> None:
        self._base = base
        self._most = max_guidance_weight
        self._observed = observed
        self._seen = deque[Observation](maxlen=base.spec.history + _KEPT)
        self._lock = Lock()
        self.fingerprint = base.spec.fingerprint
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Seed the noise of the next episode's plans, and forget what was seen before."""
        self._rng = np.random.default_rng(seed)
        # A planner's thread may come here after the episode has begun.
        if not self._observed:
            self.forget()

    def forget(self) -> None:
        """Forget what was seen: an episode begins."""
        with self._lock:
            self._seen.clear()

    def observe(self, observation: Observation) -> None:
        """Remember an observation; every control period of a policy with a history of several.

        May be called while a plan is being made in another thread.
        """
        with self._lock:
            if not self._seen or self._seen[-1].stamp_ns < observation.stamp_ns:
                self._seen.append(observation)

    def act(self, observation: Observation, context: PlanContext | None = None) -> ActionChunk:
        """Plan from fresh noise: the whole chunk float32[h, d], starting at the observation.

        Args:
            observation: the instant to plan from; what came before it is remembered.
            context: what is in play, if the plan is to carry on with it.

        Raises:
            ContractError: if the observation does not fit, or a plan is not finite.
        """
        self.observe(observation)
        request = PlanRequest(
            window=self._window(observation.stamp_ns),
            noise=self._draw(),
            context=context,
            max_guidance_weight=self._most,
        )
        values = self._base.infer([request])[0]
        if not np.isfinite(values).all():
            raise ContractError(f"{self._base.spec.name}: the plan is not finite")
        action = self._base.spec.action
        return ActionChunk(values=values, start_ns=observation.stamp_ns, dt_s=action.period_s)

    def _window(self, stamp_ns: int) -> tuple[Observation, ...]:
        """The newest observations until then; before there are enough, the first one repeated."""
        history = self._base.spec.history
        with self._lock:
            seen = [o for o in self._seen if o.stamp_ns <= stamp_ns][-history:]
        return (seen[0],) * (history - len(seen)) + tuple(seen)

    def _draw(self) -> Vector | None:
        shape = self._base.spec.noise
        return None if shape is None else self._rng.standard_normal(shape, np.float32)


class RememberingPlayer:
    """A `Player` whose policy sees every observation, not only those that it plans from.

    Args:
        player: plays the policy's chunks.
        policy: has a history of several observations.
    """

    def __init__(self, player: Player, policy: EpisodePolicy) -> None:
        self._player = player
        self._policy = policy

    @property
    def fingerprint(self) -> str:
        """The policy's own."""
        return self._player.fingerprint

    def reset(self, seed: int) -> None:
        """See `Player.reset`."""
        self._policy.forget()
        self._player.reset(seed)

    def replan(self) -> None:
        """See `Player.replan`."""
        self._player.replan()

    def next(self, observation: Observation) -> Vector | None:
        """See `Player.next`."""
        self._policy.observe(observation)
        return self._player.next(observation)
