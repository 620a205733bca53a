from __future__ import annotations

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from gate_live import CELL, Live, open_live

from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import TCP_POSE, ActionSpec
from robot_rl.core.types import GateState, Source
from robot_rl.runtime.gate.cell import played
from robot_rl.runtime.gate.client import GateClient
from robot_rl.runtime.gate.message import Sample

ACTION = ActionSpec(
    kind="tcp_delta", names=("dx", "rx", "gripper"), scale=(0.02, 0.1, 1.0), period_s=0.1
)


@pytest.mark.parametrize(
    "module", ["robot_rl.runtime.gate.process", "robot_rl.runtime.gate.client"]
)
def test_the_process_beside_the_robot_is_light(module):
    heavy = "torch", "mujoco", "scipy", "zarr", "rich", "coal"
    code = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == "[]\n"


def test_an_action_played_in_shorter_periods_is_the_same_velocity_and_grip():
    action = played(ACTION, 0.01)
    assert action.scale == pytest.approx((0.002, 0.01, 1.0))
    assert (action.period_s, action.names, action.kind) == (0.01, ACTION.names, "tcp_delta")


def test_a_gate_slower_than_its_commanders_is_refused():
    with pytest.raises(ConfigError, match=r"period is 0\.2 s, its commanders' 0\.1 s"):
        played(ACTION, 0.2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cell", str(CELL)], "nobody answers at"),
        (["--cell", "missing.yaml"], "missing.yaml"),
    ],
)
def test_what_keeps_the_gate_from_starting_is_said_in_one_line(folder, words, said):
    command = [sys.executable, "-m", "robot_rl.runtime.gate", *words, "--folder", str(folder)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert process.returncode == 1
    assert said in process.stderr.splitlines()[-1]
    assert "Traceback" not in process.stderr


@pytest.mark.sim
def test_an_actor_runs_an_episode_through_the_processes_and_sigterm_ends_them_at_rest():
    with open_live() as live:
        run_episode(live)
        live.gate.send_signal(signal.SIGTERM)
        assert live.gate.wait(timeout=30.0) == 0
        sample = live.robot.of(Sample)[-1]
        assert sample.fault == ""
        assert live.track(time.monotonic() - 0.05).speed_m_s[-1] < 2e-3
        live.driver.send_signal(signal.SIGTERM)
        assert live.driver.wait(timeout=30.0) == 0
        assert not list(live.folder.glob("*.sock"))


def run_episode(live: Live) -> None:
    """Ten steps of a policy at 10 Hz, half as fast as it may be, and what came of them."""
    action = np.array([0.0, 0.4, 0.0, 0.0, 0.0, 0.0, 1.0], np.float32)
    with GateClient(live.folder) as actor:
        actor.take(Source.POLICY, timeout_s=20.0)
        live.clear()
        start = actor.wait(20.0)
        for _ in range(10):
            sequence = actor.command(action)
            time.sleep(0.1)
        end = actor.wait(20.0)
    assert end.state == GateState.RUN
    assert end.actor == (actor_epoch(end), sequence)
    travel = np.array(end.travel) - np.array(start.travel)
    moved_m = end.vectors[TCP_POSE][1] - start.vectors[TCP_POSE][1]
    assert travel[1] > 1.0
    # What was executed, in actions of 0.03 m at full scale, is what the arm did.
    assert moved_m == pytest.approx(0.03 * travel[1], abs=0.01)


def actor_epoch(report) -> int:
    return report.actor[0]
