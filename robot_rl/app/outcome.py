"""What a run tells the terminal in the end: one table and where the report lies."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from robot_rl.app.run_folder import RunFolder


def print_outcome(folder: RunFolder) -> None:
    """Print base against improved policy, from the run's `summary.json`."""
    summary = json.loads(folder.summary.read_text())
    table = Table(title=f"{summary['task']}, seed {summary['seed']}, held-out starts")
    for heading in ("", "base", "improved"):
        table.add_column(heading, justify="right" if heading else "left")
    base, improved = summary["base"], summary["improved"]
    table.add_row(
        "success, nobody helping",
        _share(base["success"], base["ci95"]),
        _share(improved["success_autonomous"], improved["ci95"]),
    )
    for label, key, unit in (("cycle time", "cycle_time_s", "s"),):
        values = summary[key]
        table.add_row(label, _number(values["base"], unit), _number(values["improved"], unit))
    force = summary["contact_force_n"]
    for name in ("mean", "max"):
        table.add_row(
            f"contact force, {name}",
            _number(force["base"][name], "N"),
            _number(force["improved"][name], "N"),
        )
    console = Console()
    console.print(table)
    rate = summary["intervention_rate"]
    console.print(
        f"{summary['demos']} demonstrations, {summary['env_steps']} steps online, a person drove "
        f"{summary['operator_s']:.0f} s (interventions {_percent(rate['first'])} at first, "
        f"{_percent(rate['last'])} at last), {summary['wall_s'] / 60:.1f} minutes in all"
    )
    console.print(f"report: {folder.path / 'report.html'}")


def _share(rate: float, interval: list[float]) -> str:
    return f"{rate:.0%} ({interval[0]:.0%} to {interval[1]:.0%})"


def _number(value: Any, unit: str) -> str:
    return "-" if value is None else f"{value:.1f} {unit}"


def _percent(value: Any) -> str:
    return "-" if value is None else f"{value:.0%}"
