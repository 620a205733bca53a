"""Which store a path on the command line means. Opening and reading it is the store's own."""

from __future__ import annotations

from pathlib import Path

from robot_rl.core.episode import Episode
from robot_rl.core.errors import ConfigError, StorageError
from robot_rl.data.labelling import SUCCESS
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.data.store.episode_store import EpisodeStore

PARTS = ("manifest.jsonl", "episodes")
"""Either makes a folder a store; one whose manifest is lost is still one to repair."""


def stores_in(path: Path) -> list[Path]:
    """Return `path` if it is a store, else the stores directly in it (a run's folder).

    Raises:
        StorageError: if there is neither.
    """
    if _is_store(path):
        return [path]
    if not path.is_dir():
        raise StorageError(f"{path}: no such folder; expected a store of episodes")
    found = sorted(child for child in path.iterdir() if _is_store(child))
    if not found:
        raise StorageError(
            f"{path} is no store: it has no {PARTS[0]}, and no folder in it has one"
        )
    return found


def the_store(path: Path) -> Path:
    """Return the one store that `path` means.

    Raises:
        ConfigError: if it is a folder of stores; the message names them.
        StorageError: if there is none.
    """
    if stores_in(path) != [path]:
        raise ConfigError(
            f"{path} is no store but a folder of stores; name one of them: "
            f"{', '.join(str(store) for store in stores_in(path))}"
        )
    return path


def reader_at(path: Path) -> EpisodeReader:
    """Open the store that `path` means for reading, beside a writer if there is one."""
    return EpisodeReader(the_store(path))


def store_at(path: Path) -> EpisodeStore:
    """Open the store that `path` means for writing; a context manager."""
    return EpisodeStore(the_store(path))


def judged(reader: EpisodeReader, episode_id: str) -> Episode:
    """Read an episode with the newest judgement of a person as its outcome, if there is one."""
    return reader.read(episode_id, outcome=judgement_of(reader, episode_id))


def judgement_of(reader: EpisodeReader, episode_id: str) -> str | None:
    """Return the name of the label with a person's judgement; None if nobody has judged."""
    return SUCCESS if SUCCESS in reader.labels(episode_id) else None


def is_lerobot(path: Path) -> bool:
    """Whether the folder is a LeRobot data set."""
    return (path / "meta" / "info.json").is_file()


def _is_store(path: Path) -> bool:
    return any((path / part).exists() for part in PARTS)
