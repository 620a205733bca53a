from __future__ import annotations

import chunking
import numpy as np
import pytest
import torch
from chunking_trial import (
    MODES,
    SYNCHRONOUS,
    Budget,
    LatePlanner,
    mean_squared_jerk,
    seam_jumps,
    trained,
    trial,
)

from robot_rl.control.chunking.planner import PlanContext, Unguided
from robot_rl.core.clock import ManualClock
from robot_rl.core.types import ActionChunk, Observation

TINY = Budget(demonstrations=2, imitation_steps=2, episodes=2, latencies_s=(0.3,))
NOTHING = PlanContext(ahead=np.zeros((0, 0), np.float32), frozen=0)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Policy:
    fingerprint = "policy"

    def reset(self, seed: int) -> None: ...

    def act(self, observation: Observation) -> ActionChunk:
        return ActionChunk(
            values=np.zeros((2, 1), np.float32), start_ns=observation.stamp_ns, dt_s=0.05
        )


def row(variant: str, latency_ms: float, **measures: float) -> dict:
    zeros = dict.fromkeys(chunking.MEASURES, 0.0)
    name = f"{variant}, {latency_ms:.0f} ms"
    return {"name": name, "variant": variant, "latency_ms": latency_ms, "seed": 0} | (
        zeros | measures
    )


def test_jerk_is_the_mean_square_of_second_differences():
    # 0, 1, 4, 4: differences 1, 3, 0; second differences 2 and -3. The other element is even.
    actions = np.float32([[0, 0], [1, 1], [4, 2], [4, 3]])
    assert mean_squared_jerk(actions) == pytest.approx((4 + 9) / 2)


def test_seams_are_where_another_plan_takes_over():
    actions = np.float32([[0, 0], [1, 0], [1, 2], [5, 2], [5, 2]])
    # Plan 1 gave actions 0 and 1, plan 2 action 2, plan 3 actions 3 and 4; the last figure is of
    # the action that was chosen and not played any more.
    assert seam_jumps(actions, [1, 2, 3, 3, 4]) == [2.0, 4.0]
    assert seam_jumps(actions[:1], [1]) == []
    # The first plan is handed over before action 2 and sets out from rest.
    assert seam_jumps(actions, [0, 1, 2, 2, 2]) == [4.0]


def test_a_late_plan_is_there_once_its_time_is_over_by_the_benchs_clock():
    clock = ManualClock(start_ns=7)
    planner = LatePlanner(Unguided(Policy()), clock, latency_s=0.1)
    planner.start(Observation(stamp_ns=7, vectors={}), NOTHING)
    clock.advance_s(0.09)
    assert planner.poll() is None
    assert planner.busy
    clock.advance_s(0.01)
    chunk = planner.poll()
    assert chunk is not None
    assert chunk.start_ns == 7
    assert (planner.plans, planner.busy, planner.poll()) == (1, False, None)


def test_a_late_plan_that_was_discarded_keeps_the_planner_busy_and_is_not_handed_over():
    clock = ManualClock()
    planner = LatePlanner(Unguided(Policy()), clock, latency_s=0.1)
    planner.start(Observation(stamp_ns=0, vectors={}), NOTHING)
    planner.reset(3)
    assert planner.busy
    clock.advance_s(0.1)
    assert planner.poll() is None
    assert planner.plans == 0


def test_claims_compare_at_300_ms_over_all_seeds():
    rows = [
        row(SYNCHRONOUS, 0, success=0.8),
        row(SYNCHRONOUS, 0, success=1.0),
        row("realtime", 300, success=0.7, seam=0.1, jerk=0.2),
        row("realtime", 300, success=0.9, seam=0.1, jerk=0.2),
        row("realtime", 100, success=0.0, seam=9.0, jerk=9.0),
        row("trim", 300, seam=0.2, jerk=0.4),
        row("wait", 300, seam=0.2, jerk=0.8),
        row("ensemble", 300),
    ]
    found = chunking.claims(rows)
    assert [claim.value for claim in found] == pytest.approx([0.8 / 0.9, 0.5, 0.5, 0.25])
    assert [claim.holds for claim in found] == [False, True, True, True]


def test_each_variant_gets_its_median_and_spread_over_seeds():
    rows = [row("trim", 300, success=s, time_s=float("nan")) for s in (0.2, 0.5, 0.6)]
    (found,) = chunking.spreads(rows)
    assert (found["name"], found["seeds"], found["success"]) == ("trim, 300 ms", 3, 0.5)
    assert found["success_spread"] == pytest.approx([0.26, 0.58])
    assert np.isnan(found["time_s"])


@pytest.mark.sim
def test_every_variant_runs_and_repeats_itself_number_by_number():
    with trained(0, TINY) as rig:
        cases = [(SYNCHRONOUS, 0.0), *((mode, 0.3) for mode in MODES)]
        first, again = ([trial(rig, *case, 0, TINY.episodes) for case in cases] for _ in range(2))
    np.testing.assert_equal(first, again)
    resting = {one["variant"]: one["resting"] for one in first}
    assert resting[SYNCHRONOUS] == 0.0
    # At 20 Hz a plan takes 6 ticks: at first, and in `wait` also after each 8 actions.
    assert resting["wait"] > 0.3
    assert all(0.0 < resting[mode] < 0.2 for mode in MODES[1:])
