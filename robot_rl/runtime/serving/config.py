"""What a policy server is told before it starts, and where it refuses to listen."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from robot_rl.config.model import Config
from robot_rl.core.errors import ConfigError

_MIB = 1 << 20


class ServerConfig(Config):
    """Where a server listens, who may ask, and how much.

    Without a word it listens on 127.0.0.1, where every process of this machine may ask. Any other
    address needs a key and TLS.

    Args:
        host: address to listen on.
        port: its port; 0 takes a free one.
        unix: a socket of this path, which only this user may enter, instead of host and port.
        api_key_file: holds the key that clients must know; readable by its owner alone.
        admin_key_file: holds the key of those who may send weights; without it nobody may.
        tls_cert, tls_key: PEM files of the certificate chain and its private key.
        max_clients: who comes beyond is told to try again later.
        max_bytes: of a client's message.
        max_weight_bytes: of a message with weights.
        max_batch: requests that are planned together at most.
        batch_wait_s: how long a request waits for others while there are other clients of its
            policy [s]. Who is alone never waits.
        warm_ups: plans before READY, alone and in a full batch, of each policy.
        ping_s: every client is pinged so often, and dropped if it does not answer for so long
            [s]. One of ours that has nothing to ask is silent, and comes again when it has.
        drain_s: for so long are requests answered that were in flight when the end came [s].
        canary_max_change: how far new weights may move the plans from fixed observations at most,
            in normalised actions; None does not ask.
    """

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8000, ge=0, le=65535)
    unix: Path | None = None
    api_key_file: Path | None = None
    admin_key_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    max_clients: int = Field(default=16, ge=1)
    max_bytes: int = Field(default=32 * _MIB, ge=1024)
    max_weight_bytes: int = Field(default=1024 * _MIB, ge=1024)
    max_batch: int = Field(default=8, ge=1)
    batch_wait_s: float = Field(default=0.0, ge=0.0, le=1.0)
    warm_ups: int = Field(default=2, ge=1)
    ping_s: float = Field(default=60.0, gt=0.0)
    drain_s: float = Field(default=5.0, ge=0.0)
    canary_max_change: float | None = Field(default=None, gt=0.0)

    @model_validator(mode="after")
    def _both_halves_of_tls(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together: expected both or neither")
        return self


def check_bind(config: ServerConfig) -> None:
    """Refuse to be reached from other machines without a key and TLS.

    Raises:
        ConfigError: naming what is missing.
    """
    if config.unix is not None:
        return
    needed = {
        "api_key_file": config.api_key_file,
        "tls_cert": config.tls_cert,
        "tls_key": config.tls_key,
    }
    check_host(config.host, config.port, needed)


def check_host(host: str, port: int, needed: Mapping[str, Path | None]) -> None:
    """Refuse an address that other machines can reach while one of the needed files is missing.

    Raises:
        ConfigError: naming what is missing, or if it is no address.
    """
    missing = [name for name, file in needed.items() if file is None]
    if not missing or _stays_here(host):
        return
    raise ConfigError(
        f"host: got {host!r}, which other machines can reach; that needs {', '.join(missing)} as "
        f"well. Or stay on 127.0.0.1 and let ssh carry it: "
        f"ssh -L {port}:127.0.0.1:{port} <this machine>"
    )


def _stays_here(host: str) -> bool:
    """Whether every address of that name is a loopback address."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(
            f"host: got {host!r}, which is no address here ({error}); expected 127.0.0.1"
        ) from error
    return all(ipaddress.ip_address(address[0]).is_loopback for *_, address in found)
