"""Where the episodes of a recording begin and end."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.types import Outcome
from robot_rl.data.exchange.topics.alignment import Stamps, split_at_flag, split_at_gaps, ticks
from robot_rl.data.exchange.topics.streams import Streams
from robot_rl.data.exchange.topics.topic_map import TopicMap

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One episode: its ticks, int64[T + 1] [ns], and how it was judged."""

    ticks: Stamps
    outcome: Outcome


def find_windows(streams: Streams, topics: TopicMap) -> list[Window]:
    """Cut the recording as the map says.

    An episode lasts while all mapped topics speak: from the latest of their first messages to the
    earliest of their last ones. What that leaves out at the start is logged; at the end it is an
    error if it exceeds `max_age_s`, unless the map allows a part.

    Raises:
        ContractError: if a topic is silent in an episode, or falls silent before the others.
        StorageError: if no episode remains.
    """
    spans = _spans(streams, topics)
    starts = [start for start, _ in spans]
    windows: list[Window] = []
    for number, (first, last) in enumerate(spans):
        if topics.episode.by == "flag":
            heard = max(int(stamps[0]) for stamps in streams.stamps().values())
            start, stop = max(first, heard), last
        else:
            start, stop = _while_all_speak(streams, first, last, topics)
        at = ticks(start, stop, topics.rate_hz)
        if len(at) < 2:
            _LOG.warning("%.3f s from %d ns are too short for a step", (last - first) / 1e9, first)
            continue
        until = starts[number + 1] if number + 1 < len(starts) else None
        after = first if number else None
        windows.append(Window(ticks=at, outcome=_judged(streams, after, until)))
    if not windows:
        raise StorageError(
            f"the recording holds no episode: {_overlap(streams)}. Check `episode` and `rate_hz` "
            "in the topic map; if the stamps come from clocks that disagree, set `clock: log`"
        )
    return windows


def _spans(streams: Streams, topics: TopicMap) -> list[tuple[int, int]]:
    every = [*streams.stamps().values()]
    end = max(int(stamps[-1]) for stamps in every)
    if topics.episode.by == "flag":
        flag = streams.flags["episode.flag"]
        return split_at_flag(flag.stamps, flag.values[:, 0] != 0, end)
    if topics.episode.gap_s is not None:
        return split_at_gaps(every, round(topics.episode.gap_s * 1e9))
    return [(min(int(stamps[0]) for stamps in every), end)]


def _while_all_speak(streams: Streams, first: int, last: int, topics: TopicMap) -> tuple[int, int]:
    start, stop, early = first, last, ""
    for label, stamps in streams.stamps().items():
        inside = stamps[(stamps >= first) & (stamps <= last)]
        if not len(inside):
            raise ContractError(
                f"{label} has no message from {first} to {last} ns, where others have; cut the "
                "recording differently (`episode`), or take the topic out of the map"
            )
        start = max(start, int(inside[0]))
        if inside[-1] < stop:
            stop, early = int(inside[-1]), label
    if start > stop:
        raise ContractError(
            f"the topics were never recorded at the same time: {_overlap(streams)}. If their "
            "stamps come from clocks that disagree, set `clock: log` in the topic map"
        )
    if start - first > topics.max_age_s * 1e9:
        _LOG.warning("the first %.3f s lack a topic and are left out", (start - first) / 1e9)
    lost = (last - stop) / 1e9
    if lost > topics.max_age_s:
        what = f"{early} falls silent {lost:.3f} s before the last of the others"
        if not topics.allow_partial:
            raise ContractError(
                f"{what}, allowed are {topics.max_age_s} s; set `allow_partial: true` in the "
                "topic map to end the episode there, or raise max_age_s"
            )
        _LOG.warning("%s: the episode ends there", what)
    return start, stop


def _judged(streams: Streams, first: int | None, until: int | None) -> Outcome:
    """Return what the success topic said last from `first` to before `until`."""
    if "success" not in streams.flags:
        return Outcome.UNKNOWN
    flag = streams.flags["success"]
    inside = np.ones(len(flag.stamps), np.bool_)
    inside &= flag.stamps >= first if first is not None else True
    inside &= flag.stamps < until if until is not None else True
    if not inside.any():
        return Outcome.UNKNOWN
    return Outcome.SUCCESS if flag.values[inside][-1, 0] else Outcome.FAILURE


def _overlap(streams: Streams) -> str:
    return "; ".join(
        f"{label} from {int(stamps[0])} to {int(stamps[-1])} ns"
        for label, stamps in streams.stamps().items()
    )
