"""Who else is on the gate's topics, by the graph. Judges; does not act."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from robot_rl.core.errors import HardwareError

_LOOK_S = 0.002


class Graph(Protocol):
    """What a node knows of the others."""

    def count_publishers(self, topic_name: str) -> int:
        """How many publish a topic."""
        ...

    def count_subscribers(self, topic_name: str) -> int:
        """How many listen to it."""
        ...

    def get_publishers_info_by_topic(self, topic_name: str, no_mangle: bool = False) -> Any:
        """Who publishes it; needs its full name."""
        ...

    def resolve_topic_name(self, topic: str) -> str:
        """Its full name."""
        ...


class ControllerWatch:
    """Sees to it that a controller is there, and hears nobody but this node.

    Args:
        graph: the node that publishes each of the topics once.
        topics: of the controller, relative.
    """

    def __init__(self, graph: Graph, topics: Sequence[str]) -> None:
        self._graph = graph
        self._topics = [graph.resolve_topic_name(name) for name in topics]

    @property
    def publishers(self) -> int:
        """The most that any of the topics has: 1 is this node."""
        return max(self._graph.count_publishers(name) for name in self._topics)

    def intruded(self) -> str:
        """Why the topics are not as they should be, in words; empty if they are."""
        for name in self._topics:
            if self._graph.count_publishers(name) > 1:
                return (
                    f"{name} is published by {publishers_on(self._graph, name)}; only the gate "
                    "may publish it: end the other"
                )
            if not self._graph.count_subscribers(name):
                return f"nobody listens to {name}: is the controller there, and of that name?"
        return ""


def publishers_on(graph: Graph, topic: str) -> str:
    """Full names of the nodes that publish a topic, in words."""
    found = graph.get_publishers_info_by_topic(graph.resolve_topic_name(topic))
    names = [f"{each.node_namespace.rstrip('/')}/{each.node_name}" for each in found]
    return " and ".join(sorted(names)) or "nobody"


def take(subscriptions: Iterable[Any]) -> None:
    """Hear what has come to subscriptions but waits its turn in the executor.

    After a stall that would be the timers' turn first, and whoever has spoken all the while would
    count as silent.
    """
    for each in subscriptions:
        with each.handle:
            taken = each.handle.take_message(each.msg_type, each.raw)
        if taken is not None:
            each.callback(taken[0])


def await_first(subscriptions: Iterable[Any], check: Callable[[], None], timeout_s: float) -> None:
    """Take the messages of subscriptions until a check passes, while nobody spins their node.

    Raises:
        HardwareError: what the check says once the time is over.
    """
    heard = tuple(subscriptions)
    end_s = time.monotonic() + timeout_s
    while True:
        take(heard)
        try:
            return check()
        except HardwareError:
            if time.monotonic() > end_s:
                raise
        time.sleep(_LOOK_S)
