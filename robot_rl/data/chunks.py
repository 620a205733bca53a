"""Windows of executed actions for imitation: what was seen, and what was done from there on.

Steps in which nobody drove show nothing to imitate: they are left out, as if the arm had gone on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.episode import Episode
from robot_rl.core.errors import ContractError
from robot_rl.core.spec import ObservationSpec
from robot_rl.core.types import Image, Source, Vector


class Frames:
    """The images of one camera at N windows, where the episodes keep them; nothing is copied.

    Args:
        images: of each episode, uint8[T + 1, h, w, 3].
        steps: of each episode, int64[n]: where its windows begin; with all but its last frame,
            if not said.

    Raises:
        ContractError: if the episodes' images differ in size.
    """

    def __init__(
        self, images: Sequence[Image], steps: Sequence[NDArray[np.int64]] | None = None
    ) -> None:
        sizes = {image.shape[1:] for image in images}
        if len(sizes) != 1:
            raise ContractError(
                f"images: got sizes {sorted(sizes)}, expected one for all episodes"
            )
        self._images = tuple(images)
        steps = [np.arange(len(image) - 1) for image in images] if steps is None else steps
        self._episodes = np.repeat(np.arange(len(steps)), [len(one) for one in steps])
        self._steps = np.concatenate(steps)
        self.size: tuple[int, ...] = sizes.pop()
        """Of one image: (h, w, 3)."""

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, rows: NDArray[np.int64]) -> Image:
        """Copy the images uint8[k, h, w, 3] of the windows `rows` int64[k]."""
        out = np.empty((len(rows), *self.size), np.uint8)
        places = zip(self._episodes[rows].tolist(), self._steps[rows].tolist(), strict=True)
        for target, (episode, t) in zip(out, places, strict=True):
            target[:] = self._images[episode][t]
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkData:
    """N windows, one for every step of every episode in which somebody drove.

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
        ContractError: if there are no episodes or nobody drove in them, `horizon` is below 1, or
            a vector or camera is missing.
    """
    if not episodes or horizon < 1:
        raise ContractError(
            f"chunks: got {len(episodes)} episodes and horizon {horizon}, expected at least 1"
        )
    steps = [np.flatnonzero(e.source != Source.HOLD) for e in episodes]
    lengths = [len(one) for one in steps]
    if not any(lengths):
        raise ContractError(f"chunks: nobody drives in any of the {len(episodes)} episodes")
    indices = [np.arange(length)[:, None] + np.arange(horizon) for length in lengths]
    return ChunkData(
        observation=np.concatenate(
            [_packed(e, observation)[s] for e, s in zip(episodes, steps, strict=True)]
        ),
        action=np.concatenate(
            [
                e.action[s[np.minimum(index, len(s) - 1)]]
                for e, s, index in zip(episodes, steps, indices, strict=True)
            ]
        ),
        valid=np.concatenate([i < length for i, length in zip(indices, lengths, strict=True)]),
        episode=np.repeat(np.arange(len(episodes), dtype=np.int64), lengths),
        images={key: Frames([_images(e, key) for e in episodes], steps) for key in cameras},
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
