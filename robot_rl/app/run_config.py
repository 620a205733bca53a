"""What a run is: one cell, one task, one base policy, one learner, one seed, one budget."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from robot_rl.config.model import Component, Config
from robot_rl.control.arbiter import DEAD_MAN_S, AfterRelease, HandOver
from robot_rl.control.chunking.async_player import ChunkingConfig
from robot_rl.control.collision.shape import CollisionConfig
from robot_rl.control.kinematics import SerialChainConfig
from robot_rl.control.limits import SafetyLimits
from robot_rl.control.realtime import RealtimeConfig
from robot_rl.control.tightening import LimitsInForce, tightened
from robot_rl.control.watchdog import watched
from robot_rl.data.log.image_channels import ImageCoding
from robot_rl.learning.distillation import DistillationConfig
from robot_rl.learning.imitation import ImitationConfig
from robot_rl.learning.reward_view import TaskRewardConfig, check_target_range
from robot_rl.policies.chunk_policy import ChunkPolicyConfig
from robot_rl.runtime.improve import ImproveConfig
from robot_rl.runtime.worker import ScheduleConfig
from robot_rl.sensing.monitor import StreamMonitorConfig
from robot_rl.session.config import SessionConfig

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
        collision: bodies of the arm and of the scene that the gate keeps apart; needs the chain.
        streams: which faults of cameras and sensors hold the arm though their samples keep
            coming; without it ages alone are judged.
        realtime: what the control loop asks of this machine.
    """

    name: str
    bench: Component
    limits: SafetyLimits
    chain: SerialChainConfig | None = None
    collision: CollisionConfig | None = None
    streams: StreamMonitorConfig | None = None
    realtime: RealtimeConfig | None = None

    @model_validator(mode="after")
    def _bodies_stand_on_a_chain(self) -> Self:
        if self.collision and not self.chain:
            raise ValueError("collision: without the cell's `chain` nobody knows where links are")
        return self


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
        base: the base policy: settings of one that the run trains, `policies.chunk_policy:
            ChunkPolicyConfig`, or an adapter to one that is ready, whose `build(task)` returns a
            `policies.base.BasePolicy`.
        imitate: how the base policy is trained; left out where it is ready.
        demonstrator, supervisor: components whose `build(bench)` returns a `core.protocol.
            Operator`, which is opened if it is a context. Without a demonstrator the person at
            the session demonstrates; without a supervisor nobody intervenes.
        learner: a component whose `build(base, seed)` returns a
            `learning.contract.Learner` that also makes its policy.
        reward: what the learner is paid for, a component whose `build()` returns a
            `learning.reward_view.RewardView`; the recorded reward of the task by default.
        use_base: whether the online policy acts on top of the base policy; false for one that acts
            alone, and for one that steers the base, which plans by itself then.
        learner_process: run the learner in a process of its own.
        learner_lag_updates: how many updates it may then be behind: 0 gives the same results as
            one process, bit by bit; null never waits, which is for a real robot.
        learner_timeout_s: a learner's process that says nothing for so long counts as lost; more
            than one cycle of updates takes, which compiles first where that is asked for.
        act_without_learner_s: how long the policy still drives with the weights of the moment
            when the learner was lost; then the arm is held. null: to the end of the episode.
        limits: fields of the cell's limits that this run tightens, by name.
        allow_looser_limits: the run may also loosen them, which every episode's metadata tells.
        release_s: the arm is held for so long after the person let go.
        after_release: what follows then: `auto`: the policy drives; `hold`: nobody does until the
            person gives the arm back.
        dead_man_s: silence of the person's device that is borne, judged once a period; a page in
            a browser may need more than the default, which is for a device at the bench.
        chunking: the next chunk is planned while one plays, for benches whose clock does not wait;
            without it the loop waits for each plan.
        log_images: how the log of a running episode keeps images until the episode is saved: raw
            costs least time, jpeg least disk, but what is recovered after a crash is then lossy.
        session: how a person sits at the run, for `robot-rl session`.
        metrics: where curves are drawn beside the event log, each in the run's folder; what is
            named must be installed (`pip install 'robot_rl[metrics]'`).
    """

    name: str
    seed: int = Field(default=0, ge=0)
    cell: CellConfig
    task: Component
    demonstrator: Component | None = None
    supervisor: Component | None = None
    collect: CollectConfig
    base: Component
    imitate: ImitateConfig | None = None
    learner: Component
    reward: Component = TaskRewardConfig()
    schedule: ScheduleConfig
    improve: ImproveConfig
    evaluate: EvaluateConfig = EvaluateConfig()
    limits: dict[str, Any] = Field(default_factory=dict[str, Any])
    allow_looser_limits: bool = False
    release_s: float = Field(default=0.0, ge=0)
    after_release: AfterRelease = "auto"
    dead_man_s: float = Field(default=DEAD_MAN_S, gt=0, le=watched("page", "gate").limit_s)
    chunking: ChunkingConfig | None = None
    log_images: ImageCoding = "raw"
    use_base: bool = True
    learner_process: bool = False
    learner_lag_updates: int | None = Field(default=0, ge=0)
    learner_timeout_s: float = Field(default=watched("learner", "actor").limit_s, gt=0)
    act_without_learner_s: float | None = Field(default=None, ge=0)
    session: SessionConfig | None = None
    metrics: tuple[Literal["tensorboard", "trackio"], ...] = ()

    @property
    def trained_base(self) -> ChunkPolicyConfig | None:
        """Settings of the base policy that the run trains; None if it is ready."""
        return self.base if isinstance(self.base, ChunkPolicyConfig) else None

    @property
    def limits_in_force(self) -> LimitsInForce:
        """The cell's limits, tightened by the run's.

        Raises:
            ConfigError: if the run's are looser and it does not say that they may be.
        """
        return tightened(self.cell.limits, self.limits, allow_looser=self.allow_looser_limits)

    @property
    def cell_in_force(self) -> CellConfig:
        """The cell under the limits in force."""
        return self.cell.model_copy(update={"limits": self.limits_in_force.limits})

    @property
    def hand_over(self) -> HandOver:
        """What follows when a person lets go, or cannot be heard any more."""
        return HandOver(
            release_s=self.release_s,
            after_release=self.after_release,
            dead_man_s=self.dead_man_s,
        )

    @model_validator(mode="after")
    def _base_is_trained_or_ready(self) -> Self:
        if (self.trained_base is None) != (self.imitate is None):
            raise ValueError(
                "imitate: expected for a base policy that is to be trained, and only for that one"
            )
        return self

    @model_validator(mode="after")
    def _plans_can_be_guided(self) -> Self:
        if self.trained_base and self.chunking and self.chunking.mode == "realtime":
            sampler = self.trained_base.sampler.build()
            student = self.imitate and self.imitate.student
            (sampler.one_step().build() if student else sampler).guided()
        return self

    @model_validator(mode="after")
    def _limits_are_no_looser(self) -> Self:
        self.limits_in_force  # noqa: B018
        return self

    @model_validator(mode="after")
    def _targets_can_be_reached(self) -> Self:
        check_target_range(getattr(self.learner, "target_range", None), self.reward.build())
        return self

    @model_validator(mode="after")
    def _a_student_has_something_to_learn(self) -> Self:
        if self.trained_base and self.imitate and self.imitate.student:
            self.trained_base.sampler.build().one_step()
        return self
