"""The gate's process dies, stalls, is imitated or lied to: no arm moves on, or again by itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "bench"))

from gate_figures import deaths, stalls
from gate_kills import live_deaths, second_gates
from gate_lies import forged, wall_clock_jumps
from gate_states import STATES, measure

pytestmark = pytest.mark.sim

HOLDS = {
    "actor killed": "resume",
    "actor silent": "resume",
    "actor hangs, but beats": "itself, once over",
    "actor speaks nonsense": "resume",
    "action not finite": "resume",
    "action of wrong length": "resume",
    "gate stalls 60 ms": "itself",
}
"""What makes a driving policy's gate hold, and what ends that."""
STOPS = ("robot stops by itself", "gate stalls 300 ms", "gate killed, then another")
CHANGES_NOTHING = ("command of another lease", "command repeated", "gate stalls 25 ms")


@pytest.mark.parametrize("fault", [*HOLDS, *STOPS, *CHANGES_NOTHING])
def test_what_follows_while_a_policy_drives_is_as_published(fault):
    outcome = measure(fault, "policy drives")
    if fault in CHANGES_NOTHING:
        assert (outcome.becomes.name, outcome.ends_by) == ("RUN", "")
    elif fault in STOPS:
        assert (outcome.becomes.name, outcome.ends_by) == ("STOP", "clear")
    else:
        assert (outcome.becomes.name, outcome.ends_by) == ("HOLD", HOLDS[fault])


@pytest.mark.parametrize("fault", ["person killed", "person silent"])
def test_a_person_who_is_lost_leaves_the_arm_held_for_a_person(fault):
    outcome = measure(fault, "person drives")
    assert (outcome.becomes.name, outcome.reason.name) == ("HOLD", "PEER_LOST")
    assert outcome.declared_s <= 0.1
    assert outcome.ends_by == "resume"


@pytest.mark.parametrize("fault", ["actor killed", "actor silent", "action not finite"])
def test_what_an_actor_does_while_a_person_drives_is_no_concern_of_the_arm(fault):
    assert measure(fault, "person drives").becomes.name == "RUN"


@pytest.mark.slow
@pytest.mark.parametrize("fault", [*HOLDS, *STOPS, *CHANGES_NOTHING])
@pytest.mark.parametrize("state", ["held", "stopped"])
def test_nothing_frees_a_gate_that_waits_for_a_person(fault, state):
    outcome = measure(fault, state)
    assert outcome.becomes.name in ("HOLD", "STOP")
    assert outcome.ends_by == ("clear" if outcome.becomes.name == "STOP" else "resume")
    assert state in STATES


def test_a_dead_gate_leaves_an_arm_that_stops_by_itself_and_waits_for_a_person(repeats, report):
    results = deaths(repeats(8, 100))
    for result in results:
        assert result.rest_s <= 0.225
        assert result.travel_m <= 0.045
        assert result.latched
        assert not result.moved
    report(
        "gate dead at the speed limit",
        count=len(results),
        farthest=f"{1e3 * max(r.travel_m for r in results):.1f} mm",
    )


def test_a_gates_process_killed_or_stopped_leaves_an_arm_that_waits_for_a_person(repeats, report):
    results = live_deaths(repeats(2, 100))
    for result in results:
        assert result.rest_s <= 0.5
        assert result.travel_m <= 0.09
        assert result.latched
        assert result.moved_m <= 1e-3
    report(
        "gate's process killed, stopped",
        count=len(results),
        longest_to_rest=f"{1e3 * max(r.rest_s for r in results):.0f} ms",
    )


def test_stalls_are_counted_exactly_hold_beyond_three_ticks_and_are_not_made_up_for(
    repeats, report
):
    results = stalls(repeats(80, 1_000))
    for result in results:
        assert result.counted == result.stalled
        assert result.held == (result.stalled > 3)
        assert not result.burst
    held = sum(result.held for result in results)
    report("stalls of the gate's loop", count=len(results), held=held)


def test_jumps_of_the_wall_clock_change_no_tick(repeats, report):
    count = repeats(300, 1_000)
    assert wall_clock_jumps(count) == 0
    report("jumps of the wall clock", count=count)


def test_no_message_of_an_actor_clears_or_resumes(report):
    assert forged(10_000) == 0
    report("an actor's messages meant to clear or resume", count=10_000)


def test_two_gates_cannot_own_one_robot(report):
    same_folder, same_robot = second_gates(2)
    assert "there is a gate already, process" in same_folder
    assert "the robot is owned by the gate in process" in same_robot
    report("second gates", count=2)
