"""Where numpy becomes torch, and the only place."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from robot_rl.core.types import Image
from robot_rl.data.replay.window import IMAGE_FIELDS, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """b n-step windows.

    Args:
        observation, next_observation: float32[b, n], packed (`ObservationSpec.pack`), raw units.
        images, next_images: `{key: uint8[b, h, w, 3]}` RGB.
        action: float32[b, d], executed, normalised; of the window's first step.
        base_action, next_base_action: float32[b, d], the base policy's at `observation` and at
            `next_observation`.
        proposed_action: float32[b, d], what the learned policy asked for.
        reward: float32[b], the n-step return.
        discount: float32[b], gamma^k over the k <= n steps of the window; 0 if it terminated.
        human: bool[b], a person drove the first step.
        offline: bool[b], from a buffer of data that this run did not make.
    """

    observation: Tensor
    next_observation: Tensor
    images: dict[str, Tensor]
    next_images: dict[str, Tensor]
    action: Tensor
    base_action: Tensor
    next_base_action: Tensor
    proposed_action: Tensor
    reward: Tensor
    discount: Tensor
    human: Tensor
    offline: Tensor

    def __len__(self) -> int:
        return len(self.reward)

    @classmethod
    def from_window(cls, window: Window) -> Batch:
        """Wrap numpy columns without copying; the window must not be used afterwards."""
        tensors: dict[str, Any] = {
            field.name: _tensor(getattr(window, field.name))
            for field in fields(cls)
            if field.name not in IMAGE_FIELDS
        }
        for name in IMAGE_FIELDS:
            images: dict[str, Image] = getattr(window, name)
            tensors[name] = {key: _tensor(image) for key, image in images.items()}
        return cls(**tensors)


def _tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(array)  # pyright: ignore[reportUnknownMemberType]
