"""Serves the page in its process: one event loop, a thread to hear the loop, one to tell it."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import uvicorn
from uvicorn.server import ServerState

from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.runtime.serving.access import tls_context
from robot_rl.session.config import PageConfig
from robot_rl.session.film import Film
from robot_rl.session.page.app import page_app
from robot_rl.session.page.archive import Archive
from robot_rl.session.page.connection import PATIENCE_S, Crowd, protocols
from robot_rl.session.page.door import Door
from robot_rl.session.page.hub import Hub
from robot_rl.session.page.line import (
    MAX_DOWN_BYTES,
    Alive,
    Down,
    Opened,
    Up,
    decode_down,
    encode,
)
from robot_rl.session.page.mail import Mail
from robot_rl.session.page.message import MAX_MESSAGE_BYTES

ALIVE_S = 1.0
"""So often the loop is told that this process still turns."""

_LOG = logging.getLogger(__name__)
_WATCH_S = 0.02
_PING_S = 10.0
_BACKLOG = 128
_MOST_MAIL = 500


def serve(
    config: str,
    port: int,
    token: str,
    stores: str,
    film: str,
    key_size: int,
    inbox: Connection,
    outbox: Connection,
) -> None:
    """Serve the page until the other end of the pipes hangs up.

    The arguments are those of `PageProcess`: `config` a `PageConfig` as JSON, `stores` a list as
    JSON, `port` the one to listen on, where 0 takes a free one.

    Raises:
        ConfigError: if the address cannot be had.
    """
    page = PageConfig.model_validate_json(config)
    listening = _listen(page.host, port)
    asyncio.run(
        _Server(page, token, json.loads(stores), film, key_size, inbox, outbox).run(listening)
    )


class _Server:
    """What `serve` is made of."""

    def __init__(
        self,
        config: PageConfig,
        token: str,
        stores: list[str],
        film: str,
        key_size: int,
        inbox: Connection,
        outbox: Connection,
    ) -> None:
        self._config = config
        self._token = token
        self._inbox = inbox
        self._outbox = outbox
        self._mail: Mail[Up] = Mail(_MOST_MAIL)
        self._archive = Archive([Path(s) for s in stores], Film(Path(film)), config.jpeg_quality)
        self._hub = Hub(
            self._mail,
            self._archive.keep,
            quality=config.jpeg_quality,
            key_size=key_size,
            store=stores[0],
        )
        self._crowd = Crowd()
        self._end = asyncio.Event()

    async def run(self, listening: socket.socket) -> None:
        """Serve on a socket until the pipe closes; whatever fails ends the process."""
        loop = asyncio.get_running_loop()
        port = listening.getsockname()[1]
        http, tls = self._uvicorn(port)
        state = ServerState()
        server = await loop.create_server(
            lambda: http.http_protocol_class(config=http, server_state=state, app_state={}),  # pyright: ignore[reportCallIssue]
            sock=listening,
            ssl=tls,
            ssl_handshake_timeout=PATIENCE_S if tls else None,
            backlog=_BACKLOG,
        )
        self._mail.put(Opened(port=port))
        for work in (self._read, self._write):
            threading.Thread(target=work, args=(loop,), daemon=True).start()
        async with asyncio.TaskGroup() as group:
            turning = [group.create_task(self._watch()), group.create_task(self._beat())]
            await self._end.wait()
            for task in turning:
                task.cancel()
        server.close()
        self._crowd.drop_all()
        self._mail.close()
        self._hub.close()
        self._archive.close()

    def _uvicorn(self, port: int) -> tuple[uvicorn.Config, ssl.SSLContext | None]:
        door = Door(self._config, port, self._token, time.monotonic)
        app = page_app(self._hub, door, self._crowd, self._archive, self._config.most_clients)
        http, websocket = protocols(self._crowd)
        config = uvicorn.Config(
            app,
            http=http,
            ws=websocket,
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="warning",
            access_log=False,
            # Nobody stands in front of it: such a header would only lie about the address.
            proxy_headers=False,
            server_header=False,
            # What is a little too large is answered with words.
            ws_max_size=2 * MAX_MESSAGE_BYTES,
            ws_ping_interval=_PING_S,
            ws_ping_timeout=_PING_S,
            ws_per_message_deflate=False,
        )
        config.load()
        return config, tls_context(self._config.tls_cert, self._config.tls_key)

    async def _watch(self) -> None:
        while True:
            self._hub.watch()
            await asyncio.sleep(_WATCH_S)

    async def _beat(self) -> None:
        while True:
            self._mail.put_newest("alive", Alive())
            await asyncio.sleep(ALIVE_S)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while True:
                message = decode_down(self._inbox.recv_bytes(MAX_DOWN_BYTES))
                # One at a time: what is not taken yet waits in the pipe, and in the loop's
                # process, where only the newest counts.
                asyncio.run_coroutine_threadsafe(self._take(message), loop).result()
        except (EOFError, OSError, ContractError) as error:
            if not isinstance(error, EOFError):
                _LOG.error("the line to the loop has broken: %s", error)
            loop.call_soon_threadsafe(self._end.set)

    async def _take(self, message: Down) -> None:
        try:
            self._hub.take(message)
        except ContractError as error:
            _LOG.warning("%s", error)

    def _write(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while (message := self._mail.take()) is not None:
                self._outbox.send_bytes(encode(message))
        except OSError:
            loop.call_soon_threadsafe(self._end.set)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        raise ConfigError(
            f"the page cannot be served on {host}:{port}: {error}; name another port, or 0 for a "
            "free one"
        ) from error
    return listening
