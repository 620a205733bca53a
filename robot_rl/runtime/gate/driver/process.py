"""The process of one driver.

    python -m robot_rl.runtime.gate.driver DRIVER.yaml [key=value ...] --folder FOLDER

The YAML names what is driven, a component whose `build()` returns a `Driver`. The gate connects to
it in the same folder.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from robot_rl.config.load import load
from robot_rl.config.model import Config
from robot_rl.control.realtime import RealtimeConfig
from robot_rl.core.clock import MonotonicClock
from robot_rl.core.errors import RobotRlError
from robot_rl.runtime.gate.asked import AskedToEnd, log_to_stderr
from robot_rl.runtime.gate.channel import Listener, private_folder
from robot_rl.runtime.gate.driver.server import Driver, DriverServer
from robot_rl.runtime.gate.message import MAX_ASKED_BYTES

DRIVER_SOCKET = "driver.sock"
_LOG = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Drive until asked to end; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="YAML of a component that builds a driver")
    parser.add_argument("overrides", nargs="*", help="key=value")
    parser.add_argument("--folder", type=Path, required=True, help="where the sockets are")
    parser.add_argument("--priority", type=int, help="real-time priority, 1 to 49")
    arguments = parser.parse_args(argv)
    log_to_stderr()
    asked = AskedToEnd()
    try:
        driver: Driver = load(arguments.config, Config, arguments.overrides).build()  # pyright: ignore[reportAttributeAccessIssue]
        serve(driver, arguments.folder, RealtimeConfig(priority=arguments.priority), asked)
    except RobotRlError as error:
        _LOG.error("%s", error)
        return 1
    return 0


def serve(driver: Driver, folder: Path, realtime: RealtimeConfig, asked: AskedToEnd) -> None:
    """Serve the driver in `folder` until asked to end."""
    clock = MonotonicClock()
    with ExitStack() as stack:
        stack.enter_context(private_folder(folder, "driver"))
        server = DriverServer(driver, Listener(folder / DRIVER_SOCKET, MAX_ASKED_BYTES), clock)
        stack.callback(server.close)
        realtime.apply()
        _LOG.info("%s is ready in %s", driver.spec.name, folder)
        while not asked:
            clock.sleep_until_ns(server.next_ns)
            server.turn()
    _LOG.info("ended by %s", asked.name)
