"""`robot-rl data ls`: what a store holds, from its manifest alone."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from robot_rl.app.data.stores import stores_in
from robot_rl.app.terminal import Column, Terminal, count_text, size_text
from robot_rl.core.types import Outcome
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.data.store.manifest import Entry

COLUMNS = (
    Column("episode"),
    Column("outcome"),
    Column("help", right=True),
    Column("steps", right=True),
    Column("time s", right=True),
    Column("size", right=True),
    Column("recorded"),
    Column("marks"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ls:
    """List the episodes of a store.

    `help` is how often a person stepped in and which share of the steps was theirs; `outcome` is
    as recorded, later judgements are labels. A run's folder lists all its stores.

    Examples:
      robot-rl data ls runs/NAME
      robot-rl data ls runs/NAME/online --deleted
    """

    store: Positional[Path]
    """A store of episodes, or a run's folder."""

    deleted: bool = False
    """Show deleted episodes too; they are there until `purge`."""

    def run(self, terminal: Terminal) -> int:
        """Print one table a store."""
        for index, path in enumerate(stores_in(self.store)):
            if index:
                terminal.say("")
            _list(EpisodeReader(path), self.deleted, terminal)
        return 0


def _list(reader: EpisodeReader, with_deleted: bool, terminal: Terminal) -> None:
    spec, period_s = reader.spec, reader.spec.task.action.period_s
    terminal.say(
        f"{reader.path}: {spec.task.name} with {spec.robot or 'an unnamed robot'}", style="bold"
    )
    shown = [(entry_id, "") for entry_id in reader.ids()]
    if with_deleted:
        shown += [(entry_id, "deleted") for entry_id in reader.deleted()]
    if shown:
        rows = [
            row(reader.entry(entry_id), period_s, [mark, *_labels(reader, entry_id)])
            for entry_id, mark in shown
        ]
        terminal.table(COLUMNS, rows)
    terminal.say(totals([reader.entry(i) for i in reader.ids()], period_s))
    if reader.deleted() and not with_deleted:
        terminal.say(f"{count_text(len(reader.deleted()), 'deleted episode')}: --deleted shows it")


def _labels(reader: EpisodeReader, episode_id: str) -> list[str]:
    return [f"{name}:{max(versions)}" for name, versions in reader.labels(episode_id).items()]


def row(entry: Entry, period_s: float, marks: Sequence[str]) -> list[str]:
    """Return the cells of one episode."""
    interrupted = ["interrupted"] if entry.interrupted else []
    return [
        entry.id,
        entry.outcome.name.lower(),
        help_text(entry),
        str(entry.steps),
        f"{entry.steps * period_s:.1f}",
        size_text(entry.bytes),
        when_text(entry.created_unix_s),
        " ".join([*interrupted, *(mark for mark in marks if mark)]),
    ]


def help_text(entry: Entry) -> str:
    """Return how a person helped: `2x, 14 %`, `demonstrated`, or nothing."""
    if not entry.human_steps:
        return ""
    if entry.human_steps == entry.steps and not entry.interventions:
        return "demonstrated"
    return f"{entry.interventions}x, {100 * entry.human_steps / entry.steps:.0f} %"


def when_text(unix_s: float) -> str:
    """Return local date and time; nothing where it was not recorded."""
    if unix_s <= 0:
        return ""
    return f"{datetime.datetime.fromtimestamp(unix_s):%Y-%m-%d %H:%M}"


def totals(entries: Sequence[Entry], period_s: float) -> str:
    """Return the line below the table."""
    outcomes = Counter(entry.outcome for entry in entries)
    steps = sum(entry.steps for entry in entries)
    parts = [
        f"{count} {outcome.name.lower()}"
        for outcome in (Outcome.SUCCESS, Outcome.FAILURE, Outcome.UNKNOWN)
        if (count := outcomes[outcome])
    ]
    told = f" ({', '.join(parts)})" if parts else ""
    return (
        f"{count_text(len(entries), 'episode')}{told}, {count_text(steps, 'step')}, "
        f"{steps * period_s / 60:.1f} min, {size_text(sum(entry.bytes for entry in entries))}"
    )
