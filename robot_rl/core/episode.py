"""An episode: the columns of its steps, and what must be known to use it years later."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.errors import ContractError
from robot_rl.core.types import (
    GateReason,
    Image,
    Observation,
    Outcome,
    Source,
    Transition,
    Vector,
)

# Known by identity: an array that was handed in is checked, whatever its shape.
_LEFT_OUT: Vector = np.zeros((0, 0), np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeMetadata:
    """What must be known to use an episode years later.

    Args:
        task, cell, robot, run: names of the task, the bench, its robot and the run.
        operator: who could intervene; empty if nobody.
        seed: seed of the start state.
        contract: hash of task, observation and action specs (`contract_hash`).
        base_fingerprint: hash of the base policy's weights, normaliser and sampler settings.
        config_hash, code_version: of the run that recorded it.
        created_unix_s: wall time, a label only.
        limits: the safety limits in force, by name (JSON values); where they are not the cell's
            own, `cell` and `looser_than_cell` say so.
        interrupted: recovered from the log of a recording that nobody finished.
    """

    task: str
    cell: str = ""
    robot: str = ""
    run: str = ""
    operator: str = ""
    seed: int = 0
    contract: str = ""
    base_fingerprint: str = ""
    config_hash: str = ""
    code_version: str = ""
    created_unix_s: float = 0.0
    limits: Mapping[str, Any] = field(default_factory=lambda: dict[str, Any]())
    interrupted: bool = False


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
        latent: float32[T, k], finite; left out it is float32[T, 0]: nothing steered.

    Raises:
        ContractError: if the columns disagree in length, or the latent is of another kind.
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
    latent: Vector = field(default_factory=lambda: _LEFT_OUT)

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
        if self.latent is _LEFT_OUT:
            object.__setattr__(self, "latent", np.zeros((steps, 0), np.float32))
        self._check_latent()

    def _check_latent(self) -> None:
        latent, steps = self.latent, len(self)
        if latent.dtype != np.float32 or latent.ndim != 2 or len(latent) != steps:
            raise ContractError(
                f"episode {self.episode_id}: latent is {latent.dtype}{list(latent.shape)}, "
                f"expected float32[{steps}, k]; k = 0 where nothing steers"
            )
        if not np.isfinite(latent).all():
            step = int(np.flatnonzero(~np.isfinite(latent).all(axis=1))[0])
            raise ContractError(
                f"episode {self.episode_id}: the latent of step {step} is not finite; expected "
                "the noise from which its action was planned, or zeros where there was none"
            )

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
                latent=self.latent[t],
            )
            observation = next_observation

    @classmethod
    def from_transitions(
        cls, transitions: Sequence[Transition], outcome: Outcome, metadata: EpisodeMetadata
    ) -> Episode:
        """Turn the steps of one episode into columns.

        Raises:
            ContractError: if there are no steps, a step does not follow the one before it, or
                their latents differ in size.
        """
        if not transitions:
            raise ContractError("an episode needs at least one transition")
        for before, after in itertools.pairwise(transitions):
            if after.step != before.step + 1 or after.observation is not before.next_observation:
                raise ContractError(
                    f"episode {after.episode_id}: step {after.step} does not follow {before.step}"
                )
            if after.latent.shape != before.latent.shape:
                raise ContractError(
                    f"episode {after.episode_id}: the latent of step {after.step} has shape "
                    f"{list(after.latent.shape)}, that of step {before.step} "
                    f"{list(before.latent.shape)}; expected one size throughout an episode"
                )
        last = transitions[-1]
        observations = [t.observation for t in transitions] + [last.next_observation]

        def column(name: str, dtype: Any) -> NDArray[Any]:
            return np.asarray([getattr(t, name) for t in transitions], dtype)

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
            latent=np.stack([t.latent for t in transitions]),
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
"""Columns of an `Episode` with one row a step that every recording has; `latent` is optional."""

OBSERVATION_COLUMNS = ("stamps_ns", "ages_s", "base_action")
"""Columns of an `Episode` with one row an observation, besides vectors and images."""
