from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcap.reader import make_reader
from rclpy.serialization import serialize_message
from robot_rl_msgs.msg import EpisodeState, NamedVector, PolicyStep, RobotState
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Float64MultiArray

from robot_rl.core.errors import StorageError
from robot_rl.data.disk.durable import Disk
from robot_rl.data.exchange.mcap_source import McapBag
from robot_rl.data.exchange.topics.decoding import decoder
from robot_rl_nodes import topic
from robot_rl_nodes.conversion import float32s
from robot_rl_nodes.recording.mcap import Channel, TopicLog, mend, unfinished
from robot_rl_nodes.recording.schema import schema
from robot_rl_nodes.topic import Topic

pytestmark = pytest.mark.ros

STATE = Channel(topic="/fr3/robot/state", schema=schema(RobotState))
NUMBERS = Channel(topic="/fr3/gripper/commands", schema=schema(Float64MultiArray))

WRITER = """
import sys, time
from pathlib import Path
from rclpy.serialization import serialize_message
from robot_rl_msgs.msg import RobotState
from robot_rl_nodes.recording.mcap import Channel, TopicLog
from robot_rl_nodes.recording.schema import schema
log = TopicLog(Path(sys.argv[1]), "a", [Channel(topic="/s", schema=schema(RobotState))],
               flush_s=0.05, least_free_bytes=0)
for n in range(10**9):
    log.put(0, n, serialize_message(RobotState(commands=n)))
    if n > 300:
        time.sleep(0.001)
"""


def state(number: int, stamp_s: int = 0) -> bytes:
    message = RobotState(commands=number)
    message.header.stamp.sec = stamp_s
    message.vectors = [NamedVector(key="observation.state", data=float32s([number, 0.5]))]
    return serialize_message(message)


def until(happened: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < end, "nothing happened within 30 s"
        time.sleep(0.01)


def log(folder: Path, **more: Any) -> TopicLog:
    options = {"least_free_bytes": 0, "flush_s": 0.05} | more
    return TopicLog(folder, "session", [STATE, NUMBERS], **options)


@pytest.mark.parametrize(
    "kind", [known.type for known in vars(topic).values() if isinstance(known, Topic)]
)
def test_definition_of_every_topic_is_understood_without_its_package(kind: Any) -> None:
    known = schema(kind)
    assert decoder(known.name, "cdr", "ros2msg", known.definition)


def test_definition_has_the_units_and_every_type_once() -> None:
    known = schema(PolicyStep)
    assert known.name == "robot_rl_msgs/msg/PolicyStep"
    assert "Number of the observation" in known.definition
    assert known.definition.count("MSG: builtin_interfaces/Time\n") == 1
    assert known.is_stamped
    assert not schema(Float64MultiArray).is_stamped


@pytest.mark.parametrize("kind", [Image, CameraInfo, EpisodeState])
def test_stamp_is_read_from_the_bytes(tmp_path: Path, kind: Any) -> None:
    message = kind()
    message.header.stamp.sec, message.header.stamp.nanosec = 12, 34
    made = TopicLog(tmp_path, "a", [Channel(topic="/t", schema=schema(kind))], least_free_bytes=0)
    made.put(0, 99, serialize_message(message))
    with made.close().open("rb") as file:
        ((_, _, found),) = make_reader(file).iter_messages()
    assert (found.log_time, found.publish_time) == (99, 12_000_000_034)


def test_every_byte_is_read_back_under_the_time_of_its_receipt(tmp_path: Path) -> None:
    made = log(tmp_path)
    numbers = serialize_message(Float64MultiArray(data=[0.25]))
    sent = [(0, 1_000 + n, state(n, stamp_s=n)) for n in range(50)] + [(1, 2_000, numbers)]
    assert all(made.put(*one) for one in sent)
    assert made.path.suffixes == [".mcap", ".part"]
    path = made.close()
    assert [p.name for p in tmp_path.iterdir()] == ["session.mcap"]
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        assert reader.get_header().profile == "ros2"
        records = [(c.topic, m) for _, c, m in reader.iter_messages()]
    found = [(name, m.log_time, m.publish_time, m.data) for name, m in records]
    # What is not stamped, or with zero, was published when it came.
    expected = [
        ((STATE, NUMBERS)[n].topic, at, k * 10**9 if 0 < k < 50 else at, bytes(data))
        for k, (n, at, data) in enumerate(sent)
    ]
    assert found == expected


def test_disk_that_is_behind_costs_messages_that_are_counted(tmp_path: Path) -> None:
    made = log(tmp_path, queue_bytes=10 * len(state(0)), flush_s=1.0)
    taken = [made.put(0, n, state(n)) for n in range(30)]
    assert taken.count(False) == made.refused == 20
    with made.close().open("rb") as file:
        assert make_reader(file).get_summary().statistics.message_count == made.messages == 10


def test_too_little_space_is_refused_and_a_disk_that_fills_up_is_told(tmp_path: Path) -> None:
    class Filling(Disk):
        free = 2_000_000_000

        def free_bytes(self, path: Path) -> int:
            return self.free

    disk = Filling()
    with pytest.raises(StorageError, match=r"2000 MB are free, at least 3000 MB"):
        log(tmp_path, disk=disk, least_free_bytes=3_000_000_000)
    made = log(tmp_path, disk=disk, least_free_bytes=1_000_000_000)
    made.put(0, 1, state(1))
    disk.free = 1
    until(lambda: made.failure)
    assert not made.put(0, 2, state(2))
    assert made.refused == 1
    with pytest.raises(StorageError, match="not finished: 0 MB are free"):
        made.close()


def test_file_of_a_killed_process_is_read_and_finished_up_to_its_last_chunk(
    tmp_path: Path,
) -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], env={**os.environ})
    try:
        until(lambda: any(p.stat().st_size > 100_000 for p in unfinished(tmp_path)))
    finally:
        process.kill()
        process.wait()
    (part,) = unfinished(tmp_path)
    torn = McapBag(part, allow_partial=True)
    numbers = [m.content.commands for m in torn.messages(["/s"])]
    assert len(numbers) > 100
    assert numbers == [*range(len(numbers))]
    path = mend(part)
    assert not unfinished(tmp_path)
    assert [m.content.commands for m in McapBag(path).messages(["/s"])] == numbers


def test_damaged_chunk_ends_what_is_mended(tmp_path: Path) -> None:
    made = log(tmp_path)
    for n in range(20):
        made.put(0, n, state(n))
    path = made.close()
    part = path.rename(tmp_path / "session.mcap.part")
    data = bytearray(part.read_bytes())
    at = data.index(struct.pack("<ff", 7, 0.5))
    data[at] ^= 1
    part.write_bytes(data)
    assert mend(part) == path
    with path.open("rb") as file:
        assert make_reader(file).get_summary().statistics.message_count == 0
