from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_rl.core.errors import ConfigError, HardwareError
from robot_rl_nodes.lifecycle.lead import LifecycleLead
from robot_rl_nodes.lifecycle.order import Change, Finding, LifecycleOrder, describe

pytestmark = pytest.mark.ros

ENTRIES = [
    "robot:camera_wrist",
    "robot:robot_interface",
    "gate:command_gate",
    "policy:policy_bridge",
    "episode:episode_manager",
]
ORDER = LifecycleOrder.parse(ENTRIES, ["robot_interface", "command_gate"], ["camera_wrist"])
NEXT = {Change.CONFIGURE: "inactive", Change.ACTIVATE: "active", Change.DEACTIVATE: "inactive"}


class FakeNodes:
    """Lifecycles of nodes that do as they are told, but for those that refuse or are gone."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.states: dict[str, str | None] = dict.fromkeys(names, "unconfigured")
        self.refused: set[tuple[str, Change]] = set()
        self.told: list[tuple[str, Change]] = []

    def state(self, node: str, timeout_s: float) -> str | None:
        return self.states[node]

    def change(self, node: str, change: Change, timeout_s: float) -> None:
        self.told.append((node, change))
        if (node, change) in self.refused:
            raise HardwareError(f"{node}: could not {change.value}; its log says why")
        self.states[node] = NEXT[change]


class Scene:
    def __init__(self, timeout_s: float = 0.2) -> None:
        self.nodes = FakeNodes(ORDER.up)
        self.said: list[str] = []
        self.asked = False
        self.now_s = 0.0
        self.lead = LifecycleLead(
            self.nodes, ORDER, timeout_s, self.said.append, lambda: self.asked, self.tell
        )

    def tell(self) -> float:
        self.now_s += 0.001
        return self.now_s


def test_a_stage_is_configured_before_any_of_it_becomes_active() -> None:
    scene = Scene()
    assert scene.lead.bring_up()
    assert scene.nodes.told[:4] == [
        ("camera_wrist", Change.CONFIGURE),
        ("robot_interface", Change.CONFIGURE),
        ("camera_wrist", Change.ACTIVATE),
        ("robot_interface", Change.ACTIVATE),
    ]
    assert [node for node, change in scene.nodes.told if change is Change.ACTIVATE] == [*ORDER.up]


def test_nodes_come_to_rest_in_reverse_with_the_gate_last() -> None:
    scene = Scene()
    scene.lead.bring_up()
    scene.nodes.told.clear()
    scene.lead.bring_down()
    assert [node for node, _ in scene.nodes.told] == [
        "episode_manager",
        "policy_bridge",
        "robot_interface",
        "camera_wrist",
        "command_gate",
    ]


@given(st.lists(st.sampled_from(["robot", "gate", "policy", "episode"]), unique=True))
def test_whatever_the_stages_the_gate_rests_last_and_nobody_is_left_out(stages: list[str]) -> None:
    order = LifecycleOrder.parse([f"{stage}:{stage}_{n}" for stage in stages for n in range(2)])
    assert sorted(order.up) == sorted(order.down)
    if "gate" in stages:
        assert set(order.down[-2:]) == {"gate_0", "gate_1"}


def test_who_does_not_appear_is_named() -> None:
    scene = Scene()
    scene.nodes.states["command_gate"] = None
    with pytest.raises(HardwareError, match=r"command_gate: did not appear within 0\.2 s"):
        scene.lead.bring_up()
    assert all(node != "policy_bridge" for node, _ in scene.nodes.told)


def test_who_refuses_is_named_and_those_after_it_are_left_alone() -> None:
    scene = Scene()
    scene.nodes.refused.add(("command_gate", Change.ACTIVATE))
    with pytest.raises(HardwareError, match="command_gate: could not activate"):
        scene.lead.bring_up()
    assert scene.nodes.states["policy_bridge"] == "inactive"


def test_one_that_cannot_come_to_rest_does_not_keep_the_gate_from_it() -> None:
    scene = Scene()
    scene.lead.bring_up()
    scene.nodes.refused.add(("policy_bridge", Change.DEACTIVATE))
    scene.nodes.states["episode_manager"] = None
    scene.lead.bring_down()
    assert scene.nodes.states["command_gate"] == "inactive"
    assert "episode_manager does not answer; it cannot be brought to rest" in scene.said


@pytest.mark.parametrize("state", ["unconfigured", "inactive"])
def test_a_sensor_that_fell_is_brought_up_again(state: str) -> None:
    scene = Scene()
    scene.lead.bring_up()
    scene.nodes.states["camera_wrist"] = state
    assert describe(scene.lead.look()) == ""
    assert scene.nodes.states["camera_wrist"] == "active"


def test_a_sensor_that_falls_again_and_again_is_tried_more_rarely() -> None:
    scene = Scene()
    scene.lead.bring_up()
    scene.nodes.told.clear()
    tried_s = []
    for _ in range(1000):
        before = len(scene.nodes.told)
        scene.nodes.states["camera_wrist"] = "inactive"
        scene.lead.look()
        if len(scene.nodes.told) > before:
            tried_s.append(round(scene.now_s))
        scene.now_s += 0.1
    gaps = [later - former for former, later in pairwise(tried_s)]
    assert gaps[:7] == [1, 2, 4, 8, 16, 30, 30]


def test_one_that_fell_is_told_of_once_and_the_others_go_on() -> None:
    scene = Scene()
    scene.lead.bring_up()
    scene.said.clear()
    scene.nodes.states["policy_bridge"] = "inactive"
    for _ in range(3):
        assert describe(scene.lead.look()) == "policy_bridge is inactive"
    assert scene.said == ["policy_bridge is inactive; the others go on"]


@pytest.mark.parametrize("state", ["inactive", "unconfigured", None])
def test_without_a_critical_one_nothing_goes_on(state: str | None) -> None:
    scene = Scene()
    scene.lead.bring_up()
    scene.nodes.states["command_gate"] = state
    with pytest.raises(HardwareError, match=r"command_gate .* nothing goes on"):
        scene.lead.look()


def test_asked_to_stop_it_brings_up_no_more() -> None:
    scene = Scene()
    scene.asked = True
    assert not scene.lead.bring_up()
    assert scene.nodes.told == []


def test_a_sensor_whose_process_is_gone_is_told_of_and_waited_for() -> None:
    assert ORDER.finding("camera_wrist", None) is Finding.TELL


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (["camera"], "expected `stage:node`"),
        (["a:x", "b:x"], "'x' is named twice"),
        (["a:x", "b:y", "a:z"], "stands apart"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(entries: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        LifecycleOrder.parse(entries)


def test_a_critical_node_that_is_not_in_the_list_is_refused() -> None:
    with pytest.raises(ConfigError, match="gaet not among the nodes"):
        LifecycleOrder.parse(ENTRIES, ["gaet"])
