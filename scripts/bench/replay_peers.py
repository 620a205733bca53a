"""Replay buffers of other projects, each used as its documentation says, behind one form.

A peer that has a random shift of its own uses that; to the others we lend ours, which makes floats
of bytes too. Peers are optional: `.venv/bin/pip install -c constraints.txt -e '.[peers]'`.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from replay_data import CAMERAS, STATE, Shape
from torch import Tensor
from torch.nn import functional

from robot_rl.core.types import Transition
from robot_rl.data.replay.augmentation import AugmentationConfig

INSTALL = "not installed: .venv/bin/pip install -c constraints.txt -e '.[peers]'"
Augment = Callable[[Tensor], Tensor]
"""uint8[b, h, w, 3] to float32[b, 3, h, w], shifted and in [0, 1]."""
NEXT = "next."


class Peer(Protocol):
    """A replay buffer under measurement."""

    def add(self, step: Transition) -> None:
        """Store one step."""
        ...

    def sample(self, augment: Augment) -> Mapping[str, Tensor]:
        """Return the images of one batch, `{camera or next.camera: float32[b, 3, h, w]}`."""
        ...


def our_augmentation() -> Augment:
    """Our shift, for images that another buffer has read."""
    augmentation = AugmentationConfig().build(0)

    def augment(images: Tensor) -> Tensor:
        floats = augmentation.apply(images.numpy(), torch.get_num_threads())
        return torch.from_numpy(floats).permute(0, 3, 1, 2)

    return augment


def usual_shift(images: Tensor, pad: int = 4) -> Tensor:
    """The shift as it is usually written: floats, padded at the edges, cropped by an index."""
    floats = images.permute(0, 3, 1, 2).float() / 255
    b, _, h, w = floats.shape
    padded = functional.pad(floats, (pad, pad, pad, pad), mode="replicate")
    top, left = torch.randint(0, 2 * pad + 1, (2, b, 1))
    rows, columns = torch.arange(h) + top, torch.arange(w) + left
    image = torch.arange(b).view(b, 1, 1)
    cropped = padded.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]]
    return cropped.permute(0, 3, 1, 2)


class Lerobot:
    """`lerobot.rl.buffer.ReplayBuffer`, whose images are floats from the start, with `use_drq`."""

    def __init__(self, shape: Shape, *, compiled: bool) -> None:
        from lerobot.rl.buffer import ReplayBuffer, random_shift

        self._batch = shape.batch
        self._buffer = ReplayBuffer(
            shape.steps,
            device="cpu",
            storage_device="cpu",
            state_keys=[STATE, *CAMERAS],
            # None is its default, which it compiles at the first use.
            image_augmentation_function=None
            if compiled
            else functools.partial(random_shift, pad=4),
        )

    def add(self, step: Transition) -> None:
        """See `Peer.add`."""
        before, after = (
            {STATE: torch.from_numpy(o.vectors[STATE])}
            | {k: torch.from_numpy(o.images[k]).permute(2, 0, 1) / 255 for k in CAMERAS}
            for o in (step.observation, step.next_observation)
        )
        action = torch.from_numpy(step.action)
        self._buffer.add(before, action, step.reward, after, step.terminated, step.truncated)

    def sample(self, augment: Augment) -> Mapping[str, Tensor]:
        """See `Peer.sample`; it augments by itself."""
        batch = self._buffer.sample(self._batch)
        return {
            **{k: batch["state"][k] for k in CAMERAS},
            **{NEXT + k: batch["next_state"][k] for k in CAMERAS},
        }


class StableBaselines:
    """`stable_baselines3.common.buffers.DictReplayBuffer`."""

    def __init__(self, shape: Shape) -> None:
        from gymnasium import spaces
        from stable_baselines3.common.buffers import DictReplayBuffer

        image = spaces.Box(0, 255, (shape.side, shape.side, 3), np.uint8)
        state = spaces.Box(-1, 1, (shape.state,))
        seen = spaces.Dict({STATE: state, **dict.fromkeys(CAMERAS, image)})
        action = spaces.Box(-1, 1, (shape.action,))
        self._batch = shape.batch
        self._buffer = DictReplayBuffer(shape.steps, seen, action, device="cpu")

    def add(self, step: Transition) -> None:
        """See `Peer.add`."""
        before, after = (
            {**o.vectors, **o.images} for o in (step.observation, step.next_observation)
        )
        reward, ended = np.array([step.reward]), np.array([step.terminated])
        infos = [{"TimeLimit.truncated": step.truncated}]
        self._buffer.add(before, after, step.action, reward, ended, infos)

    def sample(self, augment: Augment) -> Mapping[str, Tensor]:
        """See `Peer.sample`."""
        batch = self._buffer.sample(self._batch)
        return {
            **{k: augment(batch.observations[k]) for k in CAMERAS},
            **{NEXT + k: augment(batch.next_observations[k]) for k in CAMERAS},
        }


class Torchrl:
    """`torchrl.data.TensorDictReplayBuffer` over the storage of a name."""

    def __init__(self, shape: Shape, storage: str) -> None:
        import torchrl.data
        from torchrl._utils import logger

        logger.setLevel(logging.WARNING)
        make = getattr(torchrl.data, storage)
        self._buffer = torchrl.data.TensorDictReplayBuffer(
            storage=make(shape.steps), batch_size=shape.batch
        )

    def add(self, step: Transition) -> None:
        """See `Peer.add`."""
        from tensordict import TensorDict

        before, after = (
            {
                k.replace(".", "_"): torch.from_numpy(v)
                for k, v in {**o.vectors, **o.images}.items()
            }
            for o in (step.observation, step.next_observation)
        )
        ended = {"reward": torch.tensor([step.reward]), "done": torch.tensor([step.terminated])}
        self._buffer.add(
            TensorDict(
                {**before, "action": torch.from_numpy(step.action), "next": {**after, **ended}}
            )
        )

    def sample(self, augment: Augment) -> Mapping[str, Tensor]:
        """See `Peer.sample`."""
        batch = self._buffer.sample()
        names = {k: k.replace(".", "_") for k in CAMERAS}
        return {
            **{k: augment(batch[name]) for k, name in names.items()},
            **{NEXT + k: augment(batch["next", name]) for k, name in names.items()},
        }


class Cpprb:
    """`cpprb.ReplayBuffer` with `next_of`, which stores a frame once as we do.

    `stack_compress` is left out: it is for frames stacked in the last axis, which here is colour.
    """

    def __init__(self, shape: Shape) -> None:
        from cpprb import ReplayBuffer

        image = {"shape": (shape.side, shape.side, 3), "dtype": np.uint8}
        layout: dict[str, Any] = {
            STATE: {"shape": shape.state},
            **dict.fromkeys(CAMERAS, image),
            "action": {"shape": shape.action},
            "reward": {},
            "done": {},
        }
        self._batch = shape.batch
        self._buffer = ReplayBuffer(shape.steps, layout, next_of=(STATE, *CAMERAS))

    def add(self, step: Transition) -> None:
        """See `Peer.add`."""
        after = step.next_observation
        self._buffer.add(
            **step.observation.vectors,
            **step.observation.images,
            **{f"next_{k}": v for k, v in {**after.vectors, **after.images}.items()},
            action=step.action,
            reward=step.reward,
            done=step.terminated,
        )
        if step.terminated or step.truncated:
            self._buffer.on_episode_end()

    def sample(self, augment: Augment) -> Mapping[str, Tensor]:
        """See `Peer.sample`."""
        batch = self._buffer.sample(self._batch)
        return {
            **{k: augment(torch.from_numpy(batch[k])) for k in CAMERAS},
            **{NEXT + k: augment(torch.from_numpy(batch[f"next_{k}"])) for k in CAMERAS},
        }


def peers(*, compiled: bool) -> dict[str, Callable[[Shape], Peer]]:
    """How each peer is made, by name; making raises ImportError where it is not installed."""
    return {
        LEROBOT: functools.partial(Lerobot, compiled=compiled),
        "SB3 DictReplayBuffer": StableBaselines,
        "torchrl LazyTensorStorage": functools.partial(Torchrl, storage="LazyTensorStorage"),
        "torchrl LazyMemmapStorage": functools.partial(Torchrl, storage="LazyMemmapStorage"),
        "cpprb next_of": Cpprb,
    }


LEROBOT = "lerobot"
"""The one that has a shift of its own."""
