"""The way for a stop when the websocket has gone."""

from __future__ import annotations

import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection

import msgspec

from robot_rl.session.client.address import Address
from robot_rl.session.mode import Verb
from robot_rl.session.page.message import Script

_PATIENCE_S = 2.0


def stop_by_post(address: Address) -> bool:
    """Ask for a stop over HTTP; whether the session says that it was done."""
    body = msgspec.json.encode(Script(verb=Verb.STOP))
    headers = {"Authorization": f"Bearer {address.token}", "Content-Type": "application/json"}
    connection = _connection(address)
    try:
        connection.request("POST", "/command", body, headers)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _connection(address: Address) -> HTTPConnection:
    # Neither follows where it is sent to, nor asks a proxy: the token stays with the session.
    if not address.is_tls:
        return HTTPConnection(address.host, address.port, timeout=_PATIENCE_S)
    context = ssl.create_default_context()
    return HTTPSConnection(address.host, address.port, timeout=_PATIENCE_S, context=context)
