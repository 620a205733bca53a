"""The gate's process: opens cell, robot and sockets, and keeps the schedule.

    robot-rl gate --cell configs/cells/sim_fr3.yaml --folder /run/user/1000/gate

SIGTERM and SIGINT bring the arm to rest before the process ends.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from robot_rl.config.load import load
from robot_rl.control.arbiter import Arbiter, HandOver
from robot_rl.control.rate import Rate
from robot_rl.control.realtime import RealtimeConfig
from robot_rl.control.safety import SafetyGate
from robot_rl.core.clock import NS_PER_S, Clock, MonotonicClock
from robot_rl.core.errors import RobotRlError
from robot_rl.runtime.gate.asked import AskedToEnd, log_to_stderr
from robot_rl.runtime.gate.cell import GateCell, played
from robot_rl.runtime.gate.channel import Listener, private_folder
from robot_rl.runtime.gate.client import ACTOR_SOCKET, PERSON_SOCKET
from robot_rl.runtime.gate.desk import Desk
from robot_rl.runtime.gate.driver.link import DriverLink
from robot_rl.runtime.gate.driver.process import DRIVER_SOCKET
from robot_rl.runtime.gate.message import MAX_ASKED_BYTES
from robot_rl.runtime.gate.seam import CommandDesk, RobotLink
from robot_rl.runtime.gate.server import GateServer

_LOG = logging.getLogger(__name__)
_ENDING_S = 2.0
"""The arm has come to rest by then, or will not."""


def main(argv: Sequence[str] | None = None) -> int:
    """Guard the arm until asked to end; returns the exit status."""
    arguments = _parse(argv)
    log_to_stderr()
    asked = AskedToEnd()
    realtime = RealtimeConfig(priority=arguments.priority)
    rule = HandOver(after_release=arguments.after_release)
    try:
        cell = load(arguments.cell, GateCell)
        serve(cell, arguments.folder, 1.0 / arguments.rate_hz, rule, realtime, asked)
    except RobotRlError as error:
        _LOG.error("%s", error)
        return 1
    return 0


def serve(
    cell: GateCell,
    folder: Path,
    period_s: float,
    rule: HandOver,
    realtime: RealtimeConfig,
    asked: AskedToEnd,
) -> None:
    """Guard the arm of `cell` until asked to end.

    Raises:
        HardwareError: if there is no robot, or it is lost.
        ConfigError: if cell, robot and folder do not fit together.
    """
    clock = MonotonicClock()
    with ExitStack() as stack:
        stack.enter_context(private_folder(folder, "gate"))
        link = DriverLink.open(folder / DRIVER_SOCKET, period_s, clock)
        stack.callback(link.close)
        desk = Desk(
            Listener(folder / ACTOR_SOCKET, MAX_ASKED_BYTES),
            Listener(folder / PERSON_SOCKET, MAX_ASKED_BYTES),
            link.robot.action,
            period_s,
            clock,
        )
        stack.callback(desk.close)
        server = build(cell, link, desk, rule, clock)
        realtime.apply()
        _LOG.info("the gate of %s is ready in %s", cell.name, folder)
        rate = Rate(clock, period_s)
        while not asked:
            server.tick(rate.wait())
        _end(server, link, rate, f"the gate was ended by {asked.name}", clock)
    _LOG.info("ended by %s", asked.name)


def build(
    cell: GateCell, link: RobotLink, desk: CommandDesk, rule: HandOver, clock: Clock
) -> GateServer:
    """Put the cell's gate between the desk and the robot, which takes the desk's actions."""
    chain = cell.chain.build() if cell.chain else None
    collision = cell.collision.build(chain) if cell.collision and chain else None
    action = played(desk.action, desk.period_s)
    gate = SafetyGate(cell.limits, action, clock, chain, collision)
    return GateServer(gate, Arbiter(action, clock, rule), link, desk, clock)


def _end(server: GateServer, link: DriverLink, rate: Rate, cause: str, clock: Clock) -> None:
    """Bring the arm to rest, then leave it to its own controller; else that has to stop it."""
    server.gate.stop(cause)
    deadline_ns = clock.now_ns() + round(_ENDING_S * NS_PER_S)
    while not server.at_rest and clock.now_ns() < deadline_ns:
        server.tick(rate.wait())
    if server.at_rest:
        link.release()


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="robot-rl gate", description=__doc__)
    parser.add_argument("--cell", type=Path, required=True, help="YAML of the cell")
    parser.add_argument("--folder", type=Path, required=True, help="where the sockets are")
    parser.add_argument("--rate-hz", type=_positive, default=100.0, help="checks per second")
    parser.add_argument("--priority", type=int, help="real-time priority, 1 to 49")
    parser.add_argument(
        "--after-release",
        choices=("auto", "hold"),
        default="hold",
        help="once a person lets go, the policy goes on by itself, or when it is given back",
    )
    return parser.parse_args(argv)


def _positive(text: str) -> float:
    value = float(text)
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"got {text}, expected a positive number")
    return value
