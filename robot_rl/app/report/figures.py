"""Which charts the report shows, and from which events. How a chart is drawn is in `chart`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robot_rl.app.report.chart import Band, Chart, Intervals, Line
from robot_rl.app.report.model import CONTACT_N, PolicyTrials, ReportEvaluation
from robot_rl.runtime.events import EpisodeEnded, Evaluated, Event, LearnerMetrics
from robot_rl.runtime.statistics import rolling_mean, wilson_interval

WINDOW = 20
"""Episodes behind the rolling curves."""

FIRST_SHOWN = 5
"""Rolling curves begin with this many episodes: a share of one or two says nothing."""

TRAINING_PHASE = "improve"


def charts(events: Sequence[Event], evaluation: ReportEvaluation) -> list[Chart]:
    """Return every chart that there is data for, in reading order."""
    training = [e for e in events if isinstance(e, EpisodeEnded) and e.phase == TRAINING_PHASE]
    evaluated = [e for e in events if isinstance(e, Evaluated)]
    metrics = [e for e in events if isinstance(e, LearnerMetrics)]
    found = [
        success_chart(training, evaluated),
        intervention_chart(training),
        force_chart(evaluation),
        *learner_charts(metrics),
    ]
    return [chart for chart in found if chart is not None]


def success_chart(
    training: Sequence[EpisodeEnded], evaluated: Sequence[Evaluated]
) -> Chart | None:
    """Success over environment steps: training, evaluation, and what was deployed."""
    if not training and not evaluated:
        return None
    x = [e.env_steps_total for e in training]
    alone = _rolling([e.success_autonomous for e in training])
    helped = _rolling([e.success and e.assisted for e in training])
    marks: list[Line | Band | Intervals] = []
    if training:
        marks.append(Line(label="training, unassisted", role="neutral", x=x, y=alone))
    if any(e.assisted for e in training):
        marks.append(Line(label="training, with help", role="help", x=x, y=helped, dashed=True))
    if evaluated:
        marks += [
            _evaluation_points(evaluated, "base", -3.0),
            _evaluation_points(evaluated, "improved", 3.0),
        ]
    return Chart(
        title="Success while it learned",
        note=f"Share of the last {WINDOW} training episodes; dots are evaluations from matched "
        "starts with 95 % intervals; upright lines mark what was deployed from there on.",
        x_label="environment steps",
        y_label="success %",
        marks=marks,
        flags=deployments(evaluated),
        y_range=(0.0, 1.0),
        y_percent=True,
    )


def deployments(evaluated: Sequence[Evaluated]) -> list[tuple[float, str]]:
    """Return (env steps, name) wherever the deployed policy changed."""
    named = [
        (float(e.env_steps_total), "base" if e.deployed == "base" else f"v{e.deployed_version}")
        for e in evaluated
    ]
    return named[:1] + [b for a, b in itertools.pairwise(named) if a[1] != b[1]]


def intervention_chart(training: Sequence[EpisodeEnded]) -> Chart | None:
    """Share of steps that a person drove."""
    if not training:
        return None
    rate = _rolling([e.human_steps for e in training]) / _rolling([e.steps for e in training])
    return Chart(
        title="Human help",
        note=f"Steps that a person drove, of all steps of the last {WINDOW} training episodes.",
        x_label="environment steps",
        y_label="human steps %",
        marks=[Line(label="", role="help", x=[e.env_steps_total for e in training], y=rate)],
        y_range=(0.0, max(0.1, 1.1 * float(np.nanmax(rate)))),
        y_percent=True,
    )


def force_chart(evaluation: ReportEvaluation) -> Chart | None:
    """Contact force over time since the first contact, of both policies."""
    marks: list[Line | Band | Intervals] = []
    for role, trials in (("base", evaluation.base), ("improved", evaluation.improved)):
        curves = from_first_contact(trials)
        if not curves:
            continue
        low, median, high = force_profile(curves)
        x = np.arange(len(median)) * trials.period_s
        marks.append(Line(label=role, role=role, x=x, y=median))
        marks.append(Band(label=f"{role}, 10-90 %", role=role, x=x, low=low, high=high))
    if not marks:
        return None
    return Chart(
        title="Contact force",
        note=f"Median and 10-90 % band over evaluation episodes, from the first {CONTACT_N:g} N; "
        "shown while at least half of the episodes still run.",
        x_label="time since first contact [s]",
        y_label="force [N]",
        marks=marks,
    )


def learner_charts(metrics: Sequence[LearnerMetrics]) -> list[Chart]:
    """What tells whether learning was healthy; only what was logged."""
    wanted = (
        (
            "Value estimate",
            "Mean Q of executed actions. It should rise and settle, never run away.",
            "Q",
            (("q_mean", "mean", "improved"), ("q_max", "largest", "neutral")),
        ),
        (
            "Temporal-difference error",
            "On what the robot did itself and on demonstrations, apart.",
            "TD error",
            (("td_error_online", "online", "improved"), ("td_error_offline", "offline", "help")),
        ),
        (
            "Size of the correction",
            "Mean norm of what the learned policy adds to the base action, normalised.",
            "norm",
            (("residual_norm", "", "improved"),),
        ),
    )
    found: list[Chart] = []
    x = [m.env_steps_total for m in metrics]
    for title, note, y_label, names in wanted:
        marks = [
            Line(label=label, role=role, x=x, y=[m.values.get(name, math.nan) for m in metrics])
            for name, label, role in names
            if any(name in m.values for m in metrics)
        ]
        if marks:
            found.append(
                Chart(
                    title=title,
                    note=note,
                    x_label="environment steps",
                    y_label=y_label,
                    marks=marks,
                )
            )
    return found


def from_first_contact(trials: PolicyTrials) -> list[NDArray[np.float32]]:
    """Return each curve from its first sample in contact on; curves without contact are out."""
    cut = [curve[np.argmax(curve >= CONTACT_N) :] for curve in trials.force_n if len(curve)]
    return [curve for curve in cut if curve[0] >= CONTACT_N]


def force_profile(
    curves: Sequence[NDArray[np.float32]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return 10th, 50th and 90th percentile, float64[T], while half of the curves last [N]."""
    lengths = np.sort([len(curve) for curve in curves])[::-1]
    horizon = int(lengths[(len(curves) - 1) // 2])
    padded = np.full((len(curves), horizon), np.nan)
    for row, curve in zip(padded, curves, strict=True):
        row[: len(curve)] = curve[:horizon]
    low, median, high = np.nanpercentile(padded, (10, 50, 90), axis=0)
    return low, median, high


def _rolling(values: Sequence[float]) -> NDArray[np.float64]:
    mean = rolling_mean(values, WINDOW)
    mean[: min(FIRST_SHOWN, len(mean)) - 1] = np.nan
    return mean


def _evaluation_points(evaluated: Sequence[Evaluated], role: str, shift_px: float) -> Intervals:
    rates = [e.base_success if role == "base" else e.improved_success for e in evaluated]
    bounds = [
        wilson_interval(round(rate * e.episodes), e.episodes)
        for rate, e in zip(rates, evaluated, strict=True)
    ]
    return Intervals(
        label=f"{role}, evaluated",
        role=role,
        x=[e.env_steps_total for e in evaluated],
        y=rates,
        low=[low for low, _ in bounds],
        high=[high for _, high in bounds],
        shift_px=shift_px,
    )
