"""A recording of topics, whatever its file format: what `bag_source` asks of one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from robot_rl.core.errors import StorageError, did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicInfo:
    """A topic's message type and how many messages the recording says it has."""

    type: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BagMessage:
    """One decoded message and when it was recorded (wall time [ns])."""

    topic: str
    log_ns: int
    content: Any


class Bag(Protocol):
    """A recording that can be read more than once.

    Attributes:
        path: the file or folder.
    """

    path: Path

    @property
    def topics(self) -> Mapping[str, TopicInfo]:
        """What is in it, by name."""
        ...

    def messages(
        self, topics: Collection[str], start_ns: int | None = None, stop_ns: int | None = None
    ) -> Iterator[BagMessage]:
        """Read messages of these topics, recorded in [start, stop]; in the order of the file.

        Raises:
            StorageError: if the file is damaged, with the number of messages that were readable;
                not if the map allows a part.
        """
        ...


def check_topics(bag: Bag, wanted: Iterable[tuple[str, str]]) -> None:
    """Check that the recording has the topics of a map.

    Raises:
        StorageError: naming each that is missing, the nearest there is, and all there are.
    """
    missing = [
        f"{key}: no topic {topic!r}{did_you_mean(topic, bag.topics)}"
        for key, topic in wanted
        if topic not in bag.topics or not bag.topics[topic].count
    ]
    if missing:
        there = "\n".join(
            f"  {name} ({info.type}, {info.count} messages)"
            for name, info in sorted(bag.topics.items())
        )
        raise StorageError(
            f"{bag.path}: {'; '.join(missing)}. Correct the topic map; the recording has\n"
            f"{there or '  no topics at all'}"
        )
