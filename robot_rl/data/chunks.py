"""Windows of executed actions for imitation: what was seen, and what was done from there on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.episode import Episode
from robot_rl.core.errors import ContractError
from robot_rl.core.spec import ObservationSpec
from robot_rl.core.types import Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkData:
    """N windows, one for every step of every episode.

    Args:
        observation: float32[N, n], packed, raw units, at the window's first step.
        action: float32[N, h, d], executed, normalised; the last one repeats past the end.
        valid: bool[N, h], False where the episode was over.
    """

    observation: Vector
    action: Vector
    valid: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.observation)


def chunk_windows(
    episodes: Sequence[Episode], horizon: int, observation: ObservationSpec
) -> ChunkData:
    """Cut episodes into windows of `horizon` actions, episode by episode, step by step.

    Args:
        episodes: at least one.
        horizon: actions in a window, h >= 1.
        observation: which vectors, and in which order they are packed.

    Raises:
        ContractError: if there are no episodes, `horizon` is below 1, or a vector is missing.
    """
    if not episodes or horizon < 1:
        raise ContractError(
            f"chunks: got {len(episodes)} episodes and horizon {horizon}, expected at least 1"
        )
    indices = [np.arange(len(e))[:, None] + np.arange(horizon) for e in episodes]
    return ChunkData(
        observation=np.concatenate([_packed(e, observation)[:-1] for e in episodes]),
        action=np.concatenate(
            [
                e.action[np.minimum(index, len(e) - 1)]
                for e, index in zip(episodes, indices, strict=True)
            ]
        ),
        valid=np.concatenate([index < len(e) for e, index in zip(episodes, indices, strict=True)]),
    )


def _packed(episode: Episode, observation: ObservationSpec) -> Vector:
    missing = [key for key in observation.vectors if key not in episode.vectors]
    if missing:
        raise ContractError(
            f"episode {episode.episode_id}: no vector {missing[0]!r}; it has "
            f"{', '.join(episode.vectors)}"
        )
    return observation.pack(episode.vectors)
