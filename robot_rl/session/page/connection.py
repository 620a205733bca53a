"""Connections of those who have shown no token yet: they are few, and soon gone."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

MOST_STRANGERS = 256
PATIENCE_S = 2.0
"""So long may a request take to come, and a websocket's first message."""

Peer = tuple[str, int]


class Crowd:
    """Every connection there is; of strangers the one that came first goes when too many come.

    So whoever opens connections and says nothing keeps nobody else out.

    Args:
        most: strangers at a time.
    """

    def __init__(self, most: int = MOST_STRANGERS) -> None:
        self._most = most
        self._strangers: dict[Peer, asyncio.Transport] = {}
        self._known: dict[Peer, asyncio.Transport] = {}

    def enter(self, transport: asyncio.Transport) -> None:
        """Somebody has connected."""
        self._strangers[_peer(transport)] = transport
        if len(self._strangers) > self._most:
            self._strangers.pop(next(iter(self._strangers))).abort()

    def welcome(self, peer: Peer) -> None:
        """They know the token: they stay."""
        if peer in self._strangers:
            self._known[peer] = self._strangers.pop(peer)

    def leave(self, transport: asyncio.Transport) -> None:
        """The connection has ended."""
        peer = _peer(transport)
        for crowd in (self._strangers, self._known):
            if crowd.get(peer) is transport:
                del crowd[peer]

    def drop(self, peer: Peer) -> None:
        """End a connection at once, whatever is still to be sent."""
        transport = self._known.get(peer) or self._strangers.get(peer)
        if transport is not None:
            transport.abort()

    def drop_all(self) -> None:
        """End every connection."""
        for transport in [*self._strangers.values(), *self._known.values()]:
            transport.abort()


def protocols(
    crowd: Crowd, patience_s: float = PATIENCE_S
) -> tuple[type[H11Protocol], type[WebSocketsSansIOProtocol]]:
    """Return the protocols of HTTP and of websockets whose connections are of that crowd."""

    class Http(H11Protocol):
        """Ends a connection whose request does not come; uvicorn would wait for ever."""

        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            super().connection_made(transport)
            crowd.enter(transport)
            self._set_deadline()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._set_deadline()

        def connection_lost(self, exc: Exception | None) -> None:
            self._clear_deadline()
            crowd.leave(self.transport)
            super().connection_lost(exc)

        def handle_websocket_upgrade(self, event: h11.Request) -> None:
            super().handle_websocket_upgrade(event)
            self._clear_deadline()

        def _set_deadline(self) -> None:
            cycle: Any = self.cycle
            if self.transport.get_protocol() is not self:
                return
            if cycle is not None and not cycle.response_complete:
                self._clear_deadline()
            elif self._deadline is None:
                self._deadline = self.loop.call_later(patience_s, self.transport.abort)

        def _clear_deadline(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    class Websocket(WebSocketsSansIOProtocol):
        """Leaves the crowd at its end."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.close_timeout = patience_s

        def connection_lost(self, exc: Exception | None) -> None:
            crowd.leave(self.transport)
            super().connection_lost(exc)

    return Http, Websocket


def _peer(transport: asyncio.Transport) -> Peer:
    host, port = transport.get_extra_info("peername")[:2]
    return str(host), int(port)
