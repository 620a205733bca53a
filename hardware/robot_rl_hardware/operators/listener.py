"""The thread that reads what a person holds, and looks for it again when it is gone.

Not here: what the device says (its reader), what that means (`hand.py`).
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.errors import HardwareError, RobotRlError
from robot_rl_hardware.operators.buttons import Edges

WAIT_S = 0.02
"""No reader waits longer for a report: a device is lost after 0.09 s without a sign of life."""
_OPEN_S = 60.0
"""A driver may have to be imported first."""
_JOIN_S = 3.0
_MOST_PRESSES = 64

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Held:
    """What the person's hands do at one instant.

    Args:
        axes: how far each of x, y, z, rx, ry, rz is pushed, about [-1, 1]; see `axes.py`. Of a
            leader arm, what each of its motors says.
        down: names of the buttons that are down.
    """

    axes: tuple[float, ...] = (0.0,) * 6
    down: frozenset[str] = frozenset()


REST = Held()
"""Also what a device counts as of which nothing is known."""


class Reader(Protocol):
    """A device, used by one thread alone. Its constructor touches nothing."""

    name: str

    repeats: bool
    """The device reports again and again while it is pushed, so that silence means that it cannot
    be heard. Of others, the driver's word that they are still there has to do."""

    def open(self) -> None:
        """Find the device and connect; one that was open before and no other.

        Raises:
            RobotRlError: saying what is missing and what to do.
        """
        ...

    def read(self) -> Sequence[Held]:
        """Return what came in, oldest first; wait `WAIT_S` for it at most.

        Nothing at all means that the device is there and has nothing new to say.

        Raises:
            HardwareError: if the device is gone.
        """
        ...

    def close(self) -> None:
        """Let go of the device; also after a failed `open`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What is known of a device when it is asked for.

    Args:
        held: newest state; at rest while the device is gone.
        pressed: buttons that were pressed since the last time, oldest first.
        report_ns: when the newest report came.
        alive_ns: when the device was last known to be there.
    """

    held: Held
    pressed: tuple[str, ...]
    report_ns: int
    alive_ns: int


class Listener:
    """Reads a device from its own thread, for as long as it is entered.

    Args:
        reader: of the device.
        clock: of this machine; reports are stamped by it when they come in.
        retry_s: time between two attempts to find a device that is gone.
    """

    def __init__(self, reader: Reader, clock: Clock, retry_s: float) -> None:
        self._reader = reader
        self._clock = clock
        self._retry_s = retry_s
        self._edges = Edges()
        self._pressed: deque[str] = deque(maxlen=_MOST_PRESSES)
        self._reports: deque[int] = deque(maxlen=1024)
        self._held = REST
        self._report_ns = self._alive_ns = 0
        self._failure: RobotRlError | None = None
        self._untold: RobotRlError | None = None
        self._lock = threading.Lock()
        self._tried = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def failure(self) -> RobotRlError | None:
        """Why the device is gone; None while it is there."""
        with self._lock:
            return self._failure

    @property
    def rate_hz(self) -> float:
        """Reports within the last second; a device at rest may send none."""
        since_ns = self._clock.now_ns() - NS_PER_S
        with self._lock:
            return float(sum(stamp_ns > since_ns for stamp_ns in self._reports))

    def start(self) -> None:
        """Open the device and listen.

        Raises:
            RobotRlError: if it cannot be opened; nothing is left running.
        """
        self._ended.clear()
        self._tried.clear()
        self._failure = self._untold = None
        self._thread = threading.Thread(target=self._live, name=self._reader.name, daemon=True)
        self._thread.start()
        in_time = self._tried.wait(_OPEN_S)
        failure = self.failure
        if not in_time or failure is not None:
            self.stop()
            raise failure or HardwareError(
                f"{self._reader.name}: its driver has not opened it within {_OPEN_S:g} s"
            )

    def stop(self) -> None:
        """Let go of the device."""
        self._ended.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(_JOIN_S)
            if thread.is_alive():
                _LOG.error("%s: its driver does not return; left to itself", self._reader.name)

    def take(self) -> Heard:
        """Return what is known now, with the presses since the last time.

        Raises:
            HardwareError: once for every time that the device is lost; presses are kept.
        """
        with self._lock:
            if self._thread is None:
                raise HardwareError(f"{self._reader.name} is not open: enter it first")
            untold, self._untold = self._untold, None
            if untold is not None:
                raise HardwareError(str(untold)) from untold
            pressed = tuple(self._pressed)
            self._pressed.clear()
            return Heard(
                held=self._held,
                pressed=pressed,
                report_ns=self._report_ns,
                alive_ns=self._alive_ns,
            )

    def drop(self, names: frozenset[str]) -> None:
        """Forget presses of these buttons that were not asked for."""
        with self._lock:
            kept = [name for name in self._pressed if name not in names]
            self._pressed.clear()
            self._pressed.extend(kept)

    def _live(self) -> None:
        while not self._ended.is_set():
            try:
                self._reader.open()
                self._begin()
                while not self._ended.is_set():
                    self._hear(self._reader.read())
            except RobotRlError as error:
                self._lose(error)
            except Exception as error:  # noqa: BLE001 - whoever polls hears of it
                what = f"its driver has failed: {type(error).__name__}: {error}"
                self._lose(HardwareError(f"{self._reader.name}: {what}"))
            finally:
                self._reader.close()
            self._tried.set()
            self._ended.wait(self._retry_s)

    def _begin(self) -> None:
        with self._lock:
            was, self._failure = self._failure, None
            self._report_ns = self._alive_ns = self._clock.now_ns()
        if was is not None:
            _LOG.info("%s: it is back", self._reader.name)
        self._tried.set()

    def _hear(self, news: Sequence[Held]) -> None:
        with self._lock:
            self._alive_ns = self._clock.now_ns()
            for held in news:
                self._report_ns = self._alive_ns
                self._reports.append(self._alive_ns)
                self._pressed.extend(self._edges(held.down))
                self._held = held

    def _lose(self, error: RobotRlError) -> None:
        with self._lock:
            # Whoever was told once need not hear of every attempt to find it again.
            first = self._failure is None
            self._failure = error
            self._untold = error if first else self._untold
            self._held = REST
            self._edges.forget()
        if first and self._tried.is_set():
            _LOG.warning("%s; it is looked for", error)
