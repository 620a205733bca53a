"""A store of recorded episodes whose pictures say which step they are of."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.spec import (
    WRENCH,
    ActionSpec,
    ImageSpec,
    ObservationSpec,
    TaskSpec,
    VectorSpec,
)
from robot_rl.core.types import GateReason, Observation, Outcome, Source, Transition
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.session.film import Film
from robot_rl.session.view import EpisodeRow

STEPS = 40
PERIOD_S = 0.1
CAMERA = "observation.images.wrist"
BY_HAND = range(10, 18)
HELD = range(18, 22)
EPISODES = ("ep-00021", "ep-00022", "ep-00023")

_SPEC = RecordingSpec(
    robot="made up",
    task=TaskSpec(
        name="fr3_insert",
        horizon=200,
        observation=ObservationSpec(
            vectors={
                WRENCH: VectorSpec(
                    names=("fx", "fy", "fz", "tx", "ty", "tz"), unit="N, N m", frame="tcp"
                )
            },
            images={CAMERA: ImageSpec(height=48, width=64)},
        ),
        action=ActionSpec(
            kind="tcp_delta", names=("dx", "dy", "dz"), scale=(0.01,) * 3, period_s=PERIOD_S
        ),
    ),
)


def grey_of(step: int) -> int:
    return 20 + 5 * step


def record(store: Path, film: Path) -> tuple[EpisodeRow, ...]:
    """Record the episodes, and return their rows, newest first.

    Of all but the oldest there is film of the camera `front`, which the policy did not see.
    """
    with EpisodeStore(store, _SPEC) as recorded:
        for episode_id in EPISODES:
            recorded.append(_episode(episode_id))
    with Film(film) as kept:
        for episode_id in EPISODES[1:]:
            for step in range(STEPS):
                kept.add(episode_id, step, "front", _jpeg(grey_of(step)))
    return tuple(
        EpisodeRow(
            episode_id=episode_id,
            outcome="unknown" if episode_id == EPISODES[-1] else "failure",
            assisted=True,
            steps=STEPS,
            seconds=STEPS * PERIOD_S,
        )
        for episode_id in reversed(EPISODES)
    )


def _jpeg(grey: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (grey,) * 3).save(file, "JPEG")
    return file.getvalue()


def _episode(episode_id: str) -> Episode:
    seen = [_observation(i) for i in range(STEPS + 1)]
    zeros = np.zeros(3, np.float32)
    steps = [
        Transition(
            observation=seen[i],
            next_observation=seen[i + 1],
            action=zeros,
            base_action=zeros,
            next_base_action=zeros,
            proposed_action=zeros,
            reward=float(i == STEPS - 1),
            terminated=i == STEPS - 1,
            truncated=False,
            source=_source(i),
            intervention_start=i == BY_HAND[0],
            gate_reason=GateReason.PASSED,
            inference_s=0.0,
            lateness_s=0.0,
            policy_version=1,
            episode_id=episode_id,
            step=i,
        )
        for i in range(STEPS)
    ]
    metadata = EpisodeMetadata(
        task="fr3_insert", robot="made up", operator="Anna", seed=1, contract=_SPEC.contract
    )
    return Episode.from_transitions(steps, Outcome.UNKNOWN, metadata)


def _observation(step: int) -> Observation:
    return Observation(
        stamp_ns=round(1e9 * PERIOD_S * step),
        vectors={WRENCH: np.array([step % 7, 0, 4, 0, 0, 0], np.float32)},
        images={CAMERA: np.full((48, 64, 3), grey_of(step), np.uint8)},
        ages_s={"arm": 0.0},
    )


def _source(step: int) -> Source:
    if step in BY_HAND:
        return Source.HUMAN
    return Source.HOLD if step in HELD else Source.POLICY
