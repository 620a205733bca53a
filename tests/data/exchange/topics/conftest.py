"""Real recordings, small enough to work the numbers out by hand. Times are milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as RosbagWriter
from rosbags.typesys import Stores, get_typestore

from robot_rl.data.exchange.topics.topic_map import TopicMap

STORE = get_typestore(Stores.LATEST)
START_NS = 1_000_000_000_000
MS = 1_000_000


class Ros:
    """Makes messages and files. A message is (topic, recorded [ms], content)."""

    start_ns = START_NS
    store = STORE

    def at(self, ms: float) -> int:
        return START_NS + round(ms * MS)

    def type(self, kind: str, /, **fields: Any) -> Any:
        return STORE.types[kind](**fields)

    def header(self, ms: float | None) -> Any:
        ns = 0 if ms is None else self.at(ms)
        stamp = self.type("builtin_interfaces/msg/Time", sec=ns // 10**9, nanosec=ns % 10**9)
        return self.type("std_msgs/msg/Header", stamp=stamp, frame_id="")

    def joints(self, ms: float | None, position: list[float], names: tuple[str, ...]) -> Any:
        values = np.asarray(position, np.float64)
        return self.type(
            "sensor_msgs/msg/JointState",
            header=self.header(ms),
            name=list(names),
            position=values,
            velocity=values * 10,
            effort=np.zeros(0),
        )

    def image(
        self, ms: float, pixels: np.ndarray, encoding: str = "rgb8", padding: int = 0
    ) -> Any:
        height, width = pixels.shape[:2]
        rows = np.pad(pixels.reshape(height, -1), ((0, 0), (0, padding)), constant_values=99)
        return self.type(
            "sensor_msgs/msg/Image",
            header=self.header(ms),
            height=height,
            width=width,
            encoding=encoding,
            is_bigendian=0,
            step=rows.shape[1],
            data=np.ascontiguousarray(rows).reshape(-1),
        )

    def compressed(self, ms: float, data: bytes, format: str = "png") -> Any:
        return self.type(
            "sensor_msgs/msg/CompressedImage",
            header=self.header(ms),
            format=format,
            data=np.frombuffer(data, np.uint8),
        )

    def floats(self, *values: float) -> Any:
        layout = self.type("std_msgs/msg/MultiArrayLayout", dim=[], data_offset=0)
        data = np.asarray(values, np.float64)
        return self.type("std_msgs/msg/Float64MultiArray", layout=layout, data=data)

    def flag(self, up: bool) -> Any:
        return self.type("std_msgs/msg/Bool", data=up)

    def recording(self) -> list[tuple[str, float, Any]]:
        """Joints every 50 ms from 0 to 300, an image every 100 from 20 to 320, recorded 30 late,
        a command every 100 from 10 to 310: first 20, last 300 for all three."""
        messages = [
            ("/joints", ms, self.joints(ms, [ms / 1000, -ms / 1000], ("a", "b")))
            for ms in range(0, 301, 50)
        ]
        messages += [
            ("/camera", ms + 30, self.image(ms, np.full((2, 3, 3), ms // 2, np.uint8)))
            for ms in (20, 120, 220, 320)
        ]
        messages += [("/command", ms, self.floats(ms / 100, -1.0)) for ms in (10, 110, 210, 310)]
        return sorted(messages, key=lambda message: message[1])

    def write_rosbag(
        self, path: Path, messages: list[tuple[str, float, Any]], storage: str = "sqlite3"
    ) -> Path:
        with RosbagWriter(
            path, version=9, storage_plugin=StoragePlugin[storage.upper()]
        ) as writer:
            connections: dict[str, Any] = {}
            for topic, ms, content in messages:
                kind = content.__msgtype__
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
                writer.write(
                    connections[topic], self.at(ms), bytes(STORE.serialize_cdr(content, kind))
                )
        return path

    def write_mcap(
        self,
        path: Path,
        messages: list[tuple[str, float, Any]],
        *,
        chunk_size: int = 1 << 20,
        finish: bool = True,
        **options: Any,
    ) -> Path:
        with path.open("wb") as file:
            options = {"compression": CompressionType.ZSTD, **options}
            writer = McapWriter(file, chunk_size=chunk_size, **options)
            writer.start(profile="ros2")
            channels: dict[str, int] = {}
            for topic, ms, content in messages:
                kind = content.__msgtype__
                if topic not in channels:
                    text = STORE.generate_msgdef(kind, ros_version=2)[0]
                    schema = writer.register_schema(kind, "ros2msg", text.encode())
                    channels[topic] = writer.register_channel(topic, "cdr", schema)
                data = bytes(STORE.serialize_cdr(content, kind))
                writer.add_message(channels[topic], self.at(ms), data, self.at(ms))
            if finish:
                writer.finish()
        return path


def build_map(**overrides: Any) -> TopicMap:
    """The map of `Ros.recording`, at 10 Hz."""
    fields: dict[str, Any] = {
        "robot": "arm",
        "task": "plug",
        "rate_hz": 10.0,
        "max_age_s": 0.1,
        "vectors": {"observation.state": {"topic": "/joints", "unit": "rad"}},
        "images": {"observation.images.wrist": {"topic": "/camera"}},
        "action": {"topic": "/command", "scale": [4.0, 1.0]},
    }
    return TopicMap.model_validate({**fields, **overrides})


@pytest.fixture(scope="session")
def ros() -> Ros:
    return Ros()


@pytest.fixture(scope="session")
def make_map():
    return build_map
