"""What the loop does while a player that does not wait has nothing to play."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from robot_rl.control.arbiter import Arbiter, HandOver
from robot_rl.control.chunking.async_player import AsyncChunkPlayer, ChunkingConfig
from robot_rl.control.chunking.planner import PlanContext
from robot_rl.core.clock import ManualClock
from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.protocol import OperatorInput
from robot_rl.core.spec import JOINT_POSITION, ActionSpec, ObservationSpec, VectorSpec
from robot_rl.core.types import (
    NO_LATENT,
    ActionChunk,
    GateReason,
    GateState,
    Observation,
    Outcome,
    Source,
    StepResult,
    Vector,
)
from robot_rl.runtime.rollout import Agent, Rollout

PERIOD_S = 0.1
ACTION = ActionSpec(
    kind="joint_delta", names=("a", "gripper"), scale=(0.1, 1.0), period_s=PERIOD_S
)
DELAY = 2
"""Ticks that a plan takes."""


class SlowPlanner:
    """Plan p is [(0.1 p, 1), (0.1 p + 0.01, 1), ...], there DELAY ticks after it was begun."""

    fingerprint = "slow"

    def __init__(self, clock: ManualClock) -> None:
        self.plans = self.discards = 0
        self._clock = clock
        self._begun_ns: int | None = None
        self._wanted = False

    @property
    def busy(self) -> bool:
        return self._begun_ns is not None

    def reset(self, seed: int) -> None:
        self.discard()

    def discard(self) -> None:
        self.discards += self._wanted
        self._wanted = False

    def start(self, observation: Observation, context: PlanContext) -> None:
        self.plans += 1
        self._begun_ns, self._wanted = observation.stamp_ns, True

    def poll(self) -> ActionChunk | None:
        begun_ns = self._begun_ns
        if begun_ns is None or self._clock.now_ns() < begun_ns + DELAY * PERIOD_S * 1e9:
            return None
        self._begun_ns = None
        first = 0.1 * self.plans + 0.01 * np.arange(4)
        values = np.stack([first, np.ones(4)], axis=1).astype(np.float32)
        if not self._wanted:
            return None
        self._wanted = False
        return ActionChunk(values=values, start_ns=begun_ns, dt_s=PERIOD_S)


class Recorder:
    """An environment in which nothing happens but time."""

    observation_spec = ObservationSpec(
        vectors={JOINT_POSITION: VectorSpec(names=("a",), unit="rad")}
    )
    action_spec = ACTION

    def __init__(self, clock: ManualClock, horizon: int) -> None:
        self.horizon = horizon
        self.clock = clock
        self.steps = 0

    def reset(self, seed: int) -> Observation:
        return self._observe()

    def step(self, action: Vector, source: Source = Source.POLICY) -> StepResult:
        self.clock.advance_s(PERIOD_S)
        self.steps += 1
        return StepResult(
            observation=self._observe(),
            executed_action=action.copy(),
            reward=0.0,
            terminated=False,
            truncated=self.steps == self.horizon,
            outcome=Outcome.UNKNOWN,
            gate_reason=GateReason.PASSED,
            gate_state=GateState.RUN,
            lateness_s=0.0,
        )

    def end(self) -> None:
        """Nothing to end."""

    def _observe(self) -> Observation:
        return Observation(
            stamp_ns=self.clock.now_ns(), vectors={JOINT_POSITION: np.zeros(1, np.float32)}
        )


class Doubling:
    """An online policy that proposes twice the base motion."""

    version = 1
    latent: Vector = NO_LATENT

    def __init__(self) -> None:
        self.saw: list[float] = []

    def reset(self, seed: int) -> None: ...

    def replan(self) -> None: ...

    def propose(self, observation: Observation, base_action: Vector, *, explore: bool) -> Vector:
        self.saw.append(round(float(base_action[0]), 6))
        return base_action * np.float32([2, 1])


class Person:
    """Drives in the steps that are named."""

    name = "a person"

    def __init__(self, steps: Sequence[int]) -> None:
        self.steps = steps
        self._step = 0

    def reset(self, seed: int) -> None: ...

    def poll(self, observation: Observation) -> OperatorInput:
        active = self._step in self.steps
        self._step += 1
        return OperatorInput(active=active, action=np.float32([-0.5, -1.0]))


class Scene:
    """A rollout with a player that plans anew after two actions."""

    def __init__(self, horizon: int, person: Sequence[int] = ()) -> None:
        clock = ManualClock(start_ns=1_000_000_000)
        self.planner, self.online = SlowPlanner(clock), Doubling()
        config = ChunkingConfig(max_action_age_s=1.0, mode="wait")
        self.player = AsyncChunkPlayer(self.planner, clock, config, execute=2)
        rollout = Rollout(
            Recorder(clock, horizon),
            Agent(base=self.player, online=self.online, size=ACTION.size),
            Arbiter(ACTION, clock, HandOver(release_s=0.0)),
            operator=Person(person) if person else None,
        )
        self.episode: Episode = rollout.run("e", 0, EpisodeMetadata(task="none"))

    @property
    def sources(self) -> list[Source]:
        return [Source(source) for source in self.episode.source]


REST, ACT, DRIVE = Source.HOLD, Source.POLICY, Source.HUMAN


def test_the_arm_rests_until_there_is_a_plan_and_between_plans():
    scene = Scene(horizon=8)
    assert scene.sources == [REST, REST, ACT, ACT, REST, REST, ACT, ACT]
    first = [0, 0, 0.1, 0.11, 0, 0, 0.2, 0.21]
    assert scene.episode.base_action[:8, 0] == pytest.approx(first)
    assert scene.episode.action[:, 0] == pytest.approx([2 * x for x in first])


def test_an_online_policy_is_not_asked_while_its_base_has_nothing_to_play():
    scene = Scene(horizon=6)
    assert scene.online.saw == pytest.approx([0.1, 0.11])
    rests = scene.episode.action[[0, 1, 4, 5], 0]
    assert not rests.any()
    assert np.array_equal(scene.episode.proposed_action, scene.episode.action)


def test_the_gripper_keeps_its_value_while_the_arm_rests():
    scene = Scene(horizon=6)
    assert scene.episode.action[:, 1].tolist() == [0, 0, 1, 1, 1, 1]


def test_resting_does_not_discard_the_plan_that_is_waited_for():
    scene = Scene(horizon=8)
    assert scene.planner.discards == 0
    assert scene.planner.plans == 2 + 1


def test_a_person_drives_while_there_is_no_plan_and_makes_the_one_in_the_making_void():
    scene = Scene(horizon=7, person=[1])
    # The plan begun at 0 is void at 2; the next one is begun there, and plays from 4 on.
    assert scene.sources == [REST, DRIVE, REST, REST, ACT, ACT, REST]
    assert scene.episode.action[1].tolist() == [-0.5, -1.0]
    assert scene.episode.base_action[4:6, 0] == pytest.approx([0.2, 0.21])
    assert scene.planner.discards == 1


def test_a_person_makes_the_plan_in_play_void():
    scene = Scene(horizon=7, person=[3])
    assert scene.sources == [REST, REST, ACT, DRIVE, REST, REST, ACT]
    assert scene.episode.base_action[6, 0] == pytest.approx(0.2)
