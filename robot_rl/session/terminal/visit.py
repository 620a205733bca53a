"""The session in this terminal, until the person leaves."""

from __future__ import annotations

import asyncio
import signal
import sys

from robot_rl.core.errors import RobotRlError
from robot_rl.session.client.address import Address
from robot_rl.session.client.line import Line
from robot_rl.session.terminal.process import require_terminal
from robot_rl.session.terminal.screen import SessionScreen


def run_terminal(url: str) -> int:
    """Show a session until the person leaves; return the exit status, 1 after an error.

    Args:
        url: as the session printed it, with its token.
    """
    try:
        require_terminal()
        return asyncio.run(_attend(Address.parse(url)))
    except RobotRlError as error:
        sys.stderr.write(f"robot-rl: {error}\n")
        return 1


async def _attend(address: Address) -> int:
    line = Line(address, "terminal")
    try:
        await line.open()
        screen = SessionScreen(line)
        loop = asyncio.get_running_loop()
        for asked in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(asked, screen.exit, 0)
        status = await screen.run_async(mouse=False)
        return 1 if status is None else status
    finally:
        await line.close()
