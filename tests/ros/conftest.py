from __future__ import annotations

import importlib.util
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

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


# Two test runs on one machine do not hear each other; DDS allows domains up to 101 safely here.
_DOMAINS = itertools.cycle(range(1 + os.getpid() % 90, 100))


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
        for node in self._nodes:
            if hasattr(node, "end"):
                node.end()
        self._executor.shutdown()
        for node in self._nodes:
            node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture
def graph() -> Iterator[Graph]:
    graph = Graph(next(_DOMAINS))
    yield graph
    graph.close()


@pytest.fixture
def python() -> str:
    return sys.executable
