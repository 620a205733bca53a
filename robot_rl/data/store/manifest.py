"""What a store holds, as told by the lines of its journal. No files here: see `journal`."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import msgspec
import numpy as np

from robot_rl.core.episode import Episode
from robot_rl.core.errors import StorageError, did_you_mean
from robot_rl.core.types import Outcome, Source
from robot_rl.data.store.layout import is_episode_id, is_label_name

Record = dict[str, Any]
"""The fields of a line, JSON values; `kind` says which there are."""


def deleted_record(episode_id: str) -> Record:
    """Return the fields of the line that deletes an episode."""
    return {"kind": "deleted", "id": episode_id}


def undone_record(line: int) -> Record:
    """Return the fields of the line that undoes another."""
    return {"kind": "undone", "undoes": line}


def purged_record(ids: Sequence[str]) -> Record:
    """Return the fields of the line after which episodes are gone for good."""
    return {"kind": "purged", "ids": list(ids)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One saved episode: what a list of episodes shows, and the digest of its file.

    Args:
        id: the episode's.
        steps, bytes: its number of steps, the size of its file.
        sha256: of the file, hex.
        outcome: as recorded.
        human_steps: steps that a person drove, correcting or demonstrating.
        interventions: how often a person took over.
        interrupted: recovered from the log of a recording that nobody finished.
        created_unix_s: wall time, a label only.
    """

    id: str
    steps: int
    bytes: int
    sha256: str
    outcome: Outcome
    human_steps: int
    interventions: int
    interrupted: bool
    created_unix_s: float

    @classmethod
    def of(cls, episode: Episode, size: int, sha256: str) -> Entry:
        """Make the entry of an episode, given the size and digest of its file."""
        return cls(
            id=episode.episode_id,
            steps=len(episode),
            bytes=size,
            sha256=sha256,
            outcome=episode.outcome,
            human_steps=int(np.isin(episode.source, (Source.HUMAN, Source.DEMO)).sum()),
            interventions=int(episode.intervention_start.sum()),
            interrupted=episode.metadata.interrupted,
            created_unix_s=float(episode.metadata.created_unix_s),
        )

    def to_record(self) -> Record:
        """Return the fields of its line."""
        return {"kind": "saved", **asdict(self), "outcome": self.outcome.name}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelEntry:
    """One version of a label of an episode: where its file is, and the file's digest."""

    id: str
    name: str
    version: int
    bytes: int
    sha256: str

    def to_record(self) -> Record:
        """Return the fields of its line."""
        return {"kind": "label", **asdict(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A delete or a label that can be undone."""

    line: int
    id: str
    label: LabelEntry | None = None

    def __str__(self) -> str:
        if self.label is None:
            return f"delete of {self.id}"
        return f"label {self.label.name!r} version {self.label.version} of {self.id}"


class Manifest:
    """What is saved, deleted, labelled and purged after so many lines.

    Args:
        title: names the store in messages.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.entries: dict[str, Entry] = {}
        """Saved and not purged, deleted ones too, in the order in which they were saved."""
        self.purged: set[str] = set()
        self._operations: dict[int, Operation] = {}
        self._deleted: dict[str, int] = {}
        self._labels: dict[str, dict[int, LabelEntry]] = {}
        self._versions: dict[tuple[str, str], set[int]] = {}
        self._some_undone = False

    def apply(self, line: int, record: Mapping[str, Any]) -> None:
        """Take in one line after the header.

        Raises:
            StorageError: if it does not follow from those before it; nothing is taken in then.
        """
        try:
            self._apply(line, record)
        except (KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
            raise StorageError(
                f"{self.title}, line {line}: not understood: {error!r}; if a newer version of "
                f"robot_rl wrote it, update; otherwise: robot-rl data doctor {self.title}"
            ) from error

    def ids(self) -> list[str]:
        """Saved and not deleted, in the order in which they were saved."""
        return [episode_id for episode_id in self.entries if episode_id not in self._deleted]

    def deleted(self) -> list[str]:
        """Deleted and not purged, in the order in which they were deleted."""
        return list(self._deleted)

    def is_deleted(self, episode_id: str) -> bool:
        """Whether an episode is deleted and not purged."""
        return episode_id in self._deleted

    def is_known(self, episode_id: str) -> bool:
        """Whether an episode of this id has ever been saved."""
        return episode_id in self.entries or episode_id in self.purged

    def entry(self, episode_id: str) -> Entry:
        """Return the entry of a saved or deleted episode.

        Raises:
            StorageError: if there is none; the message says whether it was purged, else which
                id is near.
        """
        if episode_id in self.purged:
            raise StorageError(
                f"episode {episode_id!r} was purged from {self.title}: it is gone for good"
            )
        if episode_id not in self.entries:
            near = did_you_mean(episode_id, self._nearby(episode_id))
            raise StorageError(f"no episode {episode_id!r} in {self.title}{near}")
        return self.entries[episode_id]

    def live(self, episode_id: str) -> Entry:
        """Return the entry of an episode that is not deleted.

        Raises:
            StorageError: as `entry`; if it is deleted, the message says how to bring it back.
        """
        entry = self.entry(episode_id)
        if self.is_deleted(episode_id):
            raise StorageError(
                f"episode {episode_id!r} in {self.title} is deleted; bring it back: robot-rl data "
                f"undo {self.title} {episode_id}"
            )
        return entry

    def all_labels(self) -> Iterator[LabelEntry]:
        """Every label that is not undone, of deleted episodes too."""
        return (label for labels in self._labels.values() for label in labels.values())

    def labels(self, episode_id: str) -> dict[str, dict[int, LabelEntry]]:
        """The labels of an episode by name and version, versions ascending."""
        found: dict[str, dict[int, LabelEntry]] = {}
        for label in self._labels.get(episode_id, {}).values():
            found.setdefault(label.name, {})[label.version] = label
        return found

    def next_version(self, episode_id: str, name: str) -> int:
        """The number that the next label of this name gets; undone ones keep theirs."""
        return max(self._versions.get((episode_id, name), {0})) + 1

    def is_known_label(self, episode_id: str, name: str, version: int) -> bool:
        """Whether there has ever been such a label, undone ones too."""
        return version in self._versions.get((episode_id, name), ())

    def newest(self, episode_id: str | None = None) -> Operation:
        """Return the operation that an undo takes back.

        Raises:
            StorageError: if there is none.
        """
        if episode_id is not None:
            self.entry(episode_id)
        for operation in reversed(self._operations.values()):
            if episode_id in (None, operation.id):
                return operation
        of = f" of episode {episode_id!r}" if episode_id else ""
        undone = "; all that was done is undone already" if self._some_undone else ""
        raise StorageError(f"{self.title}: no delete or label{of} to undo{undone}")

    def line_of(self, label: LabelEntry) -> int:
        """Return the line on which a label stands that is not undone."""
        return next(line for line, other in self._labels[label.id].items() if other == label)

    def _apply(self, line: int, record: Mapping[str, Any]) -> None:
        rest: Record = {k: v for k, v in record.items() if k not in ("kind", "line")}
        match record["kind"]:
            case "saved":
                outcome = Outcome[rest.pop("outcome")]
                entry = _typed({**rest, "outcome": int(outcome)}, Entry)
                self._save(entry)
            case "deleted":
                self._delete(line, record["id"])
            case "label":
                self._label(line, _typed(rest, LabelEntry))
            case "undone":
                self._undo(self._operations[record["undoes"]])
            case "purged":
                self._purge(msgspec.convert(record["ids"], type=list[str]))
            case kind:
                raise ValueError(f"kind {kind!r}")

    def _save(self, entry: Entry) -> None:
        if self.is_known(entry.id) or not is_episode_id(entry.id):
            raise ValueError(f"{entry.id!r} is saved already, or no id")
        if entry.steps < 1 or entry.bytes < 0:
            raise ValueError(f"{entry.steps} steps, {entry.bytes} bytes")
        self.entries[entry.id] = entry

    def _delete(self, line: int, episode_id: str) -> None:
        if self.is_deleted(episode_id):
            raise ValueError(f"{episode_id!r} is deleted already")
        self._deleted[self._saved(episode_id)] = line
        self._operations[line] = Operation(line=line, id=episode_id)

    def _label(self, line: int, label: LabelEntry) -> None:
        if not is_label_name(label.name) or label.version < 1:
            raise ValueError(f"{label.name!r}, version {label.version}")
        self._labels.setdefault(self._saved(label.id), {})[line] = label
        self._operations[line] = Operation(line=line, id=label.id, label=label)
        self._versions.setdefault((label.id, label.name), set()).add(label.version)

    def _undo(self, operation: Operation) -> None:
        del self._operations[operation.line]
        if operation.label is None:
            del self._deleted[operation.id]
        else:
            del self._labels[operation.id][operation.line]
        self._some_undone = True

    def _saved(self, episode_id: str) -> str:
        if episode_id not in self.entries:
            raise ValueError(f"{episode_id!r} is not saved")
        return episode_id

    def _purge(self, ids: list[str]) -> None:
        if not all(map(is_episode_id, ids)):
            raise ValueError(f"{ids} are no ids")
        for episode_id in ids:
            self.entries.pop(episode_id, None)
            self._deleted.pop(episode_id, None)
            self._labels.pop(episode_id, None)
            self.purged.add(episode_id)
        self._operations = {n: o for n, o in self._operations.items() if o.id not in ids}

    def _nearby(self, episode_id: str) -> list[str]:
        """Ids to compare with: a list of them all is no help where there are thousands."""
        if len(self.entries) <= 20:
            return list(self.entries)
        return difflib.get_close_matches(episode_id, self.entries, n=1)


def _typed[T: (Entry, LabelEntry)](record: Record, kind: type[T]) -> T:
    """Make an entry of the fields of a line; those of other types or names are none."""
    if record.keys() != {field.name for field in fields(kind)}:
        raise ValueError(f"fields {sorted(record)}")
    return msgspec.convert(record, type=kind)
