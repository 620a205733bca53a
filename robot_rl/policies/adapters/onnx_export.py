"""A chunk policy as one ONNX file, with its contract in it. Reading it: `exported`."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from robot_rl.core.errors import ConfigError, DependencyError, StorageError
from robot_rl.policies import policy_files
from robot_rl.policies.adapters.exported import CONTRACT, IMAGE, NOISE, OBSERVATION, PLAN, SCHEMA
from robot_rl.policies.chunk_policy import ChunkPolicy

_OPSET = 17


def export_onnx(policy: ChunkPolicy, path: Path) -> None:
    """Write what `ChunkPolicy.plan` computes, with all steps of its sampler, as one file.

    The batch may be of any size. Guided plans are left out: they differentiate the network.

    Raises:
        ConfigError: if the network has a part that ONNX does not have.
        DependencyError: if the package onnx is missing.
        StorageError: if the file cannot be written.
    """
    try:
        import onnx
    except ImportError as error:
        raise DependencyError(
            "exporting needs the package onnx; pip install 'robot_rl[onnx]'"
        ) from error
    model = onnx.load_from_string(_trace(policy))
    onnx.helper.set_model_props(model, {CONTRACT: json.dumps(_contract(policy))})
    onnx.checker.check_model(model)
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(model.SerializeToString())
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise StorageError(f"{path}: the policy could not be written: {error}") from error


class _Plan(nn.Module):
    """`ChunkPolicy.plan` as a module: observation, noise, images in the order of the spec."""

    def __init__(self, policy: ChunkPolicy) -> None:
        super().__init__()
        self.model = policy.model
        self._sampler = policy.sampler
        self._cameras = _cameras(policy)

    def forward(self, observation: Tensor, noise: Tensor, *images: Tensor) -> Tensor:
        seen = dict(zip(self._cameras, images, strict=True))
        features = self.model.encoder(observation, seen)
        return self._sampler.sample(self._denoise, features, noise).clamp(-1.0, 1.0)

    def _denoise(self, sample: Tensor, step: Tensor, features: Tensor) -> Tensor:
        # A sampler counts its batch in Python, which a trace takes for a constant.
        return self.model.network(sample, step[:1].expand(sample.shape[0]), features)


class _KnownShapes(TorchFunctionMode):
    """Tells the exporter the shape that a layer norm is over, which it loses behind a batch."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is functional.layer_norm:
            args = (args[0], [int(size) for size in args[1]], *args[2:])
        return func(*args, **(kwargs or {}))


def _trace(policy: ChunkPolicy) -> bytes:
    config, cameras = policy.config, _cameras(policy)
    images = [policy.observation.images[key] for key in cameras]
    examples = (
        torch.zeros(2, policy.observation.packed_size),
        torch.zeros(2, config.horizon, policy.action.size),
        *(torch.zeros(2, spec.height, spec.width, 3, dtype=torch.uint8) for spec in images),
    )
    names = [OBSERVATION, NOISE, *(f"{IMAGE}{key}" for key in cameras)]
    try:
        with (
            TemporaryDirectory() as folder,
            torch.no_grad(),
            warnings.catch_warnings(),
            _KnownShapes(),
        ):
            file = Path(folder) / "traced.onnx"
            # That a trace fixes what Python decides is known; the test compares the plans.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _Plan(policy).eval(),
                examples,
                file,
                # The other exporter needs one more package.
                dynamo=False,
                input_names=names,
                output_names=[PLAN],
                dynamic_axes={name: {0: "batch"} for name in [*names, PLAN]},
                opset_version=_OPSET,
            )
            return file.read_bytes()
    except (RuntimeError, torch.onnx.OnnxExporterError) as error:
        raise ConfigError(f"this policy cannot be told in ONNX: {error}") from error


def _contract(policy: ChunkPolicy) -> dict[str, Any]:
    seen = policy.observation
    if policy.config.vision is None:
        seen = type(seen)(vectors=seen.vectors)
    return {
        "schema": SCHEMA,
        "contract": policy.contract,
        "observation": policy_files.to_plain(seen),
        "action": policy_files.to_plain(policy.action),
        "horizon": policy.config.horizon,
        "execute": policy.config.execute,
        "steerable": policy.steerable,
    }


def _cameras(policy: ChunkPolicy) -> Sequence[str]:
    return () if policy.config.vision is None else tuple(policy.observation.images)
