"""Reads a store of episodes, without a lock, beside whoever writes it. Nothing is written here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.episode import Episode
from robot_rl.core.errors import ContractError, StorageError, did_you_mean
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.types import Outcome
from robot_rl.data.store.format.episode_zarr import decode_episode
from robot_rl.data.store.format.episode_zip import Archive
from robot_rl.data.store.format.label_zarr import decode_label
from robot_rl.data.store.format.stored_file import is_intact, read_stored
from robot_rl.data.store.journal import Journal
from robot_rl.data.store.label import Label
from robot_rl.data.store.layout import Layout
from robot_rl.data.store.manifest import Entry, LabelEntry, Manifest
from robot_rl.data.store.repair.inspection import same_episode, same_label


class EpisodeReader:
    """The episodes of a store, as of its opening or the last `refresh`.

    Args:
        path: the folder of the store.
        spec: if given, what its episodes must be recordings of.

    Raises:
        ContractError: if they are of another spec; names every difference.
        StorageError: if there is no store, it is of another schema, or its manifest is damaged.
    """

    def __init__(self, path: Path | str, spec: RecordingSpec | None = None) -> None:
        self.path = Path(path)
        self._layout = Layout(self.path)
        try:
            self._journal = Journal(self.path)
        except OSError as error:
            raise StorageError(f"cannot read the episode store {path}: {error}") from error
        if spec is not None:
            check_spec(self.path, self.spec, spec)

    def __len__(self) -> int:
        return len(self.ids())

    def __iter__(self) -> Iterator[Episode]:
        """Read the episodes in the order in which they were saved."""
        return (self.read(episode_id) for episode_id in self.ids())

    @property
    def spec(self) -> RecordingSpec:
        """What the episodes are recordings of."""
        return self._journal.spec

    def refresh(self) -> None:
        """Take in what was saved, deleted, labelled and undone since.

        Raises:
            StorageError: if the store is gone or its manifest is damaged.
        """
        try:
            self._journal.refresh()
        except OSError as error:
            raise StorageError(f"cannot read the episode store {self.path}: {error}") from error

    def ids(self) -> list[str]:
        """Return the ids of the episodes, not the deleted ones, in the order of saving."""
        return self._manifest.ids()

    def deleted(self) -> list[str]:
        """Return the ids of the deleted ones, as long as they are not purged, in that order."""
        return self._manifest.deleted()

    def entry(self, episode_id: str) -> Entry:
        """Return what a list shows of an episode, a deleted one too.

        Raises:
            StorageError: if there is none; names the nearest id.
        """
        return self._manifest.entry(episode_id)

    def read(
        self, episode_id: str, *, reward: str | None = None, outcome: str | None = None
    ) -> Episode:
        """Read one episode, checksum verified, and if asked view it through labels.

        Args:
            episode_id: which.
            reward: label whose values [T] stand for the recorded reward.
            outcome: label whose one value stands for the recorded outcome: bool, or that of
                `Outcome`.

        Raises:
            StorageError: if there is no such episode, or it is deleted or purged, or its file is
                damaged, or it lacks the label; the message names the labels that there are.
            ContractError: if the label is none of rewards, or of an outcome.
        """
        entry = self._manifest.live(episode_id)
        path = self._layout.episode(episode_id)
        episode = self._read(path, entry, self._decoder(entry), f"episode {episode_id!r}")
        if reward is not None:
            values = reward_values(self.label(episode_id, reward), len(episode))
            episode = dataclasses.replace(episode, reward=values)
        if outcome is not None:
            judged = outcome_value(self.label(episode_id, outcome))
            episode = dataclasses.replace(episode, outcome=judged)
        return episode

    def verify(self, episode_id: str) -> bool:
        """Return whether an episode's file is, bit by bit, the one that was saved.

        Raises:
            StorageError: if there is no such episode.
        """
        entry = self.entry(episode_id)
        return is_intact(self._layout.episode(episode_id), entry.bytes, entry.sha256)

    def labels(self, episode_id: str) -> dict[str, list[int]]:
        """Return the versions of an episode's labels by name, ascending, without undone ones.

        Raises:
            StorageError: if there is no such episode.
        """
        self.entry(episode_id)
        found = self._manifest.labels(episode_id)
        return {name: sorted(versions) for name, versions in found.items()}

    def label(self, episode_id: str, name: str, version: int | None = None) -> Label:
        """Return a label of an episode; the newest version, unless told which.

        Raises:
            StorageError: if there is none, or its file is damaged.
        """
        self.entry(episode_id)
        found = self._manifest.labels(episode_id)
        if name not in found:
            near = did_you_mean(name, found) if found else "; it has no labels"
            raise StorageError(f"episode {episode_id!r} has no label {name!r}{near}")
        versions = found[name]
        number = max(versions) if version is None else version
        if number not in versions:
            raise StorageError(
                f"label {name!r} of episode {episode_id!r} has no version {number}; valid: "
                f"{', '.join(map(str, sorted(versions)))}"
            )
        found_entry, steps = versions[number], self.entry(episode_id).steps

        def decode(archive: Archive) -> Label:
            same_label(archive, found_entry, steps)
            return decode_label(archive)[2]

        path = self._layout.label(episode_id, name, number)
        return self._read(path, found_entry, decode, f"label {name!r} of episode {episode_id!r}")

    @property
    def _manifest(self) -> Manifest:
        return self._journal.manifest

    def _decoder(self, entry: Entry) -> Callable[[Archive], Episode]:
        def decode(archive: Archive) -> Episode:
            episode = decode_episode(archive, self.spec)
            same_episode(archive, entry, episode.episode_id, len(episode))
            return episode

        return decode

    def _read[T](
        self, path: Path, entry: Entry | LabelEntry, decode: Callable[[Archive], T], what: str
    ) -> T:
        try:
            return read_stored(path, entry.bytes, entry.sha256, decode, what=what, store=self.path)
        except FileNotFoundError as error:
            # Somebody may have purged it since; then that is what is said.
            self.refresh()
            self.entry(entry.id)
            raise StorageError(
                f"{what}: its file {path} is missing; restore it from a copy, or see what is "
                f"left: robot-rl data doctor {self.path}"
            ) from error


def check_spec(path: Path, here: RecordingSpec, wanted: RecordingSpec) -> None:
    """Refuse to mix recordings that do not belong together.

    Raises:
        ContractError: naming every difference.
    """
    differences = here.differences(wanted)
    if differences:
        raise ContractError(
            f"{path} holds other recordings than these ('here' is the store): "
            f"{'; '.join(differences)}. Use another folder"
        )


def reward_values(label: Label, steps: int) -> NDArray[np.float32]:
    """Return a label's values as a reward column float32[steps].

    Raises:
        ContractError: if there is not one finite number a step.
    """
    values = label.values.astype(np.float32)
    if values.shape != (steps,) or not np.isfinite(values).all():
        raise ContractError(
            f"label {label.name!r} is no reward: got {label.values.dtype}{list(values.shape)}"
            f"{'' if np.isfinite(values).all() else ' with values that are not finite'}, expected "
            f"{steps} finite values, one a step"
        )
    return values


def outcome_value(label: Label) -> Outcome:
    """Return a label's one value as an outcome.

    Raises:
        ContractError: if there are more, or it is no truth value and no number of an outcome.
    """
    values = label.values
    if values.dtype == np.bool_ and values.shape == (1,):
        return Outcome.SUCCESS if values[0] else Outcome.FAILURE
    whole = values.dtype.name in ("uint8", "int64") and values.shape == (1,)
    if not whole or int(values[0]) not in {int(outcome) for outcome in Outcome}:
        raise ContractError(
            f"label {label.name!r} is no outcome: got {values.dtype}{values.tolist()[:4]}, "
            f"expected one bool, or one of {', '.join(f'{o.value} ({o.name})' for o in Outcome)}"
        )
    return Outcome(int(values[0]))
