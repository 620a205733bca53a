"""The encoder that sees: state and cameras to features, for learning and for acting."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from robot_rl.config.model import Component, Config
from robot_rl.core.errors import ConfigError, ContractError, FingerprintError, did_you_mean
from robot_rl.core.spec import IMAGE_PREFIX, ImageSpec, ObservationSpec
from robot_rl.core.types import Observation
from robot_rl.networks.encoder import NO_IMAGES, Encoder, Look, StateEncoder
from robot_rl.networks.vision.backbone import (
    Backbone,
    FrozenBackbone,
    Shape,
    TorchvisionBackboneConfig,
    to_pixels,
)
from robot_rl.networks.vision.head import Projection, SpatialEmbeddingConfig


class VisionConfig(Config):
    """Settings of `VisionEncoder`.

    Args:
        backbone: a component whose `build()` returns a `Backbone`.
        head: a component whose `build(shape)` returns what is learned on its features.
        cameras: names of the cameras that are looked at; empty for all.
        state_size: the state goes through a linear layer, LayerNorm and tanh to so many features;
            0 passes it on as it is.
    """

    backbone: Component = TorchvisionBackboneConfig()
    head: Component = SpatialEmbeddingConfig()
    cameras: tuple[str, ...] = ()
    state_size: int = Field(default=64, ge=0)

    def build(self, state: StateEncoder, images: Mapping[str, ImageSpec]) -> VisionEncoder:
        """Return an encoder with fresh weights.

        Raises:
            ConfigError: if a camera is not there.
        """
        eyes = {key: self._eye(image) for key, image in self._chosen(images).items()}
        return VisionEncoder(state, eyes, self.state_size)

    def frame_encoder(self, images: Mapping[str, ImageSpec]) -> FrozenFrames:
        """Return the part that nobody trains, for a replay buffer to keep its features.

        Raises:
            ConfigError: if a camera is not there, or the backbone is trained.
        """
        backbone: Backbone = self.backbone.build()
        if not isinstance(backbone, FrozenBackbone):
            raise ConfigError(
                f"vision: {type(self.backbone).__name__} is trained, so its features cannot be "
                "kept; take a frozen backbone, or leave out the cache of features"
            )
        return FrozenFrames(backbone, self._chosen(images))

    def _eye(self, image: ImageSpec) -> Eye:
        backbone: Backbone = self.backbone.build()
        return Eye(backbone, self.head.build(backbone.shape(image)), image)

    def _chosen(self, images: Mapping[str, ImageSpec]) -> dict[str, ImageSpec]:
        if not images:
            raise ConfigError("vision: the task shows no camera images; set task.cameras to true")
        names = {key.removeprefix(IMAGE_PREFIX): key for key in images}
        for camera in self.cameras:
            if camera not in names:
                raise ConfigError(f"vision: no camera {camera!r}{did_you_mean(camera, names)}")
        keys = [names[camera] for camera in self.cameras or names]
        return {key: images[key] for key in keys}


class FrozenFrames:
    """A frozen backbone as what a cache of features asks for, see `data.replay.feature_cache`.

    Args:
        backbone: serves all cameras.
        images: of the cameras.
    """

    def __init__(self, backbone: FrozenBackbone, images: Mapping[str, ImageSpec]) -> None:
        self._backbone = backbone
        self.shapes: Mapping[str, tuple[int, ...]] = {
            key: backbone.shape(image) for key, image in images.items()
        }
        self.fingerprint = backbone.fingerprint

    def encode(self, key: str, images: NDArray[np.uint8]) -> NDArray[np.float16]:
        """Return the features float16[k, c, h', w'] of images uint8[k, h, w, 3] of a camera.

        Raises:
            ContractError: if the camera is not one of these.
        """
        if key not in self.shapes:
            raise ContractError(f"unknown image {key!r}{did_you_mean(key, self.shapes)}")
        # torch.tensor copies: what was recorded may be read-only, which tensors cannot be.
        return self._backbone(to_pixels(torch.tensor(images))).numpy()


class Eye(nn.Module):
    """Backbone and head of one camera. A frozen backbone is shared and is no part of it.

    Args:
        backbone: from pixels to a feature map.
        head: from there to a vector; it has a `size`.
        image: what the camera delivers.
    """

    def __init__(self, backbone: Backbone, head: Any, image: ImageSpec) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.size: int = head.size
        self._image = (image.height, image.width, 3)
        self._features: Shape = backbone.shape(image)

    def forward(self, given: Tensor) -> Tensor:
        """Map images, pixels or kept features to float32[b, size], see `VisionEncoder`."""
        return self.head(self._map(given))

    def _map(self, given: Tensor) -> Tensor:
        """Return the feature map [b, c, h', w'].

        Raises:
            ContractError: if it is none of the three.
        """
        h, w, colours = self._image
        shape, kind = tuple(given.shape[1:]), given.dtype
        if kind == torch.uint8 and shape == self._image:
            if len(given) == 1 and isinstance(self.backbone, FrozenBackbone):
                return torch.from_numpy(self.backbone.glance(given[0].numpy()))[None]
            return self.backbone(to_pixels(given))
        if kind == torch.float32 and shape == (colours, h, w):
            return self.backbone(given)
        if kind in (torch.float16, torch.float32) and shape == self._features:
            if self.backbone.frozen:
                return given
            raise ContractError("kept features came, but this backbone is trained; give it images")
        raise ContractError(
            f"images: got {kind} {list(given.shape)}, expected uint8 [b, {h}, {w}, {colours}], "
            f"float32 [b, {colours}, {h}, {w}] or float16 [b, {str(self._features)[1:-1]}]"
        )


class VisionEncoder(Encoder):
    """`[state, camera, camera, ...]`, each through layers of its own that end in tanh.

    After HIL-SERL (Luo et al. 2024, arXiv 2410.21845). Of a camera it takes images
    uint8[b, h, w, 3], pixels float32[b, 3, h, w] in [0, 1], or features float16 or float32
    [b, c, h', w'] that a frozen backbone made of them before.

    Weights carry the fingerprint of a frozen backbone in its place.

    Args:
        state: of the packed observation; None of its features are learned.
        eyes: camera key to what sees it.
        state_size: features of the state; 0 for those of `state` themselves.
    """

    seen_by: Tensor
    """uint8[n]: fingerprints of the frozen backbones."""

    def __init__(self, state: StateEncoder, eyes: Mapping[str, Eye], state_size: int) -> None:
        super().__init__()
        self.state = state
        self.proprioception = Projection(state.size, state_size) if state_size else nn.Identity()
        self.keys = tuple(eyes)
        self.eyes = nn.ModuleList(eyes.values())
        self._size = (state_size or state.size) + sum(eye.size for eye in eyes.values())
        prints = [
            eye.backbone.fingerprint
            for eye in eyes.values()
            if isinstance(eye.backbone, FrozenBackbone)
        ]
        digits = list(bytes.fromhex("".join(prints)))
        self.register_buffer("seen_by", torch.tensor(digits, dtype=torch.uint8))
        self.register_load_state_dict_pre_hook(_check_backbone)

    @property
    def size(self) -> int:
        """Length of the features."""
        return self._size

    def forward(self, packed: Tensor, images: Mapping[str, Tensor] = NO_IMAGES) -> Tensor:
        """Map observations to features float32[b, size].

        Args:
            packed: float32[b, n].
            images: by camera key, see the class.

        Raises:
            ContractError: if a camera is missing, or what came of it is none of these.
        """
        features = [self.proprioception(self.state(packed))]
        for key, eye in zip(self.keys, self.eyes, strict=True):
            if key not in images:
                raise ContractError(f"missing image {key!r}; got: {', '.join(images) or 'none'}")
            features.append(eye(images[key]))
        return torch.cat(features, dim=-1)

    def look(self, observation: ObservationSpec) -> Look:
        """See `Encoder.look`. Dropout is off."""
        encoder = deepcopy(self).requires_grad_(False).eval()

        @torch.inference_mode()
        def look(seen: Observation) -> NDArray[np.float32]:
            packed = torch.from_numpy(observation.pack(seen.vectors))[None]
            images = {key: torch.tensor(seen.images[key])[None] for key in encoder.keys}
            return encoder(packed, images)[0].numpy()

        return look


def _check_backbone(
    module: nn.Module, weights: Mapping[str, Any], prefix: str, *_: object
) -> None:
    """Refuse weights that were learned on another backbone's features."""
    own = cast(VisionEncoder, module).seen_by
    theirs = weights.get(f"{prefix}seen_by")
    if isinstance(theirs, Tensor) and not torch.equal(theirs.cpu(), own.cpu()):
        raise FingerprintError(
            "vision: these weights belong to another backbone than the one that is configured; "
            "use the backbone (architecture, stride, weights) that they were trained with"
        )
