"""Features of a frozen backbone, kept of each frame: no batch has to go through it again.

Shifts of an image at random (DrQ; Yarats et al. 2021, arXiv 2107.09645) come before the backbone.
So features of several shifts of each frame are kept, and a sampler draws one of them for each row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from robot_rl.config.model import Config
from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.core.spec import ImageSpec
from robot_rl.core.types import Image
from robot_rl.data.replay.shifting import shift_image

Features = NDArray[np.float16]

_IMAGES_AT_ONCE = 64
"""In one call of an encoder; a backbone needs a hundred times the memory of what it looks at."""


class FrameEncoder(Protocol):
    """The frozen part of a vision network: one camera's frames in, their features out."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Camera key to the shape of one frame's features, such as (c, h', w')."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes with anything that changes a feature."""
        ...

    def encode(self, key: str, images: Image) -> Features:
        """Return the features float16[k, *shape] of images uint8[k, h, w, 3] of one camera.

        Equal calls return equal bits.
        """
        ...


class FeatureCacheConfig(Config):
    """Settings of `FeatureCache`, and how often it is refreshed.

    Args:
        variants, pad, keep_images: see `FeatureCache`.
        refresh_per_cycle: frames of each buffer whose features are drawn anew after each cycle of
            updates; it needs the images.
    """

    variants: int = Field(default=4, ge=1)
    pad: int = Field(default=4, ge=0)
    keep_images: bool = False
    refresh_per_cycle: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _images_are_there_to_refresh_from(self) -> Self:
        if self.refresh_per_cycle and not self.keep_images:
            raise ConfigError(
                f"features: refresh_per_cycle is {self.refresh_per_cycle}, but keep_images is "
                "false and features are made of images; set keep_images to true, or "
                "refresh_per_cycle to 0"
            )
        return self

    def build(self, encoder: FrameEncoder, seed: int) -> FeatureCache:
        """Return what a replay buffer takes."""
        return FeatureCache(
            encoder=encoder,
            variants=self.variants,
            pad=self.pad,
            seed=seed,
            keep_images=self.keep_images,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureCache:
    """What a replay buffer keeps of its images: features of each, shifted at random.

    A variant of a frame is decided by `seed`, the frame's number in its buffer, the round of
    refreshing, camera and variant alone, so that a buffer that is refilled is the same.

    Args:
        encoder: makes the features; cameras that it does not know are left out.
        variants: features kept of each frame and camera, at least 1.
        pad: a variant is shifted by up to so many pixels up, down and sideways.
        seed: of the shifts, at least 0.
        keep_images: keep the images too, from which features can be drawn anew.

    Raises:
        ConfigError: if a number is out of its range.
    """

    encoder: FrameEncoder
    variants: int
    pad: int
    seed: int
    keep_images: bool

    def __post_init__(self) -> None:
        if self.variants < 1 or self.pad < 0 or self.seed < 0:
            raise ConfigError(
                f"features: got variants {self.variants}, pad {self.pad}, seed {self.seed}; "
                "expected at least 1, 0 and 0"
            )

    @property
    def layout(self) -> tuple[object, ...]:
        """What two buffers must have in common to share a batch."""
        return (self.encoder.fingerprint, self.variants, tuple(self.encoder.shapes.items()))

    @property
    def frames_at_once(self) -> int:
        """Frames for one call of `encode`, at least 1, few enough to bound its memory."""
        return max(1, _IMAGES_AT_ONCE // self.variants)

    def check(self, specs: Mapping[str, ImageSpec]) -> None:
        """Check that these cameras have what the encoder looks at.

        Raises:
            ConfigError: naming the camera that is not there, or too small for the shift.
        """
        for key in self.encoder.shapes:
            if key not in specs:
                raise ConfigError(
                    f"features: the encoder looks at {key}, the cameras are "
                    f"{', '.join(specs) or 'none'}; build it for the same task"
                )
            if min(specs[key].height, specs[key].width) <= self.pad:
                raise ConfigError(
                    f"features: pad is {self.pad}, but {key} has {specs[key].height} x "
                    f"{specs[key].width} pixels; expected a smaller pad"
                )

    def shifts(self, frame: int, round_: int) -> dict[str, NDArray[np.int64]]:
        """Return how each camera's variants of a frame are shifted.

        Returns:
            int64[variants, 2] by camera, pixels down and right, as `shift_image` takes them.
        """
        rng = np.random.default_rng((self.seed, frame, round_))
        cameras = sorted(self.encoder.shapes)
        drawn = rng.integers(-self.pad, self.pad + 1, (len(cameras), self.variants, 2))
        return dict(zip(cameras, drawn, strict=True))

    def encode(self, images: Mapping[str, Image], first: int, round_: int) -> dict[str, Features]:
        """Return the features of neighbouring frames, float16[k, variants, *shape] by camera.

        Args:
            images: uint8[k, h, w, 3] of each camera.
            first: number of the first frame.
            round_: of refreshing, 0 for frames that are new.

        Raises:
            ContractError: if what the encoder returns is not finite, or of another shape or dtype.
        """
        count = len(next(iter(images.values()), ()))
        shifts = [self.shifts(first + i, round_) for i in range(count)]
        return {
            key: self._encode(key, images[key], [of[key] for of in shifts])
            for key in self.encoder.shapes
        }

    def _encode(self, key: str, images: Image, shifts: Sequence[NDArray[np.int64]]) -> Features:
        shape = (len(images), self.variants, *self.encoder.shapes[key])
        shifted = np.empty((*shape[:2], *images.shape[1:]), np.uint8)
        for i, (image, variants) in enumerate(zip(images, shifts, strict=True)):
            for j, (down, right) in enumerate(variants.tolist()):
                shifted[i, j] = shift_image(image, down, right)
        features = self.encoder.encode(key, shifted.reshape(-1, *images.shape[1:]))
        if features.dtype != np.float16 or features.shape != (shape[0] * shape[1], *shape[2:]):
            raise ContractError(
                f"features of {key}: got {features.dtype}{list(features.shape)}, expected "
                f"float16{[shape[0] * shape[1], *shape[2:]]}"
            )
        # All bits of the exponent set are infinity and NaN; `isfinite` takes five times as long.
        if (features.view(np.uint16) & 0x7C00 == 0x7C00).any():
            raise ContractError(
                f"features of {key} are not finite, or too large for float16 (65504); check the "
                "backbone's weights and the scale of its output"
            )
        return features.reshape(shape)
