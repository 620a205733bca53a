"""The loop's side of the page's process: it never waits for a browser, nor for the process."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.runtime.child_process import ChildProcess
from robot_rl.session.command import Answer, Command, Gone, Motion
from robot_rl.session.config import PageConfig
from robot_rl.session.page import child
from robot_rl.session.page.door import check_page, page_url
from robot_rl.session.page.line import (
    MAX_UP_BYTES,
    Alive,
    Down,
    Failed,
    Opened,
    Up,
    decode_up,
    encode,
)
from robot_rl.session.page.mail import Mail
from robot_rl.session.seam import Desk
from robot_rl.session.view import Frame, Shown, View

_LOG = logging.getLogger(__name__)
_START_S = 60.0
_SILENCE_S = 5.0
"""A process that says nothing for so long is started anew; it says something every second."""
_HANG_UP_S = 1.0
_MOST_ANSWERS = 1000
_MOST_RESTARTS = 5
_RESTARTS_S = 60.0


class PageProcess:
    """Serves the page in a process of its own (implements `Outlet`).

    It is started again at the same address, with the same token, if it dies; at most five times
    a minute, then the session goes on without a page.

    Args:
        config: where it is served.
        desk: where what people want is handed in, by a thread.
        stores: folders of episode stores, that of the session first; they need not be there yet.
        film: folder of the pictures that were shown.
        log: where the process writes what it has to say.
        key_size: length of a motion's action.

    Attributes:
        url: where the page is, with its token.

    Raises:
        ConfigError: if others could reach it without token and TLS, or it cannot be served.
    """

    def __init__(
        self,
        config: PageConfig,
        desk: Desk,
        *,
        stores: Sequence[Path],
        film: Path,
        log: Path,
        key_size: int,
    ) -> None:
        self._config = config
        self._desk = desk
        self._stores = stores
        self._film = film
        self._log = log
        self._key_size = key_size
        self._token = check_page(config)
        self._mail: Mail[Down] = Mail(_MOST_ANSWERS)
        self._references: dict[str, Frame] = {}
        self._heard: set[str] = set()
        self._life = 0
        self._closed = False
        self._broken = False
        self._restarts: deque[float] = deque(maxlen=_MOST_RESTARTS)
        # Held while a pipe to the process is used or replaced.
        self._sending = threading.Lock()
        self._process = self._start(config.port)
        self._port = self._opened()
        self.url = page_url(config, self._port, self._token)
        self._reader = threading.Thread(target=self._read, name="page-news", daemon=True)
        self._writer = threading.Thread(target=self._write, name="page-views", daemon=True)
        self._reader.start()
        self._writer.start()

    @property
    def pid(self) -> int:
        """Of the process that serves now."""
        return self._process.pid

    def show(self, view: View) -> None:
        """Show a view in place of one that still waits; returns at once."""
        self._mail.put_newest("view", Shown(view=view))

    def picture(self, frame: Frame) -> None:
        """Show a picture in place of one of the camera that still waits; returns at once."""
        if frame.reference:
            self._references[frame.camera] = frame
        self._mail.put_newest(_kind(frame), frame)

    def close(self) -> None:
        """End the process, by force if need be."""
        if self._closed:
            return
        self._closed = True
        self._mail.close()
        self._writer.join(_HANG_UP_S)
        if self._writer.is_alive():
            self._process.kill()
            self._writer.join()
        with self._sending:
            self._process.hang_up()
        self._reader.join()
        self._process.close()

    def _start(self, port: int) -> ChildProcess:
        arguments = (
            self._config.model_dump_json(),
            port,
            self._token,
            json.dumps([str(store) for store in self._stores]),
            str(self._film),
            self._key_size,
        )
        return ChildProcess(child.main, arguments, name="page", log=self._log)

    def _opened(self) -> int:
        """Return the port once the page is served; else end the process."""
        try:
            return self._told_port()
        except BaseException:
            self._process.hang_up()
            self._process.close()
            raise

    def _told_port(self) -> int:
        try:
            if not self._process.inbox.poll(_START_S):
                raise ConfigError(f"the page is not there after {_START_S:g} s: {self._log}")
            message = decode_up(self._process.inbox.recv_bytes(MAX_UP_BYTES))
        except (EOFError, OSError) as error:
            raise ConfigError(f"the page has ended: {self._process.fate}") from error
        if isinstance(message, Failed):
            raise ConfigError(message.words)
        if not isinstance(message, Opened):
            raise ContractError(f"the page: got {type(message).__name__}, expected its port")
        return message.port

    def _write(self) -> None:
        while (message := self._mail.take()) is not None:
            data = encode(message)
            with self._sending:
                if self._broken:
                    continue
                try:
                    self._process.outbox.send_bytes(data)
                except OSError:
                    # The reader hears of the same end and starts it anew.
                    self._broken = True

    def _read(self) -> None:
        # The first has said already that it serves; those after it have yet to begin.
        patience_s = _SILENCE_S
        while True:
            why = self._listen(patience_s)
            patience_s = _START_S
            if self._closed:
                return
            for client in self._heard:
                self._desk.gone(Gone(client=client, why="the page's process has ended"))
            self._heard.clear()
            self._life += 1
            if not self._renew(why):
                return

    def _listen(self, patience_s: float) -> str:
        """Hand in what comes until nothing comes any more; return why."""
        inbox = self._process.inbox
        try:
            while inbox.poll(patience_s):
                message = decode_up(inbox.recv_bytes(MAX_UP_BYTES))
                patience_s = _SILENCE_S
                if isinstance(message, Failed):
                    return message.words
                self._hand_in(message)
        except (EOFError, OSError):
            return "has ended"
        except ContractError as error:
            return f"says what cannot be read: {error}"
        return f"has said nothing for {patience_s:g} s"

    def _hand_in(self, message: Up) -> None:
        if isinstance(message, Command):
            self._heard.add(message.client)
            self._desk.submit(message, partial(self._answer, self._life))
        elif isinstance(message, Motion):
            self._heard.add(message.client)
            self._desk.move(message)
        elif isinstance(message, Gone):
            self._heard.discard(message.client)
            self._desk.gone(message)
        elif not isinstance(message, Alive | Opened):
            raise ContractError(f"got {type(message).__name__}")

    def _answer(self, life: int, answer: Answer) -> None:
        if life == self._life:
            self._mail.put(answer)

    def _renew(self, why: str) -> bool:
        """Start the process anew; False if it dies too often, or all is to end."""
        self._process.kill()
        with self._sending:
            if self._closed:
                return False
            now = time.monotonic()
            often = len(self._restarts) == _MOST_RESTARTS
            if often and now - self._restarts[0] < _RESTARTS_S:
                _LOG.error("the page %s; %s. It is not started again", why, self._process.fate)
                self._broken = True
                return False
            _LOG.error("the page %s; it is started again. %s", why, self._process.fate)
            self._restarts.append(now)
            self._process.hang_up()
            self._process.close()
            self._process = self._start(self._port)
            self._broken = False
        for frame in tuple(self._references.values()):
            self._mail.put_newest(_kind(frame), frame)
        return True


def _kind(frame: Frame) -> str:
    return f"{'reference' if frame.reference else 'camera'} {frame.camera}"
