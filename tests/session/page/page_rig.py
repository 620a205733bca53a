"""A desk that remembers, a page that is served for real, and somebody who opens it."""

from __future__ import annotations

import contextlib
import json
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from robot_rl.session.command import Answer, Command, Gone, Motion
from robot_rl.session.config import PageConfig
from robot_rl.session.mode import LEGAL, Mode
from robot_rl.session.page.message import PROTOCOL
from robot_rl.session.page.process import PageProcess
from robot_rl.session.view import CameraView, EpisodeView, Frame, View

WAIT_S = 20.0
SHOW_S = 0.1
KEY_SIZE = 4
HEADER = struct.Struct("<IIdd")


class NotedDesk:
    """Notes what is handed in and when; answers each command with its verb, unless told not to."""

    def __init__(self) -> None:
        self.answers = True
        self.refuses = False
        self._notes: list[tuple[float, Command | Motion | Gone]] = []
        self._news = threading.Condition()

    def submit(self, command: Command, answer: Callable[[Answer], None]) -> None:
        self._note(command)
        if self.answers:
            told = Answer(
                client=command.client,
                number=command.number,
                done=not self.refuses,
                words=command.verb.value,
            )
            answer(told)

    def move(self, motion: Motion) -> None:
        self._note(motion)

    def gone(self, gone: Gone) -> None:
        self._note(gone)

    def notes[N: Command | Motion | Gone](self, kind: type[N], client: str) -> list[N]:
        with self._news:
            return [n for _, n in self._notes if isinstance(n, kind) and n.client == client]

    def wait_for[N: Command | Motion | Gone](
        self,
        kind: type[N],
        client: str,
        count: int = 1,
        where: Callable[[N], bool] = lambda _: True,
    ) -> tuple[float, N]:
        """The count-th such note, and when it was made (monotonic seconds)."""

        def found() -> list[tuple[float, N]]:
            return [
                (s, n)
                for s, n in self._notes
                if isinstance(n, kind) and n.client == client and where(n)
            ]

        with self._news:
            assert self._news.wait_for(lambda: len(found()) >= count, WAIT_S), self._notes[-5:]
            return found()[count - 1]

    def _note(self, note: Command | Motion | Gone) -> None:
        with self._news:
            self._notes.append((time.monotonic(), note))
            self._news.notify_all()


class Browser:
    """A client that has said hello.

    Attributes:
        view: number of the newest view that it has read, which it says with what it wants.
    """

    def __init__(self, socket: ClientConnection, token: str, **hello: object) -> None:
        self.socket = socket
        self.cameras: list[str] = []
        self.view = 0
        self.say(**{"type": "hello", "token": token, "protocol": PROTOCOL} | hello)
        self.welcome = self.until("welcome")
        self.name: str = self.welcome["client"]
        self._number = 0

    def say(self, **message: object) -> None:
        self.socket.send(json.dumps(message))

    def move(self, active: bool = True) -> int:
        self._number += 1
        action = [0.5 if active else 0.0] * KEY_SIZE
        said = {"number": self._number, "view": self.view, "active": active, "action": action}
        self.say(type="motion", **said)
        return self._number

    def ask(self, number: int, verb: str, **arguments: object) -> None:
        said = {"number": number, "view": self.view, "verb": verb, "arguments": arguments}
        self.say(type="command", **said)

    def hear(self) -> Any:
        """The next message: JSON, or bytes."""
        message = self.socket.recv(WAIT_S)
        if isinstance(message, bytes):
            return message
        told = json.loads(message)
        if told["type"] == "cameras":
            self.cameras = told["names"]
        elif told["type"] == "view":
            self.view = told["number"]
        return told

    def until(self, kind: str, where: Callable[[Any], bool] = lambda _: True) -> Any:
        while True:
            message = self.hear()
            if isinstance(message, dict) and message["type"] == kind and where(message):
                return message

    @staticmethod
    def split(message: bytes) -> tuple[int, int, float, float, bytes]:
        """A picture: channel, number, taken and sent [ms], JPEG."""
        return *HEADER.unpack_from(message), message[HEADER.size :]

    def code_of_closing(self) -> int:
        """Read on until the connection is closed, and return its code."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.socket.recv(WAIT_S)
        return self.socket.close_code or 0


class Page:
    """A page process with its desk, and ways to it."""

    def __init__(self, folder: Path, **config: object) -> None:
        self.desk = NotedDesk()
        self.folder = folder
        self.log = folder / "page.log"
        self.process = PageProcess(
            PageConfig.model_validate({"port": 0} | config),
            self.desk,
            stores=[folder / "store"],
            film=folder / "film",
            log=self.log,
            key_size=KEY_SIZE,
        )
        self.address, _, self.token = self.process.url.partition("/#token=")
        self.host = self.address.partition("://")[2]
        self.port = int(self.host.rpartition(":")[2])
        self.ws_address = "ws" + self.address.removeprefix("http") + "/ws"

    @contextmanager
    def browser(self, token: str = "", *, hello: Any = None, **options: Any) -> Iterator[Browser]:
        with connect(self.ws_address, max_size=None, **options) as socket:
            yield Browser(socket, token or self.token, **(hello or {}))

    @contextmanager
    def showing(self, shown: View, *browsers: Browser) -> Iterator[None]:
        """A session that goes on, and shows this all the while; the browsers have seen it."""
        ended = threading.Event()

        def show() -> None:
            while not ended.is_set():
                self.process.show(shown)
                ended.wait(SHOW_S)

        thread = threading.Thread(target=show)
        thread.start()
        try:
            for browser in browsers:
                browser.until("view", lambda v: _is(v, shown))
            yield
        finally:
            ended.set()
            thread.join()

    def http(self, method: str, path: str, token: str | None = "", **options: Any):
        headers = {} if token is None else {"Authorization": f"Bearer {token or self.token}"}
        headers |= options.pop("headers", {})
        # The path is sent as it is: dots are not folded.
        url = httpx.URL(self.address, raw_path=path.encode())
        with httpx.Client(trust_env=False, timeout=WAIT_S) as client:
            return client.request(method, url, headers=headers, **options)


def _is(told: Any, shown: View) -> bool:
    return (told["number"], told["holder"]) == (shown.number, shown.holder)


def view(number: int = 1, *, mode: Mode = Mode.AUTO, holder: str = "", **more: Any) -> View:
    episode = EpisodeView(
        episode_id=more.pop("episode_id", "e1"),
        seed=1,
        step=more.pop("step", 3),
        horizon=100,
        seconds=0.3,
        reward=0.0,
        human_steps=0,
        judging=False,
        outcome="unknown",
    )
    cameras = tuple(
        CameraView(name=name, width=64, height=48, rate_hz=20, age_s=0.01, frozen=False)
        for name in more.pop("cameras", ())
    )
    return View(
        number=number,
        run="r",
        task="t",
        mode=mode,
        mode_s=1.0,
        driver="policy",
        holder=holder,
        why="",
        legal=tuple(sorted(LEGAL[mode])),
        period_s=0.1,
        episode=episode,
        cameras=cameras,
        **more,
    )


def frame(
    camera: str, number: int, grey: int = 100, *, reference: bool = False, rows: int = 48
) -> Frame:
    return Frame(
        camera=camera,
        number=number,
        stamp_ns=time.monotonic_ns(),
        width=64,
        height=rows,
        rgb=bytes([grey]) * (64 * 48 * 3),
        reference=reference,
    )
