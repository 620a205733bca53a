"""The page's process from its first line: it knows nothing yet that takes long to import."""

from __future__ import annotations

import importlib
from multiprocessing.connection import Connection

from robot_rl.core.errors import ConfigError
from robot_rl.runtime.child_process import redirect_stderr
from robot_rl.session.page.line import Failed, encode

_SERVER = "robot_rl.session.page.server"


def main(
    config: str,
    port: int,
    token: str,
    stores: str,
    film: str,
    key_size: int,
    log: str,
    inbox: Connection,
    outbox: Connection,
) -> None:
    """Serve the page until the other end hangs up. What goes wrong ends up in `log`."""
    redirect_stderr(log)
    try:
        # Only here, so that the loop's process does without the packages of a web server.
        server = importlib.import_module(_SERVER)
        server.serve(config, port, token, stores, film, key_size, inbox, outbox)
    except ModuleNotFoundError as error:
        words = f"the page needs the package {error.name!r}: pip install 'robot_rl[session]'"
        outbox.send_bytes(encode(Failed(words=words)))
    except ConfigError as error:
        outbox.send_bytes(encode(Failed(words=str(error))))
