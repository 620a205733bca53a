from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs the ros extra")
pytest.importorskip("robot_rl_msgs", reason="`make ros` builds it")
import ros
from ros_figures import Fleet, latencies, percentiles

pytestmark = pytest.mark.ros

MS = 1_000_000


def test_latency_is_from_the_state_to_the_first_command_that_used_it() -> None:
    # Ticks at 10, 20 and 30 ms; the second used the first one's state again.
    used = [(10 * MS, 7 * MS), (20 * MS, 7 * MS), (30 * MS, 28 * MS)]
    heard = [(11 * MS, 12 * MS), (21 * MS, 22 * MS), (31 * MS, 33 * MS)]
    assert latencies(heard, used) == [5.0, 5.0]
    assert latencies(heard, used, since_ns=8 * MS) == [5.0]
    assert latencies(heard[:2], used, since_ns=8 * MS) == []


def test_percentiles_of_nothing_are_not_zero() -> None:
    assert all(math.isnan(v) for v in percentiles([]).values())
    assert percentiles([1.0, 2.0, 3.0])["p50_ms"] == 2.0


def test_claims_hold_or_not_by_what_was_measured() -> None:
    rows = ros.conversions(5)
    rows += [
        {"name": "VGA images", "lost": [0, 0, 1]},
        {
            "name": "state to command",
            "p50_ms": 4.0,
            "p99_ms": np.nan,
            "answered": 96,
            "states": 100,
        },
    ]
    found = {claim.name: claim for claim in ros.claims(rows)}
    assert not found["VGA images lost in three runs"].holds
    assert found["state to command, p50"].holds
    assert not found["state to command, p99"].holds
    assert found["states that became a command"].holds


def test_process_that_ends_by_itself_is_named(tmp_path: Path) -> None:
    with Fleet(1, None) as fleet:
        fleet.start("nobody")
        with pytest.raises(RuntimeError, match="nobody has ended with 1"):
            fleet.wait_for("nobody", 60.0)
