"""The policy server: where it listens, what it serves, and how it ends.

One thread runs the sockets; each policy has one of its own (`served_policy`). Who is let in is in
`door`, what a client may say in `session`, what a sender of weights may in `weight_desk`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve, unix_serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from robot_rl.core.errors import ConfigError
from robot_rl.policies.base import BasePolicy, PolicySpec
from robot_rl.policies.remote.bulk import BulkConnection
from robot_rl.runtime.serving.access import private_socket, tls_of
from robot_rl.runtime.serving.config import ServerConfig, check_bind
from robot_rl.runtime.serving.door import Door, policy_of_weights
from robot_rl.runtime.serving.metric import exposition
from robot_rl.runtime.serving.served_policy import ServedPolicy
from robot_rl.runtime.serving.session import ENDING, Session
from robot_rl.runtime.serving.weight_desk import WeightDesk

_LOG = logging.getLogger(__name__)
_WIRE_LOG = logging.getLogger(f"{__name__}.wire")
# It writes a traceback for every stranger who speaks no HTTP.
_WIRE_LOG.setLevel(logging.CRITICAL)

_OPENING_S = 5.0
CLOSING_S = 1.0
"""A client has so long to agree to the end of a connection [s]."""
_UNREAD = 1
"""Frames of a client that are read ahead; more wait where they come from."""

_NUMBER_BYTES, _OVERHEAD_BYTES = 8, 1 << 14
"""Of a number as numpy has it by default, and of all in a request but the observation."""
_UNSENT_BYTES = 1 << 20
"""So much of an answer is kept for a client that does not read, before its turn waits."""


class PolicyServer:
    """Serves policies over websockets that speak openpi's protocol.

    Args:
        policies: by the name under which clients ask; the first answers who names none. They are
            owned from now on.
        config: see there.

    Raises:
        ConfigError: if it would listen where it must not, a key file is no good, or `max_bytes`
            has no room for what a policy must be given.
    """

    def __init__(self, policies: Mapping[str, BasePolicy], config: ServerConfig) -> None:
        if not policies:
            raise ConfigError("policies: got none, expected at least one to serve")
        check_bind(config)
        for name, policy in policies.items():
            _check_size(name, policy.spec, config.max_bytes)
        self._config = config
        self._tls = tls_of(config)
        self._served = {name: ServedPolicy(name, p, config) for name, p in policies.items()}
        self._refused: Counter[str] = Counter()
        self._sessions: dict[Session, asyncio.Task[Any]] = {}
        self._senders: set[asyncio.Task[Any]] = set()
        self._door = Door(config, policies, self._refused, self._metrics)
        self._address = ""
        self._ready = asyncio.Event()
        self._asked_to_end = asyncio.Event()
        self._desk = WeightDesk(config)

    @property
    def address(self) -> str:
        """Where it listens: `ws://host:port`, `wss://host:port` or `unix:///path`."""
        return self._address

    @property
    def specs(self) -> dict[str, PolicySpec]:
        """What is served, by name."""
        return {name: served.spec for name, served in self._served.items()}

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Serve until `stop`, then answer what is in flight and close. Once only.

        Args:
            ready: called once every policy is warm and requests are answered.

        Raises:
            ConfigError: if it cannot listen there.
            ContractError: if a policy cannot plan from a zero observation.
        """
        listener = await self._listen()
        try:
            if await self._unless_stopped(self._warm_up()):
                self._door.opened = True
                self._ready.set()
                ready()
                await self._asked_to_end.wait()
        finally:
            await self._end(listener)

    def stop(self) -> None:
        """Ask `run` to end; from the loop's own thread."""
        self._asked_to_end.set()

    async def _listen(self) -> Server:
        config = self._config
        shared: dict[str, Any] = {
            "create_connection": BulkConnection,
            "process_request": self._door.admit,
            "compression": None,
            "server_header": None,
            "open_timeout": _OPENING_S,
            "ping_interval": config.ping_s,
            "ping_timeout": config.ping_s,
            "close_timeout": CLOSING_S,
            "max_size": config.max_bytes,
            "max_queue": _UNREAD,
            "write_limit": _UNSENT_BYTES,
            "logger": _WIRE_LOG,
            "ssl": self._tls,
        }
        if config.unix is not None:
            listening = private_socket(config.unix)
            self._address = f"unix://{config.unix.absolute()}"
            return await unix_serve(self._handle, sock=listening, **shared)
        try:
            listener = await serve(self._handle, config.host, config.port, **shared)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {config.host}:{config.port}: {error}; name another port, or 0 "
                "for a free one"
            ) from error
        host, port = next(iter(listener.sockets)).getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        self._address = f"{'wss' if self._tls else 'ws'}://{host}:{port}"
        return listener

    async def _warm_up(self) -> None:
        for served in self._served.values():
            await served.start()

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do it; returns whether it was finished before `stop`."""
        task, stopped = (
            asyncio.ensure_future(work),
            asyncio.ensure_future(self._asked_to_end.wait()),
        )
        await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            return False
        stopped.cancel()
        task.result()
        return True

    async def _end(self, listener: Server) -> None:
        """Let nobody in, answer what is in flight for as long as may be, close the rest."""
        self._door.close()
        self._ready.set()
        if self._sessions:
            finishing = [asyncio.ensure_future(session.finish()) for session in self._sessions]
            answering = [*self._sessions.values(), *finishing]
            await asyncio.wait(answering, timeout=self._config.drain_s)
        for served in self._served.values():
            served.stop()
        for sender in self._senders:
            sender.cancel()
        listener.close(code=CloseCode.GOING_AWAY, reason=ENDING)
        await listener.wait_closed()
        if self._config.unix is not None:
            self._config.unix.unlink(missing_ok=True)

    def _metrics(self) -> str:
        states = {name: served.state for name, served in self._served.items()}
        return exposition(states, self._refused, len(self._sessions), self._door.opened)

    async def _handle(self, connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        name = policy_of_weights(request)
        try:
            if name is None:
                await self._serve_client(connection)
            else:
                await self._take_weights(connection, self._served[name])
        except ConnectionClosed:
            _LOG.debug("%s has left", connection.remote_address)
        except Exception:  # noqa: BLE001 - one connection must not end the others
            _LOG.exception("a connection is closed because of a defect of this server")
            await connection.close(CloseCode.INTERNAL_ERROR, "a defect of the server")

    async def _take_weights(self, connection: ServerConnection, served: ServedPolicy) -> None:
        sender = asyncio.current_task()
        assert sender is not None
        self._senders.add(sender)
        try:
            await self._desk.serve(connection, served)
        finally:
            self._senders.discard(sender)

    async def _serve_client(self, connection: ServerConnection) -> None:
        most = self._config.max_clients
        if len(self._sessions) >= most:
            self._refused["clients"] += 1
            words = f"the server has its {most} clients; try again later"
            await connection.close(CloseCode.TRY_AGAIN_LATER, words)
            return
        session = Session(connection, self._served, next(iter(self._served)), self._refused)
        task = asyncio.current_task()
        assert task is not None
        self._sessions[session] = task
        try:
            # Clients of openpi do not come again: whoever is early waits for its metadata.
            await self._ready.wait()
            await session.serve()
        finally:
            del self._sessions[session]


def _check_size(name: str, spec: PolicySpec, limit: int) -> None:
    seen = spec.observation
    images = sum(image.height * image.width * 3 for image in seen.images.values())
    needed = spec.history * (images + _NUMBER_BYTES * seen.packed_size) + _OVERHEAD_BYTES
    if needed > limit:
        raise ConfigError(
            f"max_bytes: got {limit}, but a request of policy {name!r} takes up to {needed}; "
            "give it as much, or smaller images"
        )
