"""What a node tells of itself on /diagnostics (REP 107): its state, its faults, its streams."""

from __future__ import annotations

import time
from enum import IntEnum
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue


class Level(IntEnum):
    """Of a `DiagnosticStatus`."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3


class Flow:
    """Counts the messages of one topic between two reports.

    Args:
        max_age_s: a longer silence is an error; None if silence is no news.
    """

    def __init__(self, max_age_s: float | None) -> None:
        self._max_age_s = max_age_s
        self._count = 0
        self._total = 0
        self._since_s = time.monotonic()
        self._last_s: float | None = None

    def note(self) -> None:
        """A message has come."""
        self._count += 1
        self._total += 1
        self._last_s = time.monotonic()

    @property
    def age_s(self) -> float:
        """Since the last message, or since listening began."""
        return time.monotonic() - (self._since_s if self._last_s is None else self._last_s)

    def take(self) -> tuple[Level, str, dict[str, str]]:
        """Level, words and numbers since the last call."""
        now_s = time.monotonic()
        rate_hz = self._count / max(1e-9, now_s - self._since_s)
        age_s = self.age_s
        silent = self._max_age_s is not None and age_s > self._max_age_s
        if self._last_s is not None:
            self._count, self._since_s = 0, now_s
        words = "nothing heard yet" if self._total == 0 else f"{rate_hz:.1f} Hz"
        if silent:
            words = f"silent for {age_s:.2f} s, at most {self._max_age_s:g} s are borne"
        numbers = {
            "rate_hz": f"{rate_hz:.2f}",
            "age_s": f"{age_s:.3f}",
            "messages": str(self._total),
        }
        return (Level.ERROR if silent else Level.OK), words, numbers


class Diagnostics:
    """The statuses of one node.

    Args:
        node: its full name.
        hardware_id: of the device behind it, if there is one.
    """

    def __init__(self, node: str, hardware_id: str = "") -> None:
        self.hardware_id = hardware_id
        self._node = node
        self._statuses: dict[str, tuple[Level, str, dict[str, str]]] = {}
        self._flows: dict[str, Flow] = {}

    def flow(self, topic: str, max_age_s: float | None) -> Flow:
        """Watch a topic from now on."""
        self._flows[topic] = Flow(max_age_s)
        return self._flows[topic]

    def forget_flows(self) -> None:
        """Watch no topic any more."""
        self._flows.clear()

    def set(self, part: str, level: Level, words: str, **numbers: float | str) -> None:
        """Say how one part of the node is, until it is said anew."""
        self._statuses[part] = (level, words, {k: str(v) for k, v in numbers.items()})

    def clear(self, part: str) -> None:
        """Say nothing of a part any more."""
        self._statuses.pop(part, None)

    def message(self, state: str, stamp: Any) -> DiagnosticArray:
        """Return what is to be published now; the rates begin anew.

        Args:
            state: of the node's lifecycle.
            stamp: ROS time.
        """
        parts = {"state": (Level.OK, state, dict[str, str]())} | self._statuses
        parts |= {topic: flow.take() for topic, flow in self._flows.items()}
        message = DiagnosticArray()
        message.header.stamp = stamp
        message.status = [self._status(part, *said) for part, said in parts.items()]
        return message

    def _status(
        self, part: str, level: Level, words: str, numbers: dict[str, str]
    ) -> DiagnosticStatus:
        return DiagnosticStatus(
            name=f"{self._node}: {part}",
            hardware_id=self.hardware_id,
            level=bytes([level]),
            message=words,
            values=[KeyValue(key=key, value=value) for key, value in numbers.items()],
        )
