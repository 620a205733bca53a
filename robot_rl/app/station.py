"""A bench with its gate and environment, built from a run's config, and what runs on it."""

from __future__ import annotations

from dataclasses import dataclass

from robot_rl.app.run_config import CellConfig, RunConfig
from robot_rl.config.model import Buildable
from robot_rl.control.arbiter import Arbiter, HandOver
from robot_rl.control.chunk_player import ChunkPlayer, Player
from robot_rl.control.chunking.async_player import AsyncChunkPlayer, ChunkingConfig
from robot_rl.control.chunking.planner import ContinuingPolicy, Unguided
from robot_rl.control.chunking.thread_planner import ThreadPlanner
from robot_rl.control.safety import SafetyGate
from robot_rl.core.errors import ConfigError
from robot_rl.core.protocol import Bench, OnlinePolicy, Operator
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.types import Source
from robot_rl.envs.robot_env import RobotEnv
from robot_rl.policies.chunk_policy import ChunkPolicy
from robot_rl.policies.episode_policy import EpisodePolicy, RememberingPlayer
from robot_rl.policies.ready_base import ReadyBase, RunBase
from robot_rl.policies.realtime import RealtimePolicy
from robot_rl.runtime.rollout import Agent, Rollout

_AT_ONCE = HandOver(release_s=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """What episodes run on.

    Args:
        hand_over: what follows when a person lets go, or cannot be heard any more.
        chunking: how chunks are played while the next one is planned; without it the loop waits
            for each plan, which is for benches whose clock waits too.
    """

    bench: Bench
    gate: SafetyGate
    env: RobotEnv
    hand_over: HandOver
    chunking: ChunkingConfig | None = None

    @classmethod
    def open(
        cls,
        cell: CellConfig,
        task: Buildable,
        hand_over: HandOver = _AT_ONCE,
        chunking: ChunkingConfig | None = None,
    ) -> Station:
        """Connect a cell for a task, everything behind the cell's one gate."""
        bench: Bench = cell.bench.build(task)
        chain = cell.chain.build() if cell.chain else None
        collision = cell.collision.build(chain) if cell.collision and chain else None
        gate = SafetyGate(cell.limits, bench.task.action, bench.clock, chain, collision)
        seen, period_s = bench.task.observation, bench.task.action.period_s
        monitor = cell.streams.build(seen, period_s) if cell.streams else None
        env = RobotEnv(bench, gate, monitor)
        return cls(bench=bench, gate=gate, env=env, hand_over=hand_over, chunking=chunking)

    @classmethod
    def of_run(cls, config: RunConfig) -> Station:
        """Connect the run's cell, under the limits in force, for the run's task."""
        return cls.open(config.cell_in_force, config.task, config.hand_over, config.chunking)

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
        guided, most = chunking.mode == "realtime", chunking.max_guidance_weight
        if isinstance(base, ReadyBase):
            if guided and not base.policy.spec.guided:
                raise ConfigError(
                    f"chunking.mode: {base.policy.spec.name} cannot make a plan that carries on "
                    "with the one in play; use trim or ensemble"
                )
            policy = EpisodePolicy(base.policy, most, observed=base.history > 1)
            continuing = policy if guided else Unguided(policy)
            return _remembering(self._async_player(continuing, base, chunking), policy, base)
        continuing = RealtimePolicy(base, most) if guided else Unguided(base)
        return self._async_player(continuing, base, chunking)

    def _async_player(
        self, policy: ContinuingPolicy, base: RunBase, chunking: ChunkingConfig
    ) -> Player:
        planner = ThreadPlanner(policy)
        return AsyncChunkPlayer(planner, self.bench.clock, chunking, execute=base.execute)

    def rollout(
        self,
        agent: Agent,
        *,
        operator: Operator | None = None,
        human_source: Source = Source.HUMAN,
        explore: bool = False,
    ) -> Rollout:
        """A rollout of the agent, with nobody or with a person who can take over."""
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
        )


def blocking_player(base: RunBase) -> Player:
    """What plays the base policy's chunks and waits for each plan."""
    if isinstance(base, ChunkPolicy):
        return ChunkPlayer(base, base.execute)
    policy = EpisodePolicy(base.policy, observed=base.history > 1)
    return _remembering(ChunkPlayer(policy, base.execute), policy, base)


def _remembering(player: Player, policy: EpisodePolicy, base: ReadyBase) -> Player:
    return RememberingPlayer(player, policy) if base.history > 1 else player
