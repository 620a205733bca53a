"""What is played when, and what the planner is told."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from robot_rl.control.chunk_player import ChunkPlayer
from robot_rl.control.chunking.async_player import AsyncChunkPlayer, ChunkingConfig
from robot_rl.core.types import ActionChunk, Observation

PERIOD_S = 0.05
HORIZON = 8


def test_nothing_is_played_before_the_first_plan_and_nothing_of_it_is_skipped(kit):
    rig = kit.Rig()
    assert rig.ticks(3) == [None, None, None]
    # The arm has rested: what was planned from its rest begins at its beginning.
    assert [rig.tick(arrives=True), rig.tick()] == [100, 101]
    assert rig.player.starved == 3


def test_a_plan_that_arrives_late_begins_behind_what_was_played_meanwhile(kit):
    rig = kit.Rig.playing()
    # The second plan is begun two ticks after the first, with that of 101.
    assert rig.ticks(4) == [101, 102, 103, 104]
    assert len(rig.planner.observations) == 2
    # 101 to 104 were played since its observation.
    assert rig.tick(arrives=True) == 204


def test_what_counts_is_what_was_played_and_not_how_long_it_took(kit):
    rig = kit.Rig.playing()
    assert rig.ticks(2) == [101, 102]
    rig.clock.advance_s(10.0)
    assert rig.tick(arrives=True) == 202


def test_the_next_plan_is_begun_so_many_ticks_after_the_one_before(kit):
    rig = kit.Rig.playing(execute=4)
    rig.ticks(2)
    assert rig.player.plans == 1
    stamp_ns = rig.clock.now_ns()
    # Ticks in which the arm rested count, for the plan has grown older in them.
    assert rig.tick() == 103
    assert rig.planner.observations[-1].stamp_ns == stamp_ns


def test_the_old_plan_plays_to_its_end_and_then_the_arm_rests(kit):
    rig = kit.Rig.playing()
    assert rig.ticks(7) == [101, 102, 103, 104, 105, 106, 107]
    starved = rig.player.starved
    assert rig.ticks(2) == [None, None]
    assert rig.player.starved == starved + 2


def test_a_plan_of_which_all_actions_were_played_is_dropped_and_counted(kit):
    class Shrinking(kit.HandPlanner):
        def poll(self) -> ActionChunk | None:
            self.horizon = 8 if len(self.observations) == 1 else 2
            return super().poll()

    rig = kit.Rig.playing(planner=Shrinking(), execute=1)
    # Begun with 100 and over after 101; 103 is the next.
    assert rig.ticks(2) == [101, 102]
    assert rig.tick(arrives=True) == 103
    assert rig.player.late == 1


@given(
    delays=st.lists(st.integers(0, 12), min_size=30, max_size=30),
    execute=st.integers(1, HORIZON),
)
def test_an_action_is_always_that_of_its_place_in_its_plan(kit, delays, execute):
    rig = kit.Rig(kit.HandPlanner(delays=delays), execute=execute)
    begun: dict[int, int] = {}
    played = 0
    for _ in range(25):
        action = rig.tick()
        # A plan begun in this tick was asked for this tick's action.
        for number in range(len(begun) + 1, len(rig.planner.observations) + 1):
            begun[number] = played
        if action is not None:
            number, place = divmod(int(action), 100)
            assert place == played - begun[number]
            played += 1


@given(execute=st.integers(1, HORIZON), mode=st.sampled_from(["trim", "realtime", "wait"]))
def test_with_a_planner_that_takes_no_time_it_plays_as_the_player_that_waits(kit, execute, mode):
    class Policy:
        fingerprint = "hand"

        def __init__(self) -> None:
            self.plans = 0

        def reset(self, seed: int) -> None: ...

        def act(self, observation: Observation) -> ActionChunk:
            self.plans += 1
            values = 100.0 * self.plans + np.arange(HORIZON, dtype=np.float32)[:, None]
            return ActionChunk(
                values=values.astype(np.float32), start_ns=observation.stamp_ns, dt_s=PERIOD_S
            )

    waits = ChunkPlayer(Policy(), execute)
    rig = kit.Rig(kit.HandPlanner(delays=[0] * 30), execute=execute, mode=mode)
    expected = [float(waits.next(Observation(stamp_ns=0, vectors={}))[0]) for _ in range(20)]
    assert rig.ticks(20) == expected


def test_in_wait_mode_the_arm_rests_while_the_policy_plans(kit):
    rig = kit.Rig.playing(mode="wait", execute=3)
    assert rig.ticks(2) == [101, 102]
    assert rig.ticks(2) == [None, None]
    assert rig.player.plans == 2
    assert [rig.tick(arrives=True), *rig.ticks(3)] == [200, 201, 202, None]


def test_the_settings_own_execute_wins_over_the_policys(kit):
    rig = kit.Rig.playing(execute=8)
    rig.ticks(3)
    assert rig.player.plans == 1
    config = ChunkingConfig(max_action_age_s=1.0, execute=2)
    rig.player = AsyncChunkPlayer(kit.HandPlanner(delays=[0] * 9), rig.clock, config, execute=8)
    assert rig.ticks(3) == [100, 101, 200]


def test_the_planner_is_told_what_is_ahead_and_what_will_have_been_played(kit):
    rig = kit.Rig.playing(mode="realtime", execute=2)
    assert not len(rig.planner.contexts[0].ahead)
    # The first plan took one tick.
    rig.ticks(4)
    assert rig.planner.contexts[1].ahead[:, 0].tolist() == [101, 102, 103, 104, 105, 106, 107]
    assert rig.planner.contexts[1].frozen == 1
    # The second takes four, 101 to 104, and is played from 204 on; the third is begun at once.
    assert rig.tick(arrives=True) == 204
    assert rig.planner.contexts[2].ahead[:, 0].tolist() == [204, 205, 206, 207]
    assert rig.planner.contexts[2].frozen == 4
    # One that took a single tick does not make up for that one.
    assert rig.tick(arrives=True) == 301
    assert rig.tick() == 302
    assert rig.planner.contexts[3].frozen == 4


def test_no_more_is_frozen_than_is_left(kit):
    # The first plan takes seven ticks and has three actions.
    rig = kit.Rig(kit.HandPlanner(horizon=3, delays=[7]), mode="realtime")
    assert rig.ticks(8)[-1] == 100
    assert (len(rig.planner.contexts[-1].ahead), rig.planner.contexts[-1].frozen) == (3, 3)


def test_counts_are_remembered_over_episodes_but_not_for_ever(kit):
    planner = kit.HandPlanner(delays=[5] + [0] * 40)
    rig = kit.Rig(planner, mode="realtime", execute=1)
    rig.ticks(6)
    assert planner.contexts[-1].frozen == 5
    rig.player.reset(1)
    rig.ticks(9)
    assert planner.contexts[-1].frozen == 5
    rig.ticks(3)
    assert planner.contexts[-1].frozen == 0


def test_what_the_planner_does_to_what_is_ahead_does_not_reach_the_plan(kit):
    rig = kit.Rig.playing(mode="realtime")
    rig.tick()
    rig.planner.contexts[-1].ahead[:] = -1
    assert rig.tick() == 102
