"""Where the images of training windows come from: nowhere, from frames, or encoded beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robot_rl.core.errors import ConfigError
from robot_rl.core.types import Image
from robot_rl.data.chunks import ChunkData, Frames
from robot_rl.data.replay.augmentation import Augmentation
from robot_rl.data.replay.feature_cache import FrameEncoder
from robot_rl.learning.contract import Vision
from robot_rl.networks.encoder import NO_IMAGES
from robot_rl.policies.chunk_policy import ChunkPolicy

ENCODE_AT_ONCE = 64
"""Frames that a frozen backbone gets in one call."""

Rows = NDArray[np.int64]


class FrameSource(Protocol):
    """Gives an encoder what it sees of the cameras."""

    def take(self, rows: Rows) -> Mapping[str, Tensor]:
        """Return what `Encoder.forward` takes as images, of the windows `rows` int64[b]."""
        ...


def frame_source(
    policy: ChunkPolicy,
    data: ChunkData,
    rows: Rows,
    *,
    augmentation: Augmentation | None = None,
    variants: int,
    seed: int = 0,
) -> FrameSource:
    """Return where the images come from that a policy sees.

    Args:
        policy: what is to see them.
        data: all windows; `check_fit` has passed it.
        rows: int64[n], the windows that will be asked for.
        augmentation: what changes images; None leaves them as recorded.
        variants: how many versions of a frame are encoded, see `FrameFeatures`; 0 leaves the
            encoding to each pass, see `Pixels`.
        seed: of the choice among versions.

    Raises:
        ConfigError: if versions are to be encoded by a backbone that is trained.
    """
    vision = policy.config.vision
    if vision is None or not len(rows):
        return NoFrames()
    if not variants:
        frames = {key: data.images[key] for key in policy.observation.images}
        return Pixels(frames, augmentation)
    try:
        encoder = cast(Vision, vision).frame_encoder(policy.observation.images)
    except ConfigError as error:
        raise ConfigError(
            f"image_variants: got {variants}, but {error}; 0 passes images all the way"
        ) from error
    frames = {key: data.images[key] for key in encoder.shapes}
    return FrameFeatures(
        encoder, frames, rows, augmentation=augmentation, variants=variants, seed=seed
    )


class NoFrames:
    """For policies that see no camera."""

    def take(self, rows: Rows) -> Mapping[str, Tensor]:
        """Return nothing."""
        return NO_IMAGES


class Pixels:
    """Frames as they are, or changed anew each time: for a backbone that is trained.

    Args:
        frames: by camera.
        augmentation: what changes them; None leaves them as recorded.
    """

    def __init__(self, frames: Mapping[str, Frames], augmentation: Augmentation | None) -> None:
        self._frames = frames
        self._augmentation = augmentation

    def take(self, rows: Rows) -> Mapping[str, Tensor]:
        """Return float32[b, 3, h, w] in [0, 1], or uint8[b, h, w, 3] as recorded."""
        return {key: self._tensor(frames[rows]) for key, frames in self._frames.items()}

    def _tensor(self, images: Image) -> Tensor:
        if self._augmentation is None:
            return torch.from_numpy(images)
        # The augmentation writes its next batch over this one; a copy is what autograd may keep.
        floats = torch.from_numpy(self._augmentation.apply(images))
        return floats.permute(0, 3, 1, 2).contiguous()


class FrameFeatures:
    """Features of a frozen backbone, of several changed versions of each frame, encoded once.

    So an update costs no pass through the backbone. Each time a frame is taken, one of its
    versions is drawn, of each camera apart.

    Args:
        encoder: the frozen backbone.
        frames: by camera.
        rows: int64[n], the windows that will be asked for.
        augmentation: what changes frames; None encodes them once, as recorded.
        variants: versions of each frame; 1 without augmentation.
        seed: of which version is taken.
    """

    def __init__(
        self,
        encoder: FrameEncoder,
        frames: Mapping[str, Frames],
        rows: Rows,
        *,
        augmentation: Augmentation | None,
        variants: int,
        seed: int,
    ) -> None:
        self._variants = variants if augmentation else 1
        self._rng = np.random.default_rng(seed)
        self._place = np.full(max(len(f) for f in frames.values()), -1, np.int64)
        self._place[rows] = np.arange(len(rows))
        self._features = {
            key: np.stack(
                [_encode(encoder, key, f, rows, augmentation) for _ in range(self._variants)]
            )
            for key, f in frames.items()
        }

    def take(self, rows: Rows) -> Mapping[str, Tensor]:
        """Return float16[b, *shape]."""
        places = self._place[rows]
        return {
            key: torch.from_numpy(
                features[self._rng.integers(self._variants, size=len(rows)), places]
            )
            for key, features in self._features.items()
        }


def _encode(
    encoder: FrameEncoder,
    key: str,
    frames: Frames,
    rows: Rows,
    augmentation: Augmentation | None,
) -> NDArray[np.float16]:
    """Return the features float16[n, *shape] of the frames at `rows`, changed at random."""
    features = np.empty((len(rows), *encoder.shapes[key]), np.float16)
    for start in range(0, len(rows), ENCODE_AT_ONCE):
        part = slice(start, start + ENCODE_AT_ONCE)
        images = frames[rows[part]]
        if augmentation:
            images = np.rint(augmentation.apply(images) * 255).astype(np.uint8)
        features[part] = encoder.encode(key, images)
    return features
