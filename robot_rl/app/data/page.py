"""The page of one episode: words, tables and tiles. Curves and video come from beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import jinja2
import markupsafe
import numpy as np

from robot_rl.app.data import template, video
from robot_rl.app.data.figures import gate_events, main_charts, more_charts
from robot_rl.app.data.listing import when_text
from robot_rl.app.data.relabel import values_text
from robot_rl.app.report import chart
from robot_rl.app.report.template import STYLE
from robot_rl.app.terminal import number_text
from robot_rl.core.episode import Episode
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.spec import IMAGE_PREFIX, WRENCH
from robot_rl.core.types import GateReason, Source
from robot_rl.data.store.label import Label

SHOWN_GATE_EVENTS = 30


def page(
    episode: Episode, spec: RecordingSpec, labels: Sequence[Label], videos: Mapping[str, bytes]
) -> str:
    """Return HTML that needs nothing but itself.

    Args:
        episode: with the outcome to show.
        spec: of its store.
        labels: the newest of each name.
        videos: MP4 files by camera key.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    period_s = spec.task.action.period_s
    events = gate_events(episode, period_s)
    return environment.from_string(template.PAGE).render(
        style=markupsafe.Markup(STYLE + template.STYLE),
        episode_id=episode.episode_id,
        outcome=episode.outcome.name.lower(),
        task=spec.task.name,
        instruction=spec.task.instruction,
        remarks=remarks(episode),
        tiles=_tiles(episode, period_s, spec),
        videos=[
            {
                "name": key.removeprefix(IMAGE_PREFIX),
                "uri": video.data_uri(content),
                "small": video.enlargement(episode.images[key]) > 1,
            }
            for key, content in videos.items()
        ],
        charts=main_charts(episode, spec, labels),
        more=more_charts(episode, spec),
        gate=events[:SHOWN_GATE_EVENTS],
        gate_left=max(0, len(events) - SHOWN_GATE_EVENTS),
        tables=_tables(episode, labels),
        steps=len(episode),
        period_s=period_s,
        plot=_plot(),
    )


def remarks(episode: Episode) -> list[str]:
    """Return what one should know before one trusts the episode."""
    found: list[str] = []
    if episode.metadata.interrupted:
        found.append("Interrupted: recovered from the log of a recording that nobody finished.")
    columns = {**episode.vectors, "action": episode.action, "reward": episode.reward}
    for name, values in columns.items():
        if lost := int(np.count_nonzero(~np.isfinite(values))):
            found.append(f"{name}: {lost} of {values.size} values are not finite.")
    return found


def _tiles(episode: Episode, period_s: float, spec: RecordingSpec) -> list[tuple[str, str]]:
    human = int(np.isin(episode.source, (Source.HUMAN, Source.DEMO)).sum())
    changed = int(np.count_nonzero(episode.gate_reason != GateReason.PASSED))
    tiles = [
        (f"{len(episode) * period_s:.1f} s", f"{len(episode)} steps at {1 / period_s:g} Hz"),
        (str(int(episode.intervention_start.sum())), "interventions"),
        (f"{100 * human / len(episode):.0f} %", "of the steps a person's"),
        (number_text(float(episode.reward.sum())), "reward, recorded"),
        (f"{100 * changed / len(episode):.0f} %", "of the actions changed by the gate"),
    ]
    if WRENCH in episode.vectors:
        force = np.linalg.norm(episode.vectors[WRENCH][:, :3], axis=1)
        unit = spec.task.observation.vectors[WRENCH].unit.split(",")[0]
        tiles.append((f"{number_text(float(np.nanmax(force)))} {unit}", "largest force"))
    return tiles


def _tables(
    episode: Episode, labels: Sequence[Label]
) -> list[tuple[str, Sequence[tuple[str, str]]]]:
    facts = asdict(episode.metadata)
    limits: Mapping[str, Any] = facts.pop("limits")
    facts["recorded"] = when_text(facts.pop("created_unix_s"))
    facts["ended by"] = _ended(episode)
    versions = np.unique(episode.policy_version)
    facts["policy versions"] = ", ".join(str(v) for v in versions[:20])
    known = [(name, value) for name, value in facts.items() if value != ""]
    tables = [
        ("Labels", [(each.name, f"{values_text(each)}; by {each.made_by}") for each in labels]),
        ("Limits in force", [(name, _plain(value)) for name, value in limits.items()]),
        ("Metadata", [(name.replace("_", " "), _plain(v)) for name, v in known]),
    ]
    return [(title, rows) for title, rows in tables if rows]


def _ended(episode: Episode) -> str:
    if episode.terminated:
        return "the task"
    return "time limit or stop" if episode.truncated else "nothing recorded"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _plot() -> dict[str, float]:
    # The chart leaves 2 % free to the right of its last point.
    inner = (chart.WIDTH - chart.LEFT - chart.RIGHT) / 1.02
    return {
        "width": chart.WIDTH,
        "left": chart.LEFT,
        "inner": inner,
        "top": chart.TOP,
        "bottom": chart.HEIGHT - chart.BOTTOM,
    }
