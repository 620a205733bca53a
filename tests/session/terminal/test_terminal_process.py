"""The terminal as a process of its own, at the end of a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from terminal_rig import full

from robot_rl.session.client.address import URL_VARIABLE
from robot_rl.session.command import Command, Gone, Motion
from robot_rl.session.mode import Verb

WAIT_S = 40.0
COMMAND = (sys.executable, "-m", "robot_rl.session.terminal")
STARTED = (
    "import sys; from robot_rl.session.terminal.process import start_terminal\n"
    "with start_terminal(sys.stdin.readline()): input()\n"
    "print('the block has ended')"
)


class Console:
    """What somebody sees and types at the other end."""

    def __init__(self, command: tuple[str, ...], **environment: str) -> None:
        self._end, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        plain = {k: v for k, v in os.environ.items() if k not in ("COLORTERM", URL_VARIABLE)}
        self.process = subprocess.Popen(
            command,
            stdin=other,
            stdout=other,
            stderr=other,
            env=plain | {"TERM": "vt100", "NO_COLOR": "1"} | environment,
            start_new_session=True,
        )
        os.close(other)
        self.seen = ""

    def type(self, keys: str) -> None:
        os.write(self._end, keys.encode())

    def until(self, words: str) -> None:
        """Read on until these words were written."""
        deadline_s = time.monotonic() + WAIT_S
        while words not in self.seen:
            left_s = deadline_s - time.monotonic()
            ready, _, _ = select.select([self._end], [], [], max(0.0, left_s))
            assert ready, f"{words!r} was not written: {self.seen[-3000:]!r}"
            try:
                self.seen += os.read(self._end, 1 << 16).decode(errors="replace")
            except OSError:
                assert words in self.seen, self.seen[-3000:]

    def status(self) -> int:
        """Read to the end; the exit status."""
        with self._reading():
            return self.process.wait(WAIT_S)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._end)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        def read() -> None:
            try:
                while data := os.read(self._end, 1 << 16):
                    self.seen += data.decode(errors="replace")
            except OSError:
                return

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        yield
        thread.join(WAIT_S)


@contextmanager
def console(*command: str, **environment: str) -> Iterator[Console]:
    opened = Console(command, **environment)
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def shown(page) -> Iterator[None]:
    """The page goes on showing a view."""
    ended = threading.Event()

    def show() -> None:
        number = 1
        while not ended.wait(0.1):
            number += 1
            page.process.show(full(number=number))

    thread = threading.Thread(target=show)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_session_is_corrected_over_a_terminal_without_colours(page):
    with shown(page), console(*COMMAND, **{URL_VARIABLE: page.process.url}) as person:
        person.until("A U T O")
        line = Path(f"/proc/{person.process.pid}/cmdline").read_bytes()
        assert page.token.encode() not in line
        name = "terminal-1"
        person.type("s")
        page.desk.wait_for(Command, name, where=lambda c: c.verb == Verb.SUCCESS)
        person.type("\x1b[A")
        page.desk.wait_for(Motion, name, where=lambda m: m.active and m.action[0] == 0.5)
        page.desk.wait_for(Motion, name, where=lambda m: not m.active and m.number > 3)
        person.type("\x1b")
        page.desk.wait_for(Command, name, where=lambda c: c.verb == Verb.STOP)
        person.type("\x11")
        person.until("End?")
        person.type("l")
        assert person.status() == 0
        page.desk.wait_for(Gone, name)
    assert "\x1b[?1049l" in person.seen
    assert "Traceback" not in person.seen


def test_a_wrong_token_and_no_session_end_with_clear_words(page):
    with console(*COMMAND, "--url", page.process.url + "x") as person:
        assert person.status() == 1
    assert "robot-rl: the token in this address is not the session's" in person.seen
    with console(*COMMAND) as person:
        person.until("Address of the session")
        person.type("http://127.0.0.1:9/#token=secret\n")
        assert person.status() == 1
    assert "no session answers at 127.0.0.1:9" in person.seen
    assert "secret" not in person.seen
    assert "Traceback" not in person.seen


def test_without_a_terminal_it_says_so():
    told = subprocess.run(
        COMMAND,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=os.environ | {URL_VARIABLE: "http://127.0.0.1:9/#token=x"},
    )
    assert told.returncode == 1
    assert told.stderr.startswith("robot-rl: a session in the terminal needs one")


def test_a_block_ends_the_terminal_that_it_started(page):
    with shown(page), console(sys.executable, "-c", STARTED) as person:
        person.type(page.process.url + "\n")
        person.until("A U T O")
        child = int(
            Path(f"/proc/{person.process.pid}/task/{person.process.pid}/children")
            .read_text()
            .split()[0]
        )
        os.kill(child, 0)
        # The terminal that has the keys now hands none on: the block is ended by their end.
        person.process.send_signal(2)
        person.status()
    assert "\x1b[?1049l" in person.seen
    assert not Path(f"/proc/{child}").exists()


def test_to_start_one_loads_neither_torch_nor_what_draws_it():
    words = (
        "import sys, robot_rl.session.terminal.process; "
        "first = [m for m in ('torch', 'textual') if m in sys.modules]; "
        "import robot_rl.session.terminal.visit; "
        "print(first, [m for m in ('torch', 'fastapi', 'uvicorn') if m in sys.modules])"
    )
    told = subprocess.run(
        [sys.executable, "-c", words], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[] []"
