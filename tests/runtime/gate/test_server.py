from __future__ import annotations

import time

import numpy as np
import pytest
from gate_rig import PERIOD_S, Rig, heading, open_rig

from robot_rl.core.types import GateReason, GateState, Source
from robot_rl.runtime.gate.message import Drive
from robot_rl.runtime.gate.server import STARTED

LEFT = heading(np.array([0.0, 1.0, 0.0]), 0.5)
RIGHT = heading(np.array([0.0, -1.0, 0.0]), 0.5)
SPEED_M_S = 0.15
"""Half of what a normalised 1 asks for."""


@pytest.fixture
def rig():
    with open_rig() as rig:
        yield rig


@pytest.fixture
def running(rig: Rig):
    """A gate that a person has cleared, and an actor who drives."""
    actor = rig.seated()
    rig.clear()
    rig.drive(actor, LEFT, 40)
    assert rig.driver.speed_m_s == pytest.approx(SPEED_M_S, rel=1e-3)
    return actor


def drive(epoch: int, sequence: int, action) -> Drive:
    return Drive(epoch=epoch, sequence=sequence, active=True, action=tuple(action))


def test_a_new_gate_moves_nothing_before_a_person_has_looked(rig):
    actor = rig.seated()
    report = rig.drive(actor, LEFT, 30)
    assert (report.state, report.cause) == (GateState.STOP, STARTED)
    assert rig.driver.speed_m_s == 0.0
    rig.clear()
    assert rig.drive(actor, LEFT, 30).state == GateState.RUN
    assert rig.driver.speed_m_s > 0.0


def test_an_action_is_played_as_a_velocity_for_its_whole_period(rig, running):
    before = np.array(rig.reports[-1].travel)
    running.command(LEFT)
    for _ in range(5):
        after = np.array(rig.tick(2).travel)
        running.beat()
    # Half of full speed for one period of 0.1 s, which is one action.
    np.testing.assert_allclose(after - before, LEFT, atol=1e-6)
    assert rig.reports[-1].executed == pytest.approx(LEFT.tolist(), abs=1e-6)


def test_a_command_lasts_its_period_and_its_age_and_then_the_arm_holds_until_fresh_ones_come(
    rig, running
):
    running.command(LEFT)
    states = []
    for _ in range(25):
        running.beat()
        states.append(rig.tick().state)
    # Heard one tick later, played for 10 ticks, aged for 10 more.
    assert states.index(GateState.HOLD) == 21
    assert rig.reports[-1].reason == GateReason.STALE_COMMAND
    resumed = [rig.drive(running, LEFT).state for _ in range(4)]
    assert resumed[-1] == GateState.RUN
    assert rig.server.gate.cause == "commands are good"


def test_a_silent_actor_is_lost_within_the_limit_and_only_a_person_resumes(rig, running):
    running.command(LEFT)
    last_word_s = rig.now_s
    while rig.tick().reason != GateReason.PEER_LOST:
        assert rig.now_s - last_word_s <= 0.1 + 1e-9
    running.latest()
    assert running.lease is None
    rig.seat(running)
    report = rig.drive(running, LEFT, 30)
    assert (report.state, rig.driver.speed_m_s) == (GateState.HOLD, 0.0)
    rig.resume()
    assert rig.drive(running, LEFT, 4).state == GateState.RUN


def test_the_arm_slows_at_a_third_of_the_silence_borne_and_goes_on_if_the_actor_is_heard_again(
    rig, running
):
    running.command(LEFT)
    last_word_s = rig.now_s
    while rig.tick().state == GateState.RUN:
        pass
    assert rig.now_s - last_word_s <= 0.04 + 1e-9
    assert rig.reports[-1].reason == GateReason.STALE_COMMAND
    report = rig.drive(running, LEFT, 20)
    assert report.state == GateState.RUN
    assert rig.driver.speed_m_s == pytest.approx(SPEED_M_S, rel=1e-3)


def test_an_actor_whose_connection_ends_is_lost_in_the_next_tick(rig, running):
    running.hang_up()
    report = rig.tick()
    assert (report.state, report.reason) == (GateState.HOLD, GateReason.PEER_LOST)
    assert "the connection of actor 'test' has ended" in report.cause
    rig.tick(30)
    assert rig.driver.speed_m_s == 0.0


def test_an_actor_who_leaves_is_not_missed(rig, running):
    running.close()
    report = rig.tick(40)
    assert (report.state, report.source) == (GateState.RUN, Source.HOLD)
    assert rig.driver.speed_m_s == 0.0


def test_the_seat_is_not_taken_from_whoever_lives(rig, running):
    second = rig.commander(name="second")
    second.ask(Source.POLICY)
    rig.drive(running, LEFT, 2)
    second.latest()
    assert second.lease is None
    assert second.refusals[-1].why == "'test' commands; one at a time"
    assert rig.reports[-1].state == GateState.RUN


def test_a_command_of_an_old_epoch_is_refused_and_disturbs_nobody(rig, running):
    first, epoch = running, running.lease.epoch
    rig.tick(12)
    second = rig.seated()
    assert second.lease.epoch == epoch + 1
    with rig.commander("device", "Ada") as person:
        person.resume("Ada")
        rig.drive(second, LEFT, 30)
    for sequence in range(100, 130):
        first.say(drive(epoch, sequence, RIGHT.tolist()))
        first.say(drive(epoch + 1, sequence, RIGHT.tolist()))
        report = rig.drive(second, LEFT)
        assert report.executed[1] == pytest.approx(0.5)
    first.latest()
    assert first.refusals[-1].why == "LEASE"
    assert rig.desk.refused[GateReason.LEASE] == 60


def test_a_command_that_comes_twice_or_late_is_not_obeyed(rig, running):
    epoch = running.lease.epoch
    running.say(drive(epoch, 1000, LEFT.tolist()))
    for sequence in (1000, 999, 1):
        running.say(drive(epoch, sequence, RIGHT.tolist()))
        assert rig.tick().executed[1] == pytest.approx(0.5)
    assert rig.desk.refused[GateReason.SEQUENCE] == 3


def test_a_person_wins_in_the_same_tick_and_the_policy_goes_on_after_a_rest(rig, running):
    person = rig.seated("device", Source.HUMAN)
    person.command(RIGHT)
    report = rig.drive(running, LEFT)
    assert (report.source, report.intervening) == (Source.HUMAN, True)
    for _ in range(40):
        person.command(RIGHT)
        report = rig.drive(running, LEFT)
    assert report.executed[1] == pytest.approx(-0.5)
    assert not report.intervening
    sources = []
    for _ in range(10):
        person.command(None)
        sources.append(rig.drive(running, LEFT).source)
    assert sources == [Source.HOLD] * 5 + [Source.POLICY] * 5


def test_a_person_who_is_lost_leaves_the_arm_held_and_the_policy_does_not_go_on(rig, running):
    person = rig.seated("device", Source.HUMAN)
    for _ in range(30):
        person.command(RIGHT)
        rig.drive(running, LEFT)
    person.hang_up()
    report = rig.drive(running, LEFT, 40)
    assert (report.state, rig.driver.speed_m_s) == (GateState.HOLD, 0.0)
    with rig.commander("device", "Ada") as watcher:
        watcher.resume("Ada")
        rig.drive(running, LEFT, 2)
        watcher.latest()
        assert watcher.refusals[-1].why == "whoever drove was lost: take their seat first"
    assert rig.drive(running, LEFT, 5).state == GateState.HOLD
    person = rig.seated("device", Source.HUMAN)
    for _ in range(3):
        person.beat()
        rig.drive(running, LEFT)
    person.resume("Ada")
    person.beat()
    assert rig.drive(running, LEFT).source == Source.POLICY


def test_a_person_who_drives_is_not_stopped_by_the_loss_of_the_actor(rig, running):
    person = rig.seated("device", Source.HUMAN)
    for _ in range(30):
        person.command(RIGHT)
        rig.drive(running, LEFT)
    running.hang_up()
    for _ in range(30):
        person.command(RIGHT)
        report = rig.tick()
        assert (report.state, report.source) == (GateState.RUN, Source.HUMAN)


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ((float("nan"),) * 7, GateReason.NON_FINITE),
        ((1e300,) * 7, GateReason.NON_FINITE),
        ((0.0,) * 6, GateReason.SHAPE),
    ],
)
def test_a_senseless_action_holds_the_arm_and_names_why(rig, running, action, reason):
    epoch = running.lease.epoch
    running.say(Drive(epoch=epoch, sequence=1000, active=True, action=action))
    report = rig.tick()
    assert (report.state, report.reason) == (GateState.HOLD, reason)


def test_whoever_speaks_another_language_is_hung_up_on_and_missed(rig, running):
    running._channel.send(b"\x80\x04\x95pickle")
    report = rig.tick()
    assert (report.state, report.reason) == (GateState.HOLD, GateReason.PEER_LOST)


def test_a_stop_comes_from_anybody_and_ends_only_in_the_name_of_who_read_its_cause(rig, running):
    running.stop("the policy has a bad feeling")
    report = rig.tick(30)
    assert (report.state, rig.driver.speed_m_s) == (GateState.STOP, 0.0)
    with rig.commander("device", "Ada") as person:
        person.clear("Ada", "another cause")
        rig.tick()
        person.latest()
        assert person.refusals[-1].why == (
            "read the cause first; it is: the policy has a bad feeling"
        )
        assert rig.tick().state == GateState.STOP
        rig.seat(running)
        person.clear("Ada", report.cause)
        assert rig.drive(running, LEFT, 4).state == GateState.RUN
        person.clear("Ada", report.cause)
        rig.tick()
        person.latest()
        assert person.refusals[-1].why == "nothing is latched"


def test_a_fault_of_the_robot_latches_and_one_word_of_a_person_ends_both(rig, running):
    for number in range(100):
        rig.driver.stop(f"fault {number}")
        rig.tick(2)
        report = rig.drive(running, LEFT, 3)
        assert report.state == GateState.STOP
        assert report.cause == f"robot: PROTECTIVE_STOP: fault {number}"
        assert rig.driver.speed_m_s == 0.0
        running.beat()
        assert rig.clear().state < GateState.STOP
        assert rig.driver.fault == ""
        # Nobody was heard while the person read.
        assert rig.drive(running, LEFT, 5).state == GateState.RUN


def test_a_word_to_clear_is_forgotten_if_the_robot_does_not_follow_it(rig, running):
    rig.driver.clear = lambda by: None
    rig.driver.stop("stuck")
    report = rig.tick(3)
    with rig.commander("device", "Ada") as person:
        person.clear("Ada", report.cause)
        rig.tick(110)
        person.latest()
        assert person.refusals[-1].why == "it is not over: robot: PROTECTIVE_STOP: stuck"
    rig.driver.fault = ""
    assert rig.tick(10).state == GateState.STOP


def test_stalls_of_the_loop_are_counted_exactly_and_more_than_three_ticks_hold(rig, running):
    rng = np.random.default_rng(0)
    missed = rig.reports[-1].missed
    for _ in range(60):
        stalled = int(rng.integers(0, 50))
        # It ends between two instants of the schedule; the second of them is kept.
        for _ in range(stalled):
            rig.let_pass(PERIOD_S)
            running.command(LEFT)
        rig.let_pass(rng.uniform(0.1, 0.9) * PERIOD_S)
        report = rig.tick()
        missed += stalled
        assert report.missed == missed
        if stalled > 3:
            assert report.state in (GateState.HOLD, GateState.STOP)
            assert any("OVERRUN" in event.reason for event in rig.server.gate.events[-2:])
        else:
            assert report.state == GateState.RUN
        recover(rig, running)


def recover(rig: Rig, actor) -> None:
    """See the gate run again; a person is needed once the robot has stopped by itself."""
    rig.drive(actor, LEFT, 5)
    if rig.reports[-1].state == GateState.STOP:
        assert "no command for" in rig.reports[-1].cause
        actor.beat()
        rig.clear()
    assert rig.drive(actor, LEFT, 4).state == GateState.RUN


def test_what_is_not_read_is_dropped_and_the_gate_goes_on(rig, running):
    deaf = rig.commander(name="deaf")
    for _ in range(300):
        rig.drive(running, LEFT if rig.reports[-1].tick // 60 % 2 else RIGHT)
    assert rig.reports[-1].state == GateState.RUN
    assert rig.reports[-1].missed == 0
    backlog = deaf._channel.receive()
    assert 0 < len(backlog) < 100


def test_no_more_than_sixteen_are_let_in(rig):
    clients = [rig.commander() for _ in range(8)]
    rig.tick()
    clients += [rig.commander() for _ in range(8)]
    rig.tick()
    late = rig.commander()
    rig.tick()
    late._channel.receive()
    assert late._channel.closed
    assert not clients[0]._channel.closed


def test_jumps_of_the_wall_clock_change_nothing(monkeypatch):
    def stream(jump) -> list:
        rng = np.random.default_rng(1)
        wall_s = [1e9]
        monkeypatch.setattr(time, "time", lambda: wall_s[0])
        monkeypatch.setattr(time, "time_ns", lambda: round(wall_s[0] * 1e9))
        with open_rig() as rig:
            actor = rig.seated()
            rig.clear()
            for _ in range(250):
                wall_s[0] += jump * rng.uniform(-3600.0, 3600.0)
                actor.command(LEFT if rng.random() < 0.5 else RIGHT)
                rig.tick()
            return rig.reports

    assert stream(0.0) == stream(1.0)
