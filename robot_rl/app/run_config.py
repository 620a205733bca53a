"""What a run is: one cell, one task, one base policy, one learner, one seed, one budget."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from robot_rl.config.model import Component, Config
from robot_rl.control.kinematics import SerialChainConfig
from robot_rl.control.limits import SafetyLimits
from robot_rl.data.log.image_channels import ImageCoding
from robot_rl.learning.distillation import DistillationConfig
from robot_rl.learning.imitation import ImitationConfig
from robot_rl.learning.reward_view import TaskRewardConfig, check_target_range
from robot_rl.policies.chunk_policy import ChunkPolicyConfig
from robot_rl.runtime.improve import ImproveConfig
from robot_rl.runtime.worker import ScheduleConfig

SEEDS_PER_RUN = 100_000
DEMONSTRATION_SEEDS = 100_000_000
JUDGING_SEEDS = 200_000_000
HELD_OUT_SEEDS = 300_000_000
SELECTION_SEEDS = 400_000_000
TEACHER_SEEDS = 500_000_000
"""Start states never meet: training episodes count from `seed * SEEDS_PER_RUN`, demonstrations
likewise from theirs; judging and held-out starts are the same for every seed of a run, and so are
those where a checkpoint of the base is chosen and where a teacher shows what it does."""


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


class StudentConfig(DistillationConfig):
    """The distillation of the base policy into one that plans with one call.

    Args:
        rollouts: episodes that the teacher runs; the student learns to plan where these came to
            be, beside where the demonstrations did.
    """

    rollouts: int = Field(default=0, ge=0)


class ImitateConfig(ImitationConfig):
    """How the base policy is trained.

    Args:
        rollouts: episodes that each checkpoint runs; that with most successes becomes the base.
            With 0 it is the last.
        student: if given, a student of what was trained becomes the base; the teacher is kept.
    """

    rollouts: int = Field(default=0, ge=0)
    student: StudentConfig | None = None


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
        reward: what the learner is paid for, a component whose `build()` returns a
            `learning.reward_view.RewardView`; the recorded reward of the task by default.
        use_base: whether the online policy acts on top of the base policy; false for one that acts
            alone, and for one that steers the base, which plans by itself then.
        learner_process: run the learner in a process of its own.
        learner_lag_updates: how many updates it may then be behind: 0 gives the same results as
            one process, bit by bit; null never waits, which is for a real robot.
        release_s: the policy drives again so long after the person let go.
        log_images: how the log of a running episode keeps images until the episode is saved: raw
            costs least time, jpeg least disk, but what is recovered after a crash is then lossy.
        metrics: where curves are drawn beside the event log, each in the run's folder; what is
            named must be installed (`pip install 'robot_rl[metrics]'`).
    """

    name: str
    seed: int = Field(default=0, ge=0)
    cell: CellConfig
    task: Component
    demonstrator: Component
    supervisor: Component | None = None
    collect: CollectConfig
    base: ChunkPolicyConfig
    imitate: ImitateConfig
    learner: Component
    reward: Component = TaskRewardConfig()
    schedule: ScheduleConfig
    improve: ImproveConfig
    evaluate: EvaluateConfig = EvaluateConfig()
    release_s: float = Field(default=0.0, ge=0)
    log_images: ImageCoding = "raw"
    use_base: bool = True
    learner_process: bool = False
    learner_lag_updates: int | None = Field(default=0, ge=0)
    metrics: tuple[Literal["tensorboard", "trackio"], ...] = ()

    @model_validator(mode="after")
    def _targets_can_be_reached(self) -> Self:
        check_target_range(getattr(self.learner, "target_range", None), self.reward.build())
        return self

    @model_validator(mode="after")
    def _a_student_has_something_to_learn(self) -> Self:
        if self.imitate.student:
            self.base.sampler.build().one_step()
        return self
