"""The frozen types that cross seams. Units, frames and time are part of each field's meaning.

Every action here is normalised, float32[d] in [-1, 1] (see `ActionSpec`), except in `SafeAction`,
which is what the robot obeys and is in SI units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.errors import ContractError

Vector = NDArray[np.float32]
Image = NDArray[np.uint8]

NO_LATENT: Vector = np.zeros(0, np.float32)
"""The latent of a step whose plan nothing steered; read-only."""
NO_LATENT.flags.writeable = False


class Source(IntEnum):
    """Who decided an action."""

    POLICY = 0
    HUMAN = 1
    DEMO = 2
    RESET = 3
    HOLD = 4
    REPLAY = 5
    CALIBRATION = 6


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
    """Why the gate changed, refused or held an action. Recorded with every step.

    What each means, and what follows, is in `robot_rl/control/README.md`. The numbers are in
    recordings and never change their meaning.
    """

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
    LEASE = 13
    MODE = 14
    SEQUENCE = 15
    JERK = 16
    SINGULARITY = 17
    COLLISION = 18
    RESUMING = 19
    FROZEN = 20
    OVERRUN = 21
    PEER_LOST = 22

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
        GateReason.LEASE,
        GateReason.MODE,
        GateReason.SEQUENCE,
        GateReason.RESUMING,
        GateReason.FROZEN,
        GateReason.OVERRUN,
        GateReason.PEER_LOST,
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
class Lease:
    """Permission to command the arm, given by the gate. Giving a new one ends the one before.

    Args:
        epoch: grows with every lease; commands that carry another are refused.
        sources: who may command under it.
    """

    epoch: int
    sources: frozenset[Source]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What asks the gate for motion.

    Args:
        action: float32[d], normalised.
        issued_ns: when it was decided, by the gate's clock.
        source: who decided it.
        epoch: of the lease under which it was issued.
        sequence: grows with every command of a lease, so that none is obeyed twice or out of
            order.
    """

    action: Vector
    issued_ns: int
    source: Source
    epoch: int
    sequence: int


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
        latent: float32[k], the initial noise, flattened, from which the base policy planned the
            chunk in play; k = 0 where nothing steers.
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
    latent: Vector = field(default_factory=lambda: NO_LATENT)
