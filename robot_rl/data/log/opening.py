"""What a log says before its first step, with a checksum: MCAP's own do not cover it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast, get_args

from robot_rl.core.episode import EpisodeMetadata
from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.types import Outcome
from robot_rl.data.log.image_channels import ImageCoding

RECORD_NAME = "robot_rl.episode"
"""Name of the MCAP metadata record that holds it."""
SCHEMA_VERSION = "1"
"""Of topics and messages; a reader refuses any other."""

_LAST_NS = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Which episode follows, under which spec, with images coded how.

    Args:
        outcome: of an episode that was over when it was written; UNKNOWN of one that runs.
    """

    episode_id: str
    spec: RecordingSpec
    metadata: EpisodeMetadata
    images: ImageCoding
    outcome: Outcome = Outcome.UNKNOWN

    def to_record(self) -> dict[str, str]:
        """Return the strings of the metadata record.

        Raises:
            ContractError: if the metadata holds what JSON cannot.
        """
        try:
            metadata = json.dumps(asdict(self.metadata))
        except (TypeError, ValueError) as error:
            raise ContractError(
                f"episode {self.episode_id}: its metadata are no JSON values: {error}"
            ) from error
        record = {
            "schema_version": SCHEMA_VERSION,
            "episode_id": self.episode_id,
            "images": self.images,
            "outcome": self.outcome.name,
            "spec": json.dumps(self.spec.to_json()),
            "metadata": metadata,
        }
        return record | {"sha256": _digest(record)}

    @classmethod
    def from_record(cls, record: Mapping[str, str]) -> Opening:
        """Read what `to_record` returned.

        Raises:
            StorageError: if it is damaged, or of another version of robot_rl.
        """
        content = {key: value for key, value in record.items() if key != "sha256"}
        if record.get("sha256") != _digest(content):
            raise StorageError("its opening record is damaged")
        if content["schema_version"] != SCHEMA_VERSION:
            raise StorageError(
                f"it has schema version {content['schema_version']}, expected {SCHEMA_VERSION}; "
                "read it with the version of robot_rl that wrote it"
            )
        try:
            return cls(
                episode_id=content["episode_id"],
                spec=RecordingSpec.from_json(json.loads(content["spec"])),
                metadata=_metadata(json.loads(content["metadata"])),
                images=_image_coding(content["images"]),
                outcome=Outcome[content["outcome"]],
            )
        except (KeyError, TypeError, ValueError, ContractError) as error:
            raise StorageError(f"its opening record is of another kind: {error!r}") from error


@dataclass(frozen=True, slots=True)
class WallClock:
    """Wall time of monotonic stamps: that of `metadata.created_unix_s` at the first one."""

    created_unix_s: float
    first_stamp_ns: int

    def at(self, stamp_ns: int) -> int:
        """Return wall time [ns since 1970], held within what MCAP can say."""
        created_s = self.created_unix_s if math.isfinite(self.created_unix_s) else 0.0
        created_ns = int(min(max(created_s * 1e9, 0.0), _LAST_NS))
        unix_ns = created_ns + stamp_ns - self.first_stamp_ns
        return min(max(unix_ns, 0), _LAST_NS)


def _digest(record: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _metadata(values: Mapping[str, Any]) -> EpisodeMetadata:
    return EpisodeMetadata(**values)


def _image_coding(name: str) -> ImageCoding:
    if name not in get_args(ImageCoding):
        raise ValueError(f"unknown image coding {name!r}")
    return cast(ImageCoding, name)
