"""Every topic of the graph, with its type and quality of service. One table for all nodes.

Names are relative: they come under the robot's namespace. `{name}` is the camera's or finger's.

| quality | publisher | subscriber | for |
|---|---|---|---|
| SENSOR | reliable, last 2 | best effort, last 1 | images, states: the newest counts |
| STREAM | best effort, last 10 | best effort, last 10 | wrenches: a window counts |
| COMMAND | reliable, last 1, a lease (below) | the same | what moves the arm |
| CONTROLLER | reliable, last 1 | the same | what a robot's own controller hears |
| STATE | reliable, last 1, latched | the same | who drives, why the arm holds |
| EVENT | reliable, last 100 | the same | what is said once |

Who publishes a command must publish again within `COMMAND_S`, and counts as gone after `ALIVE_S`;
a command that is older than `COMMAND_S` is not delivered. A recorder asks for reliable delivery
where it is offered (`recorded`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, TwistStamped, WrenchStamped
from rclpy.duration import Duration
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSProfile,
    ReliabilityPolicy,
)
from robot_rl_msgs.msg import (
    ActionChunk,
    ActionStamped,
    ControlState,
    EpisodeEvent,
    EpisodeState,
    ExecutedAction,
    ObservationVectors,
    PolicyStep,
    RewardStamped,
    RobotState,
    SafetyState,
    SessionState,
)
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64MultiArray

COMMAND_S = 0.1
"""Deadline and lifespan of a command."""
ALIVE_S = 0.15
"""Lease of the manual liveliness of who publishes commands."""


class Quality(Enum):
    """What a stream needs; see the module's table."""

    SENSOR = "sensor"
    STREAM = "stream"
    COMMAND = "command"
    CONTROLLER = "controller"
    STATE = "state"
    EVENT = "event"

    @property
    def published(self) -> QoSProfile:
        """For a publisher."""
        return _PUBLISHED[self]()

    @property
    def subscribed(self) -> QoSProfile:
        """For a subscriber that wants the newest."""
        return _SUBSCRIBED[self]()

    @property
    def recorded(self) -> QoSProfile:
        """For a subscriber that wants all of it."""
        if self is Quality.STREAM:
            return _profile(ReliabilityPolicy.BEST_EFFORT, 100)
        if self is Quality.STATE:
            return _latched()
        return _profile(ReliabilityPolicy.RELIABLE, 10 if self is Quality.SENSOR else 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A topic: its name relative to the robot's namespace, its type, and how it is carried."""

    name: str
    type: Any
    quality: Quality

    def of(self, name: str) -> Topic:
        """The topic of one camera, finger or other device."""
        return Topic(name=self.name.format(name=name), type=self.type, quality=self.quality)


def _profile(reliability: ReliabilityPolicy, depth: int, **more: Any) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability, **more
    )


def _latched() -> QoSProfile:
    return _profile(ReliabilityPolicy.RELIABLE, 1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def _command() -> QoSProfile:
    return _profile(
        ReliabilityPolicy.RELIABLE,
        1,
        deadline=Duration(seconds=COMMAND_S),
        lifespan=Duration(seconds=COMMAND_S),
        liveliness=LivelinessPolicy.MANUAL_BY_TOPIC,
        liveliness_lease_duration=Duration(seconds=ALIVE_S),
    )


_PUBLISHED = {
    Quality.SENSOR: lambda: _profile(ReliabilityPolicy.RELIABLE, 2),
    Quality.STREAM: lambda: _profile(ReliabilityPolicy.BEST_EFFORT, 10),
    Quality.COMMAND: _command,
    Quality.CONTROLLER: lambda: _profile(ReliabilityPolicy.RELIABLE, 1),
    Quality.STATE: _latched,
    Quality.EVENT: lambda: _profile(ReliabilityPolicy.RELIABLE, 100),
}
_SUBSCRIBED = _PUBLISHED | {
    Quality.SENSOR: lambda: _profile(ReliabilityPolicy.BEST_EFFORT, 1),
}


def _topic(name: str, kind: Any, quality: Quality) -> Topic:
    return Topic(name=name, type=kind, quality=quality)


# What a robot's own driver says and hears; standard messages alone.
JOINT_STATES = _topic("joint_states", JointState, Quality.SENSOR)
CURRENT_POSE = _topic("current_pose", PoseStamped, Quality.SENSOR)
CURRENT_TWIST = _topic("current_twist", TwistStamped, Quality.SENSOR)
EXTERNAL_WRENCH = _topic("external_wrench", WrenchStamped, Quality.STREAM)
GRIPPER_JOINT_STATES = _topic("gripper/joint_states", JointState, Quality.SENSOR)
ROBOT_DIAGNOSTICS = _topic("robot/diagnostics", DiagnosticArray, Quality.STATE)
TWIST_COMMAND = _topic("twist_controller/commands", TwistStamped, Quality.CONTROLLER)
POSE_COMMAND = _topic("target_pose", PoseStamped, Quality.CONTROLLER)
JOINT_COMMAND = _topic("velocity_controller/commands", Float64MultiArray, Quality.CONTROLLER)
GRIPPER_COMMAND = _topic("gripper/commands", Float64MultiArray, Quality.CONTROLLER)

BY_DRIVER = (
    JOINT_STATES,
    CURRENT_POSE,
    CURRENT_TWIST,
    EXTERNAL_WRENCH,
    GRIPPER_JOINT_STATES,
    ROBOT_DIAGNOSTICS,
)
"""What becomes `robot/state`, unchanged."""

# What all robots and sensors become.
ROBOT_STATE = _topic("robot/state", RobotState, Quality.SENSOR)
PERCEPTION = _topic("perception/vectors", ObservationVectors, Quality.SENSOR)
CAMERA_IMAGE = _topic("cameras/{name}/color/image_raw", Image, Quality.SENSOR)
CAMERA_INFO = _topic("cameras/{name}/color/camera_info", CameraInfo, Quality.STATE)
POLICY_IMAGE = _topic("cameras/{name}/policy/image_raw", Image, Quality.SENSOR)
WRENCH = _topic("ft/wrench", WrenchStamped, Quality.STREAM)
WRENCH_RAW = _topic("ft/wrench_raw", WrenchStamped, Quality.STREAM)
TACTILE_IMAGE = _topic("tactile/{name}/image_raw", Image, Quality.SENSOR)
TACTILE_VECTORS = _topic("tactile/{name}/vectors", ObservationVectors, Quality.SENSOR)

# Who wants what, and what becomes of it.
POLICY_ACTION = _topic("policy/action", ActionStamped, Quality.COMMAND)
POLICY_STEP = _topic("policy/step", PolicyStep, Quality.EVENT)
POLICY_CHUNK = _topic("policy/chunk", ActionChunk, Quality.SENSOR)
PERSON_ACTION = _topic("teleop/action", ActionStamped, Quality.COMMAND)
EXECUTED_ACTION = _topic("control/executed_action", ExecutedAction, Quality.EVENT)
CONTROL_STATE = _topic("control/state", ControlState, Quality.STATE)
SAFETY_STATE = _topic("safety/state", SafetyState, Quality.STATE)
REWARD = _topic("reward", RewardStamped, Quality.EVENT)
EPISODE_STATE = _topic("episode/state", EpisodeState, Quality.STATE)
EPISODE_EVENT = _topic("episode/events", EpisodeEvent, Quality.EVENT)
SESSION_STATE = _topic("session/state", SessionState, Quality.STATE)

DIAGNOSTICS = _topic("/diagnostics", DiagnosticArray, Quality.EVENT)
CLOCK = _topic("/clock", Clock, Quality.SENSOR)

# Services and actions, by name.
TAKE_ACTOR_SEAT = "gate/actor_seat"
TAKE_PERSON_SEAT = "gate/person_seat"
GATE_STOP = "gate/stop"
GATE_CLEAR = "gate/clear"
ROBOT_RECOVER = "robot/recover"
ROBOT_STOP = "robot/stop"
ROBOT_RESET = "robot/reset"
FT_ZERO = "ft/zero"
TACTILE_BACKGROUND = "tactile/{name}/set_background"
POLICY_LOAD = "policy/load"
EPISODE_RUN = "episode/run"
EPISODE_LABEL = "episode/label"
SESSION_COMMAND = "session/command"
SIM_ADVANCE = "sim/advance"
SIM_CAPTURE = "sim/capture"
SIM_FAULT = "sim/inject_fault"
