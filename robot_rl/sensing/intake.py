"""Where a device's thread leaves its frames, and the control loop finds the newest of them.

Order, gaps and age are decided here, frame by frame, whatever the clock of the device shows.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.types import Image, Observation, Vector

_REMEMBERED_GAPS = 1000
_WINDOW_NS = 10 * NS_PER_S


class Arrival(IntEnum):
    """What became of one frame. The last two were not delivered."""

    FRESH = 0
    LATE = 1
    DUPLICATE = 2
    OUT_OF_ORDER = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeCounts:
    """Counted since the intake was made.

    Args:
        fresh: frames on time; late: frames that are newer than all before but took too long.
        duplicates: frames that had come before.
        out_of_order: frames older than one that had come before; none of these was delivered.
        lost: frames that never came, by the device's own numbers.
    """

    fresh: int
    late: int
    duplicates: int
    out_of_order: int
    lost: int


class Intake:
    """The newest frame of one device (implements `Sensor`).

    A frame is stamped by the local clock. Of the device's clock only differences are used: how
    much longer a frame took than the quickest of the last ten to twenty seconds counts as age, so
    an offset, however large, changes nothing. After a device has set its clock back, its frames
    are old for that long; and a device that counts anew is announced by `restart`.

    A repeated frame changes nothing: the one before it keeps its stamp, and grows old.

    Args:
        name: the stream's.
        clock: the control loop's.
        late_after_s: how much longer than the quickest a frame may take before it counts as late.
    """

    def __init__(self, name: str, clock: Clock, late_after_s: float) -> None:
        self.name = name
        self._clock = clock
        self._late_ns = late_after_s * NS_PER_S
        self._lock = threading.Lock()
        self._newest: Observation | None = None
        self._arrivals = dict.fromkeys(Arrival, 0)
        self._lost = 0
        self._begin()

    @property
    def counts(self) -> IntakeCounts:
        """The counts so far."""
        with self._lock:
            return IntakeCounts(
                fresh=self._arrivals[Arrival.FRESH],
                late=self._arrivals[Arrival.LATE],
                duplicates=self._arrivals[Arrival.DUPLICATE],
                out_of_order=self._arrivals[Arrival.OUT_OF_ORDER],
                lost=self._lost,
            )

    def latest(self) -> Observation | None:
        """Return the newest frame, stamped by the local clock; None before the first."""
        return self._newest

    def restart(self) -> None:
        """The device was opened anew: its numbers and its clock have nothing to do with before."""
        with self._lock:
            self._begin()

    def put(
        self,
        sequence: int,
        device_ns: int,
        *,
        vectors: Mapping[str, Vector] | None = None,
        images: Mapping[str, Image] | None = None,
    ) -> Arrival:
        """Take one frame in, from any one thread.

        Args:
            sequence: the device's number of the frame, without a wrap-around.
            device_ns: when it was taken, by the device's clock [ns].
            vectors: the content, which nobody may change afterwards.
            images: likewise.
        """
        with self._lock:
            now_ns = self._clock.now_ns()
            arrival = self._order(sequence)
            if arrival == Arrival.FRESH:
                delay_ns = self._excess_ns(now_ns, now_ns - device_ns)
                if delay_ns > self._late_ns:
                    arrival = Arrival.LATE
                before_ns = self._newest.stamp_ns + 1 if self._newest else now_ns - delay_ns
                self._newest = Observation(
                    stamp_ns=max(now_ns - delay_ns, before_ns),
                    vectors=vectors or {},
                    images=images or {},
                )
            self._arrivals[arrival] += 1
            return arrival

    def _begin(self) -> None:
        self._sequence: int | None = None
        self._missing: set[int] = set()
        self._least_ns: list[int] = []
        self._window_end_ns = 0

    def _order(self, sequence: int) -> Arrival:
        last = self._sequence
        if last is not None and sequence <= last:
            if sequence not in self._missing:
                return Arrival.DUPLICATE
            self._missing.remove(sequence)
            self._lost -= 1
            return Arrival.OUT_OF_ORDER
        if last is not None and sequence > last + 1:
            self._lost += sequence - last - 1
            first = max(last + 1, sequence - _REMEMBERED_GAPS)
            self._missing.update(range(first, sequence))
            if len(self._missing) > 2 * _REMEMBERED_GAPS:
                self._missing = {m for m in self._missing if m >= sequence - _REMEMBERED_GAPS}
        self._sequence = sequence
        return Arrival.FRESH

    def _excess_ns(self, now_ns: int, offset_ns: int) -> int:
        """How much more than the least of this window and the one before the offset is [ns]."""
        if now_ns >= self._window_end_ns:
            self._window_end_ns = now_ns + _WINDOW_NS
            self._least_ns = [offset_ns, *self._least_ns[:1]]
        self._least_ns[0] = min(self._least_ns[0], offset_ns)
        return offset_ns - min(self._least_ns)
