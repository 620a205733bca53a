"""The recorded episodes as a person sees them: a list, and what they add up to."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from robot_rl.core.errors import RobotRlError
from robot_rl.core.types import Outcome
from robot_rl.data.labelling import SUCCESS
from robot_rl.data.store.episode_reader import EpisodeReader, outcome_value
from robot_rl.data.store.journal import Journal
from robot_rl.data.store.label import Label
from robot_rl.data.store.manifest import Entry
from robot_rl.data.store.recording import expected_bytes
from robot_rl.session.view import DataView, EpisodeRow

NOTE = "note"
"""Name of the label with what a person wrote down, as the parameter `text`."""

_OUTCOMES: Mapping[Outcome, Literal["unknown", "success", "failure"]] = {
    Outcome.UNKNOWN: "unknown",
    Outcome.SUCCESS: "success",
    Outcome.FAILURE: "failure",
}
_LOG = logging.getLogger(__name__)


class Listing:
    """Lists a store; what has not changed since the last time is not looked at again.

    Args:
        reader: of the store, or who writes it; up to date when asked.
    """

    def __init__(self, reader: EpisodeReader) -> None:
        self._reader = reader
        self._journal = Journal(reader.path)
        self._known_lines = 0
        self._rows: tuple[EpisodeRow, ...] = ()
        self._labels: dict[tuple[str, str, int], Label | None] = {}
        self._mean_bytes = 0

    def rows(self, most: int = 50) -> tuple[EpisodeRow, ...]:
        """Return the newest `most` episodes, newest first, discarded ones too.

        Raises:
            StorageError: if the store is gone or its manifest is damaged.
        """
        self._refresh()
        return self._rows[:most]

    def data(self, folder: Path, target: int) -> DataView:
        """Return what the episodes that are not discarded add up to.

        Args:
            folder: where they are; its disk is what may be full.
            target: episodes wanted, 0 for no target.

        Raises:
            StorageError: as `rows`.
        """
        self._refresh()
        kept = [row for row in self._rows if not row.discarded]
        good = [row for row in kept if row.outcome == "success"]
        entries = self._journal.manifest.entries
        free = shutil.disk_usage(folder).free
        return DataView(
            folder=str(folder),
            episodes=len(kept),
            discarded=len(self._rows) - len(kept),
            target=target,
            successes_autonomous=sum(not row.assisted for row in good),
            successes_assisted=sum(row.assisted for row in good),
            steps=sum(row.steps for row in kept),
            human_steps=sum(entries[row.episode_id].human_steps for row in kept),
            free_bytes=free,
            room_episodes=self._room(free),
        )

    def _room(self, free: int) -> int:
        """How many more fit; none begins with less than twice the longest one's size free."""
        longest = expected_bytes(self._reader.spec)
        spare = free - 2 * longest
        return 0 if spare < 0 else 1 + spare // (self._mean_bytes or longest)

    def _refresh(self) -> None:
        self._journal.refresh()
        if self._journal.lines == self._known_lines:
            return
        entries = [*self._journal.manifest.entries.values()]
        self._rows = tuple(self._row(entry) for entry in reversed(entries))
        self._mean_bytes = sum(e.bytes for e in entries) // max(len(entries), 1)
        self._known_lines = self._journal.lines

    def _row(self, entry: Entry) -> EpisodeRow:
        judged, noted = self._label(entry.id, SUCCESS), self._label(entry.id, NOTE)
        outcome = entry.outcome if judged is None else outcome_value(judged)
        return EpisodeRow(
            episode_id=entry.id,
            outcome=_OUTCOMES[outcome],
            assisted=entry.human_steps > 0,
            steps=entry.steps,
            seconds=entry.steps * self._reader.spec.task.action.period_s,
            note=str(noted.parameters.get("text", "")) if noted else "",
            discarded=self._journal.manifest.is_deleted(entry.id),
        )

    def _label(self, episode_id: str, name: str) -> Label | None:
        """The newest label of this name; None without, or if its file is damaged."""
        versions: Iterable[int] = self._journal.manifest.labels(episode_id).get(name, {})
        version = max(versions, default=0)
        key = (episode_id, name, version)
        if version and key not in self._labels:
            try:
                self._labels[key] = self._reader.label(episode_id, name, version)
            except RobotRlError as error:
                _LOG.warning("%s", error)
                self._labels[key] = None
        return self._labels.get(key)
