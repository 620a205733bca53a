"""Where a session is, and the token that opens it, as its address says both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qs, urlsplit

from robot_rl.core.errors import ConfigError

URL_VARIABLE = "ROBOT_RL_SESSION_URL"
"""The address in the environment, which only the same user can read."""

_EXAMPLE = "expected what the session printed: http://127.0.0.1:8400/#token=..."


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A session's address.

    Args:
        host: name or number, without brackets; `port`: its port.
        is_tls: whether it is https.
        token: what whoever comes has to know; shown nowhere.
    """

    host: str
    port: int
    is_tls: bool
    token: str = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read a URL with its token in the fragment.

        Raises:
            ConfigError: if it is none of a session; the words do not quote it.
        """
        try:
            parts = urlsplit(url.strip())
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"the session's address cannot be read; {_EXAMPLE}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"the session's address is no http address; {_EXAMPLE}")
        token = parse_qs(parts.fragment).get("token", [""])[0]
        if not token:
            raise ConfigError(f"the session's address has no token; {_EXAMPLE}")
        is_tls = parts.scheme == "https"
        port = port or (443 if is_tls else 80)
        return cls(host=parts.hostname, port=port, is_tls=is_tls, token=token)

    @property
    def place(self) -> str:
        """Host and port, as a URL has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def websocket(self) -> str:
        """Where views come from; without the token."""
        return f"{'wss' if self.is_tls else 'ws'}://{self.place}/ws"
