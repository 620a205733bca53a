"""All checks of a dataset in their order, and those of its statistics and leftovers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from robot_rl.data.exchange.lerobot.examination.clips import check_clips
from robot_rl.data.exchange.lerobot.examination.damage import Chart, DamageError, Kind
from robot_rl.data.exchange.lerobot.examination.episodes import (
    Episodes,
    check_episodes,
    check_totals,
    read_episodes,
)
from robot_rl.data.exchange.lerobot.examination.files import INFO, STATS, inside, read_json
from robot_rl.data.exchange.lerobot.examination.layout import (
    BOOKKEEPING,
    NUMBERS,
    Feature,
    Info,
    count_tasks,
    read_info,
)
from robot_rl.data.exchange.lerobot.examination.rows import check_rows
from robot_rl.data.finding import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What an examination gave.

    Args:
        info: None if info.json cannot be used.
        episodes: as far as the table could be read; None without info.json.
        chart: what is wrong.
    """

    info: Info | None
    episodes: Episodes | None
    chart: Chart

    @property
    def findings(self) -> list[Finding]:
        """What is wrong, one finding per kind and file."""
        claimed = self.info.episodes if self.info else 0
        return self.chart.findings(self._readable, claimed)

    @property
    def prefix(self) -> int:
        """How many leading episodes are whole."""
        return self.chart.prefix(self._readable)

    @property
    def _readable(self) -> int:
        return len(self.episodes) if self.episodes is not None else 0


def diagnose(root: Path, *, decode: bool = True) -> Diagnosis:
    """Examine a dataset; nothing is written, and nothing outside `root` is opened.

    Args:
        root: the folder that holds meta/.
        decode: decode every frame of every video; else only count them, which is much faster.

    Raises:
        DependencyError: pyarrow is not installed.
    """
    chart = Chart()
    try:
        info = read_info(root)
    except DamageError as error:
        chart.note(error.kind, error.path, error.text, breaks=0)
        return Diagnosis(info=None, episodes=None, chart=chart)
    episodes = read_episodes(root, info, chart)
    check_episodes(root, episodes, chart)
    if chart.prefix(len(episodes)) == len(episodes):
        check_totals(root, info, episodes, chart)
    tasks: int | None = None
    if info.episodes or len(episodes):
        with chart.noting(breaks=0):
            tasks = count_tasks(root)
            _check_total_tasks(root, info, tasks, chart)
        with chart.noting():
            check_stats(root, info)
    check_rows(root, info, episodes, tasks, chart)
    check_clips(root, info, episodes, chart, decode=decode)
    _check_leftovers(root, chart)
    return Diagnosis(info=info, episodes=episodes, chart=chart)


def _check_total_tasks(root: Path, info: Info, tasks: int, chart: Chart) -> None:
    claimed = info.raw.get("total_tasks", 0)
    if claimed != tasks:
        said = f"total_tasks is {claimed}, expected the {tasks} of the tasks table"
        chart.note(Kind.COUNT, root / INFO, said)


def check_stats(root: Path, info: Info) -> None:
    """Check that stats.json has possible numbers for every feature; bookkeeping may be absent.

    Raises:
        DamageError: it has not.
    """
    stats = read_json(root, STATS, Kind.STATS)
    for key, feature in info.features.items():
        needless = key in BOOKKEEPING and key not in stats
        if feature.dtype in (*NUMBERS, "image", "video") and not needless:
            wrong = what_is_impossible(stats.get(key), feature)
            if wrong:
                raise DamageError(Kind.STATS, root / STATS, f"{key!r}: {wrong}")


def what_is_impossible(raw: object, feature: Feature) -> str:
    """Return what no data could give in the statistics of one feature; empty if nothing."""
    if not isinstance(raw, Mapping):
        return "none, expected min, max, mean, std, count"
    try:
        named = {
            name: np.asarray(cast(Mapping[str, Any], raw)[name], np.float64).ravel()
            for name in ("min", "max", "mean", "std", "count")
        }
    except KeyError as error:
        return f"no {error}"
    except (TypeError, ValueError) as error:
        return f"not numbers: {error}"
    low, high, mean, std, count = named.values()
    # Arrays of more than one axis are counted per place on the last; cameras per channel.
    size = feature.shape[-1] if feature.dtype in NUMBERS else low.size
    if not size or {low.size, high.size, mean.size, std.size} != {size} or count.size != 1:
        return f"{[part.size for part in named.values()]} values, expected {size} of each"
    if not all(np.isfinite(part).all() for part in named.values()):
        return "values that are not finite"
    slack = 1e-3 * (high - low) + 1e-6 * np.maximum(1, np.abs(high))
    if (low > high).any() or (mean < low - slack).any() or (mean > high + slack).any():
        return f"min {low.tolist()}, mean {mean.tolist()}, max {high.tolist()}, expected in order"
    if (std < 0).any() or count[0] < 1:
        return f"std {std.tolist()} of {count[0]:g} values, expected 0 or more of 1 or more"
    return ""


def _check_leftovers(root: Path, chart: Chart) -> None:
    """Find the pictures and half videos that a recorder left when it died."""
    for folder in sorted([root / "images", *root.glob("tmp*")]):
        with chart.noting():
            if not folder.is_dir():
                continue
            inside(root, folder.name)
            left = sum(1 for path in folder.rglob("*") if path.is_file())
            if left:
                said = f"{left} files, expected none once a recording is finalised"
                chart.note(Kind.LEFTOVER, folder, said)
