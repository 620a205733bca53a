"""A recording with two cameras, whose every image tells which episode and instant it is of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from robot_rl.core.episode import Episode
from robot_rl.core.errors import StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.spec import ImageSpec
from robot_rl.core.types import Image, Outcome

WRIST = "observation.images.wrist"
SIDE = "observation.images.side"
SIZE = 64
BITS = 16


def draw_barcode(camera: int, episode: int, instant: int) -> Image:
    """64 noisy squares: camera, episode, instant and their complement, bright or dark.

    The second camera sees in half the light. Without noise, as no camera sees, the codec's fast
    preset leaves out squares that change alone.
    """
    text = f"{camera:04b}{episode:012b}{instant:0{BITS}b}"
    squares = np.array([int(bit) for bit in text])
    squares = np.concatenate([squares, 1 - squares]).reshape(8, 8) * (200 >> camera) + 28
    pixels = squares.repeat(SIZE // 8, 0).repeat(SIZE // 8, 1)
    noise = np.random.default_rng((camera, episode, instant)).integers(-12, 13, pixels.shape)
    return np.repeat((pixels + noise).astype(np.uint8)[..., None], 3, axis=2)


def read_barcode(image: Image) -> tuple[int, int, int]:
    """Camera, episode and instant; fails where a square and its complement are alike."""
    means = image.reshape(8, SIZE // 8, 8, SIZE // 8, 3).mean(axis=(1, 3, 4)).reshape(-1)
    bits = means > means.mean()
    assert (bits[:32] ^ bits[32:]).all()
    text = "".join(str(int(bit)) for bit in bits[:32])
    return int(text[:4], 2), int(text[4:16], 2), int(text[16:], 2)


class Reader:
    """Stands in for an `EpisodeReader`."""

    def __init__(self, spec: RecordingSpec, episodes: Iterable[Episode]) -> None:
        self.spec = spec
        self.saved = {e.episode_id: e for e in episodes}

    def ids(self) -> list[str]:
        return list(self.saved)

    def read(self, episode_id: str) -> Episode:
        if episode_id not in self.saved:
            raise StorageError(f"no episode {episode_id!r}")
        return self.saved[episode_id]


def assert_equal(
    here: Episode, there: Episode, *, images: Callable[[Image, Image], bool] = np.array_equal
) -> None:
    """Compare every field bit by bit, the images as told."""
    for field in dataclasses.fields(Episode):
        mine, theirs = getattr(here, field.name), getattr(there, field.name)
        if field.name in ("vectors", "images"):
            assert list(mine) == list(theirs)
            alike = images if field.name == "images" else same_bits
            assert all(alike(mine[key], theirs[key]) for key in mine), field.name
        elif isinstance(mine, np.ndarray):
            assert same_bits(mine, theirs), field.name
        else:
            assert mine == theirs, field.name


def same_bits(mine: np.ndarray, theirs: np.ndarray) -> bool:
    same_kind = mine.dtype == theirs.dtype and mine.shape == theirs.shape
    return same_kind and mine.tobytes() == theirs.tobytes()


@pytest.fixture(scope="session")
def camera_spec(make_recording_spec: Callable[..., RecordingSpec]) -> RecordingSpec:
    """20 frames a second, two cameras large enough for video."""
    spec = make_recording_spec()
    side = ImageSpec(height=SIZE, width=SIZE)
    observation = dataclasses.replace(spec.task.observation, images={WRIST: side, SIDE: side})
    action = dataclasses.replace(spec.task.action, period_s=0.05)
    task = dataclasses.replace(spec.task, observation=observation, action=action)
    return dataclasses.replace(spec, task=dataclasses.replace(task, instruction="plug it in"))


@pytest.fixture(scope="session")
def film(
    make_episode: Callable[..., Episode], camera_spec: RecordingSpec
) -> Callable[..., Episode]:
    """Makes an episode whose images are barcodes, with something in every column."""

    def make(steps: int = 4, *, episode: int = 0, **overrides: Any) -> Episode:
        made = make_episode(steps, episode=episode, human=(1,), **overrides)
        metadata = dataclasses.replace(
            made.metadata,
            contract=camera_spec.contract,
            limits={"velocity": [0.1, 0.25]},
            created_unix_s=1e9 + episode / 3,
        )
        return dataclasses.replace(
            made,
            metadata=metadata,
            outcome=Outcome(episode % 3),
            stamps_ns=made.stamps_ns + 10**15 + episode,
            inference_s=made.inference_s + np.float32(np.nan if episode == 1 else 0),
            # Two numbers a step in every second episode, as where a policy steers the base.
            latent=(0.1 + np.arange(steps * 2 * (episode % 2), dtype="f4")).reshape(steps, -1),
            images={
                key: np.stack([draw_barcode(number, episode, i) for i in range(steps + 1)])
                for number, key in enumerate((WRIST, SIDE))
            },
        )

    return make


@pytest.fixture(scope="session")
def recorded(film: Callable[..., Episode], camera_spec: RecordingSpec) -> Reader:
    """Four episodes of 3, 4, 5 and 6 steps: they start at frames 0, 3, 7 and 12 of 18."""
    return Reader(camera_spec, [film(3 + n, episode=n) for n in range(4)])


@pytest.fixture(scope="session")
def same_episode() -> Callable[..., None]:
    return assert_equal


@pytest.fixture(scope="session")
def barcode() -> Callable[[int, int, int], Image]:
    return draw_barcode


@pytest.fixture(scope="session")
def decipher() -> Callable[[Image], tuple[int, int, int]]:
    return read_barcode


@pytest.fixture(scope="session")
def reader_of() -> type[Reader]:
    return Reader
