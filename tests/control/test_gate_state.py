"""What state a refusal leads to, how the arm comes to rest in it, and who gets it out of there."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from robot_rl.core.errors import ContractError
from robot_rl.core.types import GateReason, GateState, Source

STILL = np.zeros(6, np.float32)
FORWARD = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
NAN = (np.nan, 0.0, 0.0, 0.0, 0.0, 0.0)
STALE = (GateReason.STALE_COMMAND, GateReason.STALE_OBSERVATION)
OUTSIDE = [r for r in GateReason if r.refuses]
PASSING = (*STALE, GateReason.FROZEN, GateReason.OVERRUN)


def send_old(rig):
    """A command that is too old, on a fresh observation."""
    issued_ns = rig.clock.now_ns() - 10**18
    return rig.gate.check(rig.command(STILL, issued_ns=issued_ns), rig.observe())


def transitions(gate):
    return [(event.before.name, event.after.name) for event in gate.events]


def test_staleness_ends_after_some_good_commands_in_a_row(make_rig):
    rig = make_rig(fresh_samples_to_resume=3)
    assert send_old(rig).reason == GateReason.STALE_COMMAND
    answers = [rig.check(*FORWARD) for _ in range(3)]
    assert [a.reason for a in answers] == [
        GateReason.RESUMING,
        GateReason.RESUMING,
        GateReason.PASSED,
    ]
    assert [a.state for a in answers] == [GateState.HOLD, GateState.HOLD, GateState.RUN]
    assert not answers[1].values.any()
    assert rig.gate.counts.holds == 1


def test_row_of_good_commands_begins_anew_with_every_stale_one(make_rig):
    rig = make_rig(fresh_samples_to_resume=2)
    send_old(rig)
    assert rig.check(*FORWARD).reason == GateReason.RESUMING
    send_old(rig)
    assert rig.check(*FORWARD).reason == GateReason.RESUMING
    assert rig.check(*FORWARD).reason == GateReason.PASSED


def test_a_fault_holds_until_a_named_person_resumes(make_rig):
    rig = make_rig()
    assert rig.check(*NAN).reason == GateReason.NON_FINITE
    for _ in range(20):
        safe = rig.check(*FORWARD)
        assert (safe.reason, safe.state) == (GateReason.NOT_RUNNING, GateState.HOLD)
        assert not safe.values.any()
    assert rig.gate.cause == "NON_FINITE: action is not finite"
    with pytest.raises(ContractError, match="named person"):
        rig.gate.resume(" ")
    assert rig.gate.state == GateState.HOLD
    rig.gate.resume("Ada")
    assert rig.check(*FORWARD).state == GateState.RUN
    assert rig.gate.events[-1].reason == "resumed by Ada"


def test_new_episode_and_new_lease_end_a_hold_too(make_rig):
    rig = make_rig()
    rig.check(*NAN)
    rig.gate.reset()
    assert rig.check(*FORWARD).state == GateState.RUN
    rig.check(*NAN)
    rig.lease = rig.gate.grant(Source.POLICY)
    assert rig.check(*FORWARD).state == GateState.RUN


def test_fault_during_a_hold_for_staleness_makes_it_wait_for_a_person(make_rig):
    rig = make_rig()
    send_old(rig)
    rig.check(*NAN)
    assert rig.check(*FORWARD).reason == GateReason.NOT_RUNNING
    assert [event.reason.split(":")[0] for event in rig.gate.events] == [
        "STALE_COMMAND",
        "NON_FINITE",
    ]
    assert rig.gate.counts.holds == 1


@pytest.mark.parametrize("reason", OUTSIDE)
def test_hold_from_outside_refuses_with_its_reason(make_rig, reason):
    rig = make_rig()
    rig.gate.hold(reason, "said somebody")
    assert (rig.gate.state, rig.gate.cause) == (GateState.HOLD, f"{reason.name}: said somebody")
    safe = rig.check(*FORWARD)
    assert (safe.reason, safe.state) == (reason, GateState.HOLD)
    assert not safe.values.any()
    again = rig.check(*FORWARD)
    assert (again.state == GateState.RUN) == (reason in PASSING)
    assert again.reason == (GateReason.PASSED if reason in PASSING else reason)
    rig.gate.resume("Ada")
    assert rig.check(*FORWARD).state == GateState.RUN


def test_hold_that_is_called_for_again_and_again_lasts(make_rig):
    rig = make_rig()
    for _ in range(5):
        rig.gate.hold(GateReason.FROZEN, "wrist camera")
        assert rig.check(*FORWARD).reason == GateReason.FROZEN
    assert rig.gate.counts.holds == 1
    assert rig.check(*FORWARD).state == GateState.RUN


def test_hold_for_staleness_from_outside_does_not_soften_one_that_waits_for_a_person(make_rig):
    rig = make_rig()
    rig.gate.hold(GateReason.PEER_LOST, "actor")
    rig.gate.hold(GateReason.FROZEN, "wrist camera")
    assert [rig.check(*FORWARD).reason for _ in range(3)] == [GateReason.PEER_LOST] * 3


@pytest.mark.parametrize("reason", [r for r in GateReason if not r.refuses])
def test_hold_for_a_reason_that_does_not_refuse_is_an_error(make_rig, reason):
    with pytest.raises(ContractError, match=f"got {reason.name}"):
        make_rig().gate.hold(reason, "said somebody")


@pytest.mark.parametrize("press", ["stop", "estop"])
def test_stop_is_latched_until_a_named_person_clears_it(make_rig, press):
    rig = make_rig()
    getattr(rig.gate, press)("button on the table")
    for _ in range(100):
        rig.gate.reset()
        rig.gate.resume("Ada")
        rig.lease = rig.gate.grant(Source.POLICY)
        safe = rig.check(*FORWARD)
        assert (safe.state.name, safe.reason) == (press.upper(), GateReason.NOT_RUNNING)
        np.testing.assert_array_equal(safe.values, STILL)
    assert rig.gate.cause == "button on the table"
    with pytest.raises(ContractError, match="named person"):
        rig.gate.clear("  ")
    assert rig.gate.state.name == press.upper()
    rig.gate.clear("Ada")
    assert rig.check(*FORWARD).state == GateState.RUN


def test_emergency_stop_goes_before_a_stop_and_not_the_other_way_round(make_rig):
    rig = make_rig()
    rig.gate.stop("watchdog")
    rig.gate.estop("button")
    assert (rig.gate.state, rig.gate.cause) == (GateState.ESTOP, "button")
    rig.gate.stop("watchdog")
    assert (rig.gate.state, rig.gate.cause) == (GateState.ESTOP, "button")


def test_stop_answers_with_the_reason_it_was_given(make_rig):
    rig = make_rig()
    rig.gate.stop("no driver", GateReason.PEER_LOST)
    assert [rig.check(*FORWARD).reason for _ in range(2)] == [GateReason.PEER_LOST] * 2


def test_refusal_does_not_soften_a_stop(make_rig):
    rig = make_rig()
    rig.gate.stop("button")
    assert rig.check(*NAN).state == GateState.STOP
    assert rig.gate.cause == "button"


def test_hold_under_a_stop_is_over_when_a_person_clears_it(make_rig):
    rig = make_rig(fresh_samples_to_resume=3)
    rig.gate.stop("button")
    rig.check(*NAN)
    rig.gate.hold(GateReason.PEER_LOST, "actor")
    rig.gate.clear("Ada")
    assert rig.check(*FORWARD).state == GateState.RUN


def test_stop_from_another_thread_holds_from_the_next_command(make_rig):
    rig = make_rig()
    thread = threading.Thread(target=rig.gate.stop, args=("watchdog",))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(rig.check(*FORWARD).values, STILL)


class Interrupting:
    """Runs a signal handler in the middle of a check."""

    def __init__(self):
        self.handler = lambda: None

    def near(self, q, within_m):
        self.handler()
        return []


def test_stop_from_a_signal_handler_during_the_check_still_holds(make_rig, one_joint):
    bodies = Interrupting()
    rig = make_rig(chain=one_joint, collision=bodies)
    bodies.handler = lambda: rig.gate.stop("signal")
    safe = rig.check(*FORWARD)
    np.testing.assert_array_equal(safe.values, STILL)
    assert (safe.state, safe.reason) == (GateState.STOP, GateReason.NOT_RUNNING)


def test_clearing_or_resuming_a_gate_that_runs_changes_nothing(make_rig):
    rig = make_rig()
    rig.gate.clear("Ada")
    rig.gate.resume("Ada")
    assert rig.gate.state == GateState.RUN
    assert rig.gate.events == ()


def test_every_change_of_state_is_recorded(make_rig):
    rig = make_rig()
    send_old(rig)
    rig.clock.advance_s(0.1)
    rig.check(*FORWARD)
    rig.check(*FORWARD)
    rig.gate.stop("button")
    rig.gate.estop("big button")
    rig.gate.clear("Ada")
    assert transitions(rig.gate) == [
        ("RUN", "HOLD"),
        ("HOLD", "RUN"),
        ("RUN", "STOP"),
        ("STOP", "ESTOP"),
        ("ESTOP", "HOLD"),
    ]
    events = rig.gate.events
    assert events[0].reason.startswith("STALE_COMMAND: command is 1000000000.000 s old")
    assert (events[0].stamp_ns, events[1].stamp_ns) == (5_000_000_000, 5_100_000_000)
    assert [e.reason for e in events[2:]] == ["button", "big button", "cleared by Ada"]


def test_events_are_bounded(make_rig):
    rig = make_rig()
    for _ in range(600):
        send_old(rig)
        rig.check(*FORWARD)
    assert len(rig.gate.events) == 1000
    assert rig.gate.counts.holds == 600


def refused(rig, what):
    """One refused check of each kind."""
    if what == "command":
        return rig.check(*NAN)
    if what == "observation":
        return rig.check(*FORWARD, observation=rig.observe(vectors={}))
    if what == "stop":
        rig.gate.stop("button")
    elif what == "hold":
        rig.gate.hold(GateReason.PEER_LOST, "actor")
    return rig.check(*FORWARD)


@pytest.mark.parametrize("what", ["command", "observation", "stop", "hold"])
def test_refusal_brings_the_arm_to_rest_within_acceleration_and_then_holds(make_rig, what):
    # 2 m/s^2 are 0.02 m per period less in each: from 0.06 m in three periods.
    rig = make_rig(max_tcp_acceleration_m_s2=2.0)
    for _ in range(3):
        rig.check(*FORWARD)
    steps = [refused(rig, what).values[0] for _ in range(5)]
    np.testing.assert_allclose(steps, [0.04, 0.02, 0, 0, 0], atol=1e-7)


def test_motion_goes_on_from_where_braking_has_got_to(make_rig):
    rig = make_rig(max_tcp_acceleration_m_s2=2.0)
    for _ in range(3):
        rig.check(*FORWARD)
    assert send_old(rig).values[0] == pytest.approx(0.04)
    assert rig.check(*FORWARD).values[0] == pytest.approx(0.06)


def test_periods_without_a_command_count_as_braked(make_rig):
    # The robot has had nothing to obey for two periods.
    rig = make_rig(max_tcp_acceleration_m_s2=2.0)
    for _ in range(5):
        rig.check(*FORWARD)
        rig.clock.advance_s(0.1)
    rig.clock.advance_s(0.2)
    assert rig.check(*FORWARD).values[0] == pytest.approx(0.08)
    rig.clock.advance_s(60.0)
    assert rig.check(*FORWARD).values[0] == pytest.approx(0.02)
