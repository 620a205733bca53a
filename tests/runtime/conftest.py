"""A two-joint line bench, policies and people that are small enough to work out by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import numpy as np
import pytest
import torch

from robot_rl.control.arbiter import Arbiter, HandOver
from robot_rl.control.chunk_player import ChunkPlayer
from robot_rl.control.limits import SafetyLimits
from robot_rl.control.safety import SafetyGate
from robot_rl.core.clock import ManualClock
from robot_rl.core.episode import EpisodeMetadata
from robot_rl.core.errors import HardwareError
from robot_rl.core.protocol import Judgement, OperatorInput, Sensor
from robot_rl.core.spec import (
    JOINT_POSITION,
    WRENCH,
    ActionSpec,
    ObservationSpec,
    RobotSpec,
    TaskSpec,
    VectorSpec,
)
from robot_rl.core.types import (
    NO_LATENT,
    ActionChunk,
    Observation,
    Outcome,
    SafeAction,
    Vector,
)
from robot_rl.data.replay.batch import Batch
from robot_rl.envs.robot_env import RobotEnv
from robot_rl.learning.contract import SKIPPED, SamplingNeeds
from robot_rl.runtime.rollout import Agent, Rollout

PERIOD_S = 0.1
ACTION = ActionSpec(kind="joint_delta", names=("a", "b"), scale=(0.1, 0.1), period_s=PERIOD_S)
OBSERVATION = ObservationSpec(
    vectors={
        JOINT_POSITION: VectorSpec(names=("q0", "q1"), unit="rad"),
        WRENCH: VectorSpec(names=("fx", "fy", "fz", "tx", "ty", "tz"), unit="N"),
    }
)
LIMITS: dict[str, Any] = {
    "workspace_min_m": (-9.0,) * 3,
    "workspace_max_m": (9.0,) * 3,
    "joint_lower_rad": (-9.0,) * 2,
    "joint_upper_rad": (9.0,) * 2,
    "max_joint_velocity_rad_s": (9.0,) * 2,
    "max_joint_acceleration_rad_s2": (999.0,) * 2,
    "max_joint_jerk_rad_s3": (99999.0,) * 2,
    "max_tcp_speed_m_s": 9.0,
    "max_tcp_angular_speed_rad_s": 99.0,
    "max_tcp_acceleration_m_s2": 999.0,
    "max_tcp_angular_acceleration_rad_s2": 999.0,
    "max_tcp_jerk_m_s3": 99999.0,
    "max_tcp_angular_jerk_rad_s3": 99999.0,
    "slow_at_condition": 1e6,
    "hold_at_condition": 1e7,
    "min_distance_m": 0.0,
    "max_force_n": 30.0,
    "max_torque_n_m": 5.0,
    "max_observation_age_s": 0.15,
    "max_command_age_s": 0.05,
    "max_late_ticks": 9,
    "fresh_samples_to_resume": 1,
}


class LineBench:
    """Two joints that reach their command evenly over one period: one is a goal away.

    It starts at q = 0; the first joint at `goal_rad` is success, at `-goal_rad` failure.
    It is robot, scene and clock in one, which no real bench is.
    """

    def __init__(self, horizon: int = 10, goal_rad: float = 0.3) -> None:
        self.task = TaskSpec(name="line", horizon=horizon, observation=OBSERVATION, action=ACTION)
        self.spec = RobotSpec(name="line", observation=OBSERVATION, action=ACTION)
        self.robot = self.scene = self
        self.sensors: tuple[Sensor, ...] = ()
        self.clock = LineClock(self)
        self.goal_rad = goal_rad
        self.q = np.zeros(2)
        self.force_n = 0.0
        self.seeds: list[int] = []
        self.commands: list[SafeAction] = []
        self.stops = 0
        self.breaks_at: int | None = None
        self.on_reset: Callable[[], None] = lambda: None
        self._velocity = np.zeros(2)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def read(self) -> Observation:
        if self.breaks_at is not None and len(self.commands) >= self.breaks_at:
            raise HardwareError("the line is silent")
        wrench = np.array([self.force_n, 0, 0, 0, 0, 0], np.float32)
        return Observation(
            stamp_ns=self.clock.now_ns(),
            vectors={JOINT_POSITION: self.q.astype(np.float32), WRENCH: wrench},
        )

    def command(self, action: SafeAction) -> None:
        self.commands.append(action)
        self._velocity = action.values / PERIOD_S

    def stop(self) -> None:
        self.stops += 1
        self._velocity = np.zeros(2)

    def move(self, seconds: float) -> None:
        self.q = self.q + self._velocity * seconds

    def reset(self, seed: int) -> None:
        self.on_reset()
        self.seeds.append(seed)
        self.q = np.zeros(2)
        self._velocity = np.zeros(2)

    def judge(self) -> Judgement:
        if self.q[0] >= self.goal_rad - 1e-6:
            return Judgement(reward=1.0, outcome=Outcome.SUCCESS)
        failed = self.q[0] <= 1e-6 - self.goal_rad
        return Judgement(reward=0.0, outcome=Outcome.FAILURE if failed else Outcome.UNKNOWN)

    def render(self, width: int, height: int) -> np.ndarray:
        return np.zeros((height, width, 3), np.uint8)

    def close(self) -> None:
        pass


class LineClock(ManualClock):
    """Time passes only by sleeping, and the joints move meanwhile."""

    def __init__(self, bench: LineBench) -> None:
        super().__init__(start_ns=10**9)
        self._bench = bench

    def sleep_until_ns(self, deadline_ns: int) -> None:
        self._bench.move(max(0, deadline_ns - self.now_ns()) / 1e9)
        super().sleep_until_ns(deadline_ns)


class PlanPolicy:
    """Action j of plan p is (0.01 p + 0.001 j, q0): it says which plan it is, and from where."""

    fingerprint = "plans"

    def __init__(self, horizon: int = 4) -> None:
        self.horizon = horizon
        self.plans = 0
        self.seeds: list[int] = []

    def reset(self, seed: int) -> None:
        self.seeds.append(seed)

    def act(self, observation: Observation) -> ActionChunk:
        self.plans += 1
        j = np.arange(self.horizon)
        q0 = np.full(self.horizon, observation.vectors[JOINT_POSITION][0])
        values = np.stack([0.01 * self.plans + 0.001 * j, q0], axis=1)
        return ActionChunk(values=values.astype(np.float32), start_ns=0, dt_s=PERIOD_S)


class Steady:
    """An online policy that always proposes what its weights say, exploring or not."""

    def __init__(self, action: Sequence[float] = (0.0, 0.0)) -> None:
        self.version = 0
        self.action = np.asarray(action, np.float32)
        self.seeds: list[int] = []
        self.explored: list[bool] = []
        self.saw: list[Vector] = []
        self.loaded: list[int] = []
        self.latent: Vector = NO_LATENT
        self.replans = 0

    def reset(self, seed: int) -> None:
        self.seeds.append(seed)

    def replan(self) -> None:
        self.replans += 1

    def propose(self, observation: Observation, base_action: Vector, *, explore: bool) -> Vector:
        self.explored.append(explore)
        self.saw.append(base_action)
        return self.action.copy()

    def load_weights(self, weights: Mapping[str, torch.Tensor], version: int) -> None:
        self.version = version
        self.loaded.append(version)
        self.action = weights["action"].numpy().copy()


class Winner(Steady):
    """Reaches the goal from the starts whose seed is in `winning`, and rests at all others."""

    def __init__(self, winning: Sequence[int] = ()) -> None:
        super().__init__()
        self.winning = set(winning)

    def propose(self, observation: Observation, base_action: Vector, *, explore: bool) -> Vector:
        return np.array([self.seeds[-1] in self.winning, 0], np.float32)


class Person:
    """Drives with `action` in the steps of each episode that are named."""

    name = "a person"

    def __init__(self, steps: Sequence[int], action: Sequence[float] = (0.5, -0.5)) -> None:
        self.steps = steps
        self.action = np.asarray(action, np.float32)
        self.seeds: list[int] = []
        self._step = 0

    def reset(self, seed: int) -> None:
        self.seeds.append(seed)
        self._step = 0

    def poll(self, observation: Observation) -> OperatorInput:
        active = self._step in self.steps
        self._step += 1
        return OperatorInput(active=active, action=self.action.copy())


class CountingLearner:
    """A learner that learns nothing: it keeps the batches and whether the actor was trained."""

    frame_encoder = None

    def __init__(self, needs: SamplingNeeds | None = None) -> None:
        self.needs = needs or SamplingNeeds()
        self.batches: list[Batch] = []
        self.cycles: list[tuple[int, bool]] = []

    def update(self, batches: Sequence[Batch], *, train_actor: bool = True) -> dict[str, float]:
        self.batches += batches
        self.cycles.append((len(batches), train_actor))
        return {"critic_loss": float(len(self.cycles)), SKIPPED: 0.0}

    def weights(self) -> dict[str, torch.Tensor]:
        return {"action": torch.zeros(2)}

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"cycles": torch.tensor(len(self.cycles))}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        self.cycles = [(0, False)] * int(state["cycles"])


def build_env(
    horizon: int = 10, goal_rad: float = 0.3, **tighter: Any
) -> tuple[RobotEnv, LineBench]:
    bench = LineBench(horizon, goal_rad)
    limits = SafetyLimits.model_validate(LIMITS | tighter)
    return RobotEnv(bench, SafetyGate(limits, ACTION, bench.clock, None)), bench


def build_agent(base: Any = None, online: Any = None, execute: int = 3) -> Agent:
    player = ChunkPlayer(base, execute) if base else None
    return Agent(base=player, online=online, size=ACTION.size)


def build_rollout(
    env: RobotEnv, agent: Agent, *, release_s: float = 0.0, **options: Any
) -> Rollout:
    arbiter = Arbiter(ACTION, ManualClock(), HandOver(release_s=release_s))
    return Rollout(env, agent, arbiter, **options)


def build_metadata(seed: int = 0, **changes: Any) -> EpisodeMetadata:
    contract = LineBench().task.contract
    return EpisodeMetadata(**{"task": "line", "seed": seed, "contract": contract, **changes})


def same_episode(one: Any, other: Any) -> bool:
    """Whether all that is not wall time is the same, bit by bit."""
    names = ("action", "proposed_action", "base_action", "reward", "source", "gate_reason")
    columns = itertools.chain(
        ((getattr(one, n), getattr(other, n)) for n in names),
        ((one.vectors[k], other.vectors[k]) for k in one.vectors),
    )
    ends = (one.outcome, one.terminated, one.truncated) == (
        other.outcome,
        other.terminated,
        other.truncated,
    )
    return ends and all(np.array_equal(a, b) for a, b in columns)


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """The fakes and builders of this file; test files cannot import one another."""
    return SimpleNamespace(
        action=ACTION,
        observation=OBSERVATION,
        task=LineBench().task,
        PlanPolicy=PlanPolicy,
        Steady=Steady,
        Winner=Winner,
        Person=Person,
        CountingLearner=CountingLearner,
        env=build_env,
        agent=build_agent,
        rollout=build_rollout,
        metadata=build_metadata,
        same_episode=same_episode,
    )


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)
