"""Which robots there are: what each one's ROS 2 driver publishes, under which names and frames.

| robot | driver | pose | twist | wrench | why it stands still |
|---|---|---|---|---|---|
| sim | robot_rl_sim | topic | topic | at the tcp, tared | robot/diagnostics |
| franka | franka_ros2 with crisp's broadcasters | topic | Jacobian | estimated, at the stiffness \
frame, which must be the tcp | robot/diagnostics, if somebody fills it |
| ur | ur_robot_driver | topic; its frame `base` is base_link turned by half a turn | Jacobian | \
at the flange | its program does not run, or its speed is scaled to zero |

Messages are of standard types alone. A name that differs is remapped when the node is started.
The tool of the robot's own settings must be that of the cell's chain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from geometry_msgs.msg import PoseStamped, WrenchStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64

from robot_rl_nodes import topic
from robot_rl_nodes.robot.raw import Layout
from robot_rl_nodes.topic import Quality, Topic

BASE_FRAME = "base_link"
"""The robot base frame, in which all poses, twists and commands are (REP 105)."""
TCP_FRAME = "tcp"

FR3_JOINTS = tuple(f"fr3_joint{i}" for i in range(1, 8))
FR3_FINGERS = ("fr3_finger_joint1", "fr3_finger_joint2")

_AS_IT_IS = (0.0, 0.0, 0.0, 1.0)
_HALF_TURN = (0.0, 0.0, 1.0, 0.0)
_UR_JOINTS = (
    "shoulder_pan_joint",
    "shoulder_lift_joint",
    "elbow_joint",
    "wrist_1_joint",
    "wrist_2_joint",
    "wrist_3_joint",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Robot:
    """What one kind of robot's driver publishes.

    Args:
        layout: of its messages.
        topics: of its parts.
        faults: `{topic: reader}`; the reader says of a message why the robot obeys nobody.
    """

    layout: Layout
    topics: Mapping[str, Topic]
    faults: Mapping[Topic, Callable[[Any], str]] = field(default_factory=dict[Topic, Any])


def _topic(name: str, kind: Any, quality: Quality) -> Topic:
    return Topic(name=name, type=kind, quality=quality)


def _program(message: Any) -> str:
    return "" if message.data else "its program does not run: start External Control"


def _speed(message: Any) -> str:
    return "" if message.data > 0.0 else "its speed is scaled to zero: is it paused?"


SIM = Robot(
    layout=Layout(
        joints=FR3_JOINTS,
        base_frames={BASE_FRAME: _AS_IT_IS},
        wrench_frames={TCP_FRAME: "tcp"},
        fingers=dict.fromkeys(FR3_FINGERS, 1.0),
    ),
    topics={
        "joints": topic.JOINT_STATES,
        "pose": topic.CURRENT_POSE,
        "twist": topic.CURRENT_TWIST,
        "wrench": topic.EXTERNAL_WRENCH,
        "gripper": topic.GRIPPER_JOINT_STATES,
    },
)

FRANKA = Robot(
    layout=Layout(
        joints=FR3_JOINTS,
        base_frames={"fr3_link0": _AS_IT_IS, "base": _AS_IT_IS, BASE_FRAME: _AS_IT_IS},
        wrench_frames={"fr3_hand_tcp": "tcp", "fr3_link0": "base", "base": "base"},
        fingers=dict.fromkeys(FR3_FINGERS, 1.0),
        slow=frozenset({"gripper"}),
    ),
    topics={
        "joints": topic.JOINT_STATES,
        "pose": topic.CURRENT_POSE,
        "wrench": _topic(
            "external_wrench_broadcaster/external_wrench", WrenchStamped, Quality.STREAM
        ),
        "gripper": _topic("franka_gripper/joint_states", JointState, Quality.SENSOR),
    },
)

UR = Robot(
    layout=Layout(
        joints=_UR_JOINTS,
        base_frames={"base": _HALF_TURN, BASE_FRAME: _AS_IT_IS},
        wrench_frames={"tool0": "flange"},
        # A Robotiq 2F-85: its knuckle turns by 0.8 rad from open to closed.
        fingers={"robotiq_85_left_knuckle_joint": -0.085 / 0.8},
        opening_m=0.085,
        slow=frozenset({"gripper"}),
    ),
    topics={
        "joints": topic.JOINT_STATES,
        "pose": _topic("tcp_pose_broadcaster/pose", PoseStamped, Quality.SENSOR),
        "wrench": _topic("force_torque_sensor_broadcaster/wrench", WrenchStamped, Quality.STREAM),
        "gripper": topic.GRIPPER_JOINT_STATES,
    },
    faults={
        _topic("io_and_status_controller/robot_program_running", Bool, Quality.STATE): _program,
        _topic("speed_scaling_state_broadcaster/speed_scaling", Float64, Quality.SENSOR): _speed,
    },
)

ROBOTS: Mapping[str, Robot] = {"sim": SIM, "franka": FRANKA, "ur": UR}
