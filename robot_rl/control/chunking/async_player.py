"""Plays chunks while the next one is planned. No limits but the age of what is played."""

from __future__ import annotations

from collections import deque
from typing import Literal

import numpy as np
from pydantic import Field

from robot_rl.config.model import Config
from robot_rl.control.chunking.live_plan import LivePlan, Moment, ensemble
from robot_rl.control.chunking.planner import PlanContext, Planner
from robot_rl.core.clock import Clock
from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.core.types import ActionChunk, Observation, Vector

_COUNTS = 10
"""Of so many plans the counts are remembered to foresee the next one's."""


class ChunkingConfig(Config):
    """How chunks are played while the next one is planned, see `AsyncChunkPlayer`.

    Args:
        max_action_age_s: nothing is played that was planned from an older observation. Plans
            that follow each other closely need about twice what making one takes.
        mode: what becomes of the overlap of two plans: `trim` plays the newest plan from the
            present instant on; `ensemble` averages all that were made for this instant;
            `realtime` trims, and the policy makes the new plan fit to the one in play. `wait`
            has no overlap: the arm rests while the policy plans.
        execute: a plan is begun so many periods after the one before; in `wait` it is all that
            is played of a plan. Without it, the base policy's own.
        ensemble_decay: see `live_plan.ensemble`.
        max_guidance_weight: how hard `realtime` may pull in one step of the sampler, the beta of
            arXiv 2506.07339.
    """

    max_action_age_s: float = Field(gt=0)
    mode: Literal["trim", "ensemble", "realtime", "wait"] = "trim"
    execute: int | None = Field(default=None, ge=1)
    ensemble_decay: float = Field(default=0.01, ge=0)
    max_guidance_weight: float = Field(default=5.0, gt=0)


class AsyncChunkPlayer:
    """A `Player` that never waits: it plays what it has, or says that there is nothing to play.

    Actions are counted, not timed: a plan that arrives after k actions have been played since its
    observation begins with its action k. Ticks in which nothing was played do not count, for the
    arm has rested. One plan is made at a time, each from the newest observation.

    Args:
        planner: makes the plans; of a policy that carries on with what is in play if the mode
            is `realtime`.
        clock: the control loop's own, on which observations are stamped.
        config: settings.
        execute: the policy's own, where the settings have none.

    Attributes:
        plans: how often the planner was asked.
        late: plans that came when all their actions had been played, or were too old.
        starved: ticks in which there was nothing to play.
    """

    def __init__(
        self, planner: Planner, clock: Clock, config: ChunkingConfig, *, execute: int
    ) -> None:
        self._planner = planner
        self._clock = clock
        self._config = config
        self._execute = config.execute or execute
        if self._execute < 1:
            raise ConfigError(f"execute: got {self._execute}, expected at least 1")
        self._live: list[LivePlan] = []
        self._request: Moment | None = None
        self._counts = deque[int](maxlen=_COUNTS)
        self._played = self._ticks = 0
        self.plans = self.late = self.starved = 0

    @property
    def fingerprint(self) -> str:
        """The policy's own."""
        return self._planner.fingerprint

    def reset(self, seed: int) -> None:
        """Begin an episode: drop what is in play and in the making, seed the policy."""
        self.replan()
        self._planner.reset(seed)
        self._played = self._ticks = 0

    def replan(self) -> None:
        """Drop what is in play and in the making, as when a person has moved the arm."""
        self._live.clear()
        self._request = None
        self._planner.discard()

    def next(self, observation: Observation) -> Vector | None:
        """Return the next action float32[d], or None if there is nothing to play.

        Raises:
            PlannerError: if the planner has failed since the last call.
            ContractError: if a plan is shorter than what is to be executed, or of another
                instant than it was asked for.
        """
        self._refresh()
        if self._request is None and not self._planner.busy and self._is_due():
            self._begin(observation)
            self._refresh()
        self._ticks += 1
        if not self._live:
            self.starved += 1
            return None
        actions = [plan.ahead(self._played)[0] for plan in self._live]
        self._played += 1
        return ensemble(actions, self._config.ensemble_decay) if actions[1:] else actions[0].copy()

    def _refresh(self) -> None:
        """Take in what has arrived, then let go of what is played out or too old."""
        try:
            chunk = self._planner.poll()
        except BaseException:
            self._request = None
            raise
        now_ns = self._clock.now_ns()
        if chunk is not None and self._request is not None:
            request, self._request = self._request, None
            self._counts.append(self._ticks - request.ticks)
            plan = self._plan(chunk, request)
            if not self._is_playable(plan, now_ns):
                self.late += 1
            elif self._config.mode == "ensemble":
                self._live.append(plan)
            else:
                self._live = [plan]
        self._live = [plan for plan in self._live if self._is_playable(plan, now_ns)]

    def _plan(self, chunk: ActionChunk, request: Moment) -> LivePlan:
        if chunk.start_ns != request.stamp_ns:
            raise ContractError(
                f"the planner planned from the observation of {chunk.start_ns} ns, expected that "
                f"of {request.stamp_ns} ns"
            )
        if len(chunk.values) < self._execute:
            raise ContractError(
                f"the policy planned {len(chunk.values)} actions, {self._execute} are to be "
                "executed: lower `execute` or use a policy with a longer horizon"
            )
        last = self._execute if self._config.mode == "wait" else None
        return LivePlan(values=chunk.values[:last].copy(), since=request)

    def _is_playable(self, plan: LivePlan, now_ns: int) -> bool:
        return plan.is_playable(self._played, now_ns, self._config.max_action_age_s)

    def _is_due(self) -> bool:
        if not self._live:
            return True
        overlaps = self._config.mode != "wait"
        return overlaps and self._ticks - self._live[-1].since.ticks >= self._execute

    def _begin(self, observation: Observation) -> None:
        ahead = self._live[-1].ahead(self._played) if self._live else np.zeros((0, 0), np.float32)
        # The longest of the recent ones: an action that was foreseen to be played and is not
        # does no harm, one that was played unforeseen is a jump.
        frozen = min(max(self._counts, default=0), len(ahead))
        self._planner.start(observation, PlanContext(ahead=ahead.copy(), frozen=frozen))
        self._request = Moment(
            stamp_ns=observation.stamp_ns, ticks=self._ticks, played=self._played
        )
        self.plans += 1
