"""Episodes of a whole arm: every kind of vector there is, and two cameras."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.spec import (
    ENVIRONMENT,
    GRIPPER,
    IMAGE_PREFIX,
    JOINT_POSITION,
    JOINT_VELOCITY,
    TCP_POSE,
    TCP_TWIST,
    WRENCH,
    ActionSpec,
    ImageSpec,
    ObservationSpec,
    TaskSpec,
    VectorSpec,
)
from robot_rl.core.types import GateReason, Observation, Outcome, Source, Transition

ARM = {
    JOINT_POSITION: VectorSpec(names=("j1", "j2", "j3"), unit="rad"),
    JOINT_VELOCITY: VectorSpec(names=("j1", "j2", "j3"), unit="rad/s"),
    TCP_POSE: VectorSpec(
        names=("x", "y", "z", "qx", "qy", "qz", "qw"), unit="m, xyzw", frame="robot base"
    ),
    TCP_TWIST: VectorSpec(
        names=("vx", "vy", "vz", "wx", "wy", "wz"), unit="m/s, rad/s", frame="robot base"
    ),
    WRENCH: VectorSpec(names=("fx", "fy", "fz", "tx", "ty", "tz"), unit="N, N m", frame="tcp"),
    GRIPPER: VectorSpec(names=("opening",), unit="m"),
    ENVIRONMENT: VectorSpec(names=("hole_x", "hole_y"), unit="m", frame="robot base"),
}
CREATED_UNIX_S = 1_700_000_000.5


def build_arm_spec(
    *, height: int = 4, width: int = 6, images: bool = True, vectors: Any = None
) -> RecordingSpec:
    image = ImageSpec(height=height, width=width)
    names = ("wrist", "front") if images else ()
    observation = ObservationSpec(
        vectors=ARM if vectors is None else vectors,
        images={f"{IMAGE_PREFIX}{name}": image for name in names},
    )
    action = ActionSpec(
        kind="tcp_delta", names=("x", "y", "z"), scale=(0.01, 0.01, 0.02), period_s=0.1
    )
    task = TaskSpec(name="peg", horizon=100, observation=observation, action=action)
    return RecordingSpec(robot="fr3", task=task)


def build_arm_steps(
    spec: RecordingSpec, steps: int, *, seed: int = 0, latent_size: int = 0
) -> list[Transition]:
    """Random numbers; the whole of step k follows from the seed, whatever `steps` is."""
    random, noise = (np.random.default_rng(entropy) for entropy in (seed, (seed, 1)))
    seen = spec.task.observation

    def floats(size: int) -> np.ndarray:
        return random.standard_normal(size).astype(np.float32)

    def observe(index: int) -> Observation:
        return Observation(
            stamp_ns=5_000_000_000 + 100_000_000 * index,
            vectors={key: floats(v.size) for key, v in seen.vectors.items()},
            images={
                key: random.integers(0, 256, (i.height, i.width, 3), np.uint8)
                for key, i in seen.images.items()
            },
            ages_s={"arm": float(random.random()), "wrist": float(random.random())},
        )

    made: list[Transition] = []
    before, base = observe(0), floats(spec.task.action.size)
    for step in range(steps):
        after, next_base = observe(step + 1), floats(spec.task.action.size)
        made.append(
            Transition(
                observation=before,
                next_observation=after,
                action=floats(spec.task.action.size),
                base_action=base,
                next_base_action=next_base,
                proposed_action=floats(spec.task.action.size),
                reward=float(random.random()),
                terminated=False,
                truncated=False,
                source=Source(int(random.integers(5))),
                intervention_start=bool(random.integers(2)),
                gate_reason=GateReason(int(random.integers(13))),
                inference_s=float(random.random()),
                lateness_s=float(random.random()),
                episode_id="episode-1",
                step=step,
                policy_version=int(random.integers(2**60)),
                latent=noise.standard_normal(latent_size, np.float32),
            )
        )
        before, base = after, next_base
    return made


def build_metadata() -> EpisodeMetadata:
    return EpisodeMetadata(
        task="peg",
        operator="ann",
        seed=3,
        created_unix_s=CREATED_UNIX_S,
        limits={"force_n": 20.0, "box": [[0.0, 1.0], [0.0, 0.5]]},
    )


def columns_of(episode: Episode) -> dict[str, np.ndarray]:
    values = {f.name: getattr(episode, f.name) for f in dataclasses.fields(episode)}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    return arrays | dict(episode.vectors) | dict(episode.images)


def same_bits(one: Episode | None, other: Episode | None) -> bool:
    """Whether both are equal in every field, each number bit by bit."""
    assert one is not None
    assert other is not None
    mine, theirs = columns_of(one), columns_of(other)
    plain = ("episode_id", "metadata", "outcome", "terminated", "truncated")
    return (
        all(getattr(one, name) == getattr(other, name) for name in plain)
        and mine.keys() == theirs.keys()
        and all(
            mine[k].dtype == theirs[k].dtype
            and mine[k].shape == theirs[k].shape
            and mine[k].tobytes() == theirs[k].tobytes()
            for k in mine
        )
    )


def build_arm_episode(steps: list[Transition], outcome: Outcome = Outcome.UNKNOWN) -> Episode:
    return Episode.from_transitions(steps, outcome, build_metadata())


@pytest.fixture(scope="session")
def make_arm_spec() -> Callable[..., RecordingSpec]:
    return build_arm_spec


@pytest.fixture(scope="session")
def make_arm_steps() -> Callable[..., list[Transition]]:
    return build_arm_steps


@pytest.fixture(scope="session")
def make_arm_episode() -> Callable[..., Episode]:
    return build_arm_episode


@pytest.fixture(scope="session")
def arm_metadata() -> EpisodeMetadata:
    return build_metadata()


@pytest.fixture(scope="session")
def equal_bits() -> Callable[..., bool]:
    return same_bits
