"""The process that writes a run's numbers with trackio: lines of JSON come in, a database grows.

A process of its own, because trackio decides at its import where it writes, prints, and asks the
Hugging Face hub who is logged in. Run by `trackio_sink`, never imported.
"""

from __future__ import annotations

import json
import socket
import sys
from typing import Any

import trackio


def main() -> None:
    """Serve until the line ends: first the run's name and config, then step and values."""
    sys.addaudithook(_stay_offline)
    opening = json.loads(sys.stdin.readline())
    run = trackio.init(
        project=opening["project"],
        name=opening["name"],
        config=opening["config"],
        resume="allow",
        embed=False,
        auto_log_gpu=False,
        auto_log_cpu=False,
    )
    for line in sys.stdin:
        told = json.loads(line)
        run.log(told["values"], step=told["step"])
    run.finish()


def _stay_offline(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse what would leave this machine, whatever the libraries would like."""
    if event == "socket.getaddrinfo":
        raise PermissionError(f"offline: not asking for {arguments[0]}")
    if event == "socket.connect" and arguments[0].family != socket.AF_UNIX:
        raise PermissionError(f"offline: not connecting to {arguments[1]}")


if __name__ == "__main__":
    main()
