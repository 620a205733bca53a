"""Age, reset, a person and failure: what ends a plan."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_rl.control.chunking.planner import PlannerError
from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.core.types import ActionChunk, Observation

PERIOD_S = 0.05


def test_nothing_is_played_that_was_planned_from_too_old_an_observation(kit):
    rig = kit.Rig.playing(max_action_age_s=0.2)
    # 100 was played at an age of 0.05 s; 103 is of 0.2 s, 104 would be of 0.25 s.
    assert rig.ticks(4) == [101, 102, 103, None]
    assert rig.player.starved == 2


def test_a_plan_that_is_too_old_when_it_arrives_is_late_and_not_played(kit):
    rig = kit.Rig.playing(max_action_age_s=0.2)
    rig.ticks(2)
    rig.clock.advance_s(0.3)
    assert rig.tick(arrives=True) is None
    assert rig.player.late == 1
    # The next observation makes a new one.
    assert rig.tick(arrives=True) == 300


def test_an_observation_from_the_future_is_no_younger_than_an_old_one(kit):
    rig = kit.Rig(kit.HandPlanner(delays=[0] * 9), max_action_age_s=0.2)
    assert rig.player.next(Observation(stamp_ns=9_000_000_000, vectors={})) is None


@given(
    delays=st.lists(st.integers(0, 9), min_size=60, max_size=60),
    steps_s=st.lists(st.floats(0.0, 0.4), min_size=40, max_size=40),
    mode=st.sampled_from(["trim", "ensemble", "realtime", "wait"]),
)
def test_no_action_is_ever_older_than_the_limit(kit, delays, steps_s, mode):
    rig = kit.Rig(
        kit.HandPlanner(delays=delays), mode=mode, max_action_age_s=0.5, ensemble_decay=50.0
    )
    for step_s in steps_s:
        action = rig.tick()
        rig.clock.advance_s(-PERIOD_S)
        if action is not None:
            # With this decay the oldest plan has all the weight.
            asked = rig.planner.observations[int(action) // 100 - 1]
            assert rig.clock.now_ns() - asked.stamp_ns <= 500_000_000
        rig.clock.advance_s(step_s)


@pytest.mark.parametrize("by", ["reset", "replan"])
def test_nothing_survives_a_reset_or_a_person(kit, by):
    rig = kit.Rig.playing()
    rig.ticks(3)
    assert rig.planner.busy
    rig.player.reset(7) if by == "reset" else rig.player.replan()
    # What was in the making arrives now and is nobody's; the planner then takes the newest.
    assert rig.tick() is None
    stamp_ns = rig.clock.now_ns()
    assert rig.tick(arrives=True) is None
    assert rig.planner.observations[-1].stamp_ns == stamp_ns
    assert not len(rig.planner.contexts[-1].ahead)
    assert rig.tick(arrives=True) == 300
    assert rig.planner.seeds == ([7] if by == "reset" else [])


def test_a_planner_that_fails_is_an_error_at_the_next_call_and_may_be_asked_again(kit):
    rig = kit.Rig.playing()
    rig.ticks(3)
    rig.planner.error = PlannerError("out of memory")
    with pytest.raises(PlannerError, match="out of memory"):
        rig.tick()
    assert rig.tick() == 104
    assert rig.player.plans == 3


def test_a_plan_of_another_instant_is_refused(kit):
    class Confused(kit.HandPlanner):
        def poll(self) -> ActionChunk | None:
            chunk = super().poll()
            return chunk and ActionChunk(values=chunk.values, start_ns=5, dt_s=PERIOD_S)

    rig = kit.Rig(Confused())
    rig.tick()
    with pytest.raises(ContractError, match="observation of 5 ns, expected that of 1000000000"):
        rig.tick(arrives=True)


def test_plan_shorter_than_what_is_to_be_executed_is_refused(kit):
    rig = kit.Rig(kit.HandPlanner(horizon=4), execute=5)
    rig.tick()
    with pytest.raises(ContractError, match="planned 4 actions, 5 are to be"):
        rig.tick(arrives=True)


def test_executing_nothing_is_refused(kit):
    with pytest.raises(ConfigError, match="execute: got 0"):
        kit.Rig(execute=0)


def test_fingerprint_is_the_policys(kit):
    assert kit.Rig().player.fingerprint == "hand"
