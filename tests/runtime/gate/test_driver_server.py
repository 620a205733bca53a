from __future__ import annotations

import numpy as np
import pytest
from gate_rig import PlainDriver, WorldClock

from robot_rl.core.clock import NS_PER_S
from robot_rl.core.errors import HardwareError
from robot_rl.core.types import GateReason, GateState, SafeAction
from robot_rl.runtime.gate.channel import Listener, connect
from robot_rl.runtime.gate.driver.link import DriverLink
from robot_rl.runtime.gate.driver.server import DriverServer
from robot_rl.runtime.gate.message import (
    MAX_ASKED_BYTES,
    MAX_TOLD_BYTES,
    Claim,
    Decoder,
    FromDriver,
    Move,
    Sample,
    encode,
)

PERIOD_S = 0.01


@pytest.fixture
def clock():
    return WorldClock()


@pytest.fixture
def server(folder, clock):
    listener = Listener(folder / "driver.sock", MAX_ASKED_BYTES)
    server = DriverServer(PlainDriver(watchdog_s=0.1), listener, clock)
    clock.turn = server.turn
    yield server
    server.close()


@pytest.fixture
def connected(folder):
    """Connections that are closed at the end."""
    channels = []

    def one():
        channels.append(connect(folder / "driver.sock", MAX_TOLD_BYTES))
        return channels[-1]

    yield one
    for channel in channels:
        channel.close()


def owner(server, clock, channel) -> DriverLink:
    link = DriverLink(channel, PERIOD_S, clock)
    for _ in range(10):
        let_pass(clock, 0.005)
        if link.poll():
            return link
    raise AssertionError("not owned")


def let_pass(clock, seconds: float) -> None:
    clock.sleep_until_ns(clock.now_ns() + round(seconds * NS_PER_S))


def at(speed_m_s: float) -> SafeAction:
    values = np.zeros(7, np.float32)
    values[0] = speed_m_s * PERIOD_S
    return SafeAction(values=values, state=GateState.RUN, reason=GateReason.PASSED, changed=False)


def test_who_owns_it_is_told_what_it_drives_and_moves_it(server, clock, connected):
    link = owner(server, clock, connected())
    assert link.robot == server.driver.spec
    link.move(at(0.2))
    let_pass(clock, 0.005)
    assert server.driver.speed_m_s == pytest.approx(0.2)
    link.poll()
    assert link.sample.sequence == 1


def test_a_second_gate_is_refused_by_name_while_the_first_owns_the_robot(server, clock, connected):
    first = owner(server, clock, connected())
    first.move(at(0.2))
    second = DriverLink(connected(), PERIOD_S, clock)
    let_pass(clock, 0.02)
    with pytest.raises(HardwareError, match=r"owned by the gate in process \d+"):
        second.poll()
    second.move(at(-0.2))
    let_pass(clock, 0.02)
    assert server.driver.velocity_m_s[0] == pytest.approx(0.2)


def test_a_stopped_gate_may_be_replaced_and_is_not_heard_when_it_wakes(server, clock, connected):
    first = owner(server, clock, connected())
    first.move(at(0.2))
    let_pass(clock, 0.5)
    assert server.driver.fault == "PROTECTIVE_STOP: no command for 0.105 s"
    with pytest.raises(HardwareError):
        owner(server, clock, connected())
    let_pass(clock, 0.6)
    second = owner(server, clock, connected())
    with pytest.raises(HardwareError, match="given the robot to another gate"):
        first.poll()
    first.move(at(0.2))
    first.clear("nobody")
    let_pass(clock, 0.02)
    assert server.driver.fault
    second.clear("Ada")
    second.move(at(0.1))
    let_pass(clock, 0.02)
    assert server.driver.velocity_m_s[0] == pytest.approx(0.1)


def test_a_gate_that_ends_without_a_word_leaves_a_stopped_robot(server, clock, connected):
    link = owner(server, clock, connected())
    link.move(at(0.2))
    link.close()
    let_pass(clock, 0.006)
    assert server.driver.fault == "PROTECTIVE_STOP: the gate's process has ended"
    assert server.driver.speed_m_s == 0.0


def test_a_gate_that_says_goodbye_leaves_a_robot_that_can_be_owned_again(server, clock, connected):
    link = owner(server, clock, connected())
    link.move(at(0.0))
    link.release()
    let_pass(clock, 0.5)
    assert server.driver.fault == ""
    owner(server, clock, connected())


def test_whoever_does_not_own_it_hears_every_sample_and_moves_nothing(server, clock, connected):
    watcher, mover = connected(), connected()
    mover.send(encode(Move(sequence=1, stamp_ns=0, values=(0.1,) * 7)))
    let_pass(clock, 0.02)
    mover.receive()
    assert mover.closed
    decode = Decoder(FromDriver)
    heard = [decode(frame) for frame in watcher.receive()]
    stamps = [m.stamp_ns for m in heard if isinstance(m, Sample)]
    assert np.diff(stamps).tolist() == [5_000_000] * (len(stamps) - 1)
    assert len(stamps) >= 3
    assert server.driver.speed_m_s == 0.0


def test_a_late_turn_obeys_what_was_sent_at_the_time_it_was_sent(folder, connected):
    clock = WorldClock()
    listener = Listener(folder / "late.sock", MAX_ASKED_BYTES)
    server = DriverServer(PlainDriver(), listener, clock)
    channel = connect(folder / "late.sock", MAX_TOLD_BYTES)
    start_ns = clock.now_ns()
    channel.send(encode(Claim(pid=1, period_s=PERIOD_S)))
    for k, speed in enumerate((0.1, 0.3)):
        stamp_ns = start_ns + k * 20_000_000
        move = Move(sequence=k + 1, stamp_ns=stamp_ns, values=(speed * PERIOD_S, *[0.0] * 6))
        channel.send(encode(move))
    x_m = server.driver.position_m[0]
    clock.advance_s(0.05)
    server.turn()
    # 15 ms at 0.1 m/s (periods that end before the second command), then 35 ms at 0.3 m/s.
    assert server.driver.position_m[0] - x_m == pytest.approx(0.015 * 0.1 + 0.035 * 0.3)
    channel.close()
    server.close()


def test_a_driver_that_was_not_let_run_for_a_second_stops(server, clock, connected):
    link = owner(server, clock, connected())
    link.move(at(0.2))
    clock.advance_s(1.5)
    server.turn()
    assert "was not let run for 1.5 s" in server.driver.fault


@pytest.mark.parametrize("frame", [b"nonsense", encode(Claim(pid=1, period_s=0.01))[:-3]])
def test_whoever_is_not_understood_is_hung_up_on(server, clock, connected, frame):
    link = owner(server, clock, connected())
    stranger = connected()
    stranger.send(frame)
    let_pass(clock, 0.01)
    stranger.receive()
    assert stranger.closed
    assert link.poll()


def test_a_command_of_the_wrong_length_is_not_obeyed_and_so_is_none(server, clock, connected):
    channel = connected()
    owner(server, clock, channel)
    for k in range(30):
        move = Move(sequence=k + 1, stamp_ns=clock.now_ns(), values=(0.1,) * 6)
        channel.send(encode(move))
        let_pass(clock, 0.01)
    assert server.driver.speed_m_s == 0.0
