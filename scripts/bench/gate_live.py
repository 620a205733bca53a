"""Driver, gate and commander as the processes they are, to be killed and stopped.

What is measured is what the robot's physics did, stamped by the robot's process. How late the
gate's own loop was let run is measured beside it.
"""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from gate_track import Track

from robot_rl.core.clock import NS_PER_S
from robot_rl.core.errors import HardwareError
from robot_rl.core.spec import TCP_POSE, TCP_TWIST
from robot_rl.core.types import GateState
from robot_rl.runtime.gate.channel import Channel, Listener, connect
from robot_rl.runtime.gate.client import ACTOR_SOCKET, PERSON_SOCKET
from robot_rl.runtime.gate.driver.process import DRIVER_SOCKET
from robot_rl.runtime.gate.message import (
    MAX_TOLD_BYTES,
    Clear,
    Decoder,
    FromDriver,
    FromGate,
    Record,
    Report,
    Resume,
    Sample,
    encode,
)

ROOT = Path(__file__).parents[2]
CELL = ROOT / "configs/cells/sim_fr3.yaml"
SPEED_M_S = 0.25
"""The cell's limit, and what the commander drives at."""
_START_S = 30.0
_PATIENCE_S = 2.0
"""A person who has cleared in vain tries again after so long [s]."""

DRIVER = """\
type: robot_rl_sim.driver:SimDriverConfig
task:
  type: robot_rl_sim.tasks.pick_cube:PickCubeConfig
  translation_m: 0.03
"""


class Ear[T]:
    """Keeps all that is heard on one socket, and says what it is told to say.

    Args:
        path: of the socket.
        union: of the messages.
    """

    def __init__(self, path: Path, union: object) -> None:
        self._channel = connect(path, MAX_TOLD_BYTES, _START_S)
        self._decode = Decoder[T](union)
        self._ended = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self.heard: list[T] = []
        self._thread.start()

    def say(self, message: Record) -> None:
        """Send a message."""
        self._channel.send(encode(message))

    def of[K](self, kind: type[K]) -> list[K]:
        """What was heard of one kind, oldest first."""
        return [message for message in tuple(self.heard) if isinstance(message, kind)]

    def close(self) -> None:
        """Listen no more."""
        self._ended = True
        self._thread.join()
        self._channel.close()

    def _listen(self) -> None:
        while not self._ended and not self._channel.closed:
            self._channel.wait(0.05)
            self.heard += [self._decode(frame) for frame in self._channel.receive()]


class Relay:
    """Carries frames between a commander and the gate, until it is told to swallow them."""

    def __init__(self, folder: Path, gate: Path) -> None:
        self.swallows = False
        self._listener = Listener(folder / ACTOR_SOCKET, MAX_TOLD_BYTES)
        self._gate = gate
        self._ends: list[tuple[Channel, Channel]] = []
        self._ended = False
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Carry no more."""
        self._ended = True
        self._thread.join()
        self._listener.close()
        for end in (end for pair in self._ends for end in pair):
            end.close()

    def _carry(self) -> None:
        while not self._ended:
            for commander in self._listener.accept():
                self._ends.append((commander, connect(self._gate / ACTOR_SOCKET, MAX_TOLD_BYTES)))
            for commander, gate in self._ends:
                for frame in commander.receive():
                    if not self.swallows:
                        gate.send(frame)
                for frame in gate.receive():
                    commander.send(frame)
            time.sleep(0.002)


class Live:
    """Driver and gate as processes, and what is seen of them.

    Args:
        folder: for sockets, and for what the processes say (`log`).

    Attributes:
        robot, person: ears on the driver and on the gate.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        config = folder / "driver.yaml"
        config.write_text(DRIVER)
        driver = "robot_rl.runtime.gate.driver"
        self.driver = self.start("-m", driver, str(config), *self._words)
        self.robot = Ear[FromDriver](folder / DRIVER_SOCKET, FromDriver)
        self.gates: list[subprocess.Popen[bytes]] = []
        self.others: list[subprocess.Popen[bytes]] = []
        self.person = self.start_gate()

    @property
    def gate(self) -> subprocess.Popen[bytes]:
        """The gate's process, the newest if there were several."""
        return self.gates[-1]

    def start_gate(self) -> Ear[FromGate]:
        """Start a gate, as somebody would whose gate has died; returns an ear on it."""
        gate = "robot_rl.runtime.gate"
        self.gates.append(self.start("-m", gate, "--cell", str(CELL), *self._words))
        self.person = Ear[FromGate](self.folder / PERSON_SOCKET, FromGate)
        self.until(lambda: self.person.heard, "the gate reports")
        return self.person

    @property
    def _words(self) -> list[str]:
        # Where it is granted, the machine's other work does not come between.
        return ["--folder", str(self.folder), "--priority", "20"]

    def start_commander(self, folder: Path | None = None) -> subprocess.Popen[bytes]:
        """Start what drives at the limit, by way of another folder if one is given."""
        script = str(Path(__file__).with_name("gate_commander.py"))
        self.others.append(self.start(script, str(folder or self.folder)))
        return self.others[-1]

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a Python process whose words go to the log."""
        with self.log.open("ab") as log:
            return subprocess.Popen([sys.executable, *words], stdout=log, stderr=log)

    @property
    def last_words(self) -> str:
        """The end of what the processes have logged."""
        return self.log.read_text()[-2000:]

    def report(self) -> Report:
        """The gate's newest."""
        return self.person.of(Report)[-1]

    def clear(self) -> None:
        """A person reads the cause and clears, and resumes a hold."""
        said_s = -math.inf

        def cleared() -> bool:
            nonlocal said_s
            # Refused as long as the robot is not over it: a person would say it again.
            if self.report().state >= GateState.STOP and time.monotonic() - said_s > _PATIENCE_S:
                said_s = time.monotonic()
                self.person.say(Clear(by="Ada", cause=self.report().cause))
            return self.report().state < GateState.STOP

        self.until(cleared, "the stop is cleared")
        self.person.say(Resume(by="Ada"))

    def until(self, happens: Callable[[], object], what: str, timeout_s: float = _START_S) -> None:
        """Wait for something.

        Raises:
            HardwareError: if it does not happen; with the end of the log.
        """
        deadline_s = time.monotonic() + timeout_s
        while not happens():
            if time.monotonic() > deadline_s:
                raise HardwareError(f"not in {timeout_s} s: {what}; {self.last_words}")
            time.sleep(0.001)

    def at_full_speed(self) -> None:
        """See the tool as fast as it may be, with a patient person who clears and resumes."""
        start_s = time.monotonic()
        while speed(self.robot.of(Sample)[-1]) < 0.98 * SPEED_M_S:
            if time.monotonic() - start_s > _START_S:
                raise HardwareError(f"never at full speed; {self.last_words}")
            if self.report().state != GateState.RUN:
                self.clear()
                time.sleep(0.05)
            time.sleep(0.002)

    def track(self, start_s: float) -> Track:
        """What the tool has done since a monotonic time."""
        samples = [s for s in self.robot.of(Sample) if s.stamp_ns >= start_s * NS_PER_S]
        return Track(
            start_s,
            np.array([s.stamp_ns / NS_PER_S for s in samples]),
            np.array([speed(s) for s in samples]),
            np.array([s.vectors[TCP_POSE][:3] for s in samples]),
        )

    def close(self) -> None:
        """End every process, whatever state it is in."""
        for process in (*self.others, *self.gates, self.driver):
            process.kill()
            process.wait()
        self.person.close()
        self.robot.close()


@contextmanager
def open_live() -> Iterator[Live]:
    """Processes in a folder of their own; the gate is latched as it begins."""
    with TemporaryDirectory(prefix="rrl-") as name:
        live = Live(Path(name))
        try:
            yield live
        finally:
            live.close()


def speed(sample: Sample) -> float:
    """Of the tool [m/s]."""
    return float(np.linalg.norm(sample.vectors[TCP_TWIST][:3]))
