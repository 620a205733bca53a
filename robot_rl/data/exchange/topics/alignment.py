"""Streams of different rates to the ticks of one: which sample counts at which instant.

At each tick the newest sample that is not newer than the tick counts (a zero-order hold), and it
may not be older than a limit. Pure functions of stamps; nothing here knows a message.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.errors import ContractError

Stamps = NDArray[np.int64]
_MAX_TICKS = 10_000_000


def ticks(start_ns: int, stop_ns: int, rate_hz: float) -> Stamps:
    """Return int64[n], the instants `start + k / rate` that are not after `stop`.

    Raises:
        ContractError: if there are absurdly many.
    """
    count = int((stop_ns - start_ns) * rate_hz / 1e9) + 2
    if count > _MAX_TICKS:
        raise ContractError(
            f"an episode from {start_ns} to {stop_ns} ns has {count} ticks, expected at most "
            f"{_MAX_TICKS}; a stamp in it is wrong: set `clock: log`, or cut the recording"
        )
    steps = np.rint(np.arange(max(count, 0)) * (1e9 / rate_hz)).astype(np.int64)
    return (start_ns + steps)[start_ns + steps <= stop_ns]


def hold(name: str, stamps: Stamps, at: Stamps, max_age_ns: int) -> Stamps:
    """Return int64[n]: for each instant of `at` the index of the sample that counts.

    Args:
        name: names the stream in errors.
        stamps: int64[m], sorted.
        at: int64[n].
        max_age_ns: the limit on the samples' age [ns].

    Raises:
        ContractError: naming the first instant without a sample, or with one that is too old.
    """
    index = np.searchsorted(stamps, at, side="right") - 1
    ages = np.where(index >= 0, at - stamps[np.maximum(index, 0)], np.iinfo(np.int64).max)
    late = np.flatnonzero(ages > max_age_ns)
    if len(late):
        instant = int(at[late[0]])
        age = ages[late[0]] / 1e9
        newest = f"is {age:.3f} s old" if index[late[0]] >= 0 else "is yet to come"
        raise ContractError(
            f"{name}: at {instant} ns the newest sample {newest}, allowed are "
            f"{max_age_ns / 1e9:.3f} s, and so at {len(late)} of {len(at)} instants; raise "
            "max_age_s, or cut the episodes so that the gap lies between them"
        )
    return index


def split_at_gaps(streams: Sequence[Stamps], gap_ns: int) -> list[tuple[int, int]]:
    """Return (first, last) stamp of each span in which no silence of all exceeds `gap_ns`."""
    stamps = np.sort(np.concatenate(streams))
    cuts = np.flatnonzero(np.diff(stamps) > gap_ns)
    firsts = stamps[np.concatenate([[0], cuts + 1])]
    lasts = stamps[np.concatenate([cuts, [len(stamps) - 1]])]
    return [(int(a), int(b)) for a, b in zip(firsts, lasts, strict=True)]


def split_at_flag(stamps: Stamps, raised: NDArray[np.bool_], end_ns: int) -> list[tuple[int, int]]:
    """Return (rise, fall) of each span in which the flag is up; one still up falls at `end_ns`."""
    before = np.concatenate([[False], raised[:-1]])
    rises = stamps[raised & ~before]
    falls = stamps[~raised & before]
    falls = np.concatenate([falls, [end_ns]]) if len(falls) < len(rises) else falls
    return [(int(a), int(b)) for a, b in zip(rises, falls, strict=True)]
