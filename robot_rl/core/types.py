"""The frozen types that cross seams. Units, frames and time are part of each field's meaning.

Every action here is normalised, float32[d] in [-1, 1] (see `ActionSpec`), except in `SafeAction`,
which is what the robot obeys and is in SI units.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.errors import ContractError

Vector = NDArray[np.float32]
Image = NDArray[np.uint8]


class Source(IntEnum):
    """Who decided an action."""

    POLICY = 0
    HUMAN = 1
    DEMO = 2
    RESET = 3
    HOLD = 4


class Outcome(IntEnum):
    """How an episode ended, as judged by physics, a person or a reward model."""

    UNKNOWN = 0
    SUCCESS = 1
    FAILURE = 2


class GateState(IntEnum):
    """State of the safety gate. STOP and ESTOP are latched: only a person clears them."""

    RUN = 0
    HOLD = 1
    STOP = 2
    ESTOP = 3


class GateReason(IntEnum):
    """Why the gate changed, refused or held an action. Recorded with every step."""

    PASSED = 0
    SHAPE = 1
    NON_FINITE = 2
    STALE_COMMAND = 3
    STALE_OBSERVATION = 4
    NOT_RUNNING = 5
    RANGE = 6
    VELOCITY = 7
    ACCELERATION = 8
    WORKSPACE = 9
    JOINT_LIMIT = 10
    FORCE = 11
    OBSERVATION_NON_FINITE = 12

    @property
    def refuses(self) -> bool:
        """Whether the action was refused as a whole; otherwise it was passed or bent."""
        return self in _REFUSALS


_REFUSALS = frozenset(
    {
        GateReason.SHAPE,
        GateReason.NON_FINITE,
        GateReason.STALE_COMMAND,
        GateReason.STALE_OBSERVATION,
        GateReason.NOT_RUNNING,
        GateReason.OBSERVATION_NON_FINITE,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the robot knows at one instant.

    Args:
        stamp_ns: monotonic time of the instant [ns].
        vectors: `{key: float32[d]}`, keys and units as in `ObservationSpec`.
        images: `{key: uint8[h, w, 3]}` RGB.
        ages_s: age of each stream's sample at `stamp_ns` [s], by stream name.
        instruction: the task in words, for language-conditioned policies.
    """

    stamp_ns: int
    vectors: Mapping[str, Vector]
    images: Mapping[str, Image] = field(default_factory=lambda: dict[str, Image]())
    ages_s: Mapping[str, float] = field(default_factory=lambda: dict[str, float]())
    instruction: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionChunk:
    """A plan of `h` actions, the first to start at `start_ns`, one every `dt_s`.

    Raises:
        ContractError: if `values` is not float32[h >= 1, d].
    """

    values: Vector
    start_ns: int
    dt_s: float
    source: Source = Source.POLICY
    policy_version: int = 0

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or len(self.values) < 1 or self.values.dtype != np.float32:
            raise ContractError(
                f"action chunk: got {self.values.dtype}{list(self.values.shape)}, "
                "expected float32[h >= 1, d]"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SafeAction:
    """A command that passed the gate, in SI units. Only `robot_rl.control.safety` makes one.

    Args:
        values: float32[d] in the SI units of the `ActionSpec`; zeros of a delta action mean
            "hold the measured pose".
        state: the gate's state when it was made.
        reason: why it differs from what was asked; PASSED if it does not.
        changed: whether it differs from what was asked.
    """

    values: Vector
    state: GateState
    reason: GateReason
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What one control period brought about.

    Args:
        observation: taken after the action had its period.
        executed_action: float32[d], normalised, what the robot did after the gate.
        reward: the task's reward for this step.
        terminated: the task ended by itself (success or failure): no bootstrap.
        truncated: the time limit or a stop without judgement: bootstrap stays.
        outcome: UNKNOWN while the episode runs.
        gate_reason: the gate's reason for this step.
        gate_state: the gate's state after this step.
        lateness_s: how late this tick woke up against its schedule [s].
    """

    observation: Observation
    executed_action: Vector
    reward: float
    terminated: bool
    truncated: bool
    outcome: Outcome
    gate_reason: GateReason
    gate_state: GateState
    lateness_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One step, complete in itself: nothing is inferred from the slot beside it.

    Args:
        observation, next_observation: before and after the action's period.
        action: float32[d], executed (after gate and arbitration).
        base_action, next_base_action: float32[d], the frozen base policy's at both instants;
            zeros where there is no base policy.
        proposed_action: float32[d], what the learned policy asked for; equals `action` on steps
            that neither a person nor the gate changed.
        reward: the task's recorded reward; relabelling makes views and never changes it.
        terminated, truncated: see `StepResult`.
        source: who decided `action`.
        intervention_start: the first step of a person's take-over.
        gate_reason, inference_s, lateness_s: what the control loop measured in this tick.
        episode_id, step, policy_version: where it comes from.
    """

    observation: Observation
    next_observation: Observation
    action: Vector
    base_action: Vector
    next_base_action: Vector
    proposed_action: Vector
    reward: float
    terminated: bool
    truncated: bool
    source: Source
    intervention_start: bool
    gate_reason: GateReason
    inference_s: float
    lateness_s: float
    episode_id: str
    step: int
    policy_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeMetadata:
    """What must be known to use an episode years later.

    Args:
        task, cell, run: names of the task, the bench and the run.
        operator: who could intervene; empty if nobody.
        seed: seed of the start state.
        contract: hash of task, observation and action specs (`contract_hash`).
        base_fingerprint: hash of the base policy's weights, normaliser and sampler settings.
        config_hash, code_version: of the run that recorded it.
        created_unix_s: wall time, a label only.
    """

    task: str
    cell: str = ""
    run: str = ""
    operator: str = ""
    seed: int = 0
    contract: str = ""
    base_fingerprint: str = ""
    config_hash: str = ""
    code_version: str = ""
    created_unix_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """Columns of one episode: T steps, T + 1 observations. The fields are those of `Transition`.

    Args:
        vectors: `{key: float32[T + 1, d]}`; images: `{key: uint8[T + 1, h, w, 3]}`.
        stamps_ns: int64[T + 1]; ages_s: float32[T + 1], age of the oldest stream.
        action, proposed_action: float32[T, d]; base_action: float32[T + 1, d].
        reward, inference_s, lateness_s: float32[T]; source, gate_reason: uint8[T];
        intervention_start: bool[T]; policy_version: int64[T].
        terminated, truncated: of the last step.

    Raises:
        ContractError: if the columns disagree in length.
    """

    episode_id: str
    metadata: EpisodeMetadata
    outcome: Outcome
    terminated: bool
    truncated: bool
    stamps_ns: NDArray[np.int64]
    ages_s: Vector
    vectors: Mapping[str, Vector]
    images: Mapping[str, Image]
    action: Vector
    base_action: Vector
    proposed_action: Vector
    reward: Vector
    source: NDArray[np.uint8]
    intervention_start: NDArray[np.bool_]
    gate_reason: NDArray[np.uint8]
    inference_s: Vector
    lateness_s: Vector
    policy_version: NDArray[np.int64]

    def __post_init__(self) -> None:
        steps = len(self.action)
        over_t: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in STEP_COLUMNS}
        over_t_plus_1: dict[str, NDArray[Any]] = {
            **{name: getattr(self, name) for name in OBSERVATION_COLUMNS},
            **self.vectors,
            **self.images,
        }
        for columns, length in ((over_t, steps), (over_t_plus_1, steps + 1)):
            for name, column in columns.items():
                if len(column) != length:
                    raise ContractError(
                        f"episode {self.episode_id}: column {name!r} has {len(column)} rows, "
                        f"expected {length} for {steps} steps"
                    )
        if steps < 1:
            raise ContractError(f"episode {self.episode_id} has no steps")

    def __len__(self) -> int:
        return len(self.action)

    @property
    def assisted(self) -> bool:
        """Whether a person drove at least one step, correcting or demonstrating."""
        return bool(np.isin(self.source, (Source.HUMAN, Source.DEMO)).any())

    @property
    def success_autonomous(self) -> bool:
        """Success without any human step: the only success that counts."""
        return self.outcome == Outcome.SUCCESS and not self.assisted

    def observation(self, t: int) -> Observation:
        """The observation at instant t in [0, T]; of the streams' ages only the oldest is kept."""
        return Observation(
            stamp_ns=int(self.stamps_ns[t]),
            vectors={key: column[t] for key, column in self.vectors.items()},
            images={key: column[t] for key, column in self.images.items()},
            ages_s={"oldest": float(self.ages_s[t])},
        )

    def transitions(self) -> Iterator[Transition]:
        """The steps again, in order; neighbours share the observation between them."""
        observation = self.observation(0)
        for t in range(len(self)):
            last = t == len(self) - 1
            next_observation = self.observation(t + 1)
            yield Transition(
                observation=observation,
                next_observation=next_observation,
                action=self.action[t],
                base_action=self.base_action[t],
                next_base_action=self.base_action[t + 1],
                proposed_action=self.proposed_action[t],
                reward=float(self.reward[t]),
                terminated=last and self.terminated,
                truncated=last and self.truncated,
                source=Source(int(self.source[t])),
                intervention_start=bool(self.intervention_start[t]),
                gate_reason=GateReason(int(self.gate_reason[t])),
                inference_s=float(self.inference_s[t]),
                lateness_s=float(self.lateness_s[t]),
                episode_id=self.episode_id,
                step=t,
                policy_version=int(self.policy_version[t]),
            )
            observation = next_observation

    @classmethod
    def from_transitions(
        cls, transitions: Sequence[Transition], outcome: Outcome, metadata: EpisodeMetadata
    ) -> Episode:
        """Turn the steps of one episode into columns.

        Raises:
            ContractError: if there are no steps, or a step does not follow the one before it.
        """
        if not transitions:
            raise ContractError("an episode needs at least one transition")
        for before, after in itertools.pairwise(transitions):
            if after.step != before.step + 1 or after.observation is not before.next_observation:
                raise ContractError(
                    f"episode {after.episode_id}: step {after.step} does not follow {before.step}"
                )
        last = transitions[-1]
        observations = [t.observation for t in transitions] + [last.next_observation]

        def column(name: str, dtype: Any) -> NDArray[Any]:
            return cast(NDArray[Any], np.asarray([getattr(t, name) for t in transitions], dtype))

        return cls(
            episode_id=last.episode_id,
            metadata=metadata,
            outcome=outcome,
            terminated=last.terminated,
            truncated=last.truncated,
            stamps_ns=np.asarray([o.stamp_ns for o in observations], np.int64),
            ages_s=np.asarray([max(o.ages_s.values(), default=0) for o in observations], "f4"),
            vectors={
                k: np.stack([o.vectors[k] for o in observations]) for k in observations[0].vectors
            },
            images={
                k: np.stack([o.images[k] for o in observations]) for k in observations[0].images
            },
            action=column("action", np.float32),
            base_action=np.concatenate(
                [column("base_action", np.float32), last.next_base_action[None]]
            ),
            proposed_action=column("proposed_action", np.float32),
            reward=column("reward", np.float32),
            source=column("source", np.uint8),
            intervention_start=column("intervention_start", np.bool_),
            gate_reason=column("gate_reason", np.uint8),
            inference_s=column("inference_s", np.float32),
            lateness_s=column("lateness_s", np.float32),
            policy_version=column("policy_version", np.int64),
        )


STEP_COLUMNS = (
    "action",
    "proposed_action",
    "reward",
    "source",
    "intervention_start",
    "gate_reason",
    "inference_s",
    "lateness_s",
    "policy_version",
)
"""Columns of an `Episode` with one row a step."""

OBSERVATION_COLUMNS = ("stamps_ns", "ages_s", "base_action")
"""Columns of an `Episode` with one row an observation, besides vectors and images."""
