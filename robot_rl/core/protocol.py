"""What a station must be able to do to take part. Structural: nothing inherits from these."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self

from robot_rl.core.clock import Clock
from robot_rl.core.spec import ActionSpec, ObservationSpec, RobotSpec, TaskSpec
from robot_rl.core.types import (
    ActionChunk,
    Image,
    Observation,
    Outcome,
    SafeAction,
    Source,
    StepResult,
    Vector,
)


class Policy(Protocol):
    """Turns an observation into a plan."""

    fingerprint: str
    """Hash of weights, normaliser and sampler settings: equal fingerprints act alike."""

    def reset(self, seed: int) -> None:
        """Forget the episode before and seed all randomness of the next one."""
        ...

    def act(self, observation: Observation) -> ActionChunk:
        """Return a chunk of normalised actions float32[h, d] that starts now."""
        ...


class OnlinePolicy(Protocol):
    """A policy that a learner improves while it acts, on top of a base action if there is one."""

    version: int
    """Version of the weights that act now; grows with every swap."""

    @property
    def latent(self) -> Vector:
        """The noise float32[k], flattened, from which the chunk in play was planned.

        k never changes; it is 0 for policies that steer no base policy. An array that was
        returned is never written to again.
        """
        ...

    def reset(self, seed: int) -> None:
        """A new episode begins; seed the exploration noise."""
        ...

    def replan(self) -> None:
        """Forget what is planned: the arm was moved elsewhere, as when a person took over."""
        ...

    def propose(self, observation: Observation, base_action: Vector, *, explore: bool) -> Vector:
        """Return the whole action float32[d] (base and residual combined), clipped to [-1, 1].

        Deterministic unless `explore`.
        """
        ...


class Robot(Protocol):
    """A robot arm. Obeys `SafeAction` and nothing else."""

    spec: RobotSpec

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def read(self) -> Observation:
        """Return the robot's own newest sample, without waiting.

        Raises:
            HardwareError: if the robot is silent or in fault.
        """
        ...

    def command(self, action: SafeAction) -> None:
        """Start executing; returns at once. The command holds until the next one."""
        ...

    def stop(self) -> None:
        """Bring the arm to rest and hold. May be called from any thread at any time."""
        ...


class Sensor(Protocol):
    """A device that samples by itself."""

    name: str

    def latest(self) -> Observation | None:
        """Return the newest sample with its own stamp, or None before the first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the task says of one instant.

    Args:
        reward: of the step that ended at this instant.
        outcome: SUCCESS or FAILURE ends the episode; UNKNOWN lets it go on.
    """

    reward: float
    outcome: Outcome


class Scene(Protocol):
    """The task at one bench: sets up an episode and judges it."""

    def reset(self, seed: int) -> None:
        """Bring robot and objects to the start state that `seed` stands for."""
        ...

    def judge(self) -> Judgement:
        """Judge the present instant."""
        ...


class Bench(Protocol):
    """A cell set up for a task, connected and ready: what the control loop is built around."""

    robot: Robot
    scene: Scene
    clock: Clock
    sensors: tuple[Sensor, ...]
    task: TaskSpec

    def render(self, width: int, height: int) -> Image:
        """Return a picture of the bench, uint8[height, width, 3], for people to look at.

        Raises:
            DependencyError: naming the package to install, where there is no OpenGL.
        """
        ...

    def close(self) -> None:
        """Let go of devices, windows and threads."""
        ...


class Clocked(Protocol):
    """What has the clock by which a person's device stamps what it hears: a bench."""

    @property
    def clock(self) -> Clock:
        """The control loop's own."""
        ...


class OperatorEvent(StrEnum):
    """What a person asks for beside motion, with a button of whatever device."""

    SUCCESS = "success"
    FAILURE = "failure"
    RE_RECORD = "re_record"
    PAUSE = "pause"
    STOP = "stop"
    """The emergency stop of the software: it latches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorInput:
    """What a person does in this tick.

    Args:
        active: the person drives; `action` then replaces the policy's entirely.
        action: float32[d], normalised; ignored unless active.
        heard_ns: when the person's device or page was last heard, by the bench's clock on this
            machine and never by a stamp that was sent along; None for somebody who cannot be
            lost. Silence ends the person's lease on the arm.
        give_back: the person hands the arm back to the policy now; ignored while active.
        hold: the person wants the arm at rest, without driving it, until it is given back.
        events: what else was asked for since the last tick, oldest first; each is told once. A
            loop without a session does nothing about them.
    """

    active: bool
    action: Vector
    heard_ns: int | None = None
    give_back: bool = False
    hold: bool = False
    events: tuple[OperatorEvent, ...] = ()


class Operator(Protocol):
    """A person with a device, or a stand-in for one."""

    name: str

    def reset(self, seed: int) -> None:
        """A new episode begins."""
        ...

    def poll(self, observation: Observation) -> OperatorInput:
        """Return what the person does now, without waiting.

        Raises:
            HardwareError: if the person's device is gone; the arm is then held.
        """
        ...


class Env(Protocol):
    """The closed loop around robot, gate and task. Training and evaluation use the same step.

    Attributes:
        horizon: steps of an episode, which is truncated then; whoever wraps it may change that,
            also while an episode runs.
    """

    observation_spec: ObservationSpec
    action_spec: ActionSpec
    horizon: int

    def reset(self, seed: int) -> Observation:
        """Start the episode that `seed` stands for."""
        ...

    def step(self, action: Vector, source: Source = Source.POLICY) -> StepResult:
        """Execute one normalised action float32[d] through the gate for one control period.

        `source` says who decided it.
        """
        ...

    def end(self) -> None:
        """End the episode that runs, if one does, as `step` does with its last step.

        For whoever has decided that beside the environment: nothing is wanted of the arm any more.
        """
        ...
