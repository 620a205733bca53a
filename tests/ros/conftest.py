from __future__ import annotations

import fcntl
import gc
import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from robot_rl.app.simulator import free_domain

# A page that is served for real, and the desk behind it.
sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "session" / "page"))

# Read when a message module is imported, and by whatever is started from here.
os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"

ABSENT = next(
    (
        f"{module} is not there: {remedy}"
        for module, remedy in (
            ("rclpy", "pip install 'robot_rl[ros]', or source a ROS 2 installation"),
            ("robot_rl_msgs", "build it with `make ros`"),
        )
        if importlib.util.find_spec(module) is None
    ),
    "",
)
"""Why no test here can run; empty if they can."""
if not ABSENT:
    from rclpy.context import Context
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node


class _Skipped(pytest.Module):
    def collect(self) -> Iterator[pytest.Item]:
        pytest.skip(ABSENT)


def pytest_pycollect_makemodule(module_path: Path, parent: Any) -> pytest.Module | None:
    return _Skipped.from_parent(parent, path=module_path) if ABSENT else None


@contextmanager
def _domain() -> Iterator[int]:
    """A DDS domain that no process on this machine is in, and no other test takes."""
    while True:
        domain = free_domain()
        with open(Path(tempfile.gettempdir()) / f"robot_rl-domain-{domain}.lock", "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield domain
            return


# Last of all, so that what ends a test that hangs is still on the watch.
@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A managed node and its line into DDS end when they are collected: here, not in some thread
    of a later test. What was there before this test is not looked through."""
    if ABSENT or not item.get_closest_marker("ros"):
        return (yield)
    gc.freeze()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.unfreeze()


class Graph:
    """Nodes of one test in this process, on a domain of their own, spun by the test."""

    def __init__(self, domain: int) -> None:
        self.domain = domain
        self.context = Context()
        self.context.init(args=[], domain_id=domain)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._nodes: list[Node] = []

    @property
    def environment(self) -> dict[str, str]:
        """For a process that is to be in this graph."""
        return {**os.environ, "ROS_DOMAIN_ID": str(self.domain)}

    def add(self, node: Node) -> Node:
        self._executor.add_node(node)
        self._nodes.append(node)
        return node

    def make(self, kind: Callable[..., Any], **overrides: Any) -> Any:
        """A managed node of ours under /test, neither configured nor active."""
        return self.add(kind(context=self.context, overrides=overrides, namespace="test"))

    def start(self, kind: Callable[..., Any], **overrides: Any) -> Any:
        """A managed node of ours under /test, configured and active."""
        node = self.make(kind, **overrides)
        node.trigger_configure()
        node.trigger_activate()
        assert node.active, f"{node.get_name()} is not active; see its log"
        return node

    def plain(self, name: str = "probe") -> Any:
        """A node without a life, under /test, to listen and speak with."""
        return self.add(Node(name, context=self.context, namespace="test"))

    def spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._executor.spin_once(timeout_sec=0.01)

    def until(self, happened: Callable[[], object], timeout_s: float = 20.0) -> None:
        end = time.monotonic() + timeout_s
        while not happened():
            assert time.monotonic() < end, f"nothing happened within {timeout_s} s"
            self._executor.spin_once(timeout_sec=0.01)

    def call(self, kind: Any, name: str, request: Any, timeout_s: float = 20.0) -> Any:
        """Call a service under /test and return its response."""
        client = self.plain(f"caller_{len(self._nodes)}").create_client(kind, name)
        self.until(client.service_is_ready, timeout_s)
        future = client.call_async(request)
        self.until(future.done, timeout_s)
        return future.result()

    def close(self) -> None:
        with ExitStack() as ending:
            ending.callback(self.context.try_shutdown)
            for node in self._nodes:
                ending.callback(node.destroy_node)
            ending.callback(self._executor.shutdown)
            for node in reversed(self._nodes):
                if hasattr(node, "end"):
                    ending.callback(node.end)


@pytest.fixture
def graph() -> Iterator[Graph]:
    with _domain() as domain:
        graph = Graph(domain)
        yield graph
        graph.close()


@pytest.fixture
def python() -> str:
    return sys.executable
