"""Our own episode logs and exports as a source: they say themselves what they hold.

An MCAP file that others wrote needs a topic map: `mcap_source`.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path

from mcap.records import Metadata

from robot_rl.core.episode import Episode
from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.data.exchange.mcap_source import McapSource
from robot_rl.data.exchange.source import Source
from robot_rl.data.exchange.topics.topic_map import TopicMap
from robot_rl.data.log.opening import RECORD_NAME, Opening
from robot_rl.data.log.recovery import read_log
from robot_rl.data.log.scan import TornError, scan

_LOG = logging.getLogger(__name__)


class LogSource:
    """Episodes of one log, or of all logs (`*.mcap`) in a folder, by name; a `Source`.

    Of a log that was never closed the whole steps are read, marked `interrupted`.

    Raises:
        StorageError: if a file is no readable log of ours, or there is none.
        ContractError: if the logs were recorded under different specs.
    """

    def __init__(self, path: Path | str) -> None:
        path = Path(path)
        self._files = sorted(path.glob("*.mcap")) if path.is_dir() else [path]
        if not self._files:
            raise StorageError(f"{path} holds no .mcap file; name a log or a folder of logs")
        self.spec = _spec(self._files[0])
        for file in self._files[1:]:
            if lines := self.spec.differences(_spec(file)):
                raise ContractError(
                    f"{self._files[0]} (here) and {file} (there) do not belong together: "
                    f"{'; '.join(lines)}. Import them apart"
                )

    def __len__(self) -> int:
        return len(self._files)

    def episodes(self) -> Iterator[Episode]:
        """Read the episodes in order of the files' names.

        Raises:
            StorageError: if a log holds no whole step.
        """
        return (_episode(file) for file in self._files)


def open_mcap(path: Path | str, topics: TopicMap | None = None) -> Source:
    """Open an MCAP file: one of our own as it is, one of others by a topic map.

    Raises:
        StorageError: if it is of others and there is no map, or it cannot be read.
        ContractError: if the streams do not fit together in time or shape.
    """
    path = Path(path)
    if path.is_dir() or _opening(path) is not None:
        return LogSource(path)
    if topics is None:
        raise StorageError(
            f"{path} was not written by robot_rl: it does not say which topic is what. Write a "
            "topic map (see configs/topics/example.yaml) and name it"
        )
    return McapSource(path, topics)


def _spec(path: Path) -> RecordingSpec:
    opening = _opening(path)
    if opening is None:
        raise StorageError(
            f"{path} was not written by robot_rl; import it by itself, with a topic map"
        )
    return opening.spec


def _opening(path: Path) -> Opening | None:
    """Return what the file says before its first message; None if it is not ours."""
    try:
        first = next(scan(path), None)
        if isinstance(first, Metadata) and first.name == RECORD_NAME:
            return Opening.from_record(first.metadata)
    except TornError:
        return None
    except (OSError, StorageError) as error:
        raise StorageError(f"{path} cannot be read: {error}") from error
    return None


def _episode(path: Path) -> Episode:
    log = read_log(path)
    if log.episode is None:
        raise StorageError(f"{path} holds no whole step; leave it out")
    if log.complete:
        return log.episode
    _LOG.warning("%s was never closed: its %d whole steps are read", path, len(log.episode))
    metadata = dataclasses.replace(log.metadata, interrupted=True)
    return dataclasses.replace(log.episode, metadata=metadata)
