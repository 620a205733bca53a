"""What a run is: one cell, one task, one base policy, one learner, one seed, one budget."""

from __future__ import annotations

from pydantic import Field

from robot_rl.config.model import Component, Config
from robot_rl.control.kinematics import SerialChainConfig
from robot_rl.control.limits import SafetyLimits
from robot_rl.data.log.image_channels import ImageCoding
from robot_rl.learning.imitation import ImitationConfig
from robot_rl.policies.chunk_policy import ChunkPolicyConfig
from robot_rl.runtime.improve import ImproveConfig
from robot_rl.runtime.worker import ScheduleConfig

SEEDS_PER_RUN = 100_000
DEMONSTRATION_SEEDS = 100_000_000
JUDGING_SEEDS = 200_000_000
HELD_OUT_SEEDS = 300_000_000
"""Start states never meet: training episodes count from `seed * SEEDS_PER_RUN`, demonstrations
likewise from theirs; judging and held-out starts are the same for every seed of a run."""


class CellConfig(Config):
    """One bench.

    Args:
        name: recorded with every episode.
        bench: a component whose `build(task)` returns a `core.protocol.Bench`.
        limits: what no command may exceed here.
        chain: the arm's kinematics; without it the gate does not check joint limits of tcp
            motions.
    """

    name: str
    bench: Component
    limits: SafetyLimits
    chain: SerialChainConfig | None = None


class CollectConfig(Config):
    """How many demonstrations, and how often a failed one is tried again."""

    episodes: int = Field(ge=1)
    attempts_per_episode: int = Field(default=5, ge=1)


class EvaluateConfig(Config):
    """Held-out start states of the final evaluation."""

    episodes: int = Field(default=100, ge=1)


class RunConfig(Config):
    """A run of the main job.

    Args:
        name: of the run's folder.
        seed: decides everything random.
        demonstrator, supervisor: components whose `build(bench)` returns a `core.protocol.
            Operator`; without a supervisor nobody intervenes.
        learner: a component whose `build(base, seed)` returns a
            `learning.contract.Learner` that also makes its policy.
        use_base: whether the online policy acts on top of the base policy.
        learner_process: run the learner in a process of its own.
        learner_lag_updates: how many updates it may then be behind: 0 gives the same results as
            one process, bit by bit; null never waits, which is for a real robot.
        release_s: the policy drives again so long after the person let go.
        log_images: how the log of a running episode keeps images until the episode is saved: raw
            costs least time, jpeg least disk, but what is recovered after a crash is then lossy.
    """

    name: str
    seed: int = Field(default=0, ge=0)
    cell: CellConfig
    task: Component
    demonstrator: Component
    supervisor: Component | None = None
    collect: CollectConfig
    base: ChunkPolicyConfig
    imitate: ImitationConfig
    learner: Component
    schedule: ScheduleConfig
    improve: ImproveConfig
    evaluate: EvaluateConfig = EvaluateConfig()
    release_s: float = Field(default=0.0, ge=0)
    log_images: ImageCoding = "raw"
    use_base: bool = True
    learner_process: bool = False
    learner_lag_updates: int | None = Field(default=0, ge=0)
