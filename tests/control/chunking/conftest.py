"""A planner that is done when the test says so, and a player with its clock."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from robot_rl.control.chunking.async_player import AsyncChunkPlayer, ChunkingConfig
from robot_rl.control.chunking.planner import PlanContext
from robot_rl.core.clock import ManualClock
from robot_rl.core.types import ActionChunk, Observation

PERIOD_S = 0.05
HORIZON = 8


class HandPlanner:
    """Plans [100, 101, ...], then [200, 201, ...]: each is done when the test says `arrive`.

    Args:
        delays: instead, how many polls each plan takes.
    """

    fingerprint = "hand"

    def __init__(self, horizon: int = HORIZON, delays: Sequence[int] = ()) -> None:
        self.horizon = horizon
        self.observations: list[Observation] = []
        self.contexts: list[PlanContext] = []
        self.seeds: list[int] = []
        self.busy = False
        self.error: Exception | None = None
        self._delays = list(delays)
        self._left: int | None = None
        self._wanted = False

    def reset(self, seed: int) -> None:
        self.discard()
        self.seeds.append(seed)

    def start(self, observation: Observation, context: PlanContext) -> None:
        assert not self.busy
        self.busy = self._wanted = True
        self.observations.append(observation)
        self.contexts.append(context)
        self._left = self._delays.pop(0) if self._delays else None

    def arrive(self) -> None:
        self._left = 0

    def discard(self) -> None:
        self._wanted = False

    def poll(self) -> ActionChunk | None:
        if self.error is not None:
            self.error, error, self.busy = None, self.error, False
            raise error
        if not self.busy or self._left is None:
            return None
        if self._left > 0:
            self._left -= 1
            return None
        self.busy = False
        number = len(self.observations)
        values = 100.0 * number + np.arange(self.horizon, dtype=np.float32)[:, None]
        start_ns = self.observations[-1].stamp_ns
        chunk = ActionChunk(values=values.astype(np.float32), start_ns=start_ns, dt_s=PERIOD_S)
        return chunk if self._wanted else None


class Rig:
    """A player with its clock; `tick` is one control period."""

    def __init__(
        self,
        planner: HandPlanner | None = None,
        *,
        execute: int = 2,
        mode: str = "trim",
        max_action_age_s: float = 60.0,
        **settings: object,
    ) -> None:
        self.clock = ManualClock(start_ns=1_000_000_000)
        self.planner = planner or HandPlanner()
        config = ChunkingConfig.model_validate(
            {"mode": mode, "max_action_age_s": max_action_age_s, **settings}
        )
        self.player = AsyncChunkPlayer(self.planner, self.clock, config, execute=execute)

    def tick(self, arrives: bool = False) -> float | None:
        if arrives:
            self.planner.arrive()
        observation = Observation(stamp_ns=self.clock.now_ns(), vectors={})
        action = self.player.next(observation)
        self.clock.advance_s(PERIOD_S)
        return None if action is None else float(action[0])

    @classmethod
    def playing(cls, **settings: object) -> Rig:
        """A player that has just got its first plan and played its first action, 100."""
        rig = cls(**settings)
        assert rig.tick() is None
        assert rig.tick(arrives=True) == 100
        return rig

    def ticks(self, count: int) -> list[float | None]:
        return [self.tick() for _ in range(count)]


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    return SimpleNamespace(HandPlanner=HandPlanner, Rig=Rig)
