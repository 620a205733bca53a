"""What all nodes say of themselves as one picture: the worst of each, and who is not heard.

Pure: no messages, no clock of its own. Names are `node: part`, as REP 107 has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from robot_rl_nodes.diagnostic import Level

STALE_S = 3.0
"""Nodes speak once a second; whoever has missed three times is not heard any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One part of a node, as it says.

    Args:
        part: its name; empty for a status that names none.
        words: for people.
        at_s: when it was heard, monotonic.
    """

    part: str
    level: Level
    words: str
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSummary:
    """One node: its worst level, why, and its parts."""

    name: str
    level: Level
    words: str
    parts: Mapping[str, Said] = field(default_factory=dict[str, Said])


class Summary:
    """Keeps the newest of every node.

    Args:
        expected: nodes that must be heard, by their full names.
        now_s: when listening began, monotonic.
    """

    def __init__(self, expected: Iterable[str], now_s: float) -> None:
        self._expected = {name.strip("/") for name in expected}
        self._since_s = now_s
        self._nodes: dict[str, dict[str, Said]] = {}
        self._told: dict[str, Level] = {}

    def hear(self, name: str, level: int, words: str, now_s: float) -> None:
        """A status has come; a level that there is not counts as an error."""
        node, _, part = name.strip("/").partition(":")
        known = Level(level) if level in tuple(Level) else Level.ERROR
        said = Said(part=part.strip(), level=known, words=words, at_s=now_s)
        self._nodes.setdefault(node.strip(), {})[said.part] = said

    def nodes(self, now_s: float) -> list[NodeSummary]:
        """Every node that was heard or is expected, by name."""
        names = sorted({*self._nodes, *self._expected})
        return [self._node(name, now_s) for name in names]

    def changes(self, nodes: Iterable[NodeSummary]) -> list[NodeSummary]:
        """Those whose level is another than when this was last asked; a first OK is no news."""
        changed = [n for n in nodes if n.level != self._told.get(n.name, Level.OK)]
        self._told |= {node.name: node.level for node in changed}
        return changed

    def _node(self, name: str, now_s: float) -> NodeSummary:
        parts = self._nodes.get(name, {})
        fresh = {key: said for key, said in parts.items() if now_s - said.at_s <= STALE_S}
        if not parts:
            silent = now_s - self._since_s > STALE_S
            words = f"never heard of it within {now_s - self._since_s:.0f} s: was it started?"
            level = Level.STALE if silent else Level.OK
            return NodeSummary(name=name, level=level, words=words if silent else "awaited")
        if not fresh:
            age_s = now_s - max(said.at_s for said in parts.values())
            words = f"not heard for {age_s:.0f} s: has it died?"
            return NodeSummary(name=name, level=Level.STALE, words=words, parts=parts)
        # A part of which a living node speaks no more is not there any more.
        self._nodes[name] = fresh
        level = max(said.level for said in fresh.values())
        worst = [f"{s.part}: {s.words}" for s in fresh.values() if s.level == level]
        words = "OK" if level == Level.OK else "; ".join(worst)
        return NodeSummary(name=name, level=level, words=words, parts=fresh)


def overall(nodes: Iterable[NodeSummary]) -> tuple[Level, str]:
    """The level of all together, and why: stale nodes among others are an error."""
    found = list(nodes)
    bad = [f"{n.name} ({n.level.name})" for n in found if n.level != Level.OK]
    levels = {n.level for n in found}
    if levels == {Level.STALE} or not found:
        return Level.STALE, ", ".join(bad) or "no node was heard"
    level = Level.ERROR if Level.STALE in levels else max(levels)
    return level, ", ".join(bad) or f"{len(found)} nodes are well"
