"""A bench with its gate and environment, built from a run's config, and what runs on it."""

from __future__ import annotations

from dataclasses import dataclass

from robot_rl.app.run_config import CellConfig, RunConfig
from robot_rl.config.model import Buildable
from robot_rl.control.arbiter import Arbiter
from robot_rl.control.chunk_player import ChunkPlayer
from robot_rl.control.safety import SafetyGate
from robot_rl.core.protocol import Bench, OnlinePolicy, Operator
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.types import Source
from robot_rl.envs.robot_env import RobotEnv
from robot_rl.policies.chunk_policy import ChunkPolicy
from robot_rl.runtime.rollout import Agent, Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """What episodes run on.

    Args:
        release_s: how long after a person lets go the policy drives again.
    """

    bench: Bench
    gate: SafetyGate
    env: RobotEnv
    release_s: float

    @classmethod
    def open(cls, cell: CellConfig, task: Buildable, release_s: float = 0.0) -> Station:
        """Connect a cell for a task, everything behind the cell's one gate."""
        bench: Bench = cell.bench.build(task)
        chain = cell.chain.build() if cell.chain else None
        gate = SafetyGate(cell.limits, bench.task.action, bench.clock, chain)
        return cls(bench=bench, gate=gate, env=RobotEnv(bench, gate), release_s=release_s)

    @classmethod
    def of_run(cls, config: RunConfig) -> Station:
        """Connect the run's cell for the run's task."""
        return cls.open(config.cell, config.task, config.release_s)

    @property
    def recording(self) -> RecordingSpec:
        """What the episodes that are recorded here have in common."""
        return RecordingSpec(robot=self.bench.robot.spec.name, task=self.bench.task)

    def agent(self, base: ChunkPolicy | None = None, online: OnlinePolicy | None = None) -> Agent:
        """An agent of a base policy, an online policy, or both, with a queue of its own."""
        player = ChunkPlayer(base, base.config.execute) if base else None
        return Agent(base=player, online=online, size=self.bench.task.action.size)

    def rollout(
        self,
        agent: Agent,
        *,
        operator: Operator | None = None,
        human_source: Source = Source.HUMAN,
        explore: bool = False,
    ) -> Rollout:
        """A rollout of the agent, with nobody or with a person who can take over."""
        action = self.bench.task.action
        gripper = action.names[-1] == "gripper"
        arbiter = Arbiter(action.period_s, release_s=self.release_s, gripper=gripper)
        return Rollout(
            self.env,
            agent,
            arbiter,
            operator=operator,
            human_source=human_source,
            explore=explore,
        )
