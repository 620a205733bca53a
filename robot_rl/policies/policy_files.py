"""How a policy lies on disk: weights in safetensors, all else in JSON. No code-bearing format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from robot_rl.core.errors import FingerprintError, StorageError
from robot_rl.core.spec import ActionSpec, ImageSpec, ObservationSpec, VectorSpec

WEIGHTS = "policy.safetensors"
DESCRIPTION = "policy.json"


def write(directory: Path, description: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Write both files into `directory`, making it if needed. The caller makes it atomic.

    Raises:
        StorageError: if the place cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        save_file({k: v.contiguous() for k, v in weights.items()}, directory / WEIGHTS)
        (directory / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n")
    except (OSError, SafetensorError) as error:
        raise StorageError(f"{directory}: the policy could not be written: {error}") from error


def read(directory: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return description and weights.

    Raises:
        StorageError: if a file is missing or unreadable.
    """
    try:
        description = json.loads((directory / DESCRIPTION).read_text())
        return description, load_file(directory / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise StorageError(
            f"{directory}: no readable policy ({DESCRIPTION} and {WEIGHTS}): {error}"
        ) from error


def to_plain(spec: ObservationSpec | ActionSpec) -> dict[str, Any]:
    """Return a spec as JSON values."""
    return asdict(spec)


def observation_spec(plain: Mapping[str, Any]) -> ObservationSpec:
    """Return the spec that `to_plain` was given."""
    return ObservationSpec(
        vectors={
            key: VectorSpec(names=tuple(v["names"]), unit=v["unit"], frame=v["frame"])
            for key, v in plain["vectors"].items()
        },
        images={key: ImageSpec(**image) for key, image in plain["images"].items()},
    )


def action_spec(plain: Mapping[str, Any]) -> ActionSpec:
    """Return the spec that `to_plain` was given."""
    return ActionSpec(
        kind=plain["kind"],
        names=tuple(plain["names"]),
        scale=tuple(plain["scale"]),
        period_s=plain["period_s"],
    )


def check_contract(directory: Path, got: str, expected: str | None) -> None:
    """Refuse a policy that is for another task.

    Raises:
        FingerprintError: if the contracts differ.
    """
    if expected is not None and got != expected:
        raise FingerprintError(
            f"{directory}: the policy is for contract {got}, expected {expected}; "
            "use a policy trained for this task, observation and action"
        )


def check_weights(directory: Path, own: Mapping[str, Tensor], read: Mapping[str, Tensor]) -> None:
    """Refuse weights of another network.

    Raises:
        FingerprintError: if names or shapes differ.
    """
    shapes = {name: list(tensor.shape) for name, tensor in own.items()}
    if shapes != {name: list(tensor.shape) for name, tensor in read.items()}:
        raise FingerprintError(
            f"{directory}: {WEIGHTS} does not hold the network that {DESCRIPTION} describes; "
            "restore both files from one save"
        )


def check_fingerprint(directory: Path, got: str, expected: str) -> None:
    """Refuse files that were changed after saving.

    Raises:
        FingerprintError: if the fingerprints differ.
    """
    if got != expected:
        raise FingerprintError(
            f"{directory}: the policy has fingerprint {got[:16]}, saved was {expected[:16]}; "
            "restore both files from one save"
        )
