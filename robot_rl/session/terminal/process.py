"""The session in a process of its own, which has this one's terminal meanwhile.

The address holds the token. It is handed on in the environment, which only the same user can
read, and never as an argument, which everybody at the machine sees.
"""

from __future__ import annotations

import os
import subprocess
import sys
import termios
from collections.abc import Generator
from contextlib import contextmanager

from robot_rl.core.errors import ConfigError
from robot_rl.session.client.address import URL_VARIABLE

_ENDING_S = 5.0


@contextmanager
def start_terminal(url: str) -> Generator[subprocess.Popen[bytes]]:
    """Show a session in a process that shares this one's terminal, until the block ends.

    The person may leave before. Who starts it writes nothing to the terminal meanwhile.

    Raises:
        ConfigError: if there is no terminal.
    """
    require_terminal()
    before = termios.tcgetattr(sys.stdin)
    command = [sys.executable, "-m", "robot_rl.session.terminal"]
    process = subprocess.Popen(command, env=os.environ | {URL_VARIABLE: url})
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        termios.tcsetattr(sys.stdin, termios.TCSANOW, before)


def require_terminal() -> None:
    """Refuse to go on where there is no terminal.

    Raises:
        ConfigError: if input or output is none.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigError("a session in the terminal needs one: its input or output is none here")
