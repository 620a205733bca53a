"""Fills `RunSummary` from a run's folder, its events and its final evaluation."""

from __future__ import annotations

import resource

import numpy as np

from robot_rl.app.report import ReportEvaluation
from robot_rl.app.run_context import RunContext
from robot_rl.app.summary import (
    BaseSuccess,
    ContactForce,
    CycleTime,
    GateNumbers,
    ImprovedSuccess,
    InterventionRate,
    PhaseSeconds,
    RunSummary,
)
from robot_rl.config.provenance import provenance
from robot_rl.runtime.events import EpisodeEnded, LearnerMetrics, read_events

WINDOW = 20
"""Training episodes behind the first and the last intervention rate."""
PHASES = ("collect", "imitate", "improve", "evaluate")


def summarise(run: RunContext, evaluation: ReportEvaluation) -> RunSummary:
    """The outcome of a finished run in numbers."""
    events = read_events(run.folder.events)
    episodes = [e for e in events if isinstance(e, EpisodeEnded)]
    online = [e for e in episodes if e.phase == "improve"]
    driven = sum(e.human_steps for e in episodes)
    updates = [e.updates_total for e in events if isinstance(e, LearnerMetrics)]
    phases = run.folder.phases
    seconds = {name: float(phases.get(name, {}).get("wall_s", 0.0)) for name in PHASES}
    base, improved = evaluation.base, evaluation.improved
    facts = provenance()
    return RunSummary(
        task=run.task.name,
        seed=run.config.seed,
        wall_s=sum(seconds.values()),
        base=BaseSuccess(success=base.rate, episodes=base.episodes, ci95=base.ci95),
        improved=ImprovedSuccess(
            success_autonomous=improved.rate, episodes=improved.episodes, ci95=improved.ci95
        ),
        intervention_rate=InterventionRate(
            first=_intervention_rate(online[:WINDOW]), last=_intervention_rate(online[-WINDOW:])
        ),
        env_steps=max((e.env_steps_total for e in online), default=0),
        updates=max(updates, default=0),
        operator_s=driven * run.task.action.period_s,
        demos=run.config.collect.episodes,
        peak_rss_mb=_peak_rss_mb(with_learner=run.config.learner_process),
        cycle_time_s=CycleTime(base=base.cycle_time_s, improved=improved.cycle_time_s),
        contact_force_n=ContactForce(base=base.contact_force_n, improved=improved.contact_force_n),
        gate=GateNumbers(
            refused=sum(e.gate_refused for e in episodes),
            holds=sum(e.gate_holds for e in episodes),
        ),
        phases_s=PhaseSeconds(**seconds),
        versions={"robot_rl": facts.code_version, "python": facts.python, **facts.libraries},
        config=run.config.model_dump(mode="json"),
    )


def _intervention_rate(episodes: list[EpisodeEnded]) -> float:
    steps = sum(e.steps for e in episodes)
    return sum(e.human_steps for e in episodes) / steps if steps else float(np.nan)


def _peak_rss_mb(*, with_learner: bool) -> float:
    """Peak memory of this process, and of the learner's where it has one of its own [MB]."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if with_learner:
        peak += resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak / 1024
