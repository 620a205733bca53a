"""Send weights to a server: what a learner does when it has better ones."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from urllib.parse import quote

import msgspec
from torch import Tensor
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect

from robot_rl.core.errors import ContractError, HardwareError
from robot_rl.runtime.serving.swap import WeightReply, encode_weights


def push_weights(
    url: str,
    policy: str,
    version: int,
    weights: Mapping[str, Tensor],
    admin_key: str,
    *,
    timeout_s: float = 60.0,
    tls: ssl.SSLContext | None = None,
) -> WeightReply:
    """Ask a server to plan with these weights from now on; returns once it does.

    Args:
        url: of the server, `ws://host:port` or `wss://host:port`.
        policy: its name there.
        version: more than that of the weights before.
        weights: all of them, by name.
        admin_key: what the server's `admin_key_file` holds.
        timeout_s: for connecting, and for the answer [s].
        tls: whom to trust, for `wss`; the system's authorities without it.

    Raises:
        ContractError: if they are refused; the old ones go on planning.
        HardwareError: if the server cannot be reached or does not answer.
    """
    data = encode_weights(policy, version, weights)
    headers = {"Authorization": f"Api-Key {admin_key}"}
    address = f"{url.rstrip('/')}/weights?policy={quote(policy, safe='')}"
    try:
        with connect(
            address,
            additional_headers=headers,
            compression=None,
            open_timeout=timeout_s,
            ping_interval=None,
            ssl=tls,
        ) as connection:
            connection.send(data)
            told = connection.recv(timeout_s)
    except InvalidStatus as error:
        status, words = error.response.status_code, error.response.body.decode(errors="replace")
        raise ContractError(f"{url} refuses weights: {status} {words.strip()}") from error
    except (OSError, WebSocketException) as error:
        raise HardwareError(f"{url}: the weights may not have arrived: {error}") from error
    return _adopted(url, told)


def _adopted(url: str, told: str | bytes) -> WeightReply:
    try:
        reply = msgspec.msgpack.decode(told if isinstance(told, bytes) else b"", type=WeightReply)
    except msgspec.DecodeError as error:
        raise ContractError(f"{url}: its answer is no reply to weights: {error}") from error
    if not reply.adopted:
        raise ContractError(f"{url} refuses the weights: {reply.reason}: {reply.words}")
    return reply
