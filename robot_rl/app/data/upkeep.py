"""`robot-rl data delete`, `undo` and `purge`: what is kept. Nothing is lost before a purge."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from robot_rl.app.data.stores import reader_at, store_at
from robot_rl.app.terminal import Terminal, count_text, size_text
from robot_rl.core.errors import ConfigError, StorageError
from robot_rl.data.store.episode_reader import EpisodeReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Put episodes away. They stay on disk, and `undo` brings them back, until `purge`.

    Examples:
      robot-rl data delete runs/NAME/online EPISODE
    """

    store: Positional[Path]
    """A store of episodes."""

    episode: Positional[tuple[str, ...]]
    """One or more episodes; all of them are deleted, or, if one is unknown, none."""

    def run(self, terminal: Terminal) -> int:
        """Delete them and say how to take it back."""
        if not self.episode:
            raise ConfigError(f"name the episodes to delete; see: robot-rl data ls {self.store}")
        with store_at(self.store) as store:
            chosen = known(store, self.episode)
            for episode_id in chosen:
                store.delete(episode_id)
        for episode_id in chosen:
            terminal.say(
                f"deleted {episode_id}; take it back: robot-rl data undo {self.store} {episode_id}"
            )
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """Take back the last delete or label of a store, or of one episode; again for the one before.

    Examples:
      robot-rl data undo runs/NAME/online
      robot-rl data undo runs/NAME/online --times 3
      robot-rl data undo runs/NAME/online EPISODE
    """

    store: Positional[Path]
    """A store of episodes."""

    episode: Positional[str] = ""
    """Only what was done to this episode."""

    times: int = 1
    """Take back so many."""

    def run(self, terminal: Terminal) -> int:
        """Undo and say what it was."""
        if self.times < 1:
            raise ConfigError(f"--times: got {self.times}, expected 1 or more")
        with store_at(self.store) as store:
            for _ in range(self.times):
                undone = store.undo(self.episode) if self.episode else store.undo()
                terminal.say(f"undone: {undone}")
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """Remove deleted episodes from the disk, for good.

    Examples:
      robot-rl data purge runs/NAME/online
    """

    store: Positional[Path]
    """A store of episodes."""

    yes: bool = False
    """Do not ask."""

    def run(self, terminal: Terminal) -> int:
        """Say what will go, ask, and remove it."""
        reader = reader_at(self.store)
        doomed = reader.deleted()
        if not doomed:
            terminal.say(f"{self.store}: nothing is deleted, nothing to purge")
            return 0
        size = sum(reader.entry(episode_id).bytes for episode_id in doomed)
        for episode_id in doomed:
            entry = reader.entry(episode_id)
            terminal.say(
                f"{episode_id}: {count_text(entry.steps, 'step')}, {size_text(entry.bytes)}"
            )
        what = f"{count_text(len(doomed), 'episode')} ({size_text(size)})"
        if not self.yes and not terminal.confirm(f"remove {what} for good, beyond undo?"):
            terminal.say("nothing was removed")
            return 1
        with store_at(self.store) as store:
            # Only what the person was shown: somebody may have deleted more in the meantime.
            if store.deleted() != doomed:
                raise StorageError(
                    f"{self.store}: other episodes were deleted in the meantime; nothing was "
                    "removed, look again"
                )
            removed = store.purge()
        terminal.say(f"removed for good: {', '.join(removed)}; {size_text(size)} are free again")
        return 0


def known(store: EpisodeReader, episodes: tuple[str, ...]) -> list[str]:
    """Return the episodes, each once, in the order given.

    Raises:
        StorageError: if one is not there; the message says whether it is deleted.
    """
    for episode_id in episodes:
        store.entry(episode_id)
        if episode_id in store.deleted():
            raise StorageError(
                f"episode {episode_id!r} is deleted; bring it back: robot-rl data undo "
                f"{store.path} {episode_id}"
            )
    return list(dict.fromkeys(episodes))
