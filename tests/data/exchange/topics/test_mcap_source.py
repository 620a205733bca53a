from __future__ import annotations

import json

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter

from robot_rl.core.errors import ContractError, StorageError
from robot_rl.data.exchange.mcap_source import McapSource
from robot_rl.data.exchange.topics.decoding import decoder

WRIST = "observation.images.wrist"


@pytest.mark.parametrize("compression", [CompressionType.NONE, CompressionType.LZ4])
@pytest.mark.parametrize("options", [{}, {"use_chunking": False}, {"use_statistics": False}])
def test_recorded_streams_become_an_episode(ros, make_map, tmp_path, compression, options):
    path = tmp_path / "plug.mcap"
    ros.write_mcap(path, ros.recording(), chunk_size=300, compression=compression, **options)
    (episode,) = McapSource(path, make_map()).episodes()
    assert ((episode.stamps_ns - ros.start_ns) / 1e6).tolist() == [20, 120, 220]
    assert episode.vectors["observation.state"][:, 0] == pytest.approx([0, 0.1, 0.2])
    assert episode.images[WRIST][:, 0, 0, 0].tolist() == [10, 60, 110]
    assert episode.action[:, 0] == pytest.approx([0.025, 0.275])
    assert episode.episode_id == "plug-0000"


def test_what_is_no_mcap_is_refused(make_map, tmp_path):
    path = tmp_path / "x.mcap"
    with pytest.raises(StorageError, match="cannot be read"):
        McapSource(path, make_map())
    path.write_bytes(b"SQLite format 3\0")
    with pytest.raises(StorageError, match="no MCAP file"):
        McapSource(path, make_map())


def test_file_that_was_never_closed_is_refused_with_what_was_readable(ros, make_map, tmp_path):
    path = ros.write_mcap(tmp_path / "x.mcap", ros.recording(), chunk_size=1, finish=False)
    with pytest.raises(StorageError, match=r"never closed.*\b15 messages were readable"):
        McapSource(path, make_map())
    (episode,) = McapSource(path, make_map(allow_partial=True)).episodes()
    assert len(episode) == 2


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_file_cut_off_anywhere_is_refused(ros, make_map, tmp_path, kept):
    path = ros.write_mcap(tmp_path / "x.mcap", ros.recording(), chunk_size=1)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(StorageError, match=r"\d+ messages were readable"):
        McapSource(path, make_map())


@pytest.mark.parametrize("compression", [CompressionType.NONE, CompressionType.ZSTD])
def test_flipped_bit_is_found(ros, make_map, tmp_path, compression):
    path = ros.write_mcap(tmp_path / "x.mcap", ros.recording(), compression=compression)
    with path.open("rb") as file:
        (chunk,) = make_reader(file).get_summary().chunk_indexes
    data = bytearray(path.read_bytes())
    data[chunk.chunk_start_offset + chunk.chunk_length // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(StorageError, match="damaged"):
        McapSource(path, make_map())


def test_part_before_the_damage_is_imported_if_allowed(ros, make_map, tmp_path):
    path = ros.write_mcap(tmp_path / "x.mcap", ros.recording(), chunk_size=1, finish=False)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.9)])
    (episode,) = McapSource(path, make_map(allow_partial=True)).episodes()
    assert len(episode) in (1, 2)


def test_json_messages_are_read(ros, make_map, tmp_path):
    path = tmp_path / "x.mcap"
    with path.open("wb") as file:
        writer = McapWriter(file)
        writer.start()
        schema = writer.register_schema("Arm", "jsonschema", b'{"type": "object"}')
        channel = writer.register_channel("/arm", "json", schema)
        for ms in (0, 100, 200):
            seconds, rest = divmod(ros.at(ms), 10**9)
            content = {"timestamp": {"sec": seconds, "nsec": rest}, "q": [ms, 1], "u": {"x": ms}}
            data = json.dumps(content).encode()
            # Recorded 40 ms late: the stamp inside counts.
            writer.add_message(channel, ros.at(ms + 40), data, ros.at(ms + 40))
        writer.finish()
    made = McapSource(
        path,
        make_map(
            vectors={"observation.state": {"topic": "/arm", "field": "q", "unit": "rad"}},
            images={},
            action={"topic": "/arm", "field": "u", "scale": 100.0},
        ),
    )
    (episode,) = made.episodes()
    assert (episode.stamps_ns - ros.start_ns).tolist() == [0, 10**8, 2 * 10**8]
    assert episode.vectors["observation.state"].tolist() == [[0, 1], [100, 1], [200, 1]]
    assert episode.action.tolist() == [[0], [1]]


@pytest.mark.parametrize("encoding", ["protobuf", "ros1"])
def test_encoding_that_is_not_read_is_named(encoding):
    with pytest.raises(StorageError, match=rf"{encoding}.*'cdr'"):
        decoder("pkg/msg/Type", encoding)


@pytest.mark.parametrize(
    ("name", "definition"),
    [
        ("pkg/msg/Type", "float64[999999999] x"),
        ("pkg/msg/Type", "float64 x\n" * 200_000),
        ("pkg/msg/Type\nimport os", "float64 x"),
        ("pkg/msg/Type", "float64 import("),
        ("pkg/msg/Type", "pkg/Type self"),
        ("pkg/msg/Type", "unknown/Thing x"),
    ],
)
def test_unsound_definition_is_refused_before_it_is_compiled(name, definition):
    with pytest.raises(StorageError, match="definition"):
        decoder(name, "cdr", "ros2msg", definition)


def test_bytes_that_are_no_message_raise_one_kind_of_error():
    decode = decoder("sensor_msgs/msg/JointState", "cdr")
    for data in (b"", b"\0\1\0\0", b"\0\1\0\0" + b"\xff" * 40, b"junk" * 10):
        with pytest.raises(ValueError, match="JointState"):
            decode(data)


@pytest.mark.parametrize("seed", range(40))
def test_damaged_bytes_raise_our_errors_alone(ros, make_map, tmp_path, seed):
    random = np.random.default_rng(seed)
    compression = CompressionType.NONE if seed % 2 else CompressionType.LZ4
    path = ros.write_mcap(tmp_path / "x.mcap", ros.recording(), compression=compression)
    data = bytearray(path.read_bytes())
    at = int(random.integers(8, len(data) - 8))
    data[at : at + 8] = random.bytes(8)
    path.write_bytes(data)
    try:
        (episode,) = McapSource(path, make_map(allow_partial=seed % 3 == 0)).episodes()
    except (StorageError, ContractError):
        return
    # What the checksums do not cover is not read either.
    assert episode.action[:, 0] == pytest.approx([0.025, 0.275])
