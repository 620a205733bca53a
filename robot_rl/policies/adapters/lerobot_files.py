"""The files of a LeRobot checkpoint: found, and vetted before anything of them is loaded.

lerobot's loaders do what the files say: they import whatever class a processor's file names, and
some policies run code from the hub. Here only what is on a list passes.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from robot_rl.core.errors import ConfigError, DependencyError, StorageError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
PROCESSORS = ("policy_preprocessor.json", "policy_postprocessor.json")
POLICIES = {"act": "", "diffusion": "diffusion", "smolvla": "smolvla", "pi0": "pi", "pi05": "pi"}
"""The policies that are loaded, and lerobot's extra that each needs."""
STEPS = {
    "absolute_actions_processor",
    "device_processor",
    "normalizer_processor",
    "pi05_prepare_state_tokenizer_processor_step",
    "pi0_new_line_processor",
    "relative_actions_processor",
    "rename_observations_processor",
    "smolvla_new_line_processor",
    "to_batch_processor",
    "tokenizer_processor",
    "unnormalizer_processor",
}
"""The processor steps that are loaded: numbers and text, no step that runs what it is told."""
_FILES = ("config.json", "model*.safetensors", "policy_p*processor*", "token*.json", "*.model")


def find(path: str, revision: str) -> Path:
    """Return the folder of a checkpoint, fetched from the hub if `path` is no folder.

    Raises:
        StorageError: if it is not there, or not all of it.
        DependencyError: if the hub's package is missing.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        folder = _fetch(path, revision)
    missing = [name for name in (CONFIG, WEIGHTS, *PROCESSORS) if not (folder / name).is_file()]
    if missing:
        raise StorageError(
            f"{folder}: no complete LeRobot checkpoint, {', '.join(missing)} missing; give the "
            "folder `pretrained_model` of a run; one from before lerobot 0.4 is first converted "
            "with lerobot.processor.migrate_policy_normalization"
        )
    return folder


def vet(folder: Path) -> str:
    """Return the kind of policy, having refused what is not on the lists.

    Raises:
        ConfigError: naming what is refused, and why.
        StorageError: if a file cannot be read.
    """
    config = read(folder / CONFIG)
    kind = config.get("type")
    if kind not in POLICIES:
        raise ConfigError(
            f"{folder}: policy type {kind!r} is not loaded; valid: {', '.join(POLICIES)}. Others "
            "run code from the hub or were not tried; serve them with lerobot and ask them from "
            "afar"
        )
    if config.get("use_peft"):
        raise ConfigError(f"{folder}: use_peft: only whole policies are loaded; merge it first")
    for name in (CONFIG, *PROCESSORS):
        _refuse_code(folder / name)
    for name in PROCESSORS:
        _check_steps(folder / name)
    return str(kind)


def fingerprint(folder: Path, backbone: str, settings: str) -> str:
    """Return the sha256 over the files of checkpoint and tokenizer, and over the settings."""
    digest = hashlib.sha256(settings.encode())
    folders = [folder, *([Path(backbone)] if backbone and Path(backbone).is_dir() else [])]
    for place in folders:
        for path in sorted({path for pattern in _FILES for path in place.glob(pattern)}):
            digest.update(path.name.encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _fetch(path: str, revision: str) -> Path:
    try:
        hub = importlib.import_module("huggingface_hub")
        errors = importlib.import_module("huggingface_hub.errors")
    except ImportError as error:
        raise DependencyError(
            f"{path}: no such folder, and the hub needs the package huggingface_hub; "
            "pip install 'robot_rl[lerobot]'"
        ) from error
    refusals = (OSError, ValueError, errors.HfHubHTTPError, errors.OfflineModeIsEnabled)
    try:
        patterns = ["*.json", "*.safetensors"]
        return Path(
            hub.snapshot_download(path, revision=revision or None, allow_patterns=patterns)
        )
    except refusals as error:
        raise StorageError(
            f"{path}: no such folder, and not to be had from the hub: {error}; fetch it on a "
            "machine with network and give its folder"
        ) from error


def read(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds.

    Raises:
        StorageError: if it cannot be read, or is no mapping.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise StorageError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise StorageError(f"{path}: got {type(content).__name__}, expected a mapping")
    return cast(dict[str, Any], content)


def _check_steps(path: Path) -> None:
    steps = read(path).get("steps")
    if not isinstance(steps, list):
        raise StorageError(f"{path}: got steps {steps!r}, expected a list")
    for step in cast(list[Any], steps):
        fields = cast(dict[str, Any], step) if isinstance(step, dict) else {"class": step}
        if "class" in fields or fields.get("registry_name") not in STEPS:
            raise ConfigError(
                f"{path}: step {fields.get('registry_name') or fields.get('class')!r} is not "
                f"loaded; valid: {', '.join(sorted(STEPS))}"
            )


def _refuse_code(path: Path) -> None:
    for key, value in _items(read(path)):
        if key == "auto_map" or (key.startswith("trust_remote") and value is not False):
            raise ConfigError(
                f"{path}: {key}: {value!r} would run code that comes with the files; it is never "
                "loaded"
            )


def _items(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in cast(dict[str, object], value).items():
            yield key, inner
            yield from _items(inner)
    elif isinstance(value, list):
        for inner in cast(list[object], value):
            yield from _items(inner)
