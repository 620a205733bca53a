from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from robot_rl.core.types import GateReason, GateState

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "bench"))
from ros_rig import CELL, Rig

pytestmark = pytest.mark.ros

MOST_S = 0.11
"""What the watchdogs bear of an actor's silence, and one tick."""
SHARED_S = 0.25
"""How late the processes may be on a machine that others use too."""


@pytest.fixture(scope="module")
def peopled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A graph with a robot, to start whose process takes seconds; the machine may be late."""
    cell = tmp_path_factory.mktemp("cell") / "cell.yaml"
    cell.write_text(CELL.read_text().replace("max_late_ticks: 3", "max_late_ticks: 100"))
    with Rig(1 + os.getpid() % 90, cell=cell) as rig:
        rig.start("robot")
        rig.start_gate()
        yield rig


@pytest.fixture
def rig(peopled: Rig) -> Iterator[Rig]:
    """The same graph, without a commander."""
    yield peopled
    for process in peopled.started("actor", "mismatched"):
        peopled.end(process)


def test_a_commander_that_stands_still_or_dies_leaves_the_arm_held_in_time(rig: Rig) -> None:
    for fault in (signal.SIGSTOP, signal.SIGKILL):
        actor = rig.start("actor")
        rig.run()
        held_s = rig.held_s(lambda a=actor, f=fault: a.send_signal(f))
        assert held_s < MOST_S + SHARED_S, f"{fault.name}: held after {held_s:.3f} s"
        rig.until(lambda: rig.safety.reason == GateReason.PEER_LOST, "the actor is lost")
        rig.until(lambda: not rig.commands[-1].speed, "the arm rests")
        rig.end(actor)


def test_a_commander_of_another_quality_of_service_is_named_and_drives_nothing(rig: Rig) -> None:
    rig.until(lambda: rig.ticks, "the gate is active")
    count = len(rig.ticks)
    rig.start("mismatched")
    rig.until(
        lambda: any("quality of service of policy/action" in name for name in rig.told),
        "the mismatch is told",
    )
    assert not any(tick.speed for tick in rig.ticks[count:])


def test_a_robot_whose_process_stood_still_needs_a_person_and_the_gate_lives_on(rig: Rig) -> None:
    (robot,) = rig.started("robot")
    rig.start("actor")
    rig.run()
    held_s = rig.held_s(lambda: robot.send_signal(signal.SIGSTOP))
    assert held_s < 0.21 + SHARED_S, f"held after {held_s:.3f} s"
    rig.until(lambda: rig.safety.state == GateState.STOP, "the gate has stopped")
    assert "robot/state has been silent" in rig.safety.cause
    robot.send_signal(signal.SIGCONT)
    rig.until(lambda: not rig.safety.fault, "the robot is heard again")
    rig.run()


def test_a_gate_that_is_asked_to_end_brakes_and_its_last_command_is_a_hold(rig: Rig) -> None:
    (gate,) = rig.started("robot_rl_nodes.command_gate_node")
    rig.start("actor")
    rig.run()
    fast = rig.commands[-1].speed
    count = len(rig.commands)
    gate.send_signal(signal.SIGINT)
    gate.send_signal(signal.SIGINT)
    assert gate.wait(20.0) == 0
    rig.until(lambda: not rig.commands[-1].speed, "the last command is heard", 5.0)
    speeds = [each.speed for each in rig.commands[count:]]
    assert any(0.0 < speed < 0.9 * fast for speed in speeds), "it did not brake"
    assert rig.commands[-1].speed == 0.0
