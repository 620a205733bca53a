from __future__ import annotations

import time
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from robot_rl_nodes.diagnostic import Level
from robot_rl_nodes.diagnostics_node import DiagnosticsNode
from robot_rl_nodes.diagnostics_summary import NodeSummary, Summary, overall

pytestmark = pytest.mark.ros


def levels(summary: Summary, now_s: float) -> dict[str, Level]:
    return {node.name: node.level for node in summary.nodes(now_s)}


def test_worst_part_is_the_level_of_its_node_and_says_why() -> None:
    summary = Summary([], 0.0)
    summary.hear("fr3/gate: state", Level.OK, "active", 1.0)
    summary.hear("fr3/gate: robot/state", Level.ERROR, "silent for 1 s", 1.0)
    summary.hear("fr3/gate: seat", Level.WARN, "empty", 1.0)
    (node,) = summary.nodes(1.0)
    assert (node.name, node.level) == ("fr3/gate", Level.ERROR)
    assert node.words == "robot/state: silent for 1 s"
    assert set(node.parts) == {"state", "robot/state", "seat"}


def test_node_that_is_silent_is_stale_and_comes_back() -> None:
    summary = Summary([], 0.0)
    summary.hear("a: state", Level.OK, "active", 0.0)
    assert levels(summary, 3.0) == {"a": Level.OK}
    assert levels(summary, 3.1) == {"a": Level.STALE}
    assert summary.nodes(10.0)[0].words == "not heard for 10 s: has it died?"
    summary.hear("a: state", Level.OK, "active", 11.0)
    assert levels(summary, 11.0) == {"a": Level.OK}


def test_part_of_which_a_living_node_speaks_no_more_is_forgotten() -> None:
    summary = Summary([], 0.0)
    summary.hear("a: state", Level.OK, "active", 0.0)
    summary.hear("a: fault", Level.ERROR, "broken", 0.0)
    for at_s in range(1, 5):
        summary.hear("a: state", Level.OK, "active", float(at_s))
    (node,) = summary.nodes(4.0)
    assert (node.level, set(node.parts)) == (Level.OK, {"state"})


def test_expected_node_that_never_spoke_is_stale_by_its_name() -> None:
    summary = Summary(["/fr3/gate"], 0.0)
    assert levels(summary, 1.0) == {"fr3/gate": Level.OK}
    (node,) = summary.nodes(5.0)
    assert node.level == Level.STALE
    assert node.words == "never heard of it within 5 s: was it started?"


def test_change_is_told_once_and_a_first_ok_is_none() -> None:
    summary = Summary([], 0.0)
    told = []
    for at_s, level in enumerate([0, 0, 2, 2, 1, 0, 0]):
        summary.hear("a: state", level, "", float(at_s))
        told += [n.level for n in summary.changes(summary.nodes(float(at_s)))]
    assert told == [Level.ERROR, Level.WARN, Level.OK]


def test_status_without_a_part_or_of_an_unknown_level_is_not_lost() -> None:
    summary = Summary([], 0.0)
    summary.hear("driver", 7, "?", 0.0)
    (node,) = summary.nodes(0.0)
    assert (node.name, node.level, set(node.parts)) == ("driver", Level.ERROR, {""})


@pytest.mark.parametrize(
    ("nodes", "level", "words"),
    [
        ({"a": Level.OK, "b": Level.OK}, Level.OK, "2 nodes are well"),
        ({"a": Level.OK, "b": Level.WARN}, Level.WARN, "b (WARN)"),
        ({"a": Level.OK, "b": Level.STALE}, Level.ERROR, "b (STALE)"),
        ({"a": Level.ERROR, "b": Level.STALE}, Level.ERROR, "a (ERROR), b (STALE)"),
        ({"a": Level.STALE}, Level.STALE, "a (STALE)"),
        ({}, Level.STALE, "no node was heard"),
    ],
)
def test_stale_among_others_is_an_error(nodes: dict[str, Level], level: Level, words: str) -> None:
    found = [NodeSummary(name=name, level=known, words="") for name, known in nodes.items()]
    assert overall(found) == (level, words)


def test_node_tells_the_sum_of_what_it_hears(graph: Any) -> None:
    graph.start(DiagnosticsNode, expected=["gate", "/other/camera"])
    probe = graph.plain()
    arrays: list[DiagnosticArray] = []
    tops: list[DiagnosticStatus] = []
    probe.create_subscription(DiagnosticArray, "/diagnostics_agg", arrays.append, 10)
    probe.create_subscription(DiagnosticStatus, "/diagnostics_toplevel_state", tops.append, 10)
    speaker = probe.create_publisher(DiagnosticArray, "/diagnostics", 10)
    status = DiagnosticStatus(name="test/gate: seat", level=b"\x01", message="empty")

    def newest() -> dict[str, DiagnosticStatus]:
        speaker.publish(DiagnosticArray(status=[status]))
        time.sleep(0.01)
        return {s.name: s for s in arrays[-1].status} if arrays else {}

    graph.until(
        lambda: "/test/gate/seat" in newest() and newest()["/other/camera"].level == b"\x03"
    )
    found = newest()
    assert found["/test/gate"].level == b"\x01"
    assert found["/test/gate"].message == "seat: empty"
    assert "never heard" in found["/other/camera"].message
    assert found["/test/diagnostics"].level == b"\x00"
    graph.until(lambda: tops[-1].level == b"\x02")
    assert "other/camera (STALE), test/gate (WARN)" in tops[-1].message
