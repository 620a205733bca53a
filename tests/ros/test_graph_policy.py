from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_rl.control.chunking.planner import PlannerError
from robot_rl.core.clock import ManualClock
from robot_rl.core.errors import ConfigError, ContractError, HardwareError
from robot_rl.core.types import Observation, Vector
from robot_rl.policies.base import PlanRequest, PolicySpec
from robot_rl_nodes.graph.policy import FIRST_WAIT_S, LONGEST_WAIT_S, PatientPlayer, ToldPolicy
from robot_rl_nodes.task import task_spec

pytestmark = pytest.mark.ros

CONFIGS = Path(__file__).parents[2] / "configs"
GO = np.array([0.5], np.float32)
SEEN = Observation(stamp_ns=7, vectors={})


class Moody:
    """A player whose policy can be lost."""

    fingerprint = "f"

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.asked = self.replans = 0

    def reset(self, seed: int) -> None:
        self.asked = 0

    def replan(self) -> None:
        self.replans += 1

    def next(self, observation: Observation) -> Vector | None:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return GO


def lost() -> PlannerError:
    error = PlannerError("the policy failed to plan")
    error.__cause__ = HardwareError("the policy server is lost")
    return error


def test_a_policy_that_cannot_plan_is_asked_again_less_and_less_often() -> None:
    clock, moody = ManualClock(1), Moody()
    player = PatientPlayer(moody, clock)
    moody.error = lost()
    asked_s: list[float] = []
    for tick in range(2000):
        before = moody.asked
        assert player.next(SEEN) is None
        if moody.asked > before:
            asked_s.append(tick * 0.01)
        clock.advance_s(0.01)
    waits = np.diff(asked_s)
    np.testing.assert_allclose(waits[:4], FIRST_WAIT_S * 2.0 ** np.arange(4), atol=0.011)
    assert waits.max() <= LONGEST_WAIT_S + 0.011
    assert player.trouble.startswith("the policy server is lost; asked again in")
    assert moody.replans == moody.asked


def test_once_it_plans_again_all_is_forgotten() -> None:
    clock, moody = ManualClock(1), Moody()
    player = PatientPlayer(moody, clock)
    moody.error = lost()
    player.next(SEEN)
    moody.error = None
    clock.advance_s(FIRST_WAIT_S)
    assert player.next(SEEN) is GO
    assert not player.trouble
    moody.error = lost()
    player.next(SEEN)
    assert f"in {FIRST_WAIT_S:g} s" in player.trouble


def test_a_new_episode_asks_at_once() -> None:
    clock, moody = ManualClock(1), Moody()
    player = PatientPlayer(moody, clock)
    moody.error = lost()
    player.next(SEEN)
    moody.error = None
    player.reset(0)
    assert player.next(SEEN) is GO


def test_what_is_no_failure_to_plan_is_raised() -> None:
    moody = Moody()
    moody.error = ContractError("the plan is too short")
    with pytest.raises(ContractError, match="too short"):
        PatientPlayer(moody, ManualClock(1)).next(SEEN)


class Fixed:
    """Plans two actions."""

    def __init__(self) -> None:
        task = task_spec(CONFIGS / "tasks" / "real" / "fr3_insert.yaml")
        self.spec = PolicySpec(
            name="fixed",
            fingerprint="f",
            observation=task.observation,
            action=task.action,
            horizon=2,
            execute=1,
        )

    def infer(self, requests: Sequence[PlanRequest]) -> Vector:
        return np.stack([np.full((2, 6), i, np.float32) for i in range(len(requests))])


def test_every_plan_is_told_with_the_stamp_of_what_it_was_made_from() -> None:
    told: list[tuple[float, int]] = []
    policy = ToldPolicy(Fixed(), lambda plan, stamp_ns: told.append((plan[0, 0], stamp_ns)))
    windows = [(SEEN, Observation(stamp_ns=stamp_ns, vectors={})) for stamp_ns in (8, 9)]
    plans = policy.infer([PlanRequest(window=window) for window in windows])
    assert plans.shape == (2, 2, 6)
    assert told == [(0.0, 8), (1.0, 9)]
    assert policy.spec.name == "fixed"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("tasks/**/*.yaml")), ids=lambda p: p.stem)
@pytest.mark.sim
def test_every_task_has_a_spec(path: Path) -> None:
    assert task_spec(path).horizon > 0


def test_what_is_no_task_is_named() -> None:
    with pytest.raises(ConfigError, match="TaskRewardConfig is no task"):
        task_spec(CONFIGS / "rewards" / "task.yaml")


@pytest.mark.parametrize(
    ("module", "parameters"),
    [
        ("policy_bridge_node", {}),
        ("episode_manager_node", {}),
        ("reward_node", {"reward": CONFIGS / "rewards" / "models" / "peg_seated.yaml"}),
    ],
)
def test_a_node_starts_in_a_process_without_torch_and_ends_when_asked(
    graph: Any, python: str, module: str, parameters: dict[str, Any]
) -> None:
    values = {
        "task": CONFIGS / "tasks" / "real" / "fr3_insert.yaml",
        "autostart": "true",
        **parameters,
    }
    arguments = [word for key, value in values.items() for word in ("-p", f"{key}:={value}")]
    program = (
        f"import sys; from robot_rl_nodes import {module} as m; from robot_rl_nodes.process "
        "import main; assert 'torch' not in sys.modules; kind = next(v for v in vars(m).values() "
        "if isinstance(v, type) and v.__module__ == m.__name__); "
        "raise SystemExit(main(lambda c: kind(context=c), sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [python, "-c", program, "--ros-args", *arguments],
        env=graph.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        deadline_s = time.monotonic() + 60
        node = graph.plain()
        while not any(name in module for name, _ in node.get_node_names_and_namespaces()):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline_s
            graph.spin(0.1)
        graph.spin(0.5)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(30) == 0, process.stderr.read()
    finally:
        process.kill()
        process.communicate()
