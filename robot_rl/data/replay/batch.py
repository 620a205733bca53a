"""Where numpy becomes torch, and the only place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from robot_rl.data.replay.augmentation import Augmentation
from robot_rl.data.replay.gathering import FIELDS, Images
from robot_rl.data.replay.window import COLUMNS, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """b n-step windows.

    Args:
        observation, next_observation: float32[b, n], packed (`ObservationSpec.pack`), raw units.
        images, next_images: RGB; `{key: uint8[b, h, w, 3]}` as recorded, or, of a sampler with
            an augmentation, `{key: float32[b, 3, h, w]}` in [0, 1], channels last in memory; of
            buffers with a `FeatureCache`, `{key: float16[b, ...]}` features of one variant each.
        action: float32[b, d], executed, normalised; of the window's first step.
        base_action, next_base_action: float32[b, d], the base policy's at `observation` and at
            `next_observation`.
        proposed_action: float32[b, d], what the learned policy asked for.
        reward: float32[b], the n-step return.
        discount: float32[b], gamma^k over the k <= n steps of the window; 0 if it terminated.
        human: bool[b], a person drove the first step.
        offline: bool[b], from a buffer of data that this run did not make.
        latent: float32[b, k], the noise from which the plan in play at the first step was made,
            zeros where none is recorded.
        actions: float32[b, n, d], the executed actions of the window's steps, the last one
            repeated where it is shorter; float32[b, 0, d] of a sampler that does not gather them.
        steps: int64[b], how many steps k <= n the window has.
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
    latent: Tensor
    actions: Tensor
    steps: Tensor

    def __len__(self) -> int:
        return len(self.reward)

    @classmethod
    def from_window(cls, window: Window) -> Batch:
        """Wrap numpy columns without copying; the window must not be used afterwards."""
        return cls(
            **{name: _tensor(getattr(window, name)) for name in COLUMNS},
            images=_image_tensors(window.images),
            next_images=_image_tensors(window.next_images),
        )

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device; to CUDA through pinned memory, without waiting."""
        if device.type == self.reward.device.type:
            return self

        def move(tensor: Tensor) -> Tensor:
            source = tensor.pin_memory() if device.type == "cuda" else tensor
            return source.to(device, non_blocking=device.type == "cuda")

        return self._mapped(move)

    def augmented(self, augmentation: Augmentation) -> Batch:
        """Return the batch with its images uint8[b, h, w, 3] augmented where they are."""
        changed = augmentation.tensors({name: getattr(self, name) for name in FIELDS})
        return replace(
            self,
            **{
                name: {key: _channels_first(one) for key, one in images.items()}
                for name, images in changed.items()
            },
        )

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> Batch:
        columns: dict[str, Any] = {name: change(getattr(self, name)) for name in COLUMNS}
        for name in FIELDS:
            images: dict[str, Tensor] = getattr(self, name)
            columns[name] = {key: change(one) for key, one in images.items()}
        return Batch(**columns)


def _tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(array)  # pyright: ignore[reportUnknownMemberType]


def _image_tensors(images: Images) -> dict[str, Tensor]:
    return {key: _channels_first(_tensor(one)) for key, one in images.items()}


def _channels_first(images: Tensor) -> Tensor:
    """Augmented images in the order that convolutions expect; the memory stays as it is.

    They are float32, as neither recorded images nor features are.
    """
    return images.permute(0, 3, 1, 2) if images.dtype == torch.float32 else images
