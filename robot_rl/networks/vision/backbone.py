"""Frozen backbones: from pixels to the feature map of a network that nobody trains here."""

from __future__ import annotations

import hashlib
import itertools
from collections import deque
from pathlib import Path
from typing import Protocol
from weakref import WeakValueDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from robot_rl.config.model import Config
from robot_rl.core.spec import ImageSpec
from robot_rl.networks.vision.architecture import BLUEPRINTS, Architecture, Rgb, Stride
from robot_rl.networks.vision.pretrained import file_weights, imagenet_weights, load_part

_REMEMBERED = 8
"""Images whose features a backbone remembers: those of one observation, and some to spare."""

_AT_ONCE = 4
"""Images in one pass: with more of them, the wide layers leave the processor's cache."""

Shape = tuple[int, int, int]


class Backbone(Protocol):
    """What turns the pixels of a camera into a feature map."""

    @property
    def frozen(self) -> bool:
        """Whether nobody trains it; then it is no part of any weights."""
        ...

    def shape(self, image: ImageSpec) -> Shape:
        """Return (c, h', w') of the features of such an image."""
        ...

    def __call__(self, pixels: Tensor) -> Tensor:
        """Map pixels float32[b, 3, h, w] in [0, 1] to features [b, c, h', w']."""
        ...


class TorchvisionBackboneConfig(Config):
    """Settings of a `FrozenBackbone`.

    Args:
        architecture: the network.
        stride: pixels of the image per cell of the feature map, which is the last one of that
            stride. Fine positions want 4 or 8, what things are wants 16 or 32.
        weights: `imagenet`, as far as a package brings them; `random`; or a safetensors file with
            torchvision's names.
        seed: of random weights.
    """

    architecture: Architecture = "efficientnet_lite0"
    stride: Stride = 8
    weights: str = "imagenet"
    seed: int = 0

    def build(self) -> FrozenBackbone:
        """Return the backbone; equal ones are one object, so that they see an image once.

        Raises:
            ConfigError: if the weights cannot be read or are of another architecture.
            DependencyError: if a package is missing.
            FingerprintError: if a package's weights are not the known ones.
        """
        blueprint = BLUEPRINTS[self.architecture]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = blueprint.network()
        blocks = [*blueprint.blocks(network)][: blueprint.lengths[self.stride]]
        features = nn.Sequential(*blocks)
        if self.weights != "random":
            known = self.weights == "imagenet"
            weights = (
                imagenet_weights(self.architecture) if known else file_weights(Path(self.weights))
            )
            load_part(features, network, weights)
        name = f"{self.architecture} stride {self.stride}"
        backbone = FrozenBackbone(name, features, blueprint.mean, blueprint.std)
        return _SHARED.setdefault(backbone.fingerprint, backbone)


class FrozenBackbone:
    """A network in evaluation mode for good. Has no parameters to train, save or copy.

    It is no `nn.Module`, so that it is no part of a state_dict; a deep copy of what holds it holds
    the same one. Its features are float16 wherever they are made, since that is how replay keeps
    them: heads act on what they were trained on.

    Args:
        name: of architecture and layer, for the fingerprint.
        features: from normalised pixels to the feature map.
        mean, std: of the pixels in [0, 1], per colour.
    """

    frozen = True

    def __init__(self, name: str, features: nn.Module, mean: Rgb, std: Rgb) -> None:
        self._features = features.requires_grad_(False).eval()
        self._mean = torch.tensor(mean).view(3, 1, 1)
        self._std = torch.tensor(std).view(3, 1, 1)
        self._remembered: deque[tuple[NDArray[np.uint8], NDArray[np.float16]]] = deque(
            maxlen=_REMEMBERED
        )
        self.fingerprint = self._digest(name)
        _fold_norms(self._features)
        self._features.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def __deepcopy__(self, memo: dict[int, object]) -> FrozenBackbone:
        return self

    def shape(self, image: ImageSpec) -> Shape:
        """See `Backbone.shape`."""
        _, c, h, w = self(torch.zeros(1, 3, image.height, image.width)).shape
        return c, h, w

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Tensor:
        """Map pixels float32[b, 3, h, w] in [0, 1] to features float16[b, c, h', w']."""
        parts = [
            self._features(self._normalised(part)).to(torch.float16).contiguous()
            for part in pixels.split(_AT_ONCE)
        ]
        return torch.cat(parts)

    def glance(self, image: NDArray[np.uint8]) -> NDArray[np.float16]:
        """Return the features float16[c, h', w'] of one image uint8[h, w, 3].

        Policies that look at the same image in turn pay once: the last few images are remembered,
        and compared by their content.
        """
        for seen, features in tuple(self._remembered):
            if np.array_equal(seen, image):
                return features
        kept = image.copy()
        features = self(to_pixels(torch.from_numpy(kept)[None]))[0].numpy()
        self._remembered.append((kept, features))
        return features

    def _normalised(self, pixels: Tensor) -> Tensor:
        return ((pixels - self._mean) / self._std).contiguous(memory_format=torch.channels_last)

    def _digest(self, name: str) -> str:
        digest = hashlib.sha256(name.encode())
        digest.update(f" {self._mean.tolist()} {self._std.tolist()}".encode())
        for key, tensor in self._features.state_dict().items():
            digest.update(key.encode())
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()


def to_pixels(images: Tensor) -> Tensor:
    """Return float32[b, 3, h, w] in [0, 1] of images uint8[b, h, w, 3]."""
    return images.permute(0, 3, 1, 2).to(torch.float32) / 255.0


def _fold_norms(module: nn.Module) -> None:
    """Make convolutions do what batch norms after them do; it saves a third of the time."""
    children = list(module.named_children())
    for (name, conv), (after, norm) in itertools.pairwise(children):
        # In ResNets' blocks bn1 follows conv1 as its neighbour does in a sequence.
        follows = isinstance(module, nn.Sequential) or after == name.replace("conv", "bn")
        if follows and isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(conv, norm))
            setattr(module, after, nn.Identity())
    for _, child in children:
        _fold_norms(child)


_SHARED: WeakValueDictionary[str, FrozenBackbone] = WeakValueDictionary()
