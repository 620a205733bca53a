from __future__ import annotations

import shutil
import sqlite3

import numpy as np
import pytest
import yaml
from rosbags.rosbag2 import Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from robot_rl.core.errors import StorageError
from robot_rl.data.exchange.rosbag_source import RosbagSource

WRIST = "observation.images.wrist"


@pytest.fixture(params=["sqlite3", "mcap"])
def storage(request):
    return request.param


def edit_metadata(bag, **changes):
    path = bag / "metadata.yaml"
    document = yaml.safe_load(path.read_text())
    document["rosbag2_bagfile_information"].update(changes)
    path.write_text(yaml.safe_dump(document))


def test_recorded_streams_become_an_episode(ros, make_map, tmp_path, storage):
    bag = ros.write_rosbag(tmp_path / "bag", ros.recording(), storage)
    (episode,) = RosbagSource(bag, make_map()).episodes()
    assert ((episode.stamps_ns - ros.start_ns) / 1e6).tolist() == [20, 120, 220]
    assert episode.vectors["observation.state"][:, 0] == pytest.approx([0, 0.1, 0.2])
    assert episode.images[WRIST][:, 0, 0, 0].tolist() == [10, 60, 110]
    assert episode.action[:, 0] == pytest.approx([0.025, 0.275])


def test_what_is_no_bag_is_refused(make_map, tmp_path):
    with pytest.raises(StorageError, match="no folder"):
        RosbagSource(tmp_path / "absent", make_map())
    with pytest.raises(StorageError, match=r"no metadata\.yaml"):
        RosbagSource(tmp_path, make_map())
    (tmp_path / "metadata.yaml").write_text("just text")
    with pytest.raises(StorageError, match=r"metadata\.yaml cannot be read.*expected a mapping"):
        RosbagSource(tmp_path, make_map())


@pytest.mark.parametrize("name", ["../../x.db3", "/etc/x.db3", "sub/../../x.db3", "C:/x.db3"])
def test_metadata_that_names_files_outside_is_refused_before_they_are_opened(
    ros, make_map, tmp_path, name
):
    bag = ros.write_rosbag(tmp_path / "bag", ros.recording())
    # A file of the same name in the folder would hide that the path was not refused.
    shutil.copy(bag / "bag.db3", bag / "x.db3")
    edit_metadata(bag, relative_file_paths=[name])
    with pytest.raises(StorageError, match=r"lies outside .* nothing that it names was opened"):
        RosbagSource(bag, make_map())


def test_storage_file_that_links_outside_is_refused(ros, make_map, tmp_path):
    bag = ros.write_rosbag(tmp_path / "bag", ros.recording())
    (bag / "bag.db3").rename(tmp_path / "elsewhere.db3")
    (bag / "bag.db3").symlink_to(tmp_path / "elsewhere.db3")
    with pytest.raises(StorageError, match="lies outside"):
        RosbagSource(bag, make_map())


def test_paths_that_begin_with_the_folder_are_those_of_old_bags(ros, make_map, tmp_path):
    bag = ros.write_rosbag(tmp_path / "bag", ros.recording())
    edit_metadata(bag, relative_file_paths=["bag/bag.db3"])
    assert len(RosbagSource(bag, make_map())) == 1


def test_recording_that_was_never_closed_is_read_only_if_a_part_is_allowed(
    ros, make_map, tmp_path, storage
):
    bag = ros.write_rosbag(tmp_path / "bag", ros.recording(), storage)
    (bag / "metadata.yaml").unlink()
    with pytest.raises(StorageError, match=r"never closed.*ros2 bag reindex"):
        RosbagSource(bag, make_map())
    assert len(RosbagSource(bag, make_map(allow_partial=True))) == 1


def test_fewer_messages_than_promised_are_refused_with_their_number(ros, make_map, tmp_path):
    bag = ros.write_rosbag(tmp_path / "bag", ros.recording())
    with sqlite3.connect(bag / "bag.db3") as database:
        database.execute("DELETE FROM messages WHERE timestamp > ?", (ros.at(260),))
    database.close()
    # 15 messages; joints of 300 ms and the images and commands of 310 and 350 ms are gone.
    with pytest.raises(StorageError, match=r"promises 15 messages.* 12 messages were readable"):
        RosbagSource(bag, make_map())
    assert len(RosbagSource(bag, make_map(allow_partial=True))) == 1


def test_cut_off_database_is_refused_with_what_can_be_rescued(ros, make_map, tmp_path):
    rows = [("/joints", ms, ros.joints(ms, [0.0] * 50, ("a",) * 50)) for ms in range(200)]
    bag = ros.write_rosbag(tmp_path / "bag", [*ros.recording(), *rows])
    data = (bag / "bag.db3").read_bytes()
    (bag / "bag.db3").write_bytes(data[: len(data) // 2])
    with pytest.raises(StorageError, match=r"\.recover") as caught:
        RosbagSource(bag, make_map(allow_partial=True))
    readable = int(str(caught.value).split(" messages are readable")[0].rsplit(" ", 1)[1])
    assert 0 < readable < 215


def test_messages_still_in_a_journal_are_not_lost_in_silence(ros, make_map, tmp_path):
    bag = ros.write_rosbag(tmp_path / "bag", ros.recording())
    (bag / "bag.db3-wal").write_bytes(b"x")
    with pytest.raises(StorageError, match=r"bag\.db3-wal holds messages"):
        RosbagSource(bag, make_map())


def test_message_that_does_not_decode_is_refused_with_its_number(ros, make_map, tmp_path):
    bag = ros.write_rosbag(tmp_path / "bag", ros.recording())
    with sqlite3.connect(bag / "bag.db3") as database:
        database.execute("UPDATE messages SET data = substr(data, 1, 30) WHERE id = 7")
    database.close()
    with pytest.raises(StorageError, match=r"not a message of type .* 6 messages were readable"):
        RosbagSource(bag, make_map())


def test_type_that_no_distribution_knows_is_decoded_by_the_definition_in_the_bag(
    ros, make_map, tmp_path
):
    store = get_typestore(Stores.LATEST)
    store.register(get_types_from_msg("float64 grip\nint8[2] keys\n", "lab_msgs/msg/Glove"))
    glove = store.types["lab_msgs/msg/Glove"]
    with Writer(tmp_path / "bag", version=9) as writer:
        for topic, kind in (("/joints", "sensor_msgs/msg/JointState"), ("/glove", "")):
            name = kind or "lab_msgs/msg/Glove"
            connection = writer.add_connection(topic, name, typestore=store)
            for ms in range(0, 301, 100):
                message = ros.joints(ms, [0.5], ("a",)) if kind else glove(ms, np.int8([1, -1]))
                data = bytes(store.serialize_cdr(message, name))
                writer.write(connection, ros.at(ms), data)
    made = RosbagSource(
        tmp_path / "bag",
        make_map(images={}, action={"topic": "/glove", "names": ["grip", "keys.1"]}),
    )
    (episode,) = made.episodes()
    assert episode.action == pytest.approx(np.array([[0, -1], [1 / 3, -1], [2 / 3, -1]]))
