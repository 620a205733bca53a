"""An `Episode` as the files of one zarr 3 group, and back. `episode_store` keeps the files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from robot_rl.core.episode import OBSERVATION_COLUMNS, STEP_COLUMNS, Episode, EpisodeMetadata
from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.spec import ObservationSpec
from robot_rl.core.types import Outcome
from robot_rl.data.store.zarr_columns import (
    decode_attributes,
    decode_column,
    encode_column,
    encode_group,
)

SCHEMA = 1
"""Version of the layout below; a reader refuses any other."""
IMAGE_ROWS = 32
"""Frames in one chunk of an image column."""
COLUMN_UNITS = {
    "stamps_ns": "ns",
    "ages_s": "s",
    "inference_s": "s",
    "lateness_s": "s",
    "action": "normalised",
    "base_action": "normalised",
    "proposed_action": "normalised",
}


def encode_episode(
    episode: Episode, observation: ObservationSpec | None = None
) -> dict[str, bytes]:
    """Return the files of the group: one array a column, attributes for the rest.

    Args:
        episode: what to write.
        observation: gives the vectors' units, frames and element names to their attributes.

    Raises:
        ContractError: if a vector or image has the name of a column.
    """
    columns: dict[str, Any] = {
        name: getattr(episode, name) for name in (*STEP_COLUMNS, *OBSERVATION_COLUMNS)
    }
    for key in (*episode.vectors, *episode.images):
        if key in columns or "/" in key or key.startswith("."):
            raise ContractError(f"{key!r} cannot name a column: it is taken or not a file name")
    files = encode_group(_attributes(episode))
    for name, column in columns.items():
        attributes = {"unit": COLUMN_UNITS[name]} if name in COLUMN_UNITS else {}
        files |= encode_column(name, column, attributes, len(column))
    for key, column in episode.vectors.items():
        files |= encode_column(key, column, _vector_attributes(key, observation), len(column))
    for key, column in episode.images.items():
        files |= encode_column(key, column, {"layout": "t h w rgb"}, IMAGE_ROWS)
    return files


def decode_episode(files: Mapping[str, bytes]) -> Episode:
    """Turn the files of a group back into the episode.

    Raises:
        StorageError: if the layout is of another version, or attributes or columns are missing.
        ContractError: if the columns disagree in length.
    """
    attributes = decode_attributes(files)
    if attributes.get("schema") != SCHEMA:
        raise StorageError(
            f"episode has schema {attributes.get('schema')!r}, this version reads {SCHEMA}"
        )
    columns = {name: decode_column(name, files) for name in (*STEP_COLUMNS, *OBSERVATION_COLUMNS)}
    try:
        return Episode(
            episode_id=attributes["episode_id"],
            metadata=EpisodeMetadata(**attributes["metadata"]),
            outcome=Outcome[attributes["outcome"]],
            terminated=attributes["terminated"],
            truncated=attributes["truncated"],
            vectors={key: decode_column(key, files) for key in attributes["vectors"]},
            images={key: decode_column(key, files) for key in attributes["images"]},
            **columns,
        )
    except (KeyError, TypeError) as error:
        raise StorageError(f"episode attributes are incomplete: {error}") from error


def _attributes(episode: Episode) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "episode_id": episode.episode_id,
        "steps": len(episode),
        "outcome": episode.outcome.name,
        "terminated": bool(episode.terminated),
        "truncated": bool(episode.truncated),
        "vectors": list(episode.vectors),
        "images": list(episode.images),
        "metadata": dataclasses.asdict(episode.metadata),
    }


def _vector_attributes(key: str, observation: ObservationSpec | None) -> dict[str, Any]:
    if observation is None or key not in observation.vectors:
        return {}
    spec = observation.vectors[key]
    return {"unit": spec.unit, "frame": spec.frame, "names": list(spec.names)}
