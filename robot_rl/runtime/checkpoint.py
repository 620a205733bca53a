"""Learner states on disk: safetensors and JSON, written so that the newest complete one loads.

Not here: what belongs into a checkpoint (the learner and the run say), and the replay buffer,
which is rebuilt from the episode store.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from robot_rl.core.errors import ContractError, StorageError
from robot_rl.data.disk.durable import Disk, read_tree, remove_leftovers

_LOG = logging.getLogger(__name__)
_SCHEMA = 1
_NAME = re.compile(r"step-(\d{6,})")
_TENSORS, _META, _MANIFEST = "tensors.safetensors", "meta.json", "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A complete checkpoint, checksums verified."""

    path: Path
    step: int
    tensors: dict[str, Tensor]
    meta: dict[str, Any]


def save_checkpoint(
    root: Path,
    step: int,
    tensors: Mapping[str, Tensor],
    meta: Mapping[str, Any],
    *,
    keep: int = 2,
    disk: Disk | None = None,
) -> Path:
    """Save a checkpoint as `root/step-000123` and delete all but the newest `keep`.

    It is there completely or not at all; the ones before it are deleted only afterwards.

    Args:
        root: directory of this run's checkpoints; one process writes.
        step: grows from one checkpoint to the next.
        tensors: by name (see `flatten`).
        meta: JSON values.
        keep: how many stay, at least 1.
        disk: what writes; tests hand in one that fails.

    Raises:
        ContractError: if `meta` is not made of JSON values, or `keep` or `step` is too low.
        StorageError: if a newer or equal checkpoint is there, or the disk is full or failed:
            the previous checkpoints are then untouched.
    """
    if keep < 1 or step < 0:
        raise ContractError(f"checkpoint: got keep {keep} and step {step}, expected >= 1 and >= 0")
    disk = disk or Disk()
    files = _files(step, tensors, meta)
    target = root / f"step-{step:06d}"
    try:
        disk.make_dirs(root)
        remove_leftovers(disk, root)
        _set_aside_damaged(disk, root, step)
        disk.publish_tree(target, files)
    except OSError as error:
        intact = ", ".join(path.name for path in _folders(root)) or "none"
        raise StorageError(
            f"checkpoint {target} was not saved: {error}; those before it are intact: {intact}. "
            "Free the disk and save again"
        ) from error
    _prune(disk, root, keep)
    return target


def latest_checkpoint(root: Path) -> Checkpoint | None:
    """Return the newest complete checkpoint whose checksums agree, or None.

    A damaged one is skipped with a warning.
    """
    for path in reversed(_folders(root)):
        try:
            return _load(path)
        except StorageError as error:
            _LOG.warning("skipping checkpoint: %s", error)
    return None


def flatten(state: Mapping[Any, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Take a nested state apart into tensors and the JSON tree that holds their places.

    Nodes may be tensors, None, bools, ints, floats, strings, lists, tuples and dicts with string
    or int keys. `unflatten` gives back the same, bit by bit (a NaN's payload excepted).

    Raises:
        ContractError: naming the place of anything else.
    """
    tensors: dict[str, Tensor] = {}
    return tensors, {"schema": _SCHEMA, "tree": _encode(state, "", tensors)}


def unflatten(tensors: Mapping[str, Tensor], tree: Mapping[str, Any]) -> dict[Any, Any]:
    """Put together what `flatten` took apart.

    Raises:
        StorageError: if the tree is of another schema or a tensor is missing.
    """
    if tree.get("schema") != _SCHEMA:
        raise StorageError(
            f"state tree has schema {tree.get('schema')!r}, this version reads {_SCHEMA}"
        )
    return _decode(tree["tree"], tensors)


def _files(step: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> dict[str, bytes]:
    # Cloned because safetensors refuses tensors that share memory, as tied weights do.
    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    try:
        files = {_TENSORS: safetensors.torch.save(own), _META: json.dumps(dict(meta)).encode()}
    except TypeError as error:
        raise ContractError(f"checkpoint meta: {error}; expected JSON values") from error
    listed = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    manifest = {"schema": _SCHEMA, "step": step, "sha256": listed}
    return {**files, _MANIFEST: json.dumps(manifest).encode()}


def _folders(root: Path) -> list[Path]:
    paths = [p for p in root.iterdir() if _NAME.fullmatch(p.name)] if root.is_dir() else []
    return sorted(paths, key=_step)


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _load(path: Path) -> Checkpoint:
    try:
        files = read_tree(path)
        manifest: dict[str, Any] = json.loads(files[_MANIFEST])
        if manifest["schema"] != _SCHEMA or manifest["step"] != _step(path):
            raise ValueError(f"schema {manifest['schema']}, step {manifest['step']}")
        for name in (_TENSORS, _META):
            if hashlib.sha256(files[name]).hexdigest() != manifest["sha256"][name]:
                raise ValueError(f"checksum of {name} differs")
        tensors = safetensors.torch.load(files[_TENSORS])
        meta: dict[str, Any] = json.loads(files[_META])
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise StorageError(f"{path} is damaged or incomplete: {error!r}") from error
    return Checkpoint(path=path, step=_step(path), tensors=tensors, meta=meta)


def _set_aside_damaged(disk: Disk, root: Path, step: int) -> None:
    """Let no damaged checkpoint stand in the way of, or be counted before, the one to come."""
    for path in (p for p in _folders(root) if _step(p) >= step):
        try:
            _load(path)
        except StorageError as error:
            aside = root / f"damaged-{path.name}"
            if aside.exists():
                disk.remove_tree(aside)
            disk.rename(path, aside)
            _LOG.warning("%s; moved to %s", error, aside)
        else:
            raise StorageError(
                f"{path} is there already, and step {step} is not newer; save to another "
                "directory, or remove it if that run is to be forgotten"
            )


def _prune(disk: Disk, root: Path, keep: int) -> None:
    for path in _folders(root)[:-keep]:
        try:
            disk.remove_tree(path)
        except OSError as error:
            _LOG.warning("old checkpoint %s could not be deleted: %s", path, error)


def _encode(node: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Encode one node; containers and what JSON cannot say are one-key objects, `{kind: body}`."""
    if isinstance(node, Tensor):
        name = path
        while name in tensors:
            name += "'"
        tensors[name] = node.detach()
        return {"tensor": name}
    if isinstance(node, float) and not math.isfinite(node):
        return {"float": str(node)}
    if node is None or type(node) in (bool, int, float, str):
        return node
    if isinstance(node, Mapping):
        return {"dict": _encode_items(node, path, tensors)}  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(node, (list, tuple)):
        parts = [_encode(item, _join(path, i), tensors) for i, item in enumerate(node)]  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]
        return {"tuple" if isinstance(node, tuple) else "list": parts}
    raise ContractError(
        f"state {path or 'root'}: got {type(node).__name__}, expected tensor, None, bool, int, "
        "float, str, list, tuple or dict"
    )


def _encode_items(node: Mapping[Any, Any], path: str, tensors: dict[str, Tensor]) -> list[Any]:
    for key in node:
        if type(key) not in (str, int):
            raise ContractError(f"state {path or 'root'}: key {key!r}, expected str or int")
    return [[key, _encode(value, _join(path, key), tensors)] for key, value in node.items()]


def _decode(node: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(node, dict):
        return node
    ((kind, body),) = node.items()  # pyright: ignore[reportUnknownVariableType]
    if kind == "tensor":
        if body not in tensors:
            raise StorageError(f"checkpoint has no tensor {body!r}")
        return tensors[body]
    if kind == "float":
        return float(body)
    if kind == "dict":
        return {key: _decode(value, tensors) for key, value in body}
    parts = [_decode(item, tensors) for item in body]
    return tuple(parts) if kind == "tuple" else parts


def _join(path: str, key: str | int) -> str:
    return f"{path}.{key}" if path else str(key)
