"""Driver, gate and commanders in one thread, in the time of a clock that only they advance.

What happens here is the same every time, however loaded the machine is: for counting what follows
from a fault. Real processes are in `gate_live.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from gate_track import Track
from numpy.typing import NDArray

from robot_rl.config.load import load
from robot_rl.control.arbiter import HandOver
from robot_rl.control.rate import Rate
from robot_rl.core.clock import NS_PER_S, ManualClock
from robot_rl.core.spec import JOINT_POSITION, TCP_POSE, ObservationSpec, RobotSpec
from robot_rl.core.types import Observation, Source, Vector
from robot_rl.runtime.gate.cell import GateCell
from robot_rl.runtime.gate.channel import Listener, connect, private_folder
from robot_rl.runtime.gate.client import ACTOR_SOCKET, PERSON_SOCKET, GateClient
from robot_rl.runtime.gate.desk import Desk
from robot_rl.runtime.gate.driver.link import DriverLink
from robot_rl.runtime.gate.driver.process import DRIVER_SOCKET
from robot_rl.runtime.gate.driver.server import DriverServer
from robot_rl.runtime.gate.message import MAX_ASKED_BYTES, MAX_TOLD_BYTES, PeerKind, Report
from robot_rl.runtime.gate.process import build
from robot_rl.runtime.gate.server import GateServer
from robot_rl_sim import fr3
from robot_rl_sim.arm import TOOL_DOWN
from robot_rl_sim.driver import SimDriver, SimDriverConfig
from robot_rl_sim.tasks.pick_cube import PickCubeConfig

CELL = Path(__file__).parents[2] / "configs/cells/sim_fr3.yaml"
PERIOD_S = 0.01
"""Of the gate."""
FULL_SPEED_M_S = 0.3
"""What a normalised action of 1 asks for: more than the cell's limit."""
SIZE = 7
_STEP_NS = 2_000_000


class PlainDriver:
    """An arm that does exactly what it is told, at no cost; its joints stay at home.

    Attributes:
        velocity_m_s: of the tool, float64[3].
    """

    def __init__(self, watchdog_s: float = 0.1) -> None:
        task = PickCubeConfig(translation_m=FULL_SPEED_M_S / 10).build()
        vectors = task.spec.observation.vectors
        self.spec = RobotSpec(
            name="plain",
            observation=ObservationSpec(
                vectors={key: vectors[key] for key in (JOINT_POSITION, TCP_POSE)}
            ),
            action=task.spec.action,
        )
        self.period_s = 0.005
        self.fault = ""
        self.velocity_m_s = np.zeros(3)
        self._patience = round(watchdog_s / self.period_s)
        self._silent: int | None = None
        self._position = np.array([0.45, 0.0, 0.2])

    @property
    def speed_m_s(self) -> float:
        """Of the tool."""
        return float(np.linalg.norm(self.velocity_m_s))

    @property
    def position_m(self) -> NDArray[np.float64]:
        """Of the tool, float64[3]."""
        return self._position.copy()

    def obey(self, values: Vector, period_s: float) -> None:
        """See `Driver.obey`."""
        if not self.fault:
            self.velocity_m_s = values[:3].astype(np.float64) / period_s
            self._silent = 0

    def rest(self) -> None:
        """See `Driver.rest`."""
        self.velocity_m_s = np.zeros(3)
        self._silent = None

    def stop(self, cause: str) -> None:
        """See `Driver.stop`."""
        self.rest()
        self.fault = self.fault or f"PROTECTIVE_STOP: {cause}"

    def clear(self, by: str) -> None:
        """See `Driver.clear`."""
        self.fault = ""

    def tick(self) -> Observation:
        """See `Driver.tick`."""
        if self._silent is not None:
            self._silent += 1
            if self._silent > self._patience:
                self.stop(f"no command for {self._silent * self.period_s:.3f} s")
        self._position = self._position + self.velocity_m_s * self.period_s
        pose = np.array([*self._position, *TOOL_DOWN], np.float32)
        q = np.array(fr3.HOME_Q, np.float32)
        return Observation(stamp_ns=0, vectors={JOINT_POSITION: q, TCP_POSE: pose})


class WorldClock(ManualClock):
    """Sleeping on it lets the robot's process have its turns, as on a machine of its own."""

    def __init__(self) -> None:
        super().__init__(start_ns=NS_PER_S)
        self.turn: Callable[[], None] = lambda: None

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """Advance in small steps to the deadline [ns]."""
        while (left_ns := deadline_ns - self.now_ns()) > 0:
            self.advance_s(min(left_ns, _STEP_NS) / NS_PER_S)
            self.turn()


class Rig:
    """A gate between a simulated FR3 and whoever `commander` connects.

    Args:
        folder: for the sockets.
        cell: the gate's.
        driver: what is driven.

    Attributes:
        reports: of every tick.
    """

    def __init__(self, folder: Path, cell: GateCell, driver: SimDriver | PlainDriver) -> None:
        self.folder = folder
        self.cell = cell
        self.clock = WorldClock()
        self.driver = driver
        self.robot = DriverServer(
            self.driver, Listener(folder / DRIVER_SOCKET, MAX_ASKED_BYTES), self.clock
        )
        self.clock.turn = self.turn
        self._track: list[tuple[float, float, NDArray[np.float64]]] = []
        self.reports: list[Report] = []
        self._clients: list[GateClient] = []
        self.server = self.start_gate()

    def start_gate(self) -> GateServer:
        """Start a gate, as after the one before was killed."""
        self.link = DriverLink(
            connect(self.folder / DRIVER_SOCKET, MAX_TOLD_BYTES), PERIOD_S, self.clock
        )
        while not self.link.poll():
            self.clock.sleep_until_ns(self.clock.now_ns() + _STEP_NS)
        actors, persons = (
            Listener(self.folder / name, MAX_ASKED_BYTES) for name in (ACTOR_SOCKET, PERSON_SOCKET)
        )
        self.desk = Desk(actors, persons, self.link.robot.action, PERIOD_S, self.clock)
        rule = HandOver(release_s=0.05, after_release="auto")
        self.rate = Rate(self.clock, PERIOD_S)
        self.server = build(self.cell, self.link, self.desk, rule, self.clock)
        return self.server

    def kill_gate(self) -> None:
        """End the gate's process: its connections end without a word."""
        self.link.close()
        self.desk.close()

    def commander(self, kind: PeerKind = "actor", name: str = "test") -> GateClient:
        """Connect a commander that beats only when told to."""
        self._clients.append(GateClient(self.folder, kind, name, threaded=False))
        return self._clients[-1]

    def seated(self, kind: PeerKind = "actor", source: Source = Source.POLICY) -> GateClient:
        """Connect a commander and see it given a lease."""
        return self.seat(self.commander(kind), source)

    def seat(self, client: GateClient, source: Source = Source.POLICY) -> GateClient:
        """See a commander given a lease, anew if it had one."""
        client.ask(source)
        self.tick()
        client.latest()
        return client

    def tick(self, ticks: int = 1) -> Report:
        """Let the gate have some ticks, and the robot its time."""
        for _ in range(ticks):
            self.reports.append(self.server.tick(self.rate.wait()))
        return self.reports[-1]

    def drive(self, client: GateClient, action: Vector | None, ticks: int = 1) -> Report:
        """Command the same in each of some ticks."""
        for _ in range(ticks):
            client.command(action)
            report = self.tick()
            client.latest()
        return report

    def let_pass(self, seconds: float) -> None:
        """Let time pass in which the gate does nothing."""
        self.clock.sleep_until_ns(self.clock.now_ns() + round(seconds * NS_PER_S))

    def clear(self, by: str = "Ada") -> Report:
        """A person reads the cause and clears."""
        with self.commander("device", by) as person:
            report = self.tick()
            person.clear(by, report.cause)
            self.tick(3)
        return self.tick()

    def track_since(self, start_s: float) -> Track:
        """What the tool has done since."""
        rows = [row for row in self._track if row[0] >= start_s]
        times, speeds, positions = zip(*rows, strict=True)
        return Track(start_s, np.array(times), np.array(speeds), np.array(positions))

    def resume(self, by: str = "Ada") -> Report:
        """A person ends a hold."""
        with self.commander("device", by) as person:
            person.resume(by)
            return self.tick()

    @property
    def now_s(self) -> float:
        """The time of all."""
        return self.clock.now_ns() / NS_PER_S

    def close(self) -> None:
        """Hang up everywhere."""
        self.kill_gate()
        self.robot.close()
        for client in self._clients:
            client.close()

    def turn(self) -> None:
        """Let the robot's process have a turn, and note what the tool did."""
        before_ns = self.robot.next_ns
        self.robot.turn()
        if self.robot.next_ns != before_ns:
            self._track.append((self.now_s, self.driver.speed_m_s, self.driver.position_m))


@contextmanager
def open_rig(*, physics: bool = False, **changes: object) -> Iterator[Rig]:
    """A rig in a folder of its own, latched as a gate begins.

    Args:
        physics: drive the simulated FR3; else an arm that does exactly what it is told.
        changes: to the limits of the cell.
    """
    cell = load(CELL, GateCell, [f"limits.{key}={value}" for key, value in changes.items()])
    with TemporaryDirectory(prefix="rrl-") as name, private_folder(Path(name), "gate") as folder:
        rig = Rig(folder, cell, sim_driver() if physics else PlainDriver())
        try:
            yield rig
        finally:
            rig.close()


def sim_driver() -> SimDriver:
    """The simulated FR3 in an open space, whose fastest action is beyond the cell's limit."""
    task = PickCubeConfig(translation_m=FULL_SPEED_M_S / 10)
    return SimDriverConfig(task=task).build()


def heading(direction: NDArray[np.float64], speed: float = 1.0) -> Vector:
    """A normalised action float32[7] along a direction float[3], the gripper open."""
    action = np.zeros(SIZE, np.float32)
    action[:3] = speed * direction / np.linalg.norm(direction)
    action[6] = 1.0
    return action
