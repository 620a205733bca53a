from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped, TwistStamped, WrenchStamped
from rclpy.parameter import Parameter as RosParameter
from robot_rl_msgs.msg import RobotState
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from robot_rl.config.load import load
from robot_rl.config.model import Config
from robot_rl.core.errors import ConfigError, HardwareError
from robot_rl.core.geometry import quat_rotate
from robot_rl.core.spec import (
    GRIPPER,
    JOINT_POSITION,
    JOINT_VELOCITY,
    TCP_POSE,
    TCP_TWIST,
    WRENCH,
)
from robot_rl.runtime.gate.cell import GateCell
from robot_rl_nodes.conversion import (
    float64s,
    stamp_from_ns,
    vectors_from,
    write_pose,
    write_twist,
    write_wrench,
)
from robot_rl_nodes.robot.parameter import PARAMETERS, reader
from robot_rl_nodes.robot.reader import RobotReader
from robot_rl_nodes.robot.table import FR3_JOINTS, ROBOTS
from robot_rl_nodes.robot_interface_node import RobotInterfaceNode
from robot_rl_sim.live import Sample
from robot_rl_sim_nodes.sim_robot_node import SimRobotNode
from robot_rl_sim_nodes.sim_stream import message_of, outgoing

pytestmark = pytest.mark.ros

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
CELL = CONFIGS / "cells" / "sim_fr3.yaml"
PICK, PEG = (CONFIGS / "tasks" / f"{name}.yaml" for name in ("pick_cube", "peg_insert"))
CHAIN = load(CELL, GateCell).chain.build()
Q = np.array([0.1, -0.7, 0.2, -2.2, 0.05, 1.6, 0.8])
QD = np.array([0.1, -0.2, 0.3, 0.05, -0.1, 0.2, 0.1])
POSE = CHAIN.forward(Q)
S = 1_000_000_000


def values(**changes: Any) -> dict[str, Any]:
    defaults = {parameter.name: parameter.default for parameter in PARAMETERS}
    return {**defaults, "cell": str(CELL), "task": str(PICK), **changes}


def of(message: Any, ns: int, frame: str) -> Any:
    stamp_from_ns(ns, message.header.stamp)
    message.header.frame_id = frame
    return message


def joints(ns: int = S, names: tuple[str, ...] = FR3_JOINTS, q: Any = Q, qd: Any = QD) -> Any:
    message = JointState(name=list(names), position=float64s(q), velocity=float64s(qd))
    return of(message, ns, "base_link")


def pose(ns: int = S, frame: str = "base_link", at: Any = POSE) -> Any:
    message = of(PoseStamped(), ns, frame)
    write_pose(message.pose, at)
    return message


def twist(ns: int = S, frame: str = "base_link") -> Any:
    message = of(TwistStamped(), ns, frame)
    write_twist(message.twist, [0.001, 0.002, 0.003, 0.1, 0.2, 0.3])
    return message


def wrench(ns: int = S, frame: str = "tcp", numbers: Any = (1.0, 2, 3, 0.1, 0.2, 0.3)) -> Any:
    message = of(WrenchStamped(), ns, frame)
    write_wrench(message.wrench, numbers)
    return message


def fingers(ns: int = S) -> Any:
    names = ["fr3_finger_joint1", "fr3_finger_joint2"]
    return of(JointState(name=names, position=float64s([0.01, 0.01])), ns, "tcp")


def hear_all(read: RobotReader, ns: int = S, **instead: Any) -> Any:
    """One instant, its parts in an order of no meaning; returns what the last one completed."""
    parts = {"wrench": wrench, "joints": joints, "pose": pose, "twist": twist, "gripper": fingers}
    messages = {part: make(ns) for part, make in parts.items() if part in read.parts} | instead
    readings = [read.hear(part, message) for part, message in messages.items()]
    assert not any(readings[:-1])
    return readings[-1]


def test_an_instant_is_told_when_its_last_part_has_come_whatever_the_order() -> None:
    reading = hear_all(reader(values()))
    expected = [JOINT_POSITION, JOINT_VELOCITY, TCP_POSE, TCP_TWIST, WRENCH, GRIPPER]
    assert list(reading.vectors) == expected
    np.testing.assert_array_equal(reading.vectors[TCP_POSE], POSE.astype(np.float32))
    assert reading.vectors[GRIPPER] == np.float32(0.02)
    assert all(v.dtype == np.float32 for v in reading.vectors.values())


def test_joints_are_taken_by_their_names_and_others_left_out() -> None:
    turned = ("fr3_finger_joint1", *reversed(FR3_JOINTS))
    message = joints(names=turned, q=[0.0, *Q[::-1]], qd=[0.0, *QD[::-1]])
    reading = hear_all(reader(values()), joints=message)
    np.testing.assert_array_equal(reading.vectors[JOINT_POSITION], Q.astype(np.float32))
    np.testing.assert_array_equal(reading.vectors[JOINT_VELOCITY], QD.astype(np.float32))


def test_an_instant_of_which_a_part_is_lost_is_told_with_the_one_before_it() -> None:
    read = reader(values())
    assert hear_all(read)
    for part, make in (("joints", joints), ("pose", pose), ("twist", twist), ("gripper", fingers)):
        assert read.hear(part, make(S + 10_000_000)) is None
    assert read.hear("joints", joints(S + 20_000_000)) is None
    reading = read.hear("joints", joints(S + 30_000_000))
    assert reading.stamp.nanosec == 10_000_000
    assert read.complaint == ""


def test_parts_of_two_instants_that_overtake_each_other_are_not_mixed() -> None:
    read = reader(values(task=str(PEG)))
    read.hear("pose", pose(S))
    read.hear("twist", twist(S))
    read.hear("joints", joints(S))
    read.hear("joints", joints(S + 10_000_000, q=Q + 1.0))
    read.hear("pose", pose(S + 10_000_000))
    reading = read.hear("wrench", wrench(S))
    assert (reading.stamp.sec, reading.stamp.nanosec) == (1, 0)
    np.testing.assert_array_equal(reading.vectors[JOINT_POSITION], Q.astype(np.float32))
    read.hear("twist", twist(S + 10_000_000))
    reading = read.hear("wrench", wrench(S + 10_000_000))
    np.testing.assert_allclose(reading.vectors[JOINT_POSITION], Q + 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("part", "message", "words"),
    [
        ("joints", joints(2 * S, q=[np.nan] * 7), "joints: got [nan"),
        ("joints", joints(2 * S, names=tuple("abcdefg")), "no joint is called ['fr3_joint1'"),
        ("joints", joints(2 * S, qd=[0.0] * 3), "3 numbers of velocity for 7 joints"),
        ("pose", pose(2 * S, frame="map"), "pose: frame_id 'map', expected one of: base_link"),
        ("pose", pose(2 * S, at=[0.5, 0, 0.3, 0, 0, 0, 0]), "quaternion has norm 0, expected 1"),
        ("wrench", wrench(2 * S, numbers=[np.inf] * 6), "wrench: got [inf"),
        ("wrench", wrench(2 * S, frame="tool0"), "frame_id 'tool0', expected one of: tcp"),
        ("twist", twist(0), "header.stamp is zero"),
    ],
)
def test_what_is_wrong_is_not_told_but_named(part: str, message: Any, words: str) -> None:
    read = reader(values())
    assert hear_all(read)
    assert hear_all(read, 2 * S, **{part: message}) is None
    assert words in read.complaint
    assert hear_all(read, 3 * S)
    assert read.complaint == ""


def test_a_part_that_stays_away_is_named_and_so_is_one_of_another_time() -> None:
    read = reader(values())
    read.hear("joints", joints(S))
    assert read.hear("joints", joints(S + 20_000_000)) is None
    assert "pose: nothing heard yet" in read.complaint
    assert hear_all(read, 2 * S)
    assert hear_all(read, 3 * S, pose=pose(2 * S)) is None
    read.hear("joints", joints(3 * S + 20_000_000))
    assert "pose: 1.000 s older than the joints, at most 0.02 s is borne" in read.complaint
    late = reader(values())
    assert hear_all(late, 3 * S, joints=joints(2 * S)) is None
    assert "newer than the joints" in late.complaint


def test_a_driver_that_begins_its_time_anew_is_heard_again() -> None:
    read = reader(values())
    assert hear_all(read, 100 * S)
    assert hear_all(read, S)
    assert read.complaint == ""


def test_the_chain_gives_pose_and_twist_where_the_robot_gives_none() -> None:
    read = reader(values(robot="franka", own_pose=False, task=str(PEG)))
    assert read.parts == {"joints", "wrench"}
    read.hear("wrench", wrench(frame="fr3_hand_tcp"))
    reading = read.hear("joints", joints())
    np.testing.assert_allclose(reading.vectors[TCP_POSE], POSE, atol=1e-6)
    np.testing.assert_allclose(reading.vectors[TCP_TWIST], CHAIN.jacobian(Q) @ QD, atol=1e-6)


def test_a_wrench_in_the_axes_of_the_base_is_turned_into_the_tcps() -> None:
    read = reader(values(robot="franka", task=str(PEG)))
    at_tcp = np.array([1.0, 2.0, 3.0, 0.1, 0.2, 0.3])
    in_base = [quat_rotate(POSE[3:], part) for part in (at_tcp[:3], at_tcp[3:])]
    read.hear("pose", pose(frame="fr3_link0"))
    read.hear("wrench", wrench(frame="fr3_link0", numbers=np.concatenate(in_base)))
    reading = read.hear("joints", joints())
    np.testing.assert_allclose(reading.vectors[WRENCH], at_tcp, atol=1e-6)


class Ur:
    """A UR of six joints, whose tool is 0.2 m before the flange, turned by a quarter about z."""

    def __init__(self, tmp_path: Path) -> None:
        cell = tmp_path / "ur.yaml"
        text = CELL.read_text()
        start, end = text.index("chain:"), text.index("collision:")
        chain = (
            "chain:\n"
            "  a_m: [0.0, 0.0, -0.425, -0.3922, 0.0, 0.0]\n"
            "  d_m: [0.1625, 0.0, 0.0, 0.1333, 0.0997, 0.0996]\n"
            "  alpha_rad: [0.0, 1.5707963, 0.0, 0.0, 1.5707963, -1.5707963]\n"
            "  flange_pose: [0, 0, 0, 0, 0, 0, 1]\n"
            "  tcp_pose: [0, 0, 0.2, 0, 0, 0.7071067811865476, 0.7071067811865476]\n"
        )
        cell.write_text(text[:start] + chain)
        assert end > start
        task = tmp_path / "task.yaml"
        task.write_text(PEG.read_text())
        self.values = values(robot="ur", cell=str(cell), task=str(task))


def test_a_wrench_at_the_flange_is_moved_to_the_tcp_and_a_urs_base_is_turned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = _six_jointed(monkeypatch)
    assert spec is not None
    read = reader(Ur(tmp_path).values)
    names = ROBOTS["ur"].layout.joints
    read.hear("pose", pose(frame="base", at=[0.4, 0.1, 0.3, 0, 0, 0, 1]))
    # 10 N along the flange's x, 0.2 m before the flange: felt as 2 N m about its y.
    read.hear("wrench", wrench(frame="tool0", numbers=[10.0, 0, 0, 0, 2.0, 0]))
    reading = read.hear("joints", joints(names=names, q=np.full(6, 0.3), qd=np.zeros(6)))
    np.testing.assert_allclose(reading.vectors[TCP_POSE][:3], [-0.4, -0.1, 0.3], atol=1e-6)
    np.testing.assert_allclose(reading.vectors[TCP_POSE][3:], [0, 0, 1, 0], atol=1e-6)
    # The tool's y points along the flange's -x.
    np.testing.assert_allclose(reading.vectors[WRENCH], [0, -10, 0, 0, 0, 0], atol=1e-5)


def _six_jointed(monkeypatch: pytest.MonkeyPatch) -> Any:
    from dataclasses import replace

    from robot_rl_nodes.robot import parameter as robot_parameter
    from robot_rl_nodes.task import task_spec

    spec = task_spec(PEG)
    six = {
        key: replace(v, names=v.names[:6]) if key in (JOINT_POSITION, JOINT_VELOCITY) else v
        for key, v in spec.observation.vectors.items()
    }
    spec = replace(spec, observation=replace(spec.observation, vectors=six))
    monkeypatch.setattr(robot_parameter, "task_spec", lambda path: spec)
    return spec


def test_zero_is_the_mean_of_the_last_instants_of_a_tool_at_rest() -> None:
    read = reader(values())
    with pytest.raises(HardwareError, match="0 wrenches so far, expected at least 5"):
        read.zero()
    for k in range(1, 7):
        assert hear_all(read, k * S)
    read.zero()
    np.testing.assert_allclose(hear_all(read, 10 * S).vectors[WRENCH], np.zeros(6), atol=1e-6)
    fast = of(TwistStamped(), 11 * S, "base_link")
    fast.twist.linear.x = 0.1
    assert hear_all(read, 11 * S, twist=fast)
    with pytest.raises(HardwareError, match=r"moves at 0\.1\d* m/s"):
        read.zero()


def test_faults_of_all_sources_are_passed_on_and_end() -> None:
    read = reader(values())
    status = DiagnosticStatus(level=b"\2", message="PROTECTIVE_STOP: test")
    status.values = [KeyValue(key="commands", value="12")]
    read.hear_diagnostics(DiagnosticArray(status=[status]))
    read.hear_fault("program", "its program does not run")
    reading = hear_all(read)
    assert reading.fault == "PROTECTIVE_STOP: test; its program does not run"
    assert reading.commands == 12
    read.hear_diagnostics(DiagnosticArray(status=[DiagnosticStatus(level=b"\0", message="ok")]))
    read.hear_fault("program", "")
    assert hear_all(read, 2 * S).fault == ""
    program = next(f for t, f in ROBOTS["ur"].faults.items() if "program" in t.name)
    assert (program(Bool(data=True)), bool(program(Bool(data=False)))) == ("", True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"robot": "ur"}, "the robot has 6 joints"),
        ({"cell": str(CONFIGS / "cells" / "sim_point.yaml")}, "chain 2"),
        (
            {"task": str(CONFIGS / "tasks" / "point_reach.yaml")},
            "observation 2; expected the same",
        ),
    ],
)
def test_robot_cell_and_task_must_fit(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        reader(values(**changes))


# The node, and a simulated robot.


@pytest.fixture
def cell(graph: Any) -> Any:
    sim = graph.make(SimRobotNode, driver=str(CONFIGS / "drivers" / "sim_fr3.yaml"))
    sim.trigger_configure()
    said: list[Any] = []
    tell = sim._running.live._tell
    sim._running.live._tell = lambda sample: (said.append(sample), tell(sample))
    sim.trigger_activate()
    node = graph.start(RobotInterfaceNode, cell=str(CELL), task=str(PICK))
    states: list[RobotState] = []
    graph.plain().create_subscription(RobotState, "robot/state", states.append, 10)
    graph.until(lambda: len(states) > 3)
    return graph, sim, node, said, states


def told(node: Any) -> str:
    message = node.diagnostics.message("active", node.get_clock().now().to_msg())
    return "".join(s.message for s in message.status if s.name.endswith(": robot"))


@pytest.mark.parametrize("task", [PICK, PEG])
def test_the_state_is_bit_for_bit_what_the_simulated_arm_says(task: Path) -> None:
    config = load(CONFIGS / "drivers" / "sim_fr3.yaml", Config, [f"task={task}"])
    arm, read = config.build(), reader(values(task=str(task)))
    parts = {topic.name: part for part, topic in ROBOTS["sim"].topics.items()}
    for k in range(1, 50):
        arm.obey(np.full(arm.spec.action.size, 2e-4, np.float32), 0.004)
        vectors = arm.tick().vectors
        sample = Sample(
            stamp_ns=k * S,
            vectors=vectors,
            environment=np.zeros(5, np.float32),
            judgement=None,
            fault="",
            commands=0,
        )
        readings = [
            read.hear(parts[out.topic], message_of(out))
            for out in outgoing(sample, k * S, perceives=False)
        ]
        assert set(readings[-1].vectors) == set(vectors)
        for key, vector in vectors.items():
            np.testing.assert_array_equal(readings[-1].vectors[key], vector)


def test_what_is_told_of_a_live_arm_is_its_own_and_goes_on(cell: Any) -> None:
    graph, _, _, said, states = cell
    graph.until(lambda: len(states) > 60)
    own = {key: {s.vectors[key].tobytes() for s in said} for key in said[0].vectors}
    for state in states:
        for key, vector in vectors_from(state.vectors).items():
            assert vector.tobytes() in own[key]
        assert state.header.frame_id == "base_link"
    stamps = [s.header.stamp.sec * S + s.header.stamp.nanosec for s in states]
    assert min(np.diff(stamps)) > 0


def test_a_stop_of_the_arm_becomes_the_states_fault(cell: Any) -> None:
    graph, _, _, _, states = cell
    assert states[-1].fault == ""
    assert graph.call(Trigger, "robot/stop", Trigger.Request()).success
    graph.until(lambda: states[-1].fault == "PROTECTIVE_STOP: robot/stop was called")
    assert graph.call(Trigger, "robot/recover", Trigger.Request()).success
    graph.until(lambda: states[-1].fault == "")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("nan", "expected finite numbers"),
        ("frame", "frame_id 'somewhere'"),
        ("drop", "older than the joints"),
    ],
)
def test_a_fault_of_one_part_silences_the_state_and_is_named(
    cell: Any, fault: str, words: str
) -> None:
    graph, sim, node, _, states = cell
    sim.set_parameters([RosParameter(f"fault.{fault}", value=["current_pose"])])
    graph.until(lambda: words in told(node) and "pose" in told(node))

    def is_silent() -> bool:
        states.clear()
        graph.spin(0.2)
        return not states

    graph.until(is_silent)
    sim.set_parameters([RosParameter(f"fault.{fault}", value=[""])])
    graph.until(lambda: len(states) > 3)
    graph.until(lambda: told(node) == "all parts are heard")


def test_the_wrench_is_tared_on_request(cell: Any) -> None:
    graph, sim, _, _, states = cell
    sim.set_parameters([RosParameter("fault.force_n", value=20.0)])

    def pushed(state: RobotState) -> float:
        return float(vectors_from(state.vectors)[WRENCH][2])

    graph.until(lambda: pushed(states[-1]) > 15.0)
    states.clear()
    graph.until(lambda: len(states) > 40)
    answer = graph.call(Trigger, "ft/zero", Trigger.Request())
    assert answer.success, answer.message
    graph.until(lambda: abs(pushed(states[-1])) < 1.0)
