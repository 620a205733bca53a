"""In which order nodes become active and come to rest, and what a change of theirs calls for.

Not here: the services by which it is done (`lifecycle_client`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from robot_rl.core.errors import ConfigError

LAST = "gate"
"""The stage that comes to rest after all others."""

UNCONFIGURED, INACTIVE, ACTIVE = "unconfigured", "inactive", "active"


class Change(Enum):
    """A transition of a node's lifecycle."""

    CONFIGURE = "configure"
    ACTIVATE = "activate"
    DEACTIVATE = "deactivate"


class Finding(Enum):
    """What is to be done about a node that is not active any more."""

    TELL = "tell"
    """Nothing but to say so."""
    RAISE = "raise"
    """It was started again, or its device was gone: bring it up again."""
    REST = "rest"
    """Nothing goes on without it: bring all to rest."""


@dataclass(frozen=True, slots=True)
class LifecycleOrder:
    """The managed nodes of a graph.

    Args:
        stages: name of each stage, and its nodes in their order.
        critical: without which nothing goes on.
        revived: which are brought up again when they fall; they move nothing.
    """

    stages: tuple[tuple[str, tuple[str, ...]], ...]
    critical: frozenset[str] = frozenset()
    revived: frozenset[str] = frozenset()

    @classmethod
    def parse(
        cls, entries: Sequence[str], critical: Sequence[str] = (), revived: Sequence[str] = ()
    ) -> LifecycleOrder:
        """Read entries of the form `stage:node`.

        Raises:
            ConfigError: naming the entry that is malformed, repeated or apart from its stage.
        """
        stages: list[tuple[str, list[str]]] = []
        for entry in entries:
            stage, colon, node = entry.partition(":")
            if not (stage and colon and node):
                raise ConfigError(f"nodes: got {entry!r}, expected `stage:node`")
            if any(node in nodes for _, nodes in stages):
                raise ConfigError(f"nodes: {node!r} is named twice")
            if not stages or stages[-1][0] != stage:
                if any(stage == name for name, _ in stages):
                    raise ConfigError(
                        f"nodes: {entry!r} stands apart from the others of stage {stage!r}; "
                        "name the nodes of a stage one after the other"
                    )
                stages.append((stage, []))
            stages[-1][1].append(node)
        order = cls(
            tuple((name, tuple(nodes)) for name, nodes in stages),
            frozenset(critical),
            frozenset(revived),
        )
        unknown = sorted((order.critical | order.revived) - set(order.up))
        if unknown:
            raise ConfigError(f"critical, revived: {', '.join(unknown)} not among the nodes")
        return order

    @property
    def up(self) -> tuple[str, ...]:
        """The nodes in the order in which they become active."""
        return tuple(node for _, nodes in self.stages for node in nodes)

    @property
    def down(self) -> tuple[str, ...]:
        """The nodes in the order in which they come to rest: reversed, the gate last."""
        last = [node for name, nodes in self.stages if name == LAST for node in nodes]
        return tuple(node for node in reversed(self.up) if node not in last) + tuple(last)

    def finding(self, node: str, state: str | None) -> Finding | None:
        """Return what the state of a node that was active calls for; None if it still is.

        Args:
            node: that is looked at.
            state: of its lifecycle; None if it does not answer.
        """
        if state == ACTIVE:
            return None
        if node in self.critical:
            return Finding.REST
        if node in self.revived and state in (UNCONFIGURED, INACTIVE):
            return Finding.RAISE
        return Finding.TELL


def describe(states: Mapping[str, str | None]) -> str:
    """Return in words where each node is that is not active; empty if all are."""
    return ", ".join(
        f"{node} {'does not answer' if state is None else f'is {state}'}"
        for node, state in states.items()
        if state != ACTIVE
    )
