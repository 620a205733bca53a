"""The ROS 2 message types of a log: the standard ones, and three of our own.

Everything is CDR, ours too: a bag whose channels differ in encoding is refused as a whole by
`ros2 bag play`. The definitions travel in the file, so a reader needs none of this.
"""

from __future__ import annotations

import functools
from typing import Any

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

STEP = "robot_rl_msgs/msg/Step"
OBSERVATION = "robot_rl_msgs/msg/Observation"
VECTOR = "robot_rl_msgs/msg/Vector"
IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
JOINT_STATE = "sensor_msgs/msg/JointState"
WRENCH = "geometry_msgs/msg/WrenchStamped"
POSE = "geometry_msgs/msg/PoseStamped"
TWIST = "geometry_msgs/msg/TwistStamped"
_STANDARD = (IMAGE, COMPRESSED_IMAGE, JOINT_STATE, WRENCH, POSE, TWIST)

OUR_DEFINITIONS = {
    STEP: """\
# One control period: what was done between observation `step` and observation `step` + 1.
# Actions are normalised to [-1, 1]; the file's metadata holds names and SI scale.
std_msgs/Header header      # wall time of observation `step`
uint32 step                 # from 0
float32[] action            # executed, after safety gate and arbitration
float32[] base_action       # the base policy's, at observation `step`
float32[] next_base_action  # the base policy's, at observation `step` + 1
float32[] proposed_action   # what the learned policy asked for
float64 reward
bool terminated             # the task ended by itself
bool truncated              # time limit, or a stop without judgement
bool intervention_start     # first step of a person's take-over
string source               # who decided: POLICY, HUMAN, DEMO, RESET or HOLD
string gate_reason          # why the safety gate changed or refused it; PASSED if it did not
float64 inference_s         # how long the policy took [s]
float64 lateness_s          # how late the tick woke up [s]
int64 policy_version
""",
    OBSERVATION: """\
# Ends the messages of one observation.
std_msgs/Header header      # wall time of the observation
uint32 index                # from 0; step k lies between observations k and k + 1
int64 stamp_ns              # monotonic time of the observation [ns]
string[] streams            # sensor streams ...
float64[] ages_s            # ... and the age of their samples at `stamp_ns` [s]
""",
    VECTOR: """\
# A vector without a standard message; the channel's metadata holds names, unit and frame.
std_msgs/Header header
float32[] values
""",
}


@functools.cache
def typestore() -> Typestore:
    """Return the types of ROS 2 Jazzy and ours; the first call takes some 0.3 s."""
    store = get_typestore(Stores.ROS2_JAZZY)
    for name, text in OUR_DEFINITIONS.items():
        store.register(get_types_from_msg(text, name))
    for name in (*_STANDARD, *OUR_DEFINITIONS):
        # Compiles its serialiser, which would else happen while the first steps are logged.
        store.get_msgdef(name)
    return store


@functools.cache
def message_class(name: str) -> Any:
    """Return the dataclass of a message type."""
    return typestore().types[name]


def definition(name: str) -> str:
    """Return a type's definition with those it depends on, as `ros2msg` schemas hold it."""
    generated, _ = typestore().generate_msgdef(name, ros_version=2)
    if name not in OUR_DEFINITIONS:
        return generated
    return OUR_DEFINITIONS[name] + generated[generated.index("=" * 80) :]
