"""An `Episode` as the members of one zarr 3 group, and back. What holds them is not known here."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Any

from numpy.typing import NDArray

from robot_rl.core.episode import OBSERVATION_COLUMNS, STEP_COLUMNS, Episode
from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.types import GateReason, Outcome, Source
from robot_rl.data.store.format.episode_attributes import attributes_of, decode_facts
from robot_rl.data.store.format.episode_zip import Archive
from robot_rl.data.store.format.zarr_columns import (
    ATTRIBUTES,
    Column,
    check_column,
    decode_column,
    decode_leading_rows,
    encode_column,
    encode_group,
)

IMAGE_ROWS = 32
"""Frames in one chunk of an image column."""
ACTION_COLUMNS = ("action", "base_action", "proposed_action")
COLUMN_UNITS = {"stamps_ns": "ns", "ages_s": "s", "inference_s": "s", "lateness_s": "s"}
COLUMN_VALUES: Mapping[str, type[IntEnum]] = {"source": Source, "gate_reason": GateReason}
COLUMN_DTYPES = {
    "stamps_ns": "int64",
    "policy_version": "int64",
    "source": "uint8",
    "gate_reason": "uint8",
    "intervention_start": "bool",
}
"""Those that are not float32."""
LATENT = "latent"
"""The column float32[T, k] that an episode has only where k > 0."""


def columns_of(spec: RecordingSpec, steps: int, latent_size: int = 0) -> list[Column]:
    """Return the columns of an episode of so many steps, in their order: images last."""
    observation, instants = spec.task.observation, steps + 1
    columns = [_column(name, spec, steps) for name in STEP_COLUMNS]
    if latent_size:
        shape = (steps, latent_size)
        columns.append(Column(name=LATENT, dtype="float32", shape=shape, rows=steps))
    columns += [_column(name, spec, instants) for name in OBSERVATION_COLUMNS]
    for key, vector in observation.vectors.items():
        attributes = {"unit": vector.unit, "frame": vector.frame, "names": list(vector.names)}
        shape = (instants, vector.size)
        columns.append(
            Column(name=key, dtype="float32", shape=shape, rows=instants, attributes=attributes)
        )
    for key, image in observation.images.items():
        attributes = {"layout": "t h w rgb"}
        shape = (instants, image.height, image.width, 3)
        columns.append(
            Column(name=key, dtype="uint8", shape=shape, rows=IMAGE_ROWS, attributes=attributes)
        )
    return columns


def member_names(spec: RecordingSpec, steps: int, latent_size: int = 0) -> list[str]:
    """Return the names of the members that an episode of so many steps has, in their order."""
    columns = columns_of(spec, steps, latent_size)
    return [ATTRIBUTES, *(name for column in columns for name in column.members())]


def check_episode(episode: Episode, spec: RecordingSpec) -> None:
    """Refuse an episode whose columns are not those of the spec.

    Raises:
        ContractError: naming column, got and expected.
    """
    title = f"episode {episode.episode_id!r}"
    keys = [*spec.task.observation.vectors, *spec.task.observation.images]
    taken = (*STEP_COLUMNS, LATENT, *OBSERVATION_COLUMNS)
    for key in keys:
        if key in taken or "/" in key or key.startswith("."):
            raise ContractError(f"{key!r} cannot name a column: it is taken or not a file name")
    got = {*episode.vectors, *episode.images}
    if got != {*keys}:
        raise ContractError(f"{title} has {sorted(got)}, its spec {sorted(keys)}")
    for column in _columns_of(episode, spec):
        array = _array(episode, column.name)
        if array.shape != column.shape or array.dtype.name != column.dtype:
            raise ContractError(
                f"{title}, column {column.name!r}: got {array.dtype}{list(array.shape)}, "
                f"expected {column.dtype}{list(column.shape)}"
            )


def episode_members(episode: Episode, spec: RecordingSpec) -> Iterator[tuple[str, bytes]]:
    """Yield the members of the group: its attributes, the small columns, then the images.

    The episode is one that `check_episode` lets pass.

    Raises:
        ContractError: if the metadata are not JSON values.
    """
    yield encode_group(attributes_of(episode, spec))
    for column in _columns_of(episode, spec):
        yield from encode_column(column, _array(episode, column.name))


def check_members(archive: Archive, spec: RecordingSpec) -> tuple[str, int]:
    """Refuse a file that holds no episode of the spec, reading nothing of its columns.

    Returns the id and the number of steps that it tells.

    Raises:
        StorageError: if the layout is of another version, or attributes or columns are missing or
            not what they are to be.
    """
    _, told = decode_facts(archive, spec)
    for column in columns_of(spec, told.steps, told.latent_size):
        check_column(column, archive)
    return told.episode_id, told.steps


def decode_episode(archive: Archive, spec: RecordingSpec) -> Episode:
    """Turn the members of a group back into the episode.

    Raises:
        StorageError: as `check_members`, or if a latent is not finite.
    """
    facts, told = decode_facts(archive, spec)
    columns = columns_of(spec, told.steps, told.latent_size)
    arrays = {column.name: decode_column(column, archive) for column in columns}
    try:
        return _episode(facts, spec, arrays)
    except ContractError as error:
        raise StorageError(f"{archive.title} holds no episode: {error}") from error


def decode_prefix(archive: Archive, spec: RecordingSpec) -> Episode | None:
    """Return as many steps as `archive`, whose damaged members are left out, has whole.

    Cut short, the episode is truncated with unknown outcome; whole, it is as it was. None if not
    even one step, or not what must be known of the episode, is left.
    """
    images = spec.task.observation.images
    try:
        facts, told = decode_facts(archive, spec)
        arrays = {
            c.name: (decode_leading_rows if c.name in images else decode_column)(c, archive)
            for c in columns_of(spec, told.steps, told.latent_size)
        }
    except StorageError:
        return None
    left = min([told.steps, *(len(arrays[key]) - 1 for key in images)])
    if left < 1:
        return None
    if left < told.steps:
        cut = dataclasses.replace(facts["metadata"], interrupted=True)
        facts |= {"metadata": cut, "outcome": Outcome.UNKNOWN}
        facts |= {"terminated": False, "truncated": True}
    over_steps = (*STEP_COLUMNS, LATENT)
    kept = {k: array[: left if k in over_steps else left + 1] for k, array in arrays.items()}
    try:
        return _episode(facts, spec, kept)
    except ContractError:
        return None


def _columns_of(episode: Episode, spec: RecordingSpec) -> list[Column]:
    return columns_of(spec, len(episode), episode.latent.shape[1])


def _column(name: str, spec: RecordingSpec, rows: int) -> Column:
    attributes: dict[str, Any] = {}
    if name in COLUMN_VALUES:
        attributes["values"] = {member.name: member.value for member in COLUMN_VALUES[name]}
    elif name in ACTION_COLUMNS:
        attributes |= {"unit": "normalised", "names": list(spec.task.action.names)}
    elif name in COLUMN_UNITS:
        attributes["unit"] = COLUMN_UNITS[name]
    return Column(
        name=name,
        dtype=COLUMN_DTYPES.get(name, "float32"),
        shape=(rows, spec.task.action.size) if name in ACTION_COLUMNS else (rows,),
        rows=rows,
        attributes=attributes,
    )


def _array(episode: Episode, name: str) -> NDArray[Any]:
    if name in episode.vectors:
        return episode.vectors[name]
    return episode.images[name] if name in episode.images else getattr(episode, name)


def _episode(
    facts: Mapping[str, Any], spec: RecordingSpec, arrays: Mapping[str, NDArray[Any]]
) -> Episode:
    vectors, images = spec.task.observation.vectors, spec.task.observation.images
    own = {k: array for k, array in arrays.items() if k not in vectors and k not in images}
    return Episode(
        vectors={key: arrays[key] for key in vectors},
        images={key: arrays[key] for key in images},
        **own,
        **facts,
    )
