"""Real stores of small episodes, and the command as a person runs it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from robot_rl.app.data.command import main
from robot_rl.app.terminal import Terminal
from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.spec import ActionSpec, ImageSpec, ObservationSpec, TaskSpec, VectorSpec
from robot_rl.core.types import GateReason, Outcome, Source
from robot_rl.data.store.episode_store import EpisodeStore

STATE, WRENCH = "observation.state", "observation.wrench"
CAMERA = "observation.images.wrist"
PERIOD_S = 0.1


def build_spec(*, images: bool = True) -> RecordingSpec:
    names = ("fx", "fy", "fz", "tx", "ty", "tz")
    return RecordingSpec(
        robot="fr3",
        task=TaskSpec(
            name="plug_in",
            horizon=100,
            instruction="plug it in",
            observation=ObservationSpec(
                vectors={
                    STATE: VectorSpec(names=("j0", "j1"), unit="rad"),
                    WRENCH: VectorSpec(names=names, unit="N, N m", frame="tcp"),
                },
                images={CAMERA: ImageSpec(height=24, width=32)} if images else {},
            ),
            action=ActionSpec(
                kind="tcp_delta", names=("x", "y"), scale=(0.01, 0.02), period_s=PERIOD_S
            ),
        ),
    )


def build_episode(
    episode_id: str = "online-0",
    steps: int = 10,
    *,
    human: Sequence[int] = (),
    gated: Sequence[int] = (),
    images: bool = True,
    **fields: Any,
) -> Episode:
    """Force (3, 4, 0) N: 5 N; j0 counts the instants, j1 rests at 0.5."""
    instants = np.arange(steps + 1, dtype=np.float32)
    helped = np.isin(np.arange(steps), human)
    metadata = EpisodeMetadata(
        task="plug_in",
        robot="fr3",
        operator="ann",
        contract=build_spec(images=images).contract,
        created_unix_s=1_700_000_000.0,
        limits={"max_force_n": 30.0},
    )
    columns: dict[str, Any] = {
        "metadata": metadata,
        "outcome": Outcome.SUCCESS,
        "terminated": True,
        "truncated": False,
        "stamps_ns": (instants * 1e8).astype(np.int64),
        "ages_s": np.full(steps + 1, 0.01, np.float32),
        "vectors": {
            STATE: np.stack([instants, np.full(steps + 1, 0.5, np.float32)], axis=1),
            WRENCH: np.tile(np.array([3, 4, 0, 0, 0, 0], np.float32), (steps + 1, 1)),
        },
        "images": {CAMERA: _frames(steps + 1)} if images else {},
        "action": np.linspace(-1, 1, 2 * steps, dtype=np.float32).reshape(steps, 2),
        "base_action": np.full((steps + 1, 2), 0.1, np.float32),
        "proposed_action": np.full((steps, 2), 0.2, np.float32),
        "reward": (np.arange(steps) == steps - 1).astype(np.float32),
        "source": np.where(helped, Source.HUMAN, Source.POLICY).astype(np.uint8),
        "intervention_start": helped & ~np.concatenate([[False], helped[:-1]]),
        "gate_reason": np.where(
            np.isin(np.arange(steps), gated), GateReason.VELOCITY, GateReason.PASSED
        ).astype(np.uint8),
        "inference_s": np.full(steps, 0.004, np.float32),
        "lateness_s": np.full(steps, 0.0005, np.float32),
        "policy_version": np.full(steps, 7, np.int64),
    }
    return Episode(episode_id=episode_id, **{**columns, **fields})


def _frames(count: int) -> np.ndarray:
    frames = np.zeros((count, 24, 32, 3), np.uint8)
    for index, frame in enumerate(frames):
        frame[..., 0] = 20 * (index % 12)
        frame[..., 1] = np.linspace(0, 255, 32, dtype=np.uint8)
    return frames


@dataclass(frozen=True, slots=True)
class Said:
    """What the command did."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="session")
def make_spec() -> Callable[..., RecordingSpec]:
    return build_spec


@pytest.fixture(scope="session")
def make_episode() -> Callable[..., Episode]:
    return build_episode


@pytest.fixture
def make_store(tmp_path) -> Callable[..., Path]:
    """Saves episodes in a new store and returns its path."""

    def make(*episodes: Episode, name: str = "store", images: bool = True) -> Path:
        path = tmp_path / name
        with EpisodeStore(path, build_spec(images=images)) as store:
            for episode in episodes:
                store.append(episode)
        return path

    return make


@pytest.fixture
def store(make_store) -> Path:
    """One success, one assisted success, one failure, without images."""
    return make_store(
        build_episode("online-0", images=False),
        build_episode("online-1", 20, human=(5, 6, 15), gated=(1, 2, 9), images=False),
        build_episode("online-2", 30, images=False, outcome=Outcome.FAILURE),
        images=False,
    )


@pytest.fixture
def data() -> Callable[..., Said]:
    """Runs `robot-rl data` with these words."""

    def run(*words: object, width: int = 200) -> Said:
        out, err = io.StringIO(), io.StringIO()
        terminal = Terminal(out=Console(file=out, width=width), err=Console(file=err, width=width))
        status = main([str(word) for word in words], terminal)
        return Said(status, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def refused(data) -> Callable[..., str]:
    """Runs `robot-rl data`, expects status 1 and one message, and returns it."""

    def run(*words: object) -> str:
        said = data(*words)
        assert said.status == 1
        assert said.err.startswith(f"robot-rl data {words[0]}: ")
        return said.err

    return run
