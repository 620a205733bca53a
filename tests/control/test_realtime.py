"""What is asked of the system stays with a process for good, so each case has one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from pydantic import ValidationError

from robot_rl.control.realtime import RealtimeConfig

CHILD = """
import json, logging, os, sys
from robot_rl.control.realtime import RealtimeConfig
from robot_rl.core.errors import ConfigError
asked = json.loads(sys.argv[1])
if asked.pop("nobody", False):
    import resource
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
    if os.geteuid() == 0:
        os.setuid(65534)
logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stderr)
try:
    report = RealtimeConfig(**asked).apply()
except ConfigError as error:
    print(json.dumps({"error": str(error)}))
    sys.exit()
def policy_of_a_child():
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, str(os.sched_getscheduler(0)).encode())
        os._exit(0)
    os.wait()
    return int(os.read(read, 20))
import gc
text = open("/proc/self/status").read()
print(json.dumps({
    "granted": report.granted,
    "refused": [str(r) for r in report.refused],
    "fifo": os.sched_getscheduler(0) & 0xFF == os.SCHED_FIFO,
    "priority": os.sched_getparam(0).sched_priority,
    "cores": sorted(os.sched_getaffinity(0)),
    "frozen": gc.get_freeze_count(),
    "slack_ns": int(open("/proc/self/timerslack_ns").read() or 0),
    "locks": [l for l in text.splitlines() if l.startswith("VmLck")],
    "child": policy_of_a_child(),
}))
"""


def apply(**asked: object) -> dict:
    """What a process reports that has asked; as `nobody` it has no privilege at all."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(asked)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) | {"log": done.stderr}


def _may_prefer() -> bool:
    program = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"
    return not subprocess.run([sys.executable, "-c", program], capture_output=True).returncode


@pytest.fixture(scope="module", autouse=True)
def _on_linux() -> None:
    if sys.platform != "linux":
        pytest.skip("scheduling classes and affinity are Linux's")


@pytest.fixture(scope="module")
def privileged() -> None:
    if not _may_prefer():
        pytest.skip("this user may not have a real-time priority: no CAP_SYS_NICE, no rtprio")


def test_what_is_granted_is_in_force_and_said(privileged):
    core = min(os.sched_getaffinity(0))
    report = apply(priority=20, cores=[core])
    assert report["granted"] == ["timers without slack", f"cores [{core}]", "priority 20"]
    assert report["refused"] == []
    assert (report["fifo"], report["priority"], report["cores"]) == (True, 20, [core])
    assert report["log"] == ""


def test_priority_is_not_handed_on_to_what_is_started_later(privileged):
    assert apply(priority=20)["child"] == os.SCHED_OTHER


def test_memory_is_locked_where_that_is_allowed():
    report = apply(lock_memory=True)
    if report["refused"]:
        pytest.skip(f"this user may not lock memory: {report['refused']}")
    (line,) = report["locks"]
    assert int(line.split()[1]) > 0


def test_refusals_are_warned_of_with_their_remedy():
    report = apply(nobody=True, priority=20, lock_memory=True)
    assert report["granted"] == ["timers without slack"]
    memory, priority = report["refused"]
    assert memory.startswith("locked memory: ")
    assert "memlock" in memory
    assert priority.startswith("priority 20: Operation not permitted; add `<user> - rtprio 49`")
    assert "CAP_SYS_NICE" in priority
    assert report["log"].count("WARNING real time: ") == 2
    assert not report["fifo"]


def test_refusal_of_what_is_required_is_an_error():
    report = apply(nobody=True, priority=20, required=True)
    assert report["error"].startswith("real time is required but priority 20: Operation not")


def test_cores_that_are_not_there_are_refused_and_those_there_are_named():
    report = apply(cores=[4000])
    cores = sorted(os.sched_getaffinity(0))
    (refused,) = report["refused"]
    assert refused.startswith("cores [4000]: ")
    assert refused.endswith(f"name some of the cores that this process may use: {cores}")
    assert report["cores"] == cores


def test_without_any_wish_timers_are_exact_and_the_collector_leaves_alone_what_is_alive():
    report = apply()
    assert report["granted"] == ["timers without slack"]
    assert report["slack_ns"] == 1
    assert report["frozen"] > 1000


@pytest.mark.parametrize("asked", [{"priority": 0}, {"priority": 50}, {"cores": []}])
def test_priorities_of_the_kernel_and_no_cores_at_all_are_no_config(asked):
    with pytest.raises(ValidationError):
        RealtimeConfig(**asked)
