from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robot_rl.app.ros.process import Plan, Process, Stage
from robot_rl.app.ros.run_plan import Patience, PlanRunner

STAND_IN = """
import json, os, signal, sys, time
name = next(w for w in sys.argv if w.startswith("__node:=")).removeprefix("__node:=")
file = sys.argv[sys.argv.index("--params-file") + 1]
def note(what):
    with open(os.environ["STORY"], "a") as story:
        story.write(f"{name} {what} {os.getpid()}\\n")
asked = []
signal.signal(signal.SIGINT, lambda *_: asked.append(1))
how = os.environ.get(f"HOW_{name}", "")
if how == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
note("up")
print("hello", open(file).readline().strip(), flush=True)
if how == "dies":
    sys.exit(3)
while not asked or how == "deaf":
    time.sleep(0.01)
note("down")
"""


def process(name: str, stage: Stage, **more: Any) -> Process:
    return Process(
        package="robot_rl_nodes",
        executable=name,
        module="stand_in",
        name=name,
        namespace="/test",
        stage=stage,
        parameters={"rate_hz": 10.0},
        remaps={},
        environment={},
        **more,
    )


SENSOR = process("sensor", Stage.ROBOT, respawn_delay_s=0.1)
GATE = process("gate", Stage.GATE, critical=True)
BRIDGE = process("bridge", Stage.POLICY)
EPISODES = process("episodes", Stage.EPISODE)
MANAGER = process("manager", Stage.MANAGER, critical=True, managed=False)
PLAN = Plan(
    name="cell",
    group="hil",
    processes=(SENSOR, GATE, BRIDGE, EPISODES, MANAGER),
    environment={"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"},
    log_level="info",
)
BRIEF = Patience(manager_s=5.0, interrupt_s=0.5, terminate_s=0.5)


class Scene:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.story_file = folder / "story"
        self.story_file.touch()
        (folder / "stand_in.py").write_text(STAND_IN)
        self.lines: list[str] = []
        self.end_s = time.monotonic() + 60

    @property
    def story(self) -> list[tuple[str, str]]:
        return [tuple(line.split()[:2]) for line in self.story_file.read_text().splitlines()]

    @property
    def pids(self) -> list[int]:
        return [int(line.split()[2]) for line in self.story_file.read_text().splitlines()]

    def run(self, asked: Callable[[], int], **how: str) -> int:
        base = {**os.environ, "PYTHONPATH": str(self.folder), "STORY": str(self.story_file)}
        base |= {f"HOW_{name}": what for name, what in how.items()}
        return PlanRunner(PLAN, self.folder / "run", self.lines.append, BRIEF, base).run(asked)

    def once(self, happened: Callable[[], bool]) -> Callable[[], int]:
        """Asks to end when something has happened; fails the test if it never does."""

        def asked() -> int:
            assert time.monotonic() < self.end_s, f"it never happened; {self.story} {self.lines}"
            return int(happened())

        return asked

    def all_up(self) -> bool:
        return sum(what == "up" for _, what in self.story) >= len(PLAN.processes)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def ends(scene: Scene) -> list[str]:
    return [name for name, what in scene.story if what == "down"]


def test_asked_to_end_they_end_stage_by_stage_with_the_gate_last(scene: Scene) -> None:
    assert scene.run(scene.once(scene.all_up)) == 0
    assert ends(scene) == ["manager", "episodes", "bridge", "sensor", "gate"]
    assert all(gone(pid) for pid in scene.pids)


def test_every_line_of_a_node_is_passed_on_under_its_name_and_kept(scene: Scene) -> None:
    scene.run(scene.once(lambda: sum("hello" in line for line in scene.lines) == 5))
    assert "[sensor] hello /**/sensor:" in scene.lines
    assert (scene.folder / "run/log/sensor.log").read_text() == "hello /**/sensor:\n"


def test_the_end_of_the_gate_ends_all_in_order(scene: Scene) -> None:
    assert scene.run(scene.once(lambda: False), gate="dies") == 1
    assert "gate ended with status 3: without it nothing goes on, all end" in scene.lines
    assert ends(scene) == [
        n for n in ("manager", "episodes", "bridge", "sensor") if n in ends(scene)
    ]
    assert all(gone(pid) for pid in scene.pids)


def test_a_sensor_that_ends_is_started_again_later_each_time(scene: Scene) -> None:
    def thrice() -> bool:
        return scene.all_up() and scene.story.count(("sensor", "up")) >= 3

    assert scene.run(scene.once(thrice), sensor="dies") == 0
    waits = [line.rpartition("in ")[2] for line in scene.lines if "starts again" in line]
    assert waits[:3] == ["0.1 s", "0.2 s", "0.4 s"][: len(waits[:3])]


def test_the_others_go_on_without_one_that_is_not_critical(scene: Scene) -> None:
    def noticed() -> bool:
        return scene.all_up() and any("the others go on" in line for line in scene.lines)

    assert scene.run(scene.once(noticed), bridge="dies") == 0
    assert scene.story.count(("bridge", "up")) == 1


def test_one_that_does_not_end_is_killed_and_the_gate_still_ends_after_it(scene: Scene) -> None:
    assert scene.run(scene.once(scene.all_up), bridge="deaf") == 1
    assert "bridge does not end: SIGKILL" in scene.lines
    assert ends(scene)[-1] == "gate"
    assert all(gone(pid) for pid in scene.pids)


def test_nothing_outlives_a_runner_that_is_killed(scene: Scene) -> None:
    code = (
        "import sys; sys.path[:0] = [sys.argv[1]]; from pathlib import Path\n"
        "from robot_rl.app.ros.run_plan import PlanRunner; from test_up import PLAN\n"
        "PlanRunner(PLAN, Path(sys.argv[2]), print).run(lambda: 0)"
    )
    here, there = str(Path(__file__).parent), str(scene.folder / "run")
    runner = subprocess.Popen(
        [sys.executable, "-c", code, here, there],
        env={**os.environ, "PYTHONPATH": str(scene.folder), "STORY": str(scene.story_file)},
        stdout=subprocess.DEVNULL,
    )
    wait(scene.all_up)
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    wait(lambda: all(gone(pid) for pid in scene.pids))


def wait(happened: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < end_s, "it never happened"
        time.sleep(0.02)
