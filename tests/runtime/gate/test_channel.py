from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from robot_rl.core.errors import ConfigError, HardwareError
from robot_rl.runtime.gate.channel import Listener, connect, private_folder


@pytest.fixture
def listener(folder):
    listener = Listener(folder / "x.sock", limit=100)
    yield listener
    listener.close()


@pytest.fixture
def ends(listener, folder):
    """Both ends of a connection: the one that came in and the one that connected."""
    there = connect(folder / "x.sock", limit=100)
    (here,) = listener.accept()
    yield here, there
    here.close()
    there.close()


def test_frames_stay_apart_and_in_order(ends):
    here, there = ends
    for frame in (b"a", b"bc", b"d" * 100):
        there.send(frame)
    assert here.receive() == [b"a", b"bc", b"d" * 100]
    assert here.receive() == []
    assert here.pid == os.getpid()


def test_a_frame_beyond_the_limit_ends_the_connection_after_those_before(ends):
    here, there = ends
    there.send(b"good")
    there.send(b"x" * 101)
    assert here.receive() == [b"good"]
    assert here.closed


def test_who_does_not_read_is_not_waited_for(ends):
    here, there = ends
    for _ in range(10_000):
        here.send(b"x" * 100)
    assert here.dropped > 9_000
    assert not here.closed
    assert there.receive()[0] == b"x" * 100


def test_news_that_nobody_reads_leave_room_for_what_is_said_once(ends):
    here, there = ends
    for _ in range(1_000):
        here.send_news(b"x" * 100)
    here.send(b"hear this")
    frames = there.receive()
    assert frames[-1] == b"hear this"
    assert len(frames) < 20
    here.send_news(b"new")
    assert there.receive() == [b"new"]


def test_what_was_said_before_the_end_is_still_heard(ends):
    here, there = ends
    there.send(b"last words")
    there.close()
    assert here.receive() == [b"last words"]
    assert here.closed
    here.send(b"anybody?")
    assert here.receive() == []


def test_the_last_words_of_a_peer_that_has_not_read_everything_are_heard_too(ends):
    here, there = ends
    here.send(b"unread")
    there.send(b"last words")
    there.close()
    assert here.receive() == [b"last words"]
    assert here.closed


def test_a_flood_is_taken_in_portions(ends):
    here, there = ends
    for _ in range(70):
        there.send(b"x")
    assert len(here.receive()) == 64


def test_waiting_ends_with_a_frame_or_with_the_time(ends):
    here, there = ends
    assert not here.wait(0.01)
    there.send(b"x")
    assert here.wait(5.0)


def test_nobody_listening_is_said_with_the_place(folder):
    with pytest.raises(HardwareError, match=r"nobody answers at .*x\.sock .*start that process"):
        connect(folder / "x.sock", limit=100)


def test_a_socket_left_behind_by_a_dead_process_is_replaced(folder):
    left = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    left.bind(str(folder / "x.sock"))
    left.close()
    listener = Listener(folder / "x.sock", limit=100)
    connect(folder / "x.sock", limit=100).close()
    listener.close()


def test_a_folder_that_others_may_enter_is_refused(folder):
    folder.chmod(0o750)
    with (
        pytest.raises(ConfigError, match="0700, got mode 0750"),
        private_folder(folder, "gate"),
    ):
        pass


def test_a_link_in_place_of_the_folder_is_refused(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    with (
        pytest.raises(ConfigError, match="expected a folder of this user"),
        private_folder(tmp_path / "link", "gate"),
    ):
        pass


def test_a_folder_that_is_made_is_for_its_owner_alone(folder):
    with private_folder(folder / "new", "gate") as made:
        assert made.stat().st_mode & 0o777 == 0o700


def test_a_folder_whose_path_no_socket_can_have_is_refused(folder):
    with (
        pytest.raises(ConfigError, match=r"room for 107: use a shorter folder"),
        private_folder(folder / ("x" * 100), "gate"),
    ):
        pass


def test_of_one_kind_of_process_there_is_one_a_folder(folder):
    other = (
        "import sys, pathlib\n"
        "from robot_rl.runtime.gate.channel import private_folder\n"
        "from robot_rl.core.errors import ConfigError\n"
        "try:\n"
        "    with private_folder(pathlib.Path(sys.argv[1]), sys.argv[2]): print('in')\n"
        "except ConfigError as error: print(error)\n"
    )

    def tries(lock: str) -> str:
        command = [sys.executable, "-c", other, str(folder), lock]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with private_folder(folder, "gate"):
        assert f"there is a gate already, process {os.getpid()}" in tries("gate")
        assert tries("driver") == "in\n"
    assert tries("gate") == "in\n"


def test_processes_of_other_users_are_not_let_in(folder, monkeypatch):
    listener = Listener(folder / "x.sock", limit=100)
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    with pytest.raises(ConfigError, match=f"of user {uid}, not to this user"):
        connect(folder / "x.sock", limit=100)
    assert listener.accept() == []
    listener.close()
