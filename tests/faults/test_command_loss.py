"""Command loss at the speed limit: the arm stops, soon and within few millimetres, and stays."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "bench"))

from gate_figures import losses
from gate_kills import live_losses

pytestmark = pytest.mark.sim

STOP_S = 0.17
"""From 0.25 m/s at 2.5 m/s^2 and 50 m/s^3, with what the arm's own controller takes to settle."""


def test_command_loss_holds_within_100_ms_and_stops_within_45_mm(repeats, report):
    results = losses(repeats(10, 200))
    assert max(r.hold_s for r in results) <= 0.1
    assert max(r.rest_s - r.hold_s for r in results) <= STOP_S + 0.01
    assert max(r.travel_m for r in results) <= 0.045
    assert not any(r.ran_again for r in results)
    report(
        "command loss at the speed limit",
        count=len(results),
        longest_to_rest=f"{1e3 * max(r.rest_s for r in results):.0f} ms",
        farthest=f"{1e3 * max(r.travel_m for r in results):.1f} mm",
    )


def test_a_commanders_process_that_is_lost_leaves_an_arm_that_stops(repeats, report):
    results = live_losses(repeats(3, 200))
    for result in results:
        # Twice what is promised, and what the gate itself was kept waiting.
        assert result.hold_s <= 0.2 + result.late_s
        assert result.rest_s <= 0.5 + result.late_s
        assert result.travel_m <= 0.09
        assert not result.ran_again
    report(
        "commander's process killed, stopped, cut off",
        count=len(results),
        longest_to_rest=f"{1e3 * max(r.rest_s for r in results):.0f} ms",
        farthest=f"{1e3 * max(r.travel_m for r in results):.1f} mm",
        gate_late=f"{1e3 * max(r.late_s for r in results):.1f} ms",
    )
