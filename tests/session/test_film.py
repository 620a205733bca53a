"""Pictures kept for the review: found again, bounded, and none the worse for a kill."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from robot_rl.session.film import Film

JPEG = b"\xff\xd8 a picture \xff\xd9"


def picture(number: int, size: int = 100) -> bytes:
    return bytes([number % 256]) * size


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "film"


def test_a_picture_is_found_by_episode_camera_and_step(folder):
    with Film(folder) as film:
        for episode in ("online-1", "online-2"):
            for camera in ("wrist", "scene"):
                for step in (0, 3, 4):
                    film.add(episode, step, camera, f"{episode} {camera} {step}".encode())
        assert film.picture("online-1", "scene", 3) == b"online-1 scene 3"
        # Between two pictures it is that of the step before; before the first there is none.
        assert film.picture("online-2", "wrist", 2) == b"online-2 wrist 0"
        assert film.picture("online-2", "wrist", 99) == b"online-2 wrist 4"
        assert film.picture("online-2", "wrist", -1) is None
        assert film.picture("online-2", "other", 0) is None
        assert film.picture("online-3", "wrist", 0) is None


def test_of_several_pictures_of_a_step_the_last_counts_also_after_a_restart(folder):
    with Film(folder) as film:
        film.add("e", 4, "wrist", b"old")
        film.add("e", 5, "wrist", b"next")
        film.add("e", 4, "wrist", b"new")
        assert film.picture("e", "wrist", 4) == b"new"
    again = Film(folder)
    assert again.picture("e", "wrist", 4) == b"new"
    again.add("e", 6, "wrist", b"more")
    assert [again.picture("e", "wrist", n) for n in (5, 6)] == [b"next", b"more"]


def test_one_file_an_episode_and_camera(folder):
    with Film(folder) as film:
        for step in range(5):
            film.add("online-1", step, "wrist", JPEG)
            film.add("online-1", step, "scene", JPEG)
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert files == ["online-1/scene.film", "online-1/wrist.film"]


@pytest.mark.parametrize("lost", range(1, 16 + len(JPEG) + 1))
def test_a_torn_tail_is_ignored_and_what_comes_next_is_found(folder, lost):
    with Film(folder) as film:
        for step in range(3):
            film.add("e", step, "wrist", JPEG)
    file = folder / "e" / "wrist.film"
    os.truncate(file, file.stat().st_size - lost)
    with Film(folder) as film:
        assert film.picture("e", "wrist", 2) == JPEG
        film.add("e", 7, "wrist", b"after")
    with Film(folder) as film:
        assert film.picture("e", "wrist", 1) == JPEG
        assert film.picture("e", "wrist", 7) == b"after"


def test_zeros_that_a_loss_of_power_left_are_no_pictures(folder):
    with Film(folder) as film:
        for step in range(2):
            film.add("e", step, "wrist", JPEG)
    file = folder / "e" / "wrist.film"
    data = file.read_bytes()
    file.write_bytes(data[: -len(JPEG)] + bytes(len(JPEG)) + bytes(40))
    with Film(folder) as film:
        assert film.picture("e", "wrist", 0) == JPEG
        assert film.picture("e", "wrist", 1) is None


def test_what_was_added_survives_a_kill(folder):
    child = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from robot_rl.session.film import Film\n"
        "film = Film(Path(sys.argv[1]))\n"
        "for step in range(50):\n"
        "    film.add('e', step, 'wrist', b'%d' % step)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", child, str(folder)], check=False)
    assert ended.returncode == -9
    with Film(folder) as film:
        assert [film.picture("e", "wrist", n) for n in range(50)] == [b"%d" % n for n in range(50)]


def test_the_oldest_episodes_go(folder):
    with Film(folder, most_episodes=3) as film:
        for number in range(6):
            film.add(f"e{number}", 0, "wrist", picture(number))
            assert film.picture("e0", "wrist", 0) == (picture(0) if number < 3 else None)
        film.add("e5", 1, "wrist", b"more")
    assert sorted(p.name for p in folder.iterdir()) == ["e3", "e4", "e5"]
    with Film(folder, most_episodes=3) as film:
        film.add("e6", 0, "wrist", JPEG)
    assert sorted(p.name for p in folder.iterdir()) == ["e4", "e5", "e6"]


def test_no_more_is_taken_than_allowed(folder):
    def taken() -> int:
        return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())

    with Film(folder, most_bytes=1000) as film:
        for number in range(20):
            for step in range(3):
                film.add(f"e{number:02}", step, "wrist", picture(step))
            assert taken() <= 1000
        # Two whole episodes of 348 bytes fit beside what is added.
        assert film.picture("e19", "wrist", 2) == picture(2)
        assert film.picture("e18", "wrist", 2) == picture(2)
        assert film.picture("e10", "wrist", 2) is None
        for step in range(3, 20):
            film.add("e19", step, "wrist", picture(step))
        assert taken() <= 1000
        # One that alone takes it all keeps its beginning.
        assert film.picture("e19", "wrist", 7) == picture(7)
        assert film.picture("e19", "wrist", 19) == picture(7)
        film.add("e20", 0, "wrist", JPEG)
        assert film.picture("e20", "wrist", 0) == JPEG


@pytest.mark.parametrize(
    "name", ["../../evil", "/etc/passwd", "..", ".", "", "a/b", "a\0b", "x" * 300, "\ud800", "%2E"]
)
def test_no_name_leads_out_of_the_folder(folder, name):
    outside = folder.parent
    with Film(folder) as film:
        film.add(name, 0, "wrist", b"by episode")
        film.add("e", 0, name, b"by camera")
        film.add("a%2Fb", 0, "wrist", b"another")
        assert film.picture(name, "wrist", 0) == b"by episode"
        assert film.picture("e", name, 0) == b"by camera"
    assert [p.name for p in outside.iterdir()] == ["film"]
    assert sum(p.is_file() for p in folder.rglob("*")) == 3
    assert all(len(p.relative_to(folder).parts) <= 2 for p in folder.rglob("*"))
    with Film(folder) as film:
        assert film.picture(name, "wrist", 0) == b"by episode"


def test_a_full_disk_costs_pictures_alone_and_is_told_once(folder, caplog):
    full = False

    def write(descriptor: int, data: bytes) -> int:
        if not full:
            return os.write(descriptor, data)
        os.write(descriptor, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Film(folder, write=write) as film:
        film.add("e", 0, "wrist", b"zero")
        full = True
        film.add("e", 1, "wrist", b"one")
        film.add("f", 0, "wrist", b"other")
        full = False
        film.add("e", 2, "wrist", b"two")
        assert [film.picture("e", "wrist", n) for n in range(3)] == [b"zero", b"zero", b"two"]
        assert film.picture("f", "wrist", 0) is None
    with Film(folder) as again:
        assert [again.picture("e", "wrist", n) for n in range(3)] == [b"zero", b"zero", b"two"]
    assert caplog.text.count("No space left") == 1


def test_it_is_read_while_it_is_written(folder):
    wrong: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            for step in range(200):
                found = film.picture("e", "wrist", step)
                if found is not None and found != picture(found[0]):
                    wrong.append(step)

    with Film(folder) as film:
        reader = threading.Thread(target=read)
        reader.start()
        for step in range(200):
            film.add("e", step, "wrist", picture(step))
        done.set()
        reader.join()
        assert [film.picture("e", "wrist", n) for n in range(200)] == [
            picture(n) for n in range(200)
        ]
    assert not wrong


def test_closed_files_are_opened_again_when_asked_for(folder):
    film = Film(folder)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(5):
        film.add(f"e{number}", 0, "wrist", JPEG)
        # Those of the episodes before are closed.
        assert len(os.listdir("/proc/self/fd")) == before + 1
    film.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert film.picture("e0", "wrist", 0) == JPEG
    film.add("e0", 1, "wrist", b"more")
    assert film.picture("e0", "wrist", 1) == b"more"
    film.close()
