"""One topic of a log: which part of an observation it carries, in which ROS 2 message."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from robot_rl.core.types import Observation
from robot_rl.data.log.message_types import typestore

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A topic with its message type, and how it is made of an observation and read back.

    Args:
        topic: ROS 2 topic name.
        message_type: its type.
        metadata: for the channel's record: key, names, unit and frame.
        encode: makes CDR bytes of a stamp (`stamp_of`) and an observation.
        unpack: gives the arrays of a message, by key of the observation.
    """

    topic: str
    message_type: str
    metadata: Mapping[str, str]
    encode: Callable[[bytes, Observation], bytes | memoryview]
    unpack: Callable[[Any], Arrays]

    def decode(self, data: bytes | memoryview) -> Arrays:
        """Return the arrays of a message, by key of the observation.

        Raises:
            SerdeError: if the bytes are no such message.
            ValueError, OSError: if what it holds is no such image.
        """
        return self.unpack(typestore().deserialize_cdr(data, self.message_type))


def topic_of(key: str, *parts: str) -> str:
    """Return the topic of a key: dots become slashes, what ROS names cannot have becomes `_`."""
    names = [re.sub(r"\W", "_", name, flags=re.ASCII) for name in (*key.split("."), *parts)]
    return "/" + "/".join(f"_{n}" if n[:1].isdigit() else n for n in names)


def frame_of(name: str) -> str:
    """Return a spec's frame as a `frame_id`."""
    return name.strip().replace(" ", "_")
