"""How a websocket to a policy server is opened: address, TLS, key, upgrade."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidURI
from websockets.protocol import State
from websockets.uri import parse_uri

from robot_rl.core.errors import ConfigError, HardwareError
from robot_rl.policies.remote.frame import ClosedError, FrameSocket

_MAX_RESPONSE = 1 << 16
_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a policy server is, and what it takes to get in.

    Args:
        url: `ws://host:port`, `wss://host:port`, or `unix:///path` for a server of this machine.
        api_key: that the server asks for; None if it asks for none.
        ca_file: PEM of the authorities to trust for `wss`; the system's without it.

    Raises:
        ConfigError: if the URL is none of these, or the key would travel in the clear.
    """

    url: str
    api_key: str | None = field(default=None, repr=False)
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("ws", "wss", "unix") or not (parts.hostname or parts.path):
            raise ConfigError(
                f"url: got {self.url!r}, expected ws://host:port, wss://host:port or unix:///path"
            )
        if self.api_key and parts.scheme == "ws" and not _is_loopback(parts.hostname or ""):
            raise ConfigError(
                f"url: the key would travel to {parts.hostname} in the clear; use wss://"
            )


def read_api_key(file: Path | None) -> str | None:
    """Return the key that a file holds, None without a file; `~` is the user's home.

    Raises:
        ConfigError: if it cannot be read.
    """
    try:
        return None if file is None else file.expanduser().read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"api_key_file: {file} cannot be read: {error}") from error


def open_websocket(address: Address, max_bytes: int, deadline_s: float) -> FrameSocket:
    """Return an open websocket.

    Args:
        address: of the server.
        max_bytes: of a message that may come.
        deadline_s: of the monotonic clock [s].

    Raises:
        OSError: if nobody is there, or the server does not answer in time.
        ConfigError: if the server refuses the key, or a file of TLS is no good.
        HardwareError: if what answers speaks no websocket.
    """
    connected = _connect(address, deadline_s)
    try:
        ahead = _upgrade(connected, address, deadline_s)
    except BaseException:
        connected.close()
        raise
    return FrameSocket(connected, ahead, max_bytes)


def _connect(address: Address, deadline_s: float) -> socket.socket:
    parts, left_s = urlsplit(address.url), max(deadline_s - time.monotonic(), 1e-3)
    if parts.scheme == "unix":
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connected.settimeout(left_s)
        try:
            connected.connect(parts.path)
        except OSError:
            connected.close()
            raise
        return connected
    tls = parts.scheme == "wss"
    port = parts.port or (443 if tls else 80)
    host = parts.hostname or ""
    context = _context(address.ca_file) if tls else None
    connected = socket.create_connection((host, port), timeout=left_s)
    try:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(connected, server_hostname=host) if context else connected
    except ssl.SSLCertVerificationError as error:
        connected.close()
        raise ConfigError(
            f"{address.url}: its certificate is not trusted: {error.verify_message}; name the "
            "file of its authority as ca_file"
        ) from error
    except BaseException:
        connected.close()
        raise


def _context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigError(f"{ca_file}: no certificates to trust: {error}") from error


def _upgrade(connected: socket.socket, address: Address, deadline_s: float) -> bytes:
    """Ask for a websocket; returns what came after the consent."""
    is_unix = address.url.startswith("unix:")
    try:
        protocol = ClientProtocol(parse_uri("ws://localhost/" if is_unix else address.url))
    except InvalidURI as error:
        raise ConfigError(f"url: {error}") from error
    request = protocol.connect()
    if address.api_key:
        request.headers["Authorization"] = f"Api-Key {address.api_key}"
    protocol.send_request(request)
    connected.sendall(b"".join(protocol.data_to_send()))
    head, ahead = _response(connected, deadline_s)
    status = head.partition(b"\r\n")[0].decode("latin-1")
    if status.split(" ")[1:2] in (["401"], ["403"]):
        raise ConfigError(
            f"{address.url}: {status}; give the key that the server was started with"
        )
    if status.split(" ")[1:2] == ["101"]:
        protocol.receive_data(head)
    if protocol.state is not State.OPEN:
        reason = protocol.handshake_exc or InvalidHandshake(status[:200])
        raise HardwareError(f"{address.url}: no websocket is offered there: {reason}")
    return ahead


def _response(connected: socket.socket, deadline_s: float) -> tuple[bytes, bytes]:
    data = b""
    while _END not in data:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0.0:
            raise TimeoutError("timed out")
        connected.settimeout(left_s)
        more = connected.recv(4096)
        if not more or len(data) > _MAX_RESPONSE:
            raise ClosedError("the connection has ended within the handshake")
        data += more
    head, _, ahead = data.partition(_END)
    return head + _END, ahead


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
