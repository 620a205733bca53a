"""Messages of which only the stamp and some numbers change: written once, then copied.

rosbags writes any message in 7-20 us, which for the ten messages of a step in simulation is more
than the step should cost. It writes here one message with marker values; their bytes are found in
it, and every further message is the same bytes with other numbers in these places.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.data.log.message_types import message_class, typestore

_STAMP = struct.Struct("=iI")
_NUMBERS_AT = 12
"""Behind the encapsulation and the stamp, with which every header begins."""
_LAST_SECOND = 2**31 - 1
_NS = 1_000_000_000

# No bytes of it are text or a small count, neither as float32 nor as float64.
_MARKER = np.array(0xFEFDFCFB, np.uint32).view(np.float32)


def stamp_of(unix_ns: int) -> bytes:
    """Return wall time as the bytes of a ROS time, held within its 31 bits of seconds."""
    second, nanosecond = divmod(max(unix_ns, 0), _NS)
    return _STAMP.pack(min(second, _LAST_SECOND), nanosecond)


def make_header(stamp: bytes, frame: str = "") -> Any:
    """Return a message header."""
    second, nanosecond = _STAMP.unpack(stamp)
    time = message_class("builtin_interfaces/msg/Time")(sec=second, nanosec=nanosecond)
    return message_class("std_msgs/msg/Header")(stamp=time, frame_id=frame)


def marker(size: int, dtype: type[np.float32] | type[np.float64]) -> NDArray[Any]:
    """Return numbers that occur nowhere else in a message."""
    return np.full(size, _MARKER, dtype)


class FixedMessage:
    """Writes messages of one type whose strings and array lengths never change.

    Args:
        message_type: the type; its first field is a header.
        make: makes a message, with marker values, of a header.
        markers: the bytes of these values, in the order in which they are in the message.
        frame: `frame_id` of the headers.
    """

    def __init__(
        self,
        message_type: str,
        make: Callable[[Any], Any],
        markers: Sequence[bytes],
        frame: str = "",
    ) -> None:
        header = make_header(stamp_of(0), frame)
        sample = bytes(typestore().serialize_cdr(make(header), message_type))
        self._encapsulation = sample[:4]
        self._before: list[bytes] = []
        at = _NUMBERS_AT
        for numbers in markers:
            start = sample.index(numbers, at)
            self._before.append(sample[at:start])
            at = start + len(numbers)
        self._end = sample[at:]

    def encode(self, stamp: bytes, numbers: Iterable[bytes]) -> bytes:
        """Return the CDR bytes with this stamp and these numbers in the places of the markers.

        Raises:
            ValueError: if there are fewer or more of them than places.
        """
        pieces = [self._encapsulation, stamp]
        for before, part in zip(self._before, numbers, strict=True):
            pieces += (before, part)
        pieces.append(self._end)
        return b"".join(pieces)
