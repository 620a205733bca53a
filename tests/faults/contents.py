"""Episodes in which every number says which episode and instant it is from, and the check of it.

Imported by the tests and by the processes that are killed, so that both know the same contents.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import numpy as np

from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.spec import ActionSpec, ImageSpec, ObservationSpec, TaskSpec, VectorSpec
from robot_rl.core.types import GateReason, Observation, Outcome, Source, Transition
from robot_rl.data.store.label import Label

STATE = "observation.state"
WRENCH = "observation.wrench"
CAMERA = "observation.images.wrist"
SPEC = RecordingSpec(
    robot="fr3",
    task=TaskSpec(
        name="plug",
        horizon=100_000,
        instruction="insert the plug",
        observation=ObservationSpec(
            vectors={
                STATE: VectorSpec(names=("episode", "instant"), unit="rad"),
                WRENCH: VectorSpec(names=("fx",), unit="N", frame="tcp"),
            },
            images={CAMERA: ImageSpec(height=16, width=16)},
        ),
        action=ActionSpec(
            kind="tcp_delta", names=("x", "y", "z"), scale=(0.01, 0.02, 0.03), period_s=0.1
        ),
    ),
)


def name(number: int) -> str:
    return f"episode-{number}"


def metadata(**changes) -> EpisodeMetadata:
    return EpisodeMetadata(
        **{"task": "plug", "robot": "fr3", "seed": 3, "contract": SPEC.contract, **changes}
    )


def observation(number: int, instant: int) -> Observation:
    return Observation(
        stamp_ns=1_000_000_000 + 100_000_000 * instant,
        vectors={
            STATE: np.array([number + 1, instant + 1], np.float32),
            WRENCH: np.array([0.5 + instant], np.float32),
        },
        images={CAMERA: np.full((16, 16, 3), 1 + (7 * number + instant) % 255, np.uint8)},
        ages_s={"arm": 0.001, "wrist": 0.002},
    )


def steps(number: int, count: int | None = None) -> Iterator[Transition]:
    """The steps of an episode; without a count it never ends."""
    now = observation(number, 0)
    for i in itertools.count() if count is None else range(count):
        after = observation(number, i + 1)
        yield Transition(
            observation=now,
            next_observation=after,
            action=_action(0.1, number, i),
            base_action=_action(0.2, number, i),
            next_base_action=_action(0.2, number, i + 1),
            proposed_action=_action(0.3, number, i),
            reward=float(i + 1),
            terminated=count == i + 1,
            truncated=False,
            source=Source.HUMAN if i % 5 == 3 else Source.POLICY,
            intervention_start=i % 5 == 3,
            gate_reason=GateReason.VELOCITY,
            inference_s=0.004,
            lateness_s=0.0005,
            episode_id=name(number),
            step=i,
            policy_version=7,
        )
        now = after


@functools.lru_cache(maxsize=256)
def episode(number: int, count: int = 4) -> Episode:
    return Episode.from_transitions([*steps(number, count)], Outcome.SUCCESS, metadata())


def label(value: float, of: str = "reward", count: int = 4) -> Label:
    values = np.full(count, value, np.float32)
    return Label(name=of, values=values, made_by="test", parameters={"value": value})


def wrong(got: Episode) -> str:
    """What differs from what was recorded under this id, or nothing."""
    number = int(got.episode_id.removeprefix("episode-"))
    want = episode(number, len(got))
    for column in ("stamps_ns", "ages_s", "action", "base_action", "proposed_action", "reward",
                   "source", "intervention_start", "gate_reason", "inference_s", "lateness_s",
                   "policy_version"):  # fmt: skip
        if not _same(getattr(want, column), getattr(got, column)):
            return f"{got.episode_id}: column {column}"
    for key, column in {**want.vectors, **want.images}.items():
        if not _same(column, {**got.vectors, **got.images}[key]):
            return f"{got.episode_id}: {key}"
    ended = (got.outcome, got.terminated, got.truncated)
    expected = {(Outcome.SUCCESS, True, False)}
    if got.metadata.interrupted:
        # It may be killed between its last step and the sealing.
        expected = {(Outcome.UNKNOWN, False, True), (Outcome.UNKNOWN, True, False)}
    return "" if ended in expected else f"{got.episode_id}: ended {ended}"


def _same(want: np.ndarray, got: np.ndarray) -> bool:
    return want.dtype == got.dtype and np.array_equal(want, got)


def _action(part: float, number: int, instant: int) -> np.ndarray:
    return np.array([part, (number % 997) / 1000, (instant % 997) / 1000], np.float32)
