"""Raw Data Transfer, the UDP protocol of ATI's Net F/T sensors, as bytes.

A request is 8 bytes, a record 36, both big-endian. Not here: the socket (`ati_net_ft`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.errors import HardwareError

PORT = 49152
INTERNAL_HZ = 7000
"""At which the sensor itself samples, and counts `ft_sequence`."""

_REQUEST = struct.Struct(">HHI")
_RECORD = struct.Struct(">III6i")
_HEADER, _STOP, _STREAM = 0x1234, 0, 2
_ENDLESS = 0
_KNOWN_BITS = {16: "a monitor condition is latched", 17: "the transducer is saturated"}
_WRAP = 1 << 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record.

    Args:
        sequence: of the records since streaming began; wraps around at 2^32.
        ft_sequence: of the sensor's own samples; wraps around likewise.
        status: 0 if all is well.
        counts: int64[6], forces and torques in the sensor's counts.
    """

    sequence: int
    ft_sequence: int
    status: int
    counts: NDArray[np.int64]


def start_request() -> bytes:
    """Ask for records until told to stop."""
    return _REQUEST.pack(_HEADER, _STREAM, _ENDLESS)


def stop_request() -> bytes:
    """Ask for no more records."""
    return _REQUEST.pack(_HEADER, _STOP, 0)


def request_from(data: bytes) -> int:
    """Return the command of a request, for an emulator.

    Raises:
        HardwareError: if it is none.
    """
    if len(data) != _REQUEST.size or _REQUEST.unpack(data)[0] != _HEADER:
        raise HardwareError(f"no RDT request: {data[:16].hex()}")
    return int(_REQUEST.unpack(data)[1])


def encode(record: Record) -> bytes:
    """Return a record as bytes, for an emulator."""
    return _RECORD.pack(
        record.sequence, record.ft_sequence, record.status, *record.counts.tolist()
    )


def decode(data: bytes) -> Record:
    """Return the record.

    Raises:
        HardwareError: if it has another length.
    """
    if len(data) != _RECORD.size:
        raise HardwareError(
            f"a record of {len(data)} bytes, expected {_RECORD.size}: is this a Net F/T, and its "
            "RDT buffer mode off?"
        )
    sequence, ft_sequence, status, *counts = _RECORD.unpack(data)
    return Record(
        sequence=sequence,
        ft_sequence=ft_sequence,
        status=status,
        counts=np.array(counts, np.int64),
    )


def status_complaint(status: int) -> str:
    """What a status means, in words; empty if all is well."""
    if status == 0:
        return ""
    known = [words for bit, words in _KNOWN_BITS.items() if status >> bit & 1]
    said = f" ({', '.join(known)})" if known else ""
    return f"the sensor reports status 0x{status:08x}{said}: see the manual's table of statuses"


class Unwrapped:
    """A count without its wrap-around."""

    def __init__(self) -> None:
        self._newest: int | None = None

    def __call__(self, count: int) -> int:
        """Return the count as it would be had it never wrapped around."""
        newest = self._newest
        if newest is None:
            self._newest = count
            return count
        step = (count - newest + _WRAP // 2) % _WRAP - _WRAP // 2
        self._newest = max(newest, newest + step)
        return newest + step
