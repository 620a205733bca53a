"""A bench with its gate and environment, built from a run's config, and what runs on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Protocol, cast

from robot_rl.app.run_config import CellConfig, RunConfig
from robot_rl.config.model import Buildable
from robot_rl.control.arbiter import Arbiter, HandOver
from robot_rl.control.chunk_player import ChunkPlayer, Player
from robot_rl.control.chunking.async_player import AsyncChunkPlayer, ChunkingConfig
from robot_rl.control.chunking.planner import Unguided
from robot_rl.control.chunking.thread_planner import ThreadPlanner
from robot_rl.control.limits import SafetyLimits
from robot_rl.control.safety import SafetyGate
from robot_rl.core.protocol import Bench, Env, OnlinePolicy, Operator, Sensor
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.types import Source
from robot_rl.envs.robot_env import RobotEnv
from robot_rl.policies.chunk_policy import ChunkPolicy
from robot_rl.policies.ready_base import ReadyBase, RunBase
from robot_rl.policies.ready_player import async_player, waiting_player
from robot_rl.policies.realtime import RealtimePolicy
from robot_rl.runtime.rollout import Agent, Rollout
from robot_rl.session.checks_of_cell import LimitedGate
from robot_rl.session.needs import SessionGate

_AT_ONCE = HandOver(release_s=0.0)


class CellGate(SessionGate, LimitedGate, Protocol):
    """The safety gate, as whoever sits at the station asks it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """What episodes run on.

    Args:
        gate: that everything passes; `limits`: those in force there.
        hand_over: what follows when a person lets go, or cannot be heard any more.
        chunking: how chunks are played while the next one is planned; without it the loop waits
            for each plan, which is for benches whose clock waits too.
        seats: people who sit at the bench already, by seat: `demonstrator`, `supervisor`.
        watcher: who may take over at any time, also while a policy is judged; help counts then.
        awaits_person: the environment sees to the person before each episode.
        watched: cameras that a person is shown, and that may be asked from any thread.
    """

    bench: Bench
    env: Env
    gate: CellGate
    limits: SafetyLimits
    hand_over: HandOver
    chunking: ChunkingConfig | None = None
    seats: Mapping[str, Operator] = field(default_factory=dict[str, Operator])
    watcher: Operator | None = None
    awaits_person: bool = False
    watched: tuple[Sensor, ...] = ()

    @classmethod
    def open(
        cls,
        cell: CellConfig,
        task: Buildable,
        hand_over: HandOver = _AT_ONCE,
        chunking: ChunkingConfig | None = None,
        bench: Bench | None = None,
    ) -> Station:
        """Connect a cell for a task, everything behind the cell's one gate.

        `bench` is one that is connected already; without it the cell's is built.
        """
        bench = bench or cast(Bench, cell.bench.build(task))
        seen, period_s = bench.task.observation, bench.task.action.period_s
        monitor = cell.streams.build(seen, period_s) if cell.streams else None
        gate = gate_of(cell, bench)
        return cls(
            bench=bench,
            env=RobotEnv(bench, gate, monitor),
            gate=gate,
            limits=cell.limits,
            hand_over=hand_over,
            chunking=chunking,
        )

    @classmethod
    def of_run(
        cls,
        config: RunConfig,
        bench: Bench | None = None,
        seats: Mapping[str, Operator] | None = None,
    ) -> Station:
        """Connect the run's cell, under the limits in force, for the run's task.

        Args:
            config: of the run.
            bench: connected already, for the same task; without it the cell's is built.
            seats: people who sit at it already.
        """
        cell, hand_over, chunking = config.cell_in_force, config.hand_over, config.chunking
        station = cls.open(cell, config.task, hand_over, chunking, bench)
        return replace(station, seats=seats or {})

    def seated(
        self, seat: str, person: Buildable | None
    ) -> AbstractContextManager[Operator | None]:
        """Who sits at the bench in this seat already, or else the person, opened there."""
        if seat in self.seats or person is None:
            return nullcontext(self.seats.get(seat))
        return opened(person, self.bench)

    @property
    def recording(self) -> RecordingSpec:
        """What the episodes that are recorded here have in common."""
        return RecordingSpec(robot=self.bench.robot.spec.name, task=self.bench.task)

    def agent(self, base: RunBase | None = None, online: OnlinePolicy | None = None) -> Agent:
        """An agent of a base policy, an online policy, or both, with a queue of its own."""
        player = self.player(base) if base else None
        return Agent(base=player, online=online, size=self.bench.task.action.size)

    def player(self, base: RunBase) -> Player:
        """What plays the base policy's chunks.

        Raises:
            ConfigError: if it cannot do what the chunking asks for.
        """
        chunking = self.chunking
        if chunking is None:
            return blocking_player(base)
        clock, most = self.bench.clock, chunking.max_guidance_weight
        if isinstance(base, ReadyBase):
            return async_player(base.policy, clock, chunking, base.execute)
        guided = chunking.mode == "realtime"
        planner = ThreadPlanner(RealtimePolicy(base, most) if guided else Unguided(base))
        return AsyncChunkPlayer(planner, clock, chunking, execute=base.execute)

    def rollout(
        self,
        agent: Agent,
        *,
        operator: Operator | None = None,
        human_source: Source = Source.HUMAN,
        explore: bool = False,
    ) -> Rollout:
        """A rollout of the agent; `operator` can take over, or else the watcher if any."""
        operator = operator or self.watcher
        arbiter = Arbiter(
            self.bench.task.action,
            self.bench.clock,
            self.hand_over,
            operator=operator.name if operator else "",
        )
        return Rollout(
            self.env,
            agent,
            arbiter,
            operator=operator,
            human_source=human_source,
            explore=explore,
            awaits_person=self.awaits_person,
        )


@contextmanager
def opened(person: Buildable, bench: Bench) -> Iterator[Operator]:
    """Whoever drives, at the bench: built for it; a context is opened, and closed in the end.

    Raises:
        ConfigError, DependencyError, HardwareError: if the person's device cannot be used here.
    """
    operator: Operator = person.build(bench)
    with operator if isinstance(operator, AbstractContextManager) else nullcontext():
        yield operator


def gate_of(cell: CellConfig, bench: Bench) -> SafetyGate:
    """The cell's gate, in front of a bench."""
    chain = cell.chain.build() if cell.chain else None
    collision = cell.collision.build(chain) if cell.collision and chain else None
    return SafetyGate(cell.limits, bench.task.action, bench.clock, chain, collision)


def blocking_player(base: RunBase) -> Player:
    """What plays the base policy's chunks and waits for each plan."""
    if isinstance(base, ChunkPolicy):
        return ChunkPlayer(base, base.execute)
    return waiting_player(base.policy, base.execute)
