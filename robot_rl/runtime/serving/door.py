"""Who is let in, and what is answered to those who only speak HTTP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from robot_rl.core.errors import did_you_mean
from robot_rl.runtime.serving.access import knows, read_key
from robot_rl.runtime.serving.config import ServerConfig
from robot_rl.runtime.serving.session import ENDING

_WEIGHTS = "/weights"


class Door:
    """Decides over each connection before it is a websocket.

    Args:
        config: of the server.
        names: of the policies.
        refused: where it counts who was sent away, by kind.
        metrics: what to tell Prometheus.

    Attributes:
        opened: whether every policy is warm and requests are answered.

    Raises:
        ConfigError: if a key file is no good.
    """

    def __init__(
        self,
        config: ServerConfig,
        names: Collection[str],
        refused: Counter[str],
        metrics: Callable[[], str],
    ) -> None:
        self.opened = False
        self._ending = False
        self._api_key = read_key(config.api_key_file) if config.api_key_file else None
        self._admin_key = read_key(config.admin_key_file) if config.admin_key_file else None
        self._max_weight_bytes = config.max_weight_bytes
        self._names = names
        self._refused = refused
        self._metrics = metrics

    def close(self) -> None:
        """Let nobody in any more; HTTP is still answered."""
        self.opened, self._ending = False, True

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Return what to answer instead of opening a websocket; None opens it."""
        path = urlsplit(request.path).path
        if request.headers.get_all("Origin"):
            return _told(connection, HTTPStatus.FORBIDDEN, "no browsers")
        if path == "/healthz":
            return _told(connection, HTTPStatus.OK, "OK")
        if path == "/readyz":
            return self._unready(connection) or _told(connection, HTTPStatus.OK, "READY")
        if path == _WEIGHTS:
            return self._admit_weights(connection, request)
        if not knows(self._api_key, request.headers):
            self._refused["key"] += 1
            words = "expected the header Authorization: Api-Key KEY"
            return _told(connection, HTTPStatus.UNAUTHORIZED, words)
        if path == "/metrics":
            return _told(connection, HTTPStatus.OK, self._metrics().rstrip("\n"))
        if path != "/":
            return _told(connection, HTTPStatus.NOT_FOUND, "plans are on the path /")
        return self._unready(connection) if self._ending else None

    def _admit_weights(self, connection: ServerConnection, request: Request) -> Response | None:
        if self._admin_key is None or not knows(self._admin_key, request.headers):
            self._refused["admin_key"] += 1
            return _told(connection, HTTPStatus.FORBIDDEN, "weights need the admin key")
        name = policy_of_weights(request) or ""
        if name not in self._names:
            words = f"/weights?policy=NAME: unknown {name!r}{did_you_mean(name, self._names)}"
            return _told(connection, HTTPStatus.NOT_FOUND, words)
        # Of this connection alone: everybody else stays below `max_bytes`.
        connection.protocol.max_message_size = self._max_weight_bytes
        return self._unready(connection)

    def _unready(self, connection: ServerConnection) -> Response | None:
        if self.opened:
            return None
        words = ENDING if self._ending else "warming up"
        return _told(connection, HTTPStatus.SERVICE_UNAVAILABLE, words)


def policy_of_weights(request: Request) -> str | None:
    """Return whose weights a request is about: `/weights?policy=NAME`; None if it wants plans."""
    url = urlsplit(request.path)
    return parse_qs(url.query).get("policy", [""])[0] if url.path == _WEIGHTS else None


def _told(connection: ServerConnection, status: HTTPStatus, words: str) -> Response:
    return connection.respond(status, f"{words}\n")
