"""A policy from an ONNX file that says what it is for, run by onnxruntime.

ONNX is a graph of named operations and numbers; reading it runs no code. The other formats do, and
are not read, whatever they promise: a TorchScript archive (`torch.jit.save`) is a program, and
`torch.export.load` of torch 2.11 unpickles without restriction (tensors kept as pickles and custom
objects, and its older layout whenever the restricted loader refuses). For a model that comes so,
convert it where it was made: `onnx_export`.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from robot_rl.config.model import Config
from robot_rl.core.errors import ConfigError, ContractError, DependencyError, StorageError
from robot_rl.core.spec import TaskSpec
from robot_rl.core.types import Vector
from robot_rl.policies import policy_files
from robot_rl.policies.base import PlanRequest, PolicySpec, check_request

CONTRACT = "robot_rl"
"""Key of the contract in the model's metadata."""
SCHEMA = 1
OBSERVATION, NOISE, PLAN = "observation", "noise", "plan"
"""Names of float32[b, n] packed, float32[b, h, d] and of the output float32[b, h, d]."""
IMAGE = "image/"
"""What precedes a camera's key in the name of its input, uint8[b, h, w, 3]."""
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_CODE = {".pt", ".pth", ".pt2", ".ts", ".ptc", ".torchscript"}


class ExportedPolicyConfig(Config):
    """A file of `onnx_export.export_onnx`.

    Args:
        path: the file.
        device: where it runs; `cuda` needs the package onnxruntime-gpu.
    """

    path: Path
    device: Literal["cpu", "cuda"] = "cpu"

    def build(self, task: TaskSpec) -> ExportedPolicy:
        """Load it.

        Raises:
            ConfigError: if it is of a format that carries code, or the device is not there.
            DependencyError: if onnxruntime is missing.
            FingerprintError: if it is for another task.
            StorageError: if it is missing, unreadable, or has no contract.
        """
        if self.path.suffix in _CODE:
            raise ConfigError(
                f"{self.path}: reading {self.path.suffix} can run code and is never done; export "
                "the model to ONNX where it was made"
            )
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be read: {error}") from error
        session = _open(self.path, content, self.device)
        contract = _contract(self.path, session)
        policy_files.check_contract(self.path, contract["contract"], task.contract)
        return ExportedPolicy(session, _spec(self.path, contract, content))


class ExportedPolicy:
    """A `BasePolicy` of an ONNX file; plans for all requests in one call.

    Args:
        session: an `onnxruntime.InferenceSession`.
        spec: of the policy in it.
    """

    def __init__(self, session: Any, spec: PolicySpec) -> None:
        self._session = session
        self._spec = spec
        self._wants = {given.name for given in session.get_inputs()}

    @property
    def spec(self) -> PolicySpec:
        """See `BasePolicy.spec`."""
        return self._spec

    def infer(self, requests: Sequence[PlanRequest]) -> Vector:
        """See `BasePolicy.infer`."""
        for request in requests:
            check_request(self._spec, request)
        shape = (self._spec.horizon, self._spec.action.size)
        seen = [request.window[-1] for request in requests]
        given = {
            OBSERVATION: np.stack([self._spec.observation.pack(o.vectors) for o in seen]),
            NOISE: np.stack(
                [np.zeros(shape, np.float32) if r.noise is None else r.noise for r in requests]
            ),
            **{
                f"{IMAGE}{key}": np.stack([o.images[key] for o in seen])
                for key in self._spec.observation.images
            },
        }
        # What a network does not look at, such as the noise of a regression, is not in its file.
        named = {name: values for name, values in given.items() if name in self._wants}
        plans: Vector = self._session.run([PLAN], named)[0]
        if plans.shape != (len(requests), *shape) or not np.isfinite(plans).all():
            raise ContractError(
                f"exported: got a plan {list(plans.shape)}, expected finite numbers "
                f"{[len(requests), *shape]}"
            )
        return np.clip(plans, -1.0, 1.0)


def _open(path: Path, content: bytes, device: str) -> Any:
    try:
        runtime: Any = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise DependencyError(
            f"{path}: needs the package onnxruntime; pip install 'robot_rl[onnx]'"
        ) from error
    provider = _PROVIDERS[device]
    if provider not in runtime.get_available_providers():
        raise ConfigError(
            f"device: {device} is not to be had from the onnxruntime that is installed; valid: "
            + ", ".join(d for d, p in _PROVIDERS.items() if p in runtime.get_available_providers())
        )
    errors = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    refusals = (errors.Fail, errors.InvalidGraph, errors.InvalidProtobuf, errors.InvalidArgument,
                errors.NotImplemented, errors.NoModel, errors.RuntimeException)  # fmt: skip
    try:
        return runtime.InferenceSession(content, providers=[provider])
    except refusals as error:
        raise StorageError(f"{path}: no ONNX model that can be run: {error}") from error


def _contract(path: Path, session: Any) -> dict[str, Any]:
    said = session.get_modelmeta().custom_metadata_map.get(CONTRACT)
    try:
        contract: dict[str, Any] = json.loads(said or "")
        schema = contract["schema"]
        str(contract["contract"])
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"{path}: the model does not say what it is for; write it with export_onnx of "
            "robot_rl.policies.adapters.onnx_export"
        ) from error
    if schema != SCHEMA:
        raise StorageError(f"{path}: got schema {schema}, expected {SCHEMA}; export it anew")
    return contract


def _spec(path: Path, contract: dict[str, Any], content: bytes) -> PolicySpec:
    try:
        action = policy_files.action_spec(contract["action"])
        horizon = contract["horizon"]
        return PolicySpec(
            name="exported",
            fingerprint=hashlib.sha256(content).hexdigest(),
            observation=policy_files.observation_spec(contract["observation"]),
            action=action,
            horizon=horizon,
            execute=contract["execute"],
            noise=(horizon, action.size) if contract["steerable"] else None,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise StorageError(
            f"{path}: its contract cannot be read: {error}; export it anew"
        ) from error
