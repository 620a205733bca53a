"""The first reading of a recording: all its numbers, and of its images only when they were.

Numbers are small and stay in memory. An image stays in the file until an episode needs it
(`bag_source`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.types import Vector
from robot_rl.data.exchange.topics.alignment import Stamps
from robot_rl.data.exchange.topics.bag import Bag, BagMessage
from robot_rl.data.exchange.topics.images import read_image
from robot_rl.data.exchange.topics.topic_map import TopicMap
from robot_rl.data.exchange.topics.values import NumberField, stamp_ns

_FLAGS = ("episode.flag", "success")


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberStream:
    """One mapped field over the whole recording.

    Args:
        label: the map's key and the topic, for errors.
        names: the elements.
        stamps: int64[n], sorted.
        values: float32[n, d], of the map's unit.
    """

    label: str
    names: tuple[str, ...]
    stamps: Stamps
    values: Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageStream:
    """One camera over the whole recording.

    Args:
        label, stamps: as in `NumberStream`.
        logged: int64[n], when each was recorded: with the stamp it finds the message again.
        height, width: as they will be in the episodes.
    """

    label: str
    topic: str
    stamps: Stamps
    logged: Stamps
    height: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Everything mapped, by the map's dotted key; flags apart from what an episode is made of."""

    numbers: dict[str, NumberStream]
    images: dict[str, ImageStream]
    flags: dict[str, NumberStream]

    def stamps(self) -> dict[str, Stamps]:
        """Stamps of what an episode is made of, by label."""
        return {s.label: s.stamps for s in (*self.numbers.values(), *self.images.values())}


def message_stamp(message: BagMessage, topics: TopicMap) -> int:
    """Return when the message counts, by the clock that the map chose [ns]."""
    if topics.clock == "log":
        return message.log_ns
    return stamp_ns(message.content) or message.log_ns


def read_streams(bag: Bag, topics: TopicMap) -> Streams:
    """Read all mapped topics once.

    Raises:
        StorageError: naming topic and stamp of a message that is damaged, or holds no such field.
        ContractError: if elements change within a topic, or a number is not finite.
    """
    slots: dict[str, list[_Numbers | _Pictures]] = defaultdict(list)
    for key, topic in topics.topics():
        slots[topic].append(_slot(key, bag.topics[topic].type, topics))
    for message in bag.messages([*slots]):
        stamp = message_stamp(message, topics)
        for slot in slots[message.topic]:
            try:
                slot.add(stamp, message)
            except StorageError as error:
                raise StorageError(
                    f"{bag.path}: topic {message.topic} at {stamp} ns: {error}"
                ) from error
    every = [slot for of_topic in slots.values() for slot in of_topic]
    numbers = {s.key: s.stream() for s in every if isinstance(s, _Numbers)}
    return Streams(
        numbers={k: s for k, s in numbers.items() if k not in _FLAGS},
        images={s.key: s.stream() for s in every if isinstance(s, _Pictures)},
        flags={k: s for k, s in numbers.items() if k in _FLAGS},
    )


def _slot(key: str, kind: str, topics: TopicMap) -> _Numbers | _Pictures:
    section, _, name = key.partition(".")
    kind = kind.rpartition("/")[2]
    if section == "images":
        image = topics.images[name]
        return _Pictures(key, image.topic, image.height, image.width)
    if section == "vectors":
        vector = topics.vectors[name]
        field = NumberField(kind=kind, path=vector.field, names=vector.names)
        return _Numbers(key, vector.topic, field, vector.factor)
    if key == "action":
        action = topics.action
        field = NumberField(kind=kind, path=action.field, names=action.names)
        return _Numbers(key, action.topic, field, action.factor)
    if key == "action.gripper" and topics.action.gripper:
        gripper = topics.action.gripper
        field = NumberField(kind=kind, path=gripper.field, names=gripper.names)
        return _Numbers(key, gripper.topic, field, 1.0)
    flag = topics.success if key == "success" else topics.episode.flag
    path, topic = (flag.field, flag.topic) if flag else ("", "")
    return _Numbers(key, topic, NumberField(kind=kind, path=path, names=()), 1.0)


class _Numbers:
    """Collects one field of one topic."""

    def __init__(self, key: str, topic: str, field: NumberField, factor: float) -> None:
        self.key = key
        self._label = f"{key} ({topic})"
        self._field = field
        self._factor = np.float32(factor)
        self._names: tuple[str, ...] = ()
        self._stamps: list[int] = []
        self._rows: list[Vector] = []

    def add(self, stamp: int, message: BagMessage) -> None:
        read = self._field.read(message.content)
        if read is None:
            return
        names, values = read
        if not names:
            raise StorageError(f"field {self._field.path or self._field.kind!r} is empty")
        if self._names and names != self._names:
            raise ContractError(
                f"{self._label} at {stamp} ns: got elements {list(names)}, before there were "
                f"{list(self._names)}; say in `names` which to take"
            )
        with np.errstate(over="ignore"):
            values = values * self._factor
        if not np.isfinite(values).all():
            element = names[int(np.flatnonzero(~np.isfinite(values))[0])]
            raise ContractError(
                f"{self._label} at {stamp} ns: element {element!r} is not finite; leave it out "
                "through `names`, or cut the recording"
            )
        self._names = names
        self._stamps.append(stamp)
        self._rows.append(values)

    def stream(self) -> NumberStream:
        if not self._rows:
            raise StorageError(
                f"{self._label}: no message has the elements {list(self._field.names)}; correct "
                "`names` in the topic map"
            )
        order, stamps = _sorted(self._stamps)
        return NumberStream(
            label=self._label,
            names=self._names,
            stamps=stamps,
            values=np.stack(self._rows)[order],
        )


class _Pictures:
    """Collects when the images of one topic were, and the size of the first."""

    def __init__(self, key: str, topic: str, height: int | None, width: int | None) -> None:
        self.key = key
        self._topic = topic
        self._size = (height, width)
        self._shape: Sequence[int] = ()
        self._stamps: list[int] = []
        self._logged: list[int] = []

    def add(self, stamp: int, message: BagMessage) -> None:
        if not self._shape:
            self._shape = read_image(message.content, *self._size).shape
        self._stamps.append(stamp)
        self._logged.append(message.log_ns)

    def stream(self) -> ImageStream:
        if not self._shape:
            raise StorageError(f"{self.key} ({self._topic}): no image is readable")
        order, stamps = _sorted(self._stamps)
        return ImageStream(
            label=f"{self.key} ({self._topic})",
            topic=self._topic,
            stamps=stamps,
            logged=np.asarray(self._logged, np.int64)[order],
            height=self._shape[0],
            width=self._shape[1],
        )


def _sorted(stamps: Sequence[int]) -> tuple[NDArray[Any], Stamps]:
    """Order in which stamps rise; of two that are equal the one recorded later comes later."""
    column = np.asarray(stamps, np.int64)
    order = np.argsort(column, kind="stable")
    return order, column[order]
