"""Shows a session in this terminal.

    ROBOT_RL_SESSION_URL='http://127.0.0.1:8400/#token=...' python -m robot_rl.session.terminal

Without the variable and without `--url`, the address is asked for.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys

from robot_rl.session.client.address import URL_VARIABLE
from robot_rl.session.terminal.visit import run_terminal


def main() -> int:
    """Show the session; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m robot_rl.session.terminal", description="Show a session in this terminal."
    )
    parser.add_argument(
        "--url",
        help=f"what the session printed; others at this machine can read it, so better set "
        f"{URL_VARIABLE}, or give neither and be asked",
    )
    given = parser.parse_args().url
    # Whatever this process starts has no use for the token.
    url = given or os.environ.pop(URL_VARIABLE, "")
    if not url and sys.stdin.isatty():
        url = getpass.getpass("Address of the session, as it printed it (not shown): ")
    return run_terminal(url)


if __name__ == "__main__":
    sys.exit(main())
