"""What came of a session: its episodes as the store has them, in blocks, and what is claimed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from report import Claim, Row, at_least, at_most
from session_visit import Glimpse, Visit

from robot_rl.core.episode import Episode
from robot_rl.core.errors import StorageError
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.runtime.events import EpisodeEnded, Evaluated, Event, LearnerMetrics
from robot_rl.runtime.improve import PHASE
from robot_rl.runtime.rollout import succeeded
from robot_rl.runtime.statistics import median_and_spread, wilson_interval

COLUMNS = (
    *("name", "alone", "alone_ci95", "helped", "human", "human_ci95", "weights"),
    *("age_s", "updates_hz", "missed", "load", "median", "unit"),
)
"""`alone`: success without help; `helped`: with it. `human`: share of steps. `weights`: version
that acted last; `age_s`: of weights, at the median and at most. `missed`: control ticks."""
_DRAWS = 10_000

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One episode of the session, as it is in the store.

    Args:
        success, assisted: as recorded; a person drove at least one step.
        version: of the weights that made the last step; 0 is the base alone.
        missed: control ticks that were left out, for the one before had not ended.
        updates_per_s: of the learner, after the episode; NaN where it told nothing new.
        seen: what the page showed of it.
    """

    success: bool
    assisted: bool
    steps: int
    human_steps: int
    version: int
    missed: int
    updates_per_s: float
    seen: Glimpse


def played(
    store: EpisodeReader, events: Sequence[Event], visit: Visit
) -> tuple[list[Played], list[str]]:
    """The session's episodes in their order, and the ids of those that were lost.

    Whatever the page showed or the run told of must be in the store, with every step.

    Args:
        store: where the session recorded.
        events: that the run told.
        visit: what the page showed.
    """
    told = {e.episode_id: e for e in events if isinstance(e, EpisodeEnded) and e.phase == PHASE}
    rates = _rates(events)
    kept: list[Played] = []
    lost: list[str] = []
    for episode_id in dict.fromkeys([*visit.episodes, *told]):
        event = told.get(episode_id)
        try:
            episode = store.read(episode_id)
        except StorageError:
            lost.append(episode_id)
            continue
        if event is None or event.steps != len(episode):
            lost.append(episode_id)
            continue
        seen = visit.episodes.get(episode_id, Glimpse())
        rate = rates.get(episode_id, math.nan)
        kept.append(_played(episode, event, rate, seen, visit.period_s))
    return kept, lost


def blocks(episodes: Sequence[Played], size: int) -> list[Sequence[Played]]:
    """Equal parts of at least `size`, in order; two halves if there are not enough for two."""
    count = max(2, len(episodes) // size)
    ends = np.linspace(0, len(episodes), count + 1).astype(int)
    return [episodes[a:b] for a, b in pairwise(ends.tolist())]


def block_rows(parts: Sequence[Sequence[Played]]) -> list[Row]:
    """A row for each block, and one for what the last has more than the first."""
    rows: list[Row] = []
    first = 1
    for part in parts:
        rows.append(_row(f"episodes {first} to {first + len(part) - 1}", part))
        first += len(part)
    gained, fell = gain(parts[0], parts[-1]), change(parts[0], parts[-1])
    difference = {
        "name": "last block less first",
        "alone": rows[-1]["alone"] - rows[0]["alone"],
        "alone_ci95": gained,
        "helped": rows[-1]["helped"] - rows[0]["helped"],
        "human": rows[-1]["human"] - rows[0]["human"],
        "human_ci95": fell,
    }
    return [*rows, difference]


def other_rows(episodes: Sequence[Played], verdict: Evaluated | None, visit: Visit) -> list[Row]:
    """Matched starts as the run has judged them, and what else happened."""
    rows: list[Row] = []
    if verdict is not None:
        trials = verdict.episodes
        for name, rate in (("base", verdict.base_success), ("improved", verdict.improved_success)):
            interval = wilson_interval(round(rate * trials), trials)
            title = f"{trials} matched starts: {name}"
            rows.append({"name": title, "alone": rate, "alone_ci95": interval})
    counts = {
        "episodes": len(episodes),
        "steps": sum(e.steps for e in episodes),
        "steps by the person": sum(e.human_steps for e in episodes),
        "versions that acted": len({e.version for e in episodes} - {0}),
        "stops": visit.stops,
        "learners lost": visit.lost,
        "clicks": sum(visit.clicks.values()),
        "clicks refused": len(visit.refused),
    }
    return [*rows, *({"name": name, "median": n, "unit": ""} for name, n in counts.items())]


def claims(
    parts: Sequence[Sequence[Played]], lost: Sequence[str], verdict: Evaluated | None
) -> list[Claim]:
    """What must be true of a session."""
    episodes = [episode for part in parts for episode in part]
    gained, fell = gain(parts[0], parts[-1])[0], change(parts[0], parts[-1])[1]
    judged = verdict.improved_success - verdict.base_success if verdict else math.nan
    versions = len({e.version for e in episodes} - {0})
    return [
        _over("success alone, last block less first: lower end of 95 %", gained, "", 0.0),
        _under("share of human steps, likewise: upper end of 95 %", fell, "", 0.0),
        at_least("matched starts: improved less base", judged, "", 0.0),
        at_most("episodes lost", len(lost), "", 0),
        at_least("weights that were swapped in", versions, "versions", 2),
        at_least("corrected episodes that newer weights followed", followed(episodes), "", 1.0),
        at_most("missed control ticks", sum(e.missed for e in episodes), "", 0),
    ]


def followed(episodes: Sequence[Played]) -> float:
    """Share of corrected episodes after which weights acted that were newer; NaN without any.

    The last episode has none after it and does not count.
    """
    newest = np.maximum.accumulate([e.version for e in reversed(episodes)])[::-1]
    found = [
        newest[i + 1] > episode.version
        for i, episode in enumerate(episodes[:-1])
        if episode.assisted
    ]
    return float(np.mean(found)) if found else math.nan


def gain(before: Sequence[Played], after: Sequence[Played]) -> Interval:
    """The 95 % interval of how much more often the policy succeeds alone.

    That of a difference of two independent rates, from the score interval of each (Newcombe 1998,
    Statistics in Medicine 17, 873-890, method 10).
    """
    (p, low_p, high_p), (q, low_q, high_q) = _alone(before), _alone(after)
    low = q - p - math.hypot(q - low_q, high_p - p)
    high = q - p + math.hypot(high_q - q, p - low_p)
    return low, high


def change(before: Sequence[Played], after: Sequence[Played]) -> Interval:
    """The 95 % interval of the change in the share of human steps, bootstrapped over episodes."""
    rng = np.random.default_rng(0)
    differences = _drawn_shares(after, rng) - _drawn_shares(before, rng)
    return _percentiles(differences)


def _played(
    episode: Episode, event: EpisodeEnded, rate: float, seen: Glimpse, period_s: float
) -> Played:
    return Played(
        success=succeeded(episode),
        assisted=episode.assisted,
        steps=len(episode),
        human_steps=event.human_steps,
        version=int(episode.policy_version[-1]),
        # A tick that overran is followed by the next instant of the schedule: late by whole ticks.
        missed=int(np.floor(episode.lateness_s / period_s).sum()),
        updates_per_s=rate,
        seen=seen,
    )


def _rates(events: Sequence[Event]) -> Mapping[str, float]:
    """Updates a second as told after each episode, by its id."""
    found: dict[str, float] = {}
    episode_id = ""
    for event in events:
        if isinstance(event, EpisodeEnded) and event.phase == PHASE:
            episode_id = event.episode_id
        elif isinstance(event, LearnerMetrics) and episode_id:
            found[episode_id] = event.updates_per_s
    return found


def _row(name: str, part: Sequence[Played]) -> Row:
    rate, low, high = _alone(part)
    ages_s = [age_s for episode in part for age_s in episode.seen.weights_age_s]
    rng = np.random.default_rng(0)
    return {
        "name": name,
        "alone": rate,
        "alone_ci95": (low, high),
        "helped": sum(e.success and e.assisted for e in part) / len(part),
        "human": _share(part),
        "human_ci95": _percentiles(_drawn_shares(part, rng)),
        "weights": part[-1].version,
        "age_s": (median_and_spread(ages_s)[0], max(ages_s, default=math.nan)),
        "updates_hz": median_and_spread([e.updates_per_s for e in part])[0],
        "missed": sum(e.missed for e in part),
        "load": max(e.seen.load for e in part),
    }


def _alone(part: Sequence[Played]) -> tuple[float, float, float]:
    wins = sum(e.success and not e.assisted for e in part)
    return wins / len(part), *wilson_interval(wins, len(part))


def _share(part: Sequence[Played]) -> float:
    return sum(e.human_steps for e in part) / sum(e.steps for e in part)


def _drawn_shares(part: Sequence[Played], rng: np.random.Generator) -> np.ndarray:
    """Shares of human steps of episodes drawn with replacement, float64[draws]."""
    drawn = rng.integers(len(part), size=(_DRAWS, len(part)))
    human = np.array([episode.human_steps for episode in part])
    steps = np.array([episode.steps for episode in part])
    return human[drawn].sum(axis=1) / steps[drawn].sum(axis=1)


def _percentiles(values: np.ndarray) -> Interval:
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


def _over(name: str, value: float, unit: str, bound: float) -> Claim:
    return Claim(name=name, value=value, unit=unit, target=f"> {bound:g}", holds=value > bound)


def _under(name: str, value: float, unit: str, bound: float) -> Claim:
    return Claim(name=name, value=value, unit=unit, target=f"< {bound:g}", holds=value < bound)
