"""Builders with overridable defaults. Every number says which episode and instant it is from."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.spec import ActionSpec, ImageSpec, ObservationSpec, TaskSpec, VectorSpec
from robot_rl.core.types import GateReason, Observation, Outcome, Source, Transition

STATE = "observation.state"
WRENCH = "observation.wrench"
CAMERA = "observation.images.wrist"


def build_spec(*, images: bool = True) -> ObservationSpec:
    return ObservationSpec(
        vectors={
            STATE: VectorSpec(names=("episode", "instant"), unit="rad"),
            WRENCH: VectorSpec(names=("fx",), unit="N", frame="tcp"),
        },
        images={CAMERA: ImageSpec(height=2, width=3)} if images else {},
    )


def build_recording_spec(*, images: bool = True) -> RecordingSpec:
    action = ActionSpec(
        kind="joint_delta", names=("a", "b", "c"), scale=(0.1, 0.2, 0.3), period_s=0.1
    )
    task = TaskSpec(name="plug", horizon=50, observation=build_spec(images=images), action=action)
    return RecordingSpec(robot="fr3", task=task)


def build_observation(episode: int, instant: int, *, images: bool = True) -> Observation:
    return Observation(
        stamp_ns=1_000 + instant,
        vectors={
            STATE: np.array([episode + 1, instant + 1], np.float32),
            WRENCH: np.array([0.5 + instant], np.float32),
        },
        images={CAMERA: np.full((2, 3, 3), 1 + instant % 255, np.uint8)} if images else {},
        ages_s={"arm": 0.001, "wrist": 0.002},
    )


def build_transitions(
    steps: int,
    *,
    episode: int = 0,
    images: bool = True,
    rewards: list[float] | None = None,
    human: tuple[int, ...] = (),
    terminated: bool = True,
    truncated: bool = False,
    latent_size: int = 0,
) -> list[Transition]:
    """Every second step begins a plan, from other noise."""
    seen = [build_observation(episode, i, images=images) for i in range(steps + 1)]

    def action(part: float, instant: int) -> np.ndarray:
        return np.array([part, episode / 100, (instant + 1) / 1000], np.float32)

    return [
        Transition(
            observation=seen[i],
            next_observation=seen[i + 1],
            action=action(0.1, i),
            base_action=action(0.2, i),
            next_base_action=action(0.2, i + 1),
            proposed_action=action(0.3, i),
            reward=rewards[i] if rewards else float(i + 1),
            terminated=terminated and i == steps - 1,
            truncated=truncated and i == steps - 1,
            source=Source.HUMAN if i in human else Source.POLICY,
            intervention_start=i in human and i - 1 not in human,
            gate_reason=GateReason.VELOCITY,
            inference_s=0.004,
            lateness_s=0.0005,
            episode_id=f"episode-{episode}",
            step=i,
            policy_version=7,
            latent=np.full(latent_size, (1 + i // 2) / 10, np.float32),
        )
        for i in range(steps)
    ]


def build_episode(steps: int = 4, *, episode: int = 0, **overrides: Any) -> Episode:
    """Overrides are arguments of `build_transitions` or, where it has none, fields."""
    fields = {f.name for f in dataclasses.fields(Episode)}
    fields -= set(inspect.signature(build_transitions).parameters)
    columns = {k: overrides.pop(k) for k in list(overrides) if k in fields}
    made = Episode.from_transitions(
        build_transitions(steps, episode=episode, **overrides),
        Outcome.SUCCESS,
        EpisodeMetadata(
            task="plug",
            robot="fr3",
            operator="ann",
            seed=3,
            contract=build_recording_spec(images=overrides.get("images", True)).contract,
        ),
    )
    return dataclasses.replace(made, **columns)


@pytest.fixture(scope="session")
def make_spec() -> Callable[..., ObservationSpec]:
    return build_spec


@pytest.fixture(scope="session")
def make_transitions() -> Callable[..., list[Transition]]:
    return build_transitions


@pytest.fixture(scope="session")
def make_episode() -> Callable[..., Episode]:
    return build_episode


@pytest.fixture(scope="session")
def make_recording_spec() -> Callable[..., RecordingSpec]:
    return build_recording_spec


@pytest.fixture(scope="session")
def recording_spec() -> RecordingSpec:
    """What the episodes of `make_episode` are recordings of, unless made without images."""
    return build_recording_spec()


@pytest.fixture(scope="session")
def contract(recording_spec: RecordingSpec) -> str:
    return recording_spec.contract
