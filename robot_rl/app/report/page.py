"""The report's words, tables and tiles, and the file. Charts and pictures come from beside it."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
import numpy as np
import yaml

from robot_rl.app.progress import duration
from robot_rl.app.report import pictures as picture
from robot_rl.app.report.figures import charts
from robot_rl.app.report.model import ComparedStart, PolicyTrials, ReportEvaluation
from robot_rl.app.report.template import PAGE, STYLE
from robot_rl.core.errors import StorageError
from robot_rl.runtime.events import Evaluated, Event, GateEvent

SHOWN_STARTS = 3
"""More matched starts than these only make the file heavy."""

UNKNOWN = "\N{EN DASH}"


def write_report(
    run_dir: Path,
    summary: Mapping[str, Any],
    events: Sequence[Event],
    evaluation: ReportEvaluation,
    pictures: Sequence[ComparedStart] = (),
) -> Path:
    """Write `report.html` into `run_dir` at once or not at all; it needs nothing but itself.

    Args:
        run_dir: an existing folder.
        summary: as `RunSummary.to_dict` gives it.
        events: of the whole run, in order.
        evaluation: the final one, from matched starts.
        pictures: matched starts; the first `SHOWN_STARTS` are shown.

    Returns:
        The file.

    Raises:
        StorageError: if it cannot be written.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string(PAGE).render(
        style=markupsafe.Markup(STYLE),
        task=summary["task"],
        seed=summary["seed"],
        wall=_minutes(summary["wall_s"]),
        verdict=f"{_verdict(evaluation)} {_deployed(events)}".strip(),
        base=_rate("Base", "base", evaluation.base),
        improved=_rate("Improved", "improved", evaluation.improved),
        tiles=_tiles(summary),
        phases=_phases(summary["phases_s"]),
        comparison=_comparison(evaluation),
        discordance=_discordance(evaluation),
        starts=[_start(start) for start in pictures[:SHOWN_STARTS]],
        charts=charts(events, evaluation),
        gate_total=_gate_total(summary["gate"]),
        gate_reasons=_gate_reasons(events),
        versions=_yaml(summary["versions"]),
        config=_yaml(summary["config"]),
    )
    path = run_dir / "report.html"
    _replace(path, page)
    return path


def _replace(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        raise StorageError(f"{path}: cannot write the report: {error}") from error
    finally:
        aside.unlink(missing_ok=True)


def _verdict(evaluation: ReportEvaluation) -> str:
    episodes, bound = evaluation.base.episodes, evaluation.lower_bound
    if episodes == 0:
        return "There was no final evaluation."
    gain = 100 * (evaluation.improved.rate - evaluation.base.rate)
    found = f"{gain:+.0f} points of success over {episodes} matched starts"
    if bound > 0:
        return f"{found}. With 95 % confidence the gain is at least {100 * bound:.0f} points."
    return (
        f"{found}. That is not enough to say that the policy is better than the base "
        f"(95 % lower bound {100 * bound:+.0f} points)."
    )


def _deployed(events: Sequence[Event]) -> str:
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    if not evaluated:
        return ""
    last = evaluated[-1]
    if last.deployed == "base":
        return "Deployed at the end: the base."
    return f"Deployed at the end: {last.deployed} v{last.deployed_version}."


def _rate(name: str, role: str, trials: PolicyTrials) -> dict[str, Any]:
    low, high = (100 * bound for bound in trials.ci95)
    return {
        "name": name,
        "role": role,
        "rate": percent(trials.rate),
        "episodes": trials.episodes,
        "left": round(low, 1),
        "width": round(high - low, 1),
        "at": round(100 * trials.rate, 1) if trials.episodes else None,
        "interval": _interval(trials),
    }


def _interval(trials: PolicyTrials) -> str:
    low, high = trials.ci95
    return f"{100 * low:.0f}{UNKNOWN}{100 * high:.0f} %"


def _tiles(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    rate = summary["intervention_rate"]
    return [
        (_minutes(summary["wall_s"]), "from start to end"),
        (_minutes(summary["operator_s"]), "of a person's time"),
        (count(summary["demos"]), "demonstrations"),
        (count(summary["env_steps"]), "steps on the robot"),
        (count(summary["updates"]), "learner updates"),
        (f"{percent(rate['first'])} \u2192 {percent(rate['last'])}", "human steps in training"),
    ]


def _minutes(seconds: float) -> str:
    """Return whole minutes where seconds no longer matter."""
    minutes = round(seconds / 60)
    return f"{minutes}\N{NO-BREAK SPACE}min" if 5 <= minutes < 120 else duration(seconds)


def _phases(phases_s: Mapping[str, float | None]) -> list[dict[str, Any]]:
    known = {name: seconds for name, seconds in phases_s.items() if seconds}
    total = sum(known.values())
    return [
        {"name": name, "time": duration(seconds), "share": round(seconds / total, 4)}
        for name, seconds in known.items()
    ]


def _comparison(evaluation: ReportEvaluation) -> list[tuple[str, str, str]]:
    was, now = evaluation.base, evaluation.improved
    force_was, force_now = was.contact_force_n, now.contact_force_n
    return [
        ("Success", _successes(was), _successes(now)),
        ("95 % interval", _interval(was), _interval(now)),
        (
            "Cycle time, median of successes",
            number(was.cycle_time_s, "s"),
            number(now.cycle_time_s, "s"),
        ),
        ("Contact force, mean", number(force_was.mean, "N"), number(force_now.mean, "N")),
        ("Contact force, 99th percentile", number(force_was.p99, "N"), number(force_now.p99, "N")),
        ("Contact force, largest", number(force_was.max, "N"), number(force_now.max, "N")),
        ("Human interventions", "0", "0"),
    ]


def _successes(trials: PolicyTrials) -> str:
    return f"{np.count_nonzero(trials.success)} of {trials.episodes}"


def _discordance(evaluation: ReportEvaluation) -> str:
    was = np.asarray(evaluation.base.success, bool)
    now = np.asarray(evaluation.improved.success, bool)
    return (
        f"Of the same {len(was)} starts, {np.count_nonzero(was & now)} were solved by both, "
        f"{np.count_nonzero(now & ~was)} only by the improved policy, "
        f"{np.count_nonzero(was & ~now)} only by the base, "
        f"{np.count_nonzero(~was & ~now)} by neither."
    )


def _start(start: ComparedStart) -> dict[str, Any]:
    def told(solved: bool, frames: int) -> str:
        word = "solves it in" if solved else "fails after"
        return f"{word} {frames * start.frame_period_s:.1f} s"

    return {
        "seed": start.seed,
        "base": told(start.base_success, len(start.base_frames)),
        "improved": told(start.improved_success, len(start.improved_frames)),
        "animation": picture.animation(start),
        "strip": picture.strip(start),
    }


def _gate_total(gate: Mapping[str, int]) -> str:
    return (
        f"Actions that the gate refused in the whole run: {count(gate['refused'])}. Times that "
        f"it held the arm: {count(gate['holds'])}."
    )


def _gate_reasons(events: Sequence[Event]) -> list[tuple[str, str, str]]:
    counted = Counter(event.reason for event in events if isinstance(event, GateEvent))
    return [
        (reason.lower().replace("_", " "), count(n), percent(n / counted.total()))
        for reason, n in counted.most_common()
    ]


def _yaml(values: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True).strip()


def percent(share: float | None) -> str:
    """Return `98 %`; a dash for what is unknown."""
    if share is None or math.isnan(share):
        return UNKNOWN
    # 99.6 % is not 100 %: rounding must not turn a failure into none.
    shown = 100 * share
    text = f"{shown:.1f}" if 0 < shown < 1 or 99 < shown < 100 else f"{shown:.0f}"
    return f"{text}\N{NO-BREAK SPACE}%"


def number(value: float | None, unit: str) -> str:
    """Return `12.3 N`; a dash for what is unknown."""
    if value is None or math.isnan(value):
        return UNKNOWN
    return f"{value:.1f}\N{NO-BREAK SPACE}{unit}"


def count(value: int) -> str:
    """Return `12 345` with narrow no-break spaces."""
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
