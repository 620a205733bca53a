"""The one line to the session: it says hello, hears views and answers, and mends itself."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from robot_rl.core.errors import ConfigError, RobotRlError
from robot_rl.session.client.address import Address
from robot_rl.session.command import Answer
from robot_rl.session.mode import Verb
from robot_rl.session.page.message import PROTOCOL, Asked, Hello, Moved
from robot_rl.session.view import View

STALE_S = 1.0
"""Without a view for so long, nothing can be asked for but a stop."""

_PATIENCE_S = 5.0
_DEAD_S = 4.0
"""A socket that shows nothing for so long is taken for dead, whatever the network says."""
_PAUSES_S = (0.25, 0.5, 1.0, 2.0)
_MAX_BYTES = 1 << 24
_MOST_WAITING_BYTES = 1 << 12
"""What is not sent yet is kept here, where the newest motion takes the older one's place."""
_FINAL = {
    "wrong token": "the token in this address is not the session's: use the one it printed",
    "another address or page": (
        "the session does not serve this address: use the one it printed, or start it with this "
        "one's host and port in session.page.names"
    ),
}


class Absent(RobotRlError):
    """No session answers at the address now; it may come back."""


class Told(msgspec.Struct, frozen=True):
    """What all messages of the session have, and `welcome` and `error` have alone."""

    type: str = ""
    client: str = ""
    words: str = ""


Heard = View | Answer | Told
Argument = str | int | float | bool | None

_TOLD = msgspec.json.Decoder(Told)
_VIEW = msgspec.json.Decoder(View)
_ANSWER = msgspec.json.Decoder(Answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How the line stands.

    Args:
        is_live: the newest view is so new that what it says holds.
        silent_s: since that view, or since the beginning.
        words: what is wrong, and what is done about it; empty if nothing is.
    """

    is_live: bool
    silent_s: float
    words: str


class Line:
    """One client of the page. For one event loop; nothing but `open` and `run` waits.

    Args:
        address: of the session.
        name: kind of client, as in `terminal`; the session numbers them.
        clock: seconds that only grow.

    Attributes:
        address: of the session.
        client: the name that the session gave; empty while there is no line.
    """

    def __init__(
        self, address: Address, name: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.address = address
        self._name = name
        self.client = ""
        self._clock = clock
        self._viewed_s = clock()
        self._view = 0
        self._socket: ClientConnection | None = None
        self._asked: deque[bytes] = deque()
        self._motion: bytes | None = None
        self._news = asyncio.Event()
        self._number = 0
        self._tries = 0
        self._why = ""
        self._refused = ""

    @property
    def status(self) -> Status:
        """How the line stands now."""
        silent_s = self._clock() - self._viewed_s
        again = f"trying to reach it again, attempt {self._tries + 1}; {self._why}"
        words = self._refused or ("" if self.client else again.removesuffix("; "))
        is_live = self.client != "" and silent_s <= STALE_S
        return Status(is_live=is_live, silent_s=silent_s, words=words)

    async def open(self) -> None:
        """Say hello.

        Raises:
            Absent: if nobody answers, or the session takes nobody in now.
            ConfigError: if token or address are wrong, so that to try again would not help.
        """
        try:
            self._socket = await connect(
                self.address.websocket,
                proxy=None,
                compression=None,
                open_timeout=_PATIENCE_S,
                close_timeout=_PATIENCE_S / 5,
                max_size=_MAX_BYTES,
                write_limit=_MOST_WAITING_BYTES,
            )
            hello = Hello(token=self.address.token, protocol=PROTOCOL, name=self._name)
            await self._socket.send(_text(hello), text=True)
            async with asyncio.timeout(_PATIENCE_S):
                told = _TOLD.decode(await self._socket.recv())
        except ConnectionClosed as closed:
            self._refuse(closed)
        except (OSError, WebSocketException, msgspec.MsgspecError) as error:
            place = self.address.place
            why = str(error) or type(error).__name__
            raise Absent(f"no session answers at {place}: {why}") from error
        else:
            self.client = told.client
            self._tries = 0

    async def run(self, hear: Callable[[Heard], None]) -> None:
        """Hand in what the session says, and reach it again when it is lost; until cancelled.

        It ends by itself only where to try again would not help; `status` says why.
        """
        while True:
            try:
                if self._socket is None:
                    await self.open()
                self._why = await self._talk(hear)
            except ConfigError as error:
                self._refused = str(error)
                return
            except Absent as error:
                self._why = str(error)
            await self._drop()
            await asyncio.sleep(_PAUSES_S[min(self._tries, len(_PAUSES_S) - 1)])
            self._tries += 1

    async def close(self) -> None:
        """Leave: whoever holds the arm with this client lets go of it."""
        await self._drop()

    def command(
        self, verb: Verb, arguments: Mapping[str, Argument] | None = None, view: int = 0
    ) -> int:
        """Ask for something; return the number that its answer has, 0 if it cannot be sent.

        It says what was seen when it was asked for: the session refuses what comes too long after
        that, all but a stop.

        Args:
            verb: what is asked for.
            arguments: what it takes.
            view: number of the view that was seen; the newest that came here, if not said.
        """
        number = self._count()
        seen = view or self._view
        asked = Asked(number=number, verb=verb, view=seen, arguments=dict(arguments or {}))
        if not self.client:
            return 0
        if verb == Verb.STOP:
            self._asked.appendleft(_text(asked))
        else:
            self._asked.append(_text(asked))
        self._news.set()
        return number

    def move(self, active: bool, action: tuple[float, ...]) -> None:
        """Say what the keys want now, in place of what waits to be sent."""
        if self.client:
            moved = Moved(number=self._count(), active=active, view=self._view, action=action)
            self._motion = _text(moved)
            self._news.set()

    def _count(self) -> int:
        self._number += 1
        return self._number

    def _refuse(self, closed: ConnectionClosed) -> None:
        reason = closed.rcvd.reason if closed.rcvd else ""
        if reason in _FINAL:
            raise ConfigError(_FINAL[reason]) from closed
        why = reason or "the line was closed"
        raise Absent(f"the session at {self.address.place} takes nobody in: {why}") from closed

    async def _talk(self, hear: Callable[[Heard], None]) -> str:
        """Speak and listen until the socket ends; return why it did."""
        assert self._socket is not None
        socket = self._socket
        sender = asyncio.create_task(self._send(socket))
        opened_s = self._clock()
        try:
            while True:
                # A session that shows nothing is as good as gone, though its page still speaks.
                patience_s = max(self._viewed_s, opened_s) + _DEAD_S - self._clock()
                async with asyncio.timeout(max(patience_s, 0.0)):
                    message = await socket.recv()
                if isinstance(message, str):
                    self._take(message, hear)
        except ConnectionClosed as closed:
            return closed.rcvd.reason if closed.rcvd else ""
        except TimeoutError:
            return "it shows nothing any more"
        except msgspec.MsgspecError as error:
            return f"it says what cannot be read: {error}"
        finally:
            sender.cancel()

    def _take(self, message: str, hear: Callable[[Heard], None]) -> None:
        told = _TOLD.decode(message)
        if told.type == "view":
            view = _VIEW.decode(message)
            self._viewed_s, self._view = self._clock(), view.number
            hear(view)
        elif told.type == "answer":
            hear(_ANSWER.decode(message))
        elif told.type == "error":
            hear(told)

    async def _send(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._news.wait()
                self._news.clear()
                while (message := self._next()) is not None:
                    await socket.send(message, text=True)

    def _next(self) -> bytes | None:
        if self._asked:
            return self._asked.popleft()
        motion, self._motion = self._motion, None
        return motion

    async def _drop(self) -> None:
        """Forget the socket, and what was asked for: nobody wants it minutes later."""
        socket, self._socket = self._socket, None
        self.client = ""
        self._view = 0
        self._asked.clear()
        self._motion = None
        if socket is not None:
            await socket.close()


def _text(message: Hello | Asked | Moved) -> bytes:
    return msgspec.json.encode(message)
