"""Who is let in: by the address they used, the page they come from, and the token they know."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Callable, Sequence
from urllib.parse import quote

from robot_rl.core.errors import ConfigError
from robot_rl.runtime.serving.access import read_key, tls_context
from robot_rl.runtime.serving.config import check_host
from robot_rl.session.config import PageConfig

WRONG_TOKEN = 4401
FOREIGN = 4403
"""Codes with which a websocket is closed."""
FOREIGN_WORDS = (
    "This address is not the session's: open the one that it printed, or start it with this one's "
    "host and port in session.page.names.\n"
)

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_DEFAULT_PORT = {"http": 80, "https": 443}
_MOST_FAILURES = 10
_FAILURES_S = 60.0
_MOST_ADDRESSES = 1024


def check_page(config: PageConfig) -> str:
    """Refuse what must not be served, and return the token; a fresh one if none is configured.

    Raises:
        ConfigError: if others could reach the page without token file and TLS, or a file is no
            good.
    """
    needed = {
        "page.token_file": config.token_file,
        "page.tls_cert": config.tls_cert,
        "page.tls_key": config.tls_key,
    }
    check_host(config.host, config.port, needed)
    tls_context(config.tls_cert, config.tls_key)
    if config.token_file is None:
        return secrets.token_urlsafe(32)
    try:
        return read_key(config.token_file).decode("ascii")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{config.token_file}: expected a token of plain letters and digits; make one: "
            f"(umask 077; openssl rand -hex 32 > {config.token_file})"
        ) from error


def page_url(config: PageConfig, port: int, token: str) -> str:
    """Return where the page is, the token in the part that browsers keep to themselves."""
    unnamed = _is_any_address(config.host)
    host = (config.names[0] if config.names else "localhost") if unnamed else config.host
    return f"{_origins(config, port, [host])[0]}/#token={quote(token, safe='')}"


class Door:
    """Decides over requests; what it compares with the token takes as long whatever it is.

    Args:
        config: of the page.
        port: on which it is served.
        token: what whoever comes has to know.
        clock: seconds that only grow.
    """

    def __init__(
        self, config: PageConfig, port: int, token: str, clock: Callable[[], float]
    ) -> None:
        self._token = token.encode()
        self._clock = clock
        own = [] if _is_any_address(config.host) else [config.host]
        self._origins = frozenset(_origins(config, port, [*_LOOPBACK, *config.names, *own]))
        self._scheme = _scheme(config)
        self._failures: dict[str, list[float]] = {}

    def is_foreign(self, hosts: Sequence[str], origins: Sequence[str]) -> bool:
        """Whether a request names another host, or comes from a page of another origin.

        A name that somebody points at this machine is another host, so no page of theirs gets
        past this, whatever their name server says.

        Args:
            hosts: values of the header Host.
            origins: values of the header Origin; who is no browser has none.
        """
        if len(hosts) != 1 or len(origins) > 1:
            return True
        here = self._as_origin(hosts[0])
        return here not in self._origins or any(self._as_own(o) != here for o in origins)

    def knows(self, token: str, address: str) -> bool:
        """Whether a token is the right one. Who tried too often does not know it for a minute."""
        if self.is_shut(address):
            return False
        if hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self._token):
            return True
        self._note_failure(address)
        return False

    def is_shut(self, address: str) -> bool:
        """Whether so many wrong tokens came from an address that none is looked at."""
        recent = self._recent(address)
        return len(recent) > _MOST_FAILURES

    def _note_failure(self, address: str) -> None:
        recent = [*self._recent(address), self._clock()]
        # The newest last, so that whoever is forgotten has been quiet for longest.
        self._failures.pop(address, None)
        self._failures[address] = recent[-_MOST_FAILURES - 1 :]
        if len(self._failures) > _MOST_ADDRESSES:
            del self._failures[next(iter(self._failures))]

    def _recent(self, address: str) -> list[float]:
        since = self._clock() - _FAILURES_S
        return [when for when in self._failures.get(address, ()) if when > since]

    def _as_origin(self, host: str) -> str:
        return _without_default_port(f"{self._scheme}://{host.lower()}")

    @staticmethod
    def _as_own(origin: str) -> str:
        return _without_default_port(origin.lower())


def bearer(values: Sequence[str]) -> str:
    """Return the token of the header `Authorization: Bearer TOKEN`; empty without one."""
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    return token.strip() if scheme.lower() == "bearer" else ""


def _scheme(config: PageConfig) -> str:
    return "https" if config.tls_cert else "http"


def _origins(config: PageConfig, port: int, hosts: Sequence[str]) -> list[str]:
    """Return the origins of host names; one that names a port of its own keeps it."""
    return [
        _without_default_port(f"{_scheme(config)}://{_with_port(host.lower(), port)}")
        for host in hosts
    ]


def _with_port(host: str, port: int) -> str:
    if host.startswith("["):
        return host if "]:" in host else f"{host}:{port}"
    if host.count(":") > 1:
        return f"[{host}]:{port}"
    return host if ":" in host else f"{host}:{port}"


def _without_default_port(origin: str) -> str:
    scheme, _, _ = origin.partition("://")
    return origin.removesuffix(f":{_DEFAULT_PORT.get(scheme, 0)}")


def _is_any_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
