"""Keeps what is left of damaged episodes and labels. Nothing is physically removed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from robot_rl.core.episode import Episode
from robot_rl.core.errors import StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.data.store.format.episode_zarr import decode_prefix, episode_members
from robot_rl.data.store.format.episode_zip import Archive, sound_members
from robot_rl.data.store.format.stored_file import digest_of
from robot_rl.data.store.label import Label
from robot_rl.data.store.layout import unused
from robot_rl.data.store.manifest import Entry, LabelEntry, undone_record
from robot_rl.data.store.repair.inspection import episode_problem, label_problem

_LONGEST_KEPT_ID = 180
"""Characters of an id that are kept, so that its repaired one is not too long."""


class SalvageStore(EpisodeStore):
    """A store that replaces what is damaged in it. Killed anywhere, it may be done again."""

    def salvage(self) -> list[str]:
        """Replace damaged episodes and labels; return what was done.

        Raises:
            StorageError: if the disk is full or failed.
        """
        try:
            done = [s for label in self._damaged_labels() for s in self._hide_label(label)]
            for episode_id in self.deleted():
                if self._problem(episode_id) and self._layout.episode(episode_id).exists():
                    kept = self._move_aside(self._layout.episode(episode_id))
                    done.append(f"{episode_id}, which is deleted, is damaged: kept as {kept}")
            for episode_id in self.ids():
                if self._problem(episode_id):
                    done += self._salvage_episode(self.entry(episode_id))
        except OSError as error:
            raise StorageError(f"{self.path}: the repair has ended: {error}") from error
        return done

    def _problem(self, episode_id: str) -> str:
        entry = self.entry(episode_id)
        return episode_problem(self._layout.episode(episode_id), entry, self.spec)

    def _salvage_episode(self, entry: Entry) -> list[str]:
        path = self._layout.episode(entry.id)
        if not path.exists():
            self.delete(entry.id)
            return [
                f"{entry.id}: its file is missing; listed as deleted. Once {path} is back from a "
                f"copy: robot-rl data undo {self.path} {entry.id}"
            ]
        part = _sound_part(path, entry.id, self.spec)
        if part is None:
            said = f"{entry.id} is damaged: not one step is whole"
        else:
            said = (
                f"{entry.id} is damaged: {len(part)} of {entry.steps} steps are whole, saved as "
                f"{self._save_part(entry, part)}"
            )
        self.delete(entry.id)
        return [f"{said}; the damaged file is kept as {self._move_aside(path)}"]

    def _save_part(self, entry: Entry, part: Episode) -> str:
        stem = f"{entry.id[:_LONGEST_KEPT_ID]}-repaired"
        name, number = stem, 1
        while self._manifest.is_known(name) and not self._is_saved(part, name):
            number += 1
            name = f"{stem}-{number}"
        if not self._manifest.is_known(name):
            self.append(dataclasses.replace(part, episode_id=name))
        for label in self._labels_of(entry, len(part)):
            if label.name not in self.labels(name):
                self.add_label(name, label)
        return name

    def _is_saved(self, part: Episode, name: str) -> bool:
        """Whether a repair that was killed has saved the part under this name already."""
        named = dataclasses.replace(part, episode_id=name)
        digest = digest_of(episode_members(named, self.spec))[1]
        saved = self._manifest.entries.get(name)
        if saved is None or self._manifest.is_deleted(name):
            return False
        return saved.sha256 == digest

    def _labels_of(self, entry: Entry, steps: int) -> list[Label]:
        """The newest of each label, cut to so many steps; one value for all only fits all."""
        labels = [self.label(entry.id, name) for name in self.labels(entry.id)]
        if steps == entry.steps:
            return labels
        over = {entry.steps: steps, entry.steps + 1: steps + 1}
        cut = [label for label in labels if len(label.values) > 1]
        return [
            dataclasses.replace(label, values=label.values[: over[len(label.values)]])
            for label in cut
        ]

    def _damaged_labels(self) -> list[LabelEntry]:
        return [
            label
            for label in self._manifest.all_labels()
            if label_problem(self._label_file(label), label, self.entry(label.id).steps)
        ]

    def _hide_label(self, label: LabelEntry) -> list[str]:
        self._write(undone_record(self._manifest.line_of(label)))
        path = self._label_file(label)
        said = f"label {label.name!r} version {label.version} of {label.id} is"
        if not path.exists():
            return [f"{said} missing: no longer listed"]
        kept = self._move_aside(path, f"{label.id}.{path.name}")
        return [f"{said} damaged: no longer listed, kept as {kept}"]

    def _label_file(self, label: LabelEntry) -> Path:
        return self._layout.label(label.id, label.name, label.version)

    def _move_aside(self, path: Path, name: str = "") -> str:
        self._disk.make_dirs(self._layout.damaged)
        target = unused(self._layout.damaged, name or path.name)
        self._disk.rename(path, target)
        self._disk.sync_dir(target.parent)
        self._disk.sync_dir(path.parent)
        return str(target.relative_to(self.path))


def _sound_part(path: Path, episode_id: str, spec: RecordingSpec) -> Episode | None:
    with path.open("rb") as file:
        part = decode_prefix(Archive(file, sound_members(file, str(path)), str(path)), spec)
    # A file that somebody has put in this one's place is whole, but another.
    return part if part is not None and part.episode_id == episode_id else None
