"""Batches of windows for training a `ChunkPolicy`: observations, images, chunks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from robot_rl.core.errors import ContractError
from robot_rl.data.chunks import ChunkData
from robot_rl.learning.frame_source import FrameSource, Rows
from robot_rl.policies.chunk_policy import ChunkPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkBatch:
    """b windows.

    Args:
        observation: float32[b, n], packed, raw units.
        images: by camera, whatever `Encoder.forward` takes.
        action: float32[b, h, d], normalised.
        valid: bool[b, h], False where the episode was over.
    """

    observation: Tensor
    images: Mapping[str, Tensor]
    action: Tensor
    valid: Tensor


class ChunkBatches:
    """Makes batches of some of the windows.

    Args:
        data: all windows.
        rows: int64[n], those that batches are made of.
        frames: where their images come from.
    """

    def __init__(self, data: ChunkData, rows: Rows, frames: FrameSource) -> None:
        self._rows = rows
        self._observation = torch.from_numpy(data.observation[rows])
        self._action = torch.from_numpy(data.action[rows])
        self._valid = torch.from_numpy(data.valid[rows])
        self._frames = frames

    def __len__(self) -> int:
        return len(self._rows)

    def draw(self, count: int, generator: torch.Generator) -> ChunkBatch:
        """Draw `count` windows with replacement."""
        return self._batch(torch.randint(len(self), (count,), generator=generator))

    def parts(self, size: int) -> Iterator[ChunkBatch]:
        """Yield all windows in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self._batch(torch.arange(start, min(start + size, len(self))))

    def _batch(self, places: Tensor) -> ChunkBatch:
        return ChunkBatch(
            observation=self._observation[places],
            images=self._frames.take(self._rows[places.numpy()]),
            action=self._action[places],
            valid=self._valid[places],
        )


def check_fit(policy: ChunkPolicy, data: ChunkData) -> None:
    """Check that a policy can be trained on the windows.

    Raises:
        ContractError: if there are none, or their sizes or cameras are not the policy's.
    """
    expected = (policy.observation.packed_size, policy.config.horizon, policy.action.size)
    got = (data.observation.shape[-1], *data.action.shape[1:])
    if got != expected or not len(data):
        raise ContractError(
            f"chunks: got {len(data)} windows of (observation, horizon, action) {got}, "
            f"expected at least 1 of {expected}"
        )
    if policy.config.vision is None:
        return
    for key, spec in policy.observation.images.items():
        size = data.images[key].size if key in data.images else None
        if size != (spec.height, spec.width, 3):
            raise ContractError(
                f"chunks: got images {size} of camera {key!r}, expected "
                f"{(spec.height, spec.width, 3)}; name it in `chunk_windows`, or leave it out of "
                "the observation"
            )
