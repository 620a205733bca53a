"""Processes around a gate or a camera: started, let run, asked for what they have measured."""

from __future__ import annotations

import bisect
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

import numpy as np
from ros_cameras import FRAMES_ENV, IMAGE_PERIOD_S, RUNS_ENV

ROOT = Path(__file__).parents[2]
PROFILE = ROOT / "ros2_ws/src/robot_rl_bringup/config/dds/fastdds_shm.xml"
CELL = ROOT / "configs/cells/sim_fr3.yaml"
TASK = ROOT / "configs/tasks/pick_cube.yaml"

_PROFILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
_START_S, _SETTLED_S, _END_S = 60.0, 3.0, 20.0
_CORE_S = os.sysconf("SC_CLK_TCK")


class Fleet:
    """Processes of one graph, ended together.

    Args:
        domain: of the graph.
        profile: for Fast DDS; None for its defaults.
        more: further variables of the environment.

    Attributes:
        folder: for whatever they write; it goes when they do.
    """

    def __init__(
        self, domain: int, profile: Path | None, more: Mapping[str, str] | None = None
    ) -> None:
        kept = {k: v for k, v in os.environ.items() if k not in _PROFILES}
        self._environment = {
            **kept,
            "ROS_DOMAIN_ID": str(domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            **({name: str(profile) for name in _PROFILES} if profile else {}),
            **(more or {}),
        }
        self._made = TemporaryDirectory()
        self.folder = Path(self._made.name)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._used_s: dict[str, tuple[float, float]] = {}

    def start(self, role: str) -> None:
        """Start a role of `ros_load`."""
        script, result = str(Path(__file__).parent / "ros_load.py"), str(self._result(role))
        self._start(role, [script, role, result], [])

    def start_node(self, name: str, **more: str) -> None:
        """Start a node of the graph as it is, with parameters beside cell and task."""
        values = {"cell": CELL, "task": TASK, "autostart": "true", **more}
        flags = [word for key, value in values.items() for word in ("-p", f"{key}:={value}")]
        self._start(name, ["-m", f"robot_rl_nodes.{name}_node"], flags)

    def wait_for(self, role: str, timeout_s: float) -> None:
        """Wait until a role is ready.

        Raises:
            RuntimeError: if it does not become so, or a process has ended.
        """
        end_s = time.monotonic() + timeout_s
        while not self._result(role).with_suffix(".ready").exists():
            self.check()
            if time.monotonic() > end_s:
                raise RuntimeError(f"{role} is not ready within {timeout_s:g} s")
            time.sleep(0.05)

    def begin(self) -> None:
        """Count processor time from now on."""
        self._used_s = {n: (time.monotonic(), _used_s(p)) for n, p in self._processes.items()}

    def cpu(self) -> dict[str, float]:
        """Processor time of each process since `begin`, as a share of one core [%]."""
        return {
            name: 100 * (_used_s(self._processes[name]) - used_s) / (time.monotonic() - since_s)
            for name, (since_s, used_s) in self._used_s.items()
        }

    def result(self, role: str) -> Any:
        """End a role and return what it has measured.

        Raises:
            RuntimeError: if it has ended by itself, or does not end.
        """
        process = self._processes.pop(role)
        process.send_signal(signal.SIGTERM)
        process.wait(_END_S)
        if not self._result(role).exists():
            raise RuntimeError(f"{role} has measured nothing; it ended with {process.returncode}")
        return json.loads(self._result(role).read_text())

    def check(self) -> None:
        """See that all are alive.

        Raises:
            RuntimeError: naming the one that is not.
        """
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"{name} has ended with {process.returncode}")

    def __enter__(self) -> Fleet:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()
        self._made.cleanup()

    def _result(self, role: str) -> Path:
        return self.folder / f"{role}.json"

    def _start(self, name: str, command: Sequence[str], flags: Sequence[str]) -> None:
        said = [sys.executable, *command, "--ros-args", "-r", "__ns:=/bench", *flags]
        quiet = None if os.environ.get("BENCH_ALOUD") else subprocess.DEVNULL
        self._processes[name] = subprocess.Popen(
            said, env=self._environment, stdout=quiet, stderr=quiet
        )


def images(
    domain: int, camera: str, viewer: str, profile: Path | None, runs: int, frames: int
) -> dict[str, Any]:
    """Send `runs` times `frames` VGA images and return what was lost and how late the others were.

    Returns:
        `lost` of each run, `p50_ms`, `p99_ms`, and `cpu` in percent of a core.
    """
    settings = {RUNS_ENV: str(runs), FRAMES_ENV: str(frames)}
    with Fleet(domain, profile, settings) as fleet:
        fleet.start(viewer)
        fleet.wait_for(viewer, _START_S)
        fleet.start(camera)
        fleet.begin()
        fleet.wait_for(camera, _START_S + 2 * runs * (1.0 + frames * IMAGE_PERIOD_S))
        cpu = fleet.cpu()
        fleet.result(camera)
        heard = fleet.result(viewer)
    numbers = {number for number, _ in heard}
    whole = [range(run * frames, (run + 1) * frames) for run in range(runs)]
    lost = [sum(n not in numbers for n in run) for run in whole]
    late_ms = [late_ns / 1e6 for _, late_ns in heard]
    return {"lost": lost, **percentiles(late_ms), "frames": frames, **shares(cpu)}


def state_to_command(
    domain: int,
    seconds: float,
    *,
    plain: bool = False,
    learner: bool = False,
    recorder: bool = False,
) -> dict[str, Any]:
    """Let a graph run and return how long a robot's state takes to become a command it hears.

    Returns:
        `p50_ms`, `p99_ms`, `max_ms`, how many states were `answered` of how many `states`, and
        `cpu` in percent of a core.
    """
    roles = ("robot", "sensors") if plain else ("robot", "sensors", "actor")
    with Fleet(domain, None if plain else PROFILE) as fleet:
        for role in roles:
            fleet.start(role)
        if plain:
            fleet.start("plain_gate")
        else:
            fleet.start_node("command_gate", wait_s="30.0")
        if recorder:
            fleet.start_node("recorder", folder=str(fleet.folder / "recorded"), cameras="[front]")
        fleet.wait_for("robot", _START_S)
        if learner:
            fleet.start("learner")
            time.sleep(_SETTLED_S)
        since_ns = time.time_ns()
        fleet.begin()
        time.sleep(seconds)
        cpu = fleet.cpu()
        fleet.check()
        found = fleet.result("robot")
    late_ms = latencies(found["heard"], found["used"], since_ns)
    due = seconds * 100
    return {**percentiles(late_ms), "max_ms": max(late_ms, default=float("nan")),
            "answered": len(late_ms), "states": round(due), **shares(cpu)}  # fmt: skip


def latencies(
    heard: Sequence[tuple[int, int]], used: Sequence[tuple[int, int]], since_ns: int = 0
) -> list[float]:
    """From the stamp of each state to the receipt of the first command that used it [ms].

    Args:
        heard: stamp and receipt of each command [ns].
        used: stamp of each tick, and of the state that it used [ns]. A tick's command is the
            first that is stamped no earlier.
        since_ns: states before are not counted.
    """
    stamps = [stamp for stamp, _ in heard]
    found: list[float] = []
    answered: set[int] = set()
    for tick_ns, state_ns in used:
        at = bisect.bisect_left(stamps, tick_ns)
        if state_ns < since_ns or state_ns in answered or at == len(stamps):
            continue
        answered.add(state_ns)
        found.append((heard[at][1] - state_ns) / 1e6)
    return found


def call_times(work: Callable[[], object], calls: int) -> list[float]:
    """Durations of single calls [us], after some that do not count."""
    for _ in range(min(calls, 100)):
        work()
    times: list[float] = []
    for _ in range(calls):
        start_ns = time.perf_counter_ns()
        work()
        times.append((time.perf_counter_ns() - start_ns) / 1e3)
    return times


def percentiles(late_ms: Sequence[float]) -> dict[str, float]:
    """The median and the 99th percentile; NaN of nothing."""
    if not late_ms:
        return {"p50_ms": float("nan"), "p99_ms": float("nan")}
    p50, p99 = np.percentile(late_ms, (50, 99)).tolist()
    return {"p50_ms": p50, "p99_ms": p99}


def shares(cpu: Mapping[str, float]) -> dict[str, str]:
    """Each process's share of a core, for a cell of a table."""
    return {"cpu": ", ".join(f"{name} {share:.0f} %" for name, share in cpu.items())}


def _used_s(process: subprocess.Popen[bytes]) -> float:
    # Behind the name, which may hold blanks: fields 14 and 15, user and system ticks.
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _CORE_S
