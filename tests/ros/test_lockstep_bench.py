from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_rl.app.run_config import RunConfig
from robot_rl.app.simulator import NODE, Simulator
from robot_rl.config.load import load
from robot_rl.core.errors import ConfigError, ContractError, HardwareError
from robot_rl.core.spec import JOINT_POSITION
from robot_rl.core.types import GateReason, GateState, Observation, SafeAction
from robot_rl_nodes.lockstep.bench import LockstepBench

pytestmark = [pytest.mark.ros, pytest.mark.sim]

RUNS = Path(__file__).parents[2] / "configs" / "runs"
PERIOD_NS = 100_000_000


def run_config(name: str, *overrides: str) -> RunConfig:
    return load(RUNS / f"{name}.yaml", RunConfig, overrides)


def local_bench(config: RunConfig) -> Any:
    return config.cell.bench.build(config.task)


class Hosts:
    """Simulators in processes of their own, one for each run, and benches connected to them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._simulators: dict[str, Simulator] = {}
        self._benches: list[LockstepBench] = []

    def simulator(self, name: str, config: RunConfig) -> Simulator:
        if name not in self._simulators:
            self._simulators[name] = Simulator(self._folder / name, config)
        return self._simulators[name]

    def connect(self, simulator: Simulator, task: Any, **more: Any) -> Any:
        where = {"domain": simulator.domain, "namespace": simulator.namespace}
        bench = LockstepBench(task, **where, fate=simulator.fate, **more)
        self._benches.append(bench)
        return bench

    def disconnect(self) -> None:
        while self._benches:
            self._benches.pop().close()

    def end(self) -> None:
        for simulator in self._simulators.values():
            simulator.end()


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    hosts = Hosts(tmp_path_factory.mktemp("hosts"))
    yield hosts
    hosts.end()


@pytest.fixture
def hosts(processes: Hosts) -> Iterator[Hosts]:
    yield processes
    processes.disconnect()


@pytest.fixture
def point(hosts: Hosts) -> Simulator:
    """Hosts the reaching task for all tests of this file that leave it whole."""
    return hosts.simulator("point_reach", run_config("point_reach"))


def safe(values: Any) -> SafeAction:
    return SafeAction(values=values, state=GateState.RUN, reason=GateReason.PASSED, changed=False)


def commands(bench: Any, count: int) -> list[SafeAction]:
    rng = np.random.default_rng(0)
    action = bench.task.action
    drawn = rng.uniform(-0.5, 0.5, (count, action.size)).astype(np.float32)
    return [safe(action.to_si(values)) for values in drawn]


def assert_same(one: Observation, other: Observation) -> None:
    assert one.stamp_ns == other.stamp_ns
    for ours, theirs in ((one.vectors, other.vectors), (one.images, other.images)):
        assert list(ours) == list(theirs)
        for key, array in ours.items():
            assert array.dtype == theirs[key].dtype
            assert array.tobytes() == theirs[key].tobytes(), key


def assert_same_instant(bench: Any, local: Any) -> None:
    assert_same(bench.robot.read(), local.robot.read())
    for ours, theirs in zip(bench.sensors, local.sensors, strict=True):
        assert ours.name == theirs.name
        assert_same(ours.latest(), theirs.latest())


def step(bench: Any, command: SafeAction) -> None:
    bench.robot.command(command)
    bench.clock.sleep_until_ns(bench.clock.now_ns() + PERIOD_NS)


@pytest.mark.parametrize("name", ["point_reach", "pick_cube"])
def test_every_number_is_the_same_as_without_topics(hosts: Hosts, name: str) -> None:
    config = run_config(name)
    local = local_bench(config)
    people = {
        "demonstrator": config.demonstrator.build(local),
        "supervisor": config.supervisor.build(local),
    }
    bench = hosts.connect(hosts.simulator(name, config), local.task)
    assert bench.robot.spec == local.robot.spec
    assert {seat: who.name for seat, who in bench.seats.items()} == {
        seat: who.name for seat, who in people.items()
    }
    for seed in (5, 6):
        for side in (bench, local):
            side.scene.reset(seed)
        assert_same_instant(bench, local)
        for seat, person in people.items():
            person.reset(seed)
            bench.seats[seat].reset(seed)
        for number, command in enumerate(commands(bench, 8)):
            for seat, person in people.items():
                ours, theirs = bench.seats[seat].poll(None), person.poll(None)
                assert ours.active == theirs.active
                assert ours.action.tobytes() == theirs.action.tobytes()
            for side in (bench, local):
                step(side, command)
                if number == 4:
                    side.robot.stop()
            assert_same_instant(bench, local)
            assert bench.scene.judge() == local.scene.judge()


@pytest.mark.render
def test_every_pixel_is_the_same_as_without_topics(hosts: Hosts) -> None:
    config = run_config("peg_insert", "task.cameras=true", "supervisor=null")
    local = local_bench(config)
    bench = hosts.connect(hosts.simulator("peg_insert", config), local.task)
    assert [sensor.name for sensor in bench.sensors] == ["perception", "wrist", "front"]
    for side in (bench, local):
        side.scene.reset(1)
    assert_same_instant(bench, local)
    for command in commands(bench, 3):
        for side in (bench, local):
            step(side, command)
        assert_same_instant(bench, local)
    np.testing.assert_array_equal(bench.render(480, 360), local.render(480, 360))
    local.close()


def test_a_stop_comes_after_the_command_before_it(hosts: Hosts, point: Simulator) -> None:
    local = local_bench(run_config("point_reach"))
    bench = hosts.connect(point, local.task)
    for side in (bench, local):
        side.scene.reset(2)
        side.robot.command(safe(np.full(2, 0.2, np.float32)))
        side.robot.stop()
        side.clock.sleep_until_ns(side.clock.now_ns() + PERIOD_NS)
    ours, theirs = bench.robot.read().vectors, local.robot.read().vectors
    assert ours[JOINT_POSITION].tobytes() == theirs[JOINT_POSITION].tobytes()


def test_what_cannot_be_is_refused_with_what_was_wrong(hosts: Hosts, point: Simulator) -> None:
    bench = hosts.connect(point, local_bench(run_config("point_reach")).task)
    with pytest.raises(HardwareError, match="reset the scene first"):
        bench.robot.read()
    bench.scene.reset(0)
    with pytest.raises(ContractError, match=r"command has shape \[3\], expected \[2\]"):
        bench.robot.command(safe(np.zeros(3, np.float32)))
    with pytest.raises(ContractError, match="a scene of seed 0, got seed 1"):
        bench.seats["demonstrator"].reset(1)
    # What goes wrong over there is raised here, as what it is.
    with pytest.raises(ConfigError, match="at least 1 x 1, got 0 x 0"):
        bench.render(0, 0)


def test_a_simulator_of_another_task_is_refused(hosts: Hosts, point: Simulator) -> None:
    task = local_bench(run_config("peg_insert")).task
    with pytest.raises(ContractError, match=r"is set up for 'point_reach'.*is of 'peg_insert'"):
        hosts.connect(point, task)


def test_a_simulator_that_stalls_is_lost_and_is_not_waited_for_again(
    hosts: Hosts, point: Simulator
) -> None:
    bench = hosts.connect(point, local_bench(run_config("point_reach")).task, limit_s=3.0)
    bench.scene.reset(0)
    os.kill(point.pid, signal.SIGSTOP)
    try:
        with pytest.raises(HardwareError, match=r"no answer of .*sim/advance within 3 s"):
            step(bench, commands(bench, 1)[0])
    finally:
        os.kill(point.pid, signal.SIGCONT)
    bench.robot.stop()
    with pytest.raises(HardwareError, match="no answer of"):
        bench.scene.reset(1)


def test_the_death_of_the_simulator_ends_the_wait_and_names_how_it_died(hosts: Hosts) -> None:
    config = run_config("point_reach")
    simulator = hosts.simulator("mortal", config)
    bench = hosts.connect(simulator, local_bench(config).task)
    bench.scene.reset(0)
    os.kill(simulator.pid, signal.SIGKILL)
    with pytest.raises(HardwareError, match=f"process {simulator.pid} ended with code -9"):
        step(bench, commands(bench, 1)[0])
    # Whoever cleans up must not wait for an arm that is no more.
    bench.robot.stop()


def test_a_bench_that_cannot_be_built_is_told_in_the_nodes_own_words(hosts: Hosts) -> None:
    simulator = hosts.simulator("live", run_config("point_reach", "cell.bench.real_time=true"))
    with pytest.raises(HardwareError, match=re.compile("code 1;.*leave out `real_time`", re.S)):
        hosts.connect(simulator, local_bench(run_config("point_reach")).task)


def test_a_node_ends_when_whoever_started_it_has(
    tmp_path: Path, graph: Any, python: str, hosts: Hosts
) -> None:
    simulator = hosts.simulator("point_reach", run_config("point_reach"))
    words = ["--ros-args", "-p", "autostart:=true", "-p", "started_by:=1"]
    words += ["-p", f"bench:={simulator.hosted}", "-r", "__ns:=/orphan"]
    ended = subprocess.run(
        [python, "-m", NODE, *words],
        env=graph.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0
    assert "process 1, which started this one, has ended" in ended.stderr
