"""What a person may do to recorded episodes, and take back: judge, trim, discard, write down.

A recording never changes. What is learned from it does: whoever learned is told at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from robot_rl.core.episode import OBSERVATION_COLUMNS, STEP_COLUMNS, Episode
from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.types import Outcome
from robot_rl.data.judged import as_judged, ended_in, judgement
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.data.store.journal import Journal
from robot_rl.data.store.label import Label
from robot_rl.session.listing import NOTE, Listing
from robot_rl.session.seam import Amends
from robot_rl.session.view import DataView, EpisodeRow

LONGEST_NOTE = 2000

_TRIMMED = re.compile(r"(.+)-trim[1-9][0-9]*")
_LOG = logging.getLogger(__name__)


class Review:
    """Changes the episodes of a store, in the loop's thread, between two episodes.

    What `undo` takes back is what was done through this object, newest first. If the disk fails
    in the middle of something, all is as before. A trim that a kill broke off, so that the
    trimmed episode and the whole one are both there, is settled at the start: the whole one stays.

    Args:
        store: of the episodes.
        amends: who learns from them.
        by: the person's name, kept with what they say.
    """

    def __init__(self, store: EpisodeStore, amends: Amends, by: str) -> None:
        self._store = store
        self._amends = amends
        self._by = by
        self._listing = Listing(store)
        self._done: list[_Done] = []
        self._settle()

    def relabel(self, episode_id: str, outcome: Outcome) -> str:
        """Judge an episode; UNKNOWN if nobody can tell.

        Raises:
            StorageError: if it is not there, or cannot be written; nothing has changed then.
        """
        episode = self._store.read(episode_id)
        self._store.add_label(episode_id, judgement(outcome, self._by))
        words = f"{episode_id}: {outcome.name.lower()}"
        self._did(words, lambda: self._store.undo(episode_id), episode_id, episode_id)
        self._amends.amend(episode_id, ended_in(episode, outcome))
        return words

    def trim(self, episode_id: str, begin: int, end: int) -> str:
        """Put the steps from `begin` up to and without `end` in the place of an episode.

        They are a new episode, named after the old one, which is discarded. Its end is judged as
        it was if it was kept; otherwise the new one is truncated and nobody has judged it.

        Raises:
            ContractError: if these are not some of its steps, but less than all.
            StorageError: if it is not there, or cannot be written; nothing has changed then.
        """
        whole = as_judged(self._store, episode_id)
        steps = len(whole)
        if not 0 <= begin < end <= steps:
            raise ContractError(
                f"trim: got the steps from {begin} to {end} of {episode_id}, which has {steps}; "
                f"expected 0 <= begin < end <= {steps}"
            )
        if end - begin == steps:
            raise ContractError(f"trim: these are all {steps} steps of {episode_id}; nothing goes")
        kept = cut(whole, begin, end, self._free_id(episode_id))
        self._store.append(kept)
        try:
            if NOTE in self._store.labels(episode_id):
                self._store.add_label(kept.episode_id, self._store.label(episode_id, NOTE))
            self._store.delete(episode_id)
        except StorageError:
            self._discard_quietly(kept.episode_id)
            raise
        words = f"{kept.episode_id}: the steps from {begin} to {end} of {episode_id}"
        self._did(
            words,
            lambda: self._exchange(kept.episode_id, episode_id),
            kept.episode_id,
            episode_id,
        )
        self._amends.amend(episode_id, kept)
        return words

    def delete(self, episode_id: str) -> str:
        """Discard an episode; it stays on the disk until a purge.

        Raises:
            StorageError: if it is not there, or cannot be written; nothing has changed then.
        """
        self._store.delete(episode_id)
        words = f"{episode_id}: discarded"
        self._did(words, lambda: self._store.undo(episode_id), episode_id, episode_id)
        self._amends.amend(episode_id, None)
        return words

    def note(self, episode_id: str, text: str) -> str:
        """Write something down about an episode; the newest note is shown.

        Raises:
            ContractError: if there is no text, or too much.
            StorageError: if it is not there, or cannot be written; nothing has changed then.
        """
        # What is no character, as half of a surrogate pair is not, could not be sent to anybody.
        text = text.encode(errors="replace").decode().strip()
        if not 0 < len(text) <= LONGEST_NOTE:
            raise ContractError(
                f"note: got {len(text)} characters, expected 1 to {LONGEST_NOTE}; nothing was "
                "written down"
            )
        label = Label(
            name=NOTE,
            values=np.array([True], np.bool_),
            made_by=self._by,
            parameters={"text": text},
        )
        self._store.add_label(episode_id, label)
        words = f"{episode_id}: written down"
        self._did(words, lambda: self._store.undo(episode_id))
        return words

    def undo(self) -> str:
        """Take back the newest of these that is not taken back yet.

        Raises:
            StorageError: if there is none, or it cannot be written; nothing has changed then.
        """
        if not self._done:
            raise StorageError(
                "there is nothing to take back: nothing was changed since the start"
            )
        done = self._done[-1]
        done.take_back()
        self._done.pop()
        if done.amended:
            self._amends.amend(done.amended, as_judged(self._store, done.restored))
        return f"taken back: {done.words}"

    def rows(self, most: int = 50) -> tuple[EpisodeRow, ...]:
        """Return the newest `most` episodes, see `Listing.rows`."""
        return self._listing.rows(most)

    def data(self, folder: Path, target: int) -> DataView:
        """Return what is on the disk, see `Listing.data`."""
        return self._listing.data(folder, target)

    def _did(
        self, words: str, take_back: Callable[[], object], amended: str = "", restored: str = ""
    ) -> None:
        self._done.append(
            _Done(words=words, take_back=take_back, amended=amended, restored=restored)
        )

    def _exchange(self, trimmed: str, whole: str) -> None:
        """Bring the whole episode back, then discard the trimmed one: never are both gone."""
        self._store.undo(whole)
        try:
            self._store.delete(trimmed)
        except StorageError:
            self._discard_quietly(whole)
            raise

    def _discard_quietly(self, episode_id: str) -> None:
        """Put right what a failed disk left half done; if that fails too, `_settle` does it."""
        with contextlib.suppress(StorageError):
            self._store.delete(episode_id)

    def _free_id(self, episode_id: str) -> str:
        manifest = Journal(self._store.path).manifest
        root = _root(episode_id)
        names = (f"{root}-trim{number}" for number in itertools.count(1))
        return next(name for name in names if not manifest.is_known(name))

    def _settle(self) -> None:
        """Of an episode and what was trimmed from it, keep the one that was saved first."""
        seen: set[str] = set()
        for episode_id in self._store.ids():
            if _root(episode_id) not in seen:
                seen.add(_root(episode_id))
                continue
            try:
                self._store.delete(episode_id)
            except StorageError as error:
                _LOG.warning("%s is there beside what it was trimmed from: %s", episode_id, error)
            else:
                _LOG.warning("%s was never finished: discarded", episode_id)
            self._amends.amend(episode_id, None)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """Something that can be taken back.

    Args:
        words: what it was.
        take_back: does so in the store, or raises StorageError and changes nothing.
        amended: episode that is learned from because of it; empty if nothing is.
        restored: episode to be learned from instead, once it was taken back.
    """

    words: str
    take_back: Callable[[], object]
    amended: str
    restored: str


def cut(episode: Episode, begin: int, end: int, episode_id: str) -> Episode:
    """Return the steps from `begin` up to and without `end` as an episode of its own.

    What was recorded with the episode stays with it. Without its end it is truncated, and of
    unknown outcome.
    """
    steps, instants = slice(begin, end), slice(begin, end + 1)
    has_end = end == len(episode)
    return dataclasses.replace(
        episode,
        episode_id=episode_id,
        outcome=episode.outcome if has_end else Outcome.UNKNOWN,
        terminated=episode.terminated and has_end,
        truncated=episode.truncated or not has_end,
        vectors={key: column[instants] for key, column in episode.vectors.items()},
        images={key: column[instants] for key, column in episode.images.items()},
        latent=episode.latent[steps],
        **{name: getattr(episode, name)[steps] for name in STEP_COLUMNS},
        **{name: getattr(episode, name)[instants] for name in OBSERVATION_COLUMNS},
    )


def _root(episode_id: str) -> str:
    """The recording from which an episode was trimmed, itself if it was not."""
    match = _TRIMMED.fullmatch(episode_id)
    return match[1] if match else episode_id
