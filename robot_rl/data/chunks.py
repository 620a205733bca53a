"""Windows of executed actions for imitation: what was seen, and what was done from there on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.episode import Episode
from robot_rl.core.errors import ContractError
from robot_rl.core.spec import ObservationSpec
from robot_rl.core.types import Image, Vector


class Frames:
    """The images of one camera at N windows, where the episodes keep them; nothing is copied.

    Args:
        images: of each episode, uint8[T + 1, h, w, 3]; the last frame begins no window.

    Raises:
        ContractError: if the episodes' images differ in size.
    """

    def __init__(self, images: Sequence[Image]) -> None:
        sizes = {image.shape[1:] for image in images}
        if len(sizes) != 1:
            raise ContractError(
                f"images: got sizes {sorted(sizes)}, expected one for all episodes"
            )
        self._images = tuple(images)
        self._starts = np.cumsum([0, *(len(image) - 1 for image in images)])
        self.size: tuple[int, ...] = sizes.pop()
        """Of one image: (h, w, 3)."""

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, rows: NDArray[np.int64]) -> Image:
        """Copy the images uint8[k, h, w, 3] of the windows `rows` int64[k]."""
        out = np.empty((len(rows), *self.size), np.uint8)
        episodes = np.searchsorted(self._starts, rows, side="right") - 1
        places = zip(episodes.tolist(), (rows - self._starts[episodes]).tolist(), strict=True)
        for target, (episode, t) in zip(out, places, strict=True):
            target[:] = self._images[episode][t]
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkData:
    """N windows, one for every step of every episode.

    Args:
        observation: float32[N, n], packed, raw units, at the window's first step.
        action: float32[N, h, d], executed, normalised; the last one repeats past the end.
        valid: bool[N, h], False where the episode was over.
        episode: int64[N], which of the episodes the window is of; counted from 0.
        images: by camera, at the window's first step.
    """

    observation: Vector
    action: Vector
    valid: NDArray[np.bool_]
    episode: NDArray[np.int64]
    images: Mapping[str, Frames] = field(default_factory=lambda: dict[str, Frames]())

    def __len__(self) -> int:
        return len(self.observation)


def chunk_windows(
    episodes: Sequence[Episode],
    horizon: int,
    observation: ObservationSpec,
    cameras: Sequence[str] = (),
) -> ChunkData:
    """Cut episodes into windows of `horizon` actions, episode by episode, step by step.

    Args:
        episodes: at least one.
        horizon: actions in a window, h >= 1.
        observation: which vectors, and in which order they are packed.
        cameras: whose images the windows have, keys of `Episode.images`.

    Raises:
        ContractError: if there are no episodes, `horizon` is below 1, or a vector or camera is
            missing.
    """
    if not episodes or horizon < 1:
        raise ContractError(
            f"chunks: got {len(episodes)} episodes and horizon {horizon}, expected at least 1"
        )
    lengths = [len(e) for e in episodes]
    indices = [np.arange(length)[:, None] + np.arange(horizon) for length in lengths]
    return ChunkData(
        observation=np.concatenate([_packed(e, observation)[:-1] for e in episodes]),
        action=np.concatenate(
            [
                e.action[np.minimum(index, len(e) - 1)]
                for e, index in zip(episodes, indices, strict=True)
            ]
        ),
        valid=np.concatenate([i < length for i, length in zip(indices, lengths, strict=True)]),
        episode=np.repeat(np.arange(len(episodes), dtype=np.int64), lengths),
        images={key: Frames([_images(e, key) for e in episodes]) for key in cameras},
    )


def split_episodes(
    data: ChunkData, held_out: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide the windows so that no episode is in both parts.

    Args:
        data: windows of several episodes.
        held_out: share of the episodes to hold out, in [0, 1); rounded to whole episodes, and
            one at least is left to train on.
        seed: of the choice.

    Returns:
        the windows to train on and those held out, int64, both in the order of `data`.
    """
    count = int(data.episode.max()) + 1
    chosen = np.random.default_rng(seed).permutation(count)[
        : min(round(count * held_out), count - 1)
    ]
    apart = np.isin(data.episode, chosen)
    return np.flatnonzero(~apart), np.flatnonzero(apart)


def _packed(episode: Episode, observation: ObservationSpec) -> Vector:
    for key in observation.vectors:
        if key not in episode.vectors:
            raise _missing(episode, "vector", key, episode.vectors)
    return observation.pack(episode.vectors)


def _images(episode: Episode, key: str) -> Image:
    if key not in episode.images:
        raise _missing(episode, "camera", key, episode.images)
    return episode.images[key]


def _missing(episode: Episode, what: str, key: str, valid: Mapping[str, object]) -> ContractError:
    return ContractError(
        f"episode {episode.episode_id}: no {what} {key!r}; it has {', '.join(valid) or 'none'}"
    )
