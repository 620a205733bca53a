"""`robot-rl data relabel` and `labels`: what is said of episodes after the fact.

The recording never changes: a label is a named column beside it, numbered from version 1. What is
computed goes by a person's judgement where there is one, else by the recorded outcome.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from robot_rl.app.data.stores import judged, reader_at, store_at
from robot_rl.app.data.upkeep import known
from robot_rl.app.terminal import Column, Terminal, count_text, number_text
from robot_rl.core.episode import Episode
from robot_rl.core.errors import ConfigError
from robot_rl.core.types import Outcome
from robot_rl.data.labelling import (
    human_outcome,
    progress_to_success,
    rlif_reward,
    sparse_reward,
)
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.data.store.label import Label

Labelling = Callable[[Episode], Label | None]
"""Makes the label of an episode; None if it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relabel:
    """Judge episodes, or compute another reward for them. The recording stays as it is.

    Say one of --label, --reward and --progress.

    Examples:
      robot-rl data relabel runs/NAME/online EPISODE --label failure --by ann
      robot-rl data relabel runs/NAME/online --reward rlif --late-steps 3
    """

    store: Positional[Path]
    """A store of episodes."""

    episode: Positional[tuple[str, ...]] = ()
    """These episodes; without, all, which a judgement must ask for with --all."""

    label: Literal["success", "failure"] | None = None
    """A person's judgement, as label `success`."""

    by: str = ""
    """Who judges."""

    all: bool = False
    """Judge all episodes alike."""

    reward: Literal["sparse", "rlif"] | None = None
    """`sparse`: 1 at the end of a success. `rlif`: -1 for what made a person step in."""

    late_steps: int = 1
    """rlif: policy steps before a take-over that share the blame."""

    scale: float = 0.0
    """rlif: weight of the recorded reward, added to it."""

    progress: bool = False
    """Progress of successes in time, from 0 to 1."""

    def run(self, terminal: Terminal) -> int:
        """Write the labels and say how to take them back."""
        make = self._labelling()
        with store_at(self.store) as store:
            chosen = known(store, self.episode) if self.episode else store.ids()
            with terminal.progress("labelling") as advance:
                written = _label(store, chosen, make, advance)
        for episode_id, label, version in written if len(written) <= 5 else ():
            terminal.say(f"{episode_id}: {label.name} version {version}")
        terminal.say(f"labelled {count_text(len(written), 'episode')}")
        if left := len(chosen) - len(written):
            terminal.say(f"left out {count_text(left, 'episode')}: only successes have progress")
        if written:
            times = f" --times {len(written)}" if len(written) > 1 else ""
            terminal.say(f"take it back: robot-rl data undo {self.store}{times}")
        return 0

    def _labelling(self) -> Labelling:
        said = (self.label is not None, self.reward is not None, self.progress)
        if said.count(True) != 1:
            raise ConfigError(
                f"say one of --label, --reward and --progress; got {said.count(True)} of them"
            )
        if self.reward != "rlif" and (self.late_steps, self.scale) != (1, 0.0):
            raise ConfigError("--late-steps and --scale belong to --reward rlif")
        if self.label is not None:
            return self._judgement(Outcome[self.label.upper()])
        if self.by or self.all:
            raise ConfigError("--by and --all belong to --label")
        if self.progress:
            return _progress
        if self.reward == "sparse":
            return sparse_reward
        return lambda e: rlif_reward(e, late_steps=self.late_steps, task_scale=self.scale)

    def _judgement(self, outcome: Outcome) -> Labelling:
        if not self.by:
            raise ConfigError("say who judges: --by NAME")
        if not self.episode and not self.all:
            raise ConfigError("name the episodes that you judge, or say --all")
        if self.episode and self.all:
            raise ConfigError("name episodes or say --all, not both")
        judgement = human_outcome(outcome, self.by)
        return lambda _: judgement


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """List the labels of an episode: every version, from whom, and what it holds.

    Examples:
      robot-rl data labels runs/NAME/online EPISODE
    """

    store: Positional[Path]
    """A store of episodes."""

    episode: Positional[str]
    """The episode."""

    def run(self, terminal: Terminal) -> int:
        """Print the table."""
        reader = reader_at(self.store)
        versions = reader.labels(*known(reader, (self.episode,)))
        if not versions:
            terminal.say(f"{self.episode} has no labels")
            return 0
        rows = [
            label_row(reader.label(self.episode, name, version), version)
            for name in sorted(versions)
            for version in versions[name]
        ]
        columns = (
            Column("label"),
            Column("version", right=True),
            Column("values"),
            Column("made by"),
            Column("with"),
        )
        terminal.table(columns, rows)
        return 0


def label_row(label: Label, version: int) -> list[str]:
    """Return the cells of one label."""
    given = ", ".join(f"{key}={value}" for key, value in label.parameters.items())
    return [label.name, str(version), values_text(label), label.made_by, given]


def values_text(label: Label) -> str:
    """Return one value as it is, more as their number, range and sum."""
    values = label.values
    if values.size == 1:
        only = values.reshape(-1)[0]
        return str(bool(only)).lower() if values.dtype == bool else number_text(float(only))
    low, high, total = (number_text(float(v)) for v in (values.min(), values.max(), values.sum()))
    return f"{len(values)} from {low} to {high}, sum {total}"


def _label(
    store: EpisodeStore, chosen: list[str], make: Labelling, advance: Callable[[int, int], None]
) -> list[tuple[str, Label, int]]:
    written: list[tuple[str, Label, int]] = []
    for index, episode_id in enumerate(chosen):
        label = make(judged(store, episode_id))
        if label is not None:
            written.append((episode_id, label, store.add_label(episode_id, label)))
        advance(index + 1, len(chosen))
    return written


def _progress(episode: Episode) -> Label | None:
    return progress_to_success(episode) if episode.outcome == Outcome.SUCCESS else None
