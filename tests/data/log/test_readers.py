"""What others read of a log: `mcap` and `rosbags` alone, with the definitions in the file."""

from __future__ import annotations

import collections

import numpy as np
import pytest
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from robot_rl.core.episode import EpisodeMetadata
from robot_rl.core.errors import ContractError
from robot_rl.data.log.channel import topic_of
from robot_rl.data.log.episode_log import EpisodeLog
from robot_rl.data.log.message_types import typestore
from robot_rl.data.log.opening import RECORD_NAME

STEPS = 3
CREATED_NS = 1_700_000_000_500_000_000
PERIOD_NS = 100_000_000

TYPES = {
    "/observation/state": "sensor_msgs/msg/JointState",
    "/observation/tcp_pose": "geometry_msgs/msg/PoseStamped",
    "/observation/tcp_twist": "geometry_msgs/msg/TwistStamped",
    "/observation/wrench": "geometry_msgs/msg/WrenchStamped",
    "/observation/gripper": "robot_rl_msgs/msg/Vector",
    "/observation/environment_state": "robot_rl_msgs/msg/Vector",
    "/observation/images/wrist/image_raw": "sensor_msgs/msg/Image",
    "/observation/images/front/image_raw": "sensor_msgs/msg/Image",
    "/observation": "robot_rl_msgs/msg/Observation",
    "/step": "robot_rl_msgs/msg/Step",
}


@pytest.fixture
def steps(make_arm_spec, make_arm_steps):
    return make_arm_steps(make_arm_spec(), STEPS)


@pytest.fixture
def write_log(tmp_path, make_arm_spec, arm_metadata, steps):
    def write(**options):
        path = tmp_path / "log.mcap"
        with EpisodeLog(path, make_arm_spec(), "episode-1", arm_metadata, **options) as log:
            for step in steps:
                log.add(step)
        return path

    return write


def messages_of(path):
    """Schema name, channel and messages by topic, as the mcap package reads them."""
    found = collections.defaultdict(list)
    with path.open("rb") as file:
        for schema, channel, message in make_reader(file, validate_crcs=True).iter_messages():
            found[channel.topic].append((schema, channel, message))
    return found


def test_every_topic_is_ros_2_in_one_encoding(write_log):
    found = messages_of(write_log())
    assert {topic: rows[0][0].name for topic, rows in found.items()} == TYPES
    assert {row[0].encoding for rows in found.values() for row in rows} == {"ros2msg"}
    # `ros2 bag play` refuses a bag with two encodings.
    assert {row[1].message_encoding for rows in found.values() for row in rows} == {"cdr"}


def test_standard_types_alone_read_joints_and_images(write_log, steps):
    found = messages_of(write_log())
    plain = get_typestore(Stores.ROS2_JAZZY)

    def read(topic, index):
        schema, _, message = found[topic][index]
        return plain.deserialize_cdr(message.data, schema.name)

    joints = read("/observation/state", 1)
    seen = steps[0].next_observation
    assert joints.name == ["j1", "j2", "j3"]
    assert joints.position.tolist() == seen.vectors["observation.state"].tolist()
    assert joints.velocity.tolist() == seen.vectors["observation.velocity"].tolist()
    image = read("/observation/images/front/image_raw", 0)
    assert (image.height, image.width, image.step, image.encoding) == (4, 6, 18, "rgb8")
    assert (
        image.data.tobytes() == steps[0].observation.images["observation.images.front"].tobytes()
    )
    assert image.header.frame_id == "front"
    pose = read("/observation/tcp_pose", 0)
    values = steps[0].observation.vectors["observation.tcp_pose"].tolist()
    assert [pose.pose.position.z, pose.pose.orientation.w] == [values[2], values[6]]
    assert pose.header.frame_id == "robot_base"
    force = read("/observation/wrench", 0)
    assert force.wrench.torque.x == steps[0].observation.vectors["observation.wrench"].tolist()[3]
    assert force.header.frame_id == "tcp"


def test_times_are_wall_time_and_the_monotonic_stamp_is_kept(write_log, steps):
    found = messages_of(write_log())
    log_times = [m.log_time for _, _, m in found["/observation/wrench"]]
    assert log_times == [CREATED_NS + k * PERIOD_NS for k in range(STEPS + 1)]
    store = get_typestore(Stores.ROS2_JAZZY)
    joints = store.deserialize_cdr(
        found["/observation/state"][1][2].data, TYPES["/observation/state"]
    )
    assert (joints.header.stamp.sec, joints.header.stamp.nanosec) == (1_700_000_000, 600_000_000)
    # A step is known when its period is over; its header says when it began.
    assert [m.log_time for _, _, m in found["/step"]] == log_times[1:]


def test_own_messages_are_read_with_the_definitions_in_the_file(write_log, steps):
    path = write_log()
    with AnyReader([path]) as reader:
        rows = {
            connection.topic: [
                reader.deserialize(data, connection.msgtype)
                for _, _, data in reader.messages([connection])
            ]
            for connection in reader.connections
        }
    step, expected = rows["/step"][1], steps[1]
    assert (step.step, step.source, step.gate_reason, step.policy_version) == (
        1,
        expected.source.name,
        expected.gate_reason.name,
        expected.policy_version,
    )
    assert step.reward == expected.reward
    assert step.action.dtype == np.float32
    assert step.action.tolist() == expected.action.tolist()
    assert step.next_base_action.tolist() == expected.next_base_action.tolist()
    assert step.header.stamp.nanosec == 600_000_000
    observation = rows["/observation"][2]
    assert (observation.index, observation.stamp_ns) == (2, 5_200_000_000)
    assert observation.streams == ["arm", "wrist"]
    assert observation.ages_s.tolist() == list(steps[1].next_observation.ages_s.values())


def test_every_message_has_the_bytes_that_rosbags_gives_it(write_log):
    found = messages_of(write_log())
    store = typestore()
    for schema, _, message in (row for rows in found.values() for row in rows):
        read = store.deserialize_cdr(message.data, schema.name)
        assert bytes(store.serialize_cdr(read, schema.name)) == message.data


def test_a_latent_is_a_vector_at_the_time_of_its_step_and_before_it(
    tmp_path, make_arm_spec, make_arm_steps, arm_metadata
):
    path, spec = tmp_path / "log.mcap", make_arm_spec(images=False, vectors={})
    steps = make_arm_steps(spec, STEPS, latent_size=4)
    with EpisodeLog(path, spec, "episode-1", arm_metadata) as log:
        for step in steps:
            log.add(step)

    found = messages_of(path)
    assert {schema.name for schema, _, _ in found["/latent"]} == {"robot_rl_msgs/msg/Vector"}
    times = {topic: [m.log_time for _, _, m in found[topic]] for topic in found}
    assert times["/latent"] == times["/step"]
    with path.open("rb") as file:
        order = [c.topic for _, c, _ in make_reader(file).iter_messages(log_time_order=False)]
    assert order[1:] == ["/observation", "/latent", "/step"] * STEPS
    with AnyReader([path]) as reader:
        connection = next(c for c in reader.connections if c.topic == "/latent")
        rows = [
            reader.deserialize(d, connection.msgtype) for _, _, d in reader.messages([connection])
        ]
    assert [row.values.tolist() for row in rows] == [step.latent.tolist() for step in steps]
    assert rows[1].header.stamp.nanosec == 600_000_000


@pytest.mark.parametrize("images", ["png", "jpeg"])
def test_compressed_images_are_pictures_under_the_name_that_image_transport_has(write_log, images):
    found = messages_of(write_log(images=images))
    schema, _, message = found["/observation/images/wrist/image_raw/compressed"][0]
    assert schema.name == "sensor_msgs/msg/CompressedImage"
    picture = get_typestore(Stores.ROS2_JAZZY).deserialize_cdr(message.data, schema.name)
    start = {"png": b"\x89PNG\r\n", "jpeg": b"\xff\xd8\xff"}[images]
    assert picture.data.tobytes().startswith(start)
    assert images in picture.format


def test_metadata_record_and_channels_say_what_the_numbers_are(write_log, make_arm_spec):
    path = write_log()
    with path.open("rb") as file:
        reader = make_reader(file)
        records = {record.name: record.metadata for record in reader.iter_metadata()}
        channels = {c.topic: c.metadata for c in reader.get_summary().channels.values()}
    assert records[RECORD_NAME]["episode_id"] == "episode-1"
    assert '"robot": "fr3"' in records[RECORD_NAME]["spec"]
    assert channels["/observation/environment_state"] == {
        "key": "observation.environment_state",
        "names": "hole_x,hole_y",
        "unit": "m",
        "frame": "robot base",
    }


@pytest.mark.parametrize(
    ("key", "topic"),
    [
        ("observation.state", "/observation/state"),
        ("observation.images.left-hand", "/observation/images/left_hand"),
        ("observation.2nd", "/observation/_2nd"),
    ],
)
def test_topics_are_names_that_ros_allows(key, topic):
    assert topic_of(key) == topic


@pytest.mark.parametrize("name", ["step", "latent"])
def test_an_observation_may_not_take_the_name_of_a_step(tmp_path, make_arm_spec, name):
    wrench = make_arm_spec().task.observation.vectors["observation.wrench"]
    spec = make_arm_spec(vectors={name: wrench})
    with pytest.raises(ContractError, match=f"/{name}"):
        EpisodeLog(tmp_path / "log.mcap", spec, "e", EpisodeMetadata(task="plug"))
