"""What the attributes of an episode's group tell: its spec, its size and all that is no column."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec

from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.types import Outcome
from robot_rl.data.store.format.episode_zip import Archive
from robot_rl.data.store.format.zarr_columns import decode_attributes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a file says of its episode; `latent_size` is left out where it is 0."""

    episode_id: str
    steps: int
    terminated: bool
    truncated: bool
    latent_size: int = 0


def attributes_of(episode: Episode, spec: RecordingSpec) -> dict[str, Any]:
    """Return the attributes of an episode's group."""
    names = [field.name for field in dataclasses.fields(EpisodeMetadata)]
    metadata = {name: getattr(episode.metadata, name) for name in names}
    latent = {"latent_size": size} if (size := episode.latent.shape[1]) else {}
    return {
        "spec": spec.to_json(),
        "episode_id": episode.episode_id,
        "steps": len(episode),
        **latent,
        "outcome": episode.outcome.name,
        "terminated": bool(episode.terminated),
        "truncated": bool(episode.truncated),
        "metadata": {**metadata, "limits": dict(episode.metadata.limits)},
    }


def decode_spec(archive: Archive) -> RecordingSpec:
    """Return the spec under which the episode in a file was recorded.

    Raises:
        StorageError: if there is none, or the layout is of another version.
    """
    try:
        return RecordingSpec.from_json(decode_attributes(archive)["spec"])
    except (KeyError, ContractError) as error:
        raise StorageError(f"{archive.title} has no spec: {error}") from error


def latent_size(archive: Archive) -> int:
    """Return the size of the latent of the episode in a file; 0 where it tells of none.

    Raises:
        StorageError: if the layout is of another version, or the attributes are not whole.
    """
    return _told(archive).latent_size


def decode_facts(archive: Archive, spec: RecordingSpec) -> tuple[dict[str, Any], Told]:
    """Return the fields of an episode that are not columns, and how large the columns are.

    Raises:
        StorageError: if the layout is of another version, the attributes are not whole, or the
            episode is of another spec.
    """
    differences = decode_spec(archive).differences(spec)
    if differences:
        raise StorageError(f"{archive.title} is of another recording: {'; '.join(differences)}")
    told, attributes = _told(archive), decode_attributes(archive)
    try:
        facts = {
            "episode_id": told.episode_id,
            "metadata": msgspec.convert(attributes["metadata"], type=EpisodeMetadata),
            "outcome": Outcome[attributes["outcome"]],
            "terminated": told.terminated,
            "truncated": told.truncated,
        }
    except (KeyError, TypeError, msgspec.ValidationError) as error:
        raise _not_whole(archive, error) from error
    return facts, told


def _told(archive: Archive) -> Told:
    try:
        told = msgspec.convert(decode_attributes(archive), type=Told)
    except msgspec.ValidationError as error:
        raise _not_whole(archive, error) from error
    if told.steps < 1 or told.latent_size < 0:
        raise StorageError(
            f"{archive.title}: got {told.steps} steps with latents of size {told.latent_size}, "
            "expected at least 1 and at least 0"
        )
    return told


def _not_whole(archive: Archive, error: Exception) -> StorageError:
    return StorageError(f"{archive.title}: its attributes are not whole: {error!r}")
