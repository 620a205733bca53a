"""A simulated world in real time, in a thread of its own that waits for nobody.

Not here: how anybody hears of it; samples go to a callback, which must return at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from robot_rl.core.clock import NS_PER_S
from robot_rl.core.errors import ConfigError, HardwareError
from robot_rl.core.protocol import Judgement
from robot_rl.core.types import Vector
from robot_rl_sim.world import SimWorld

_LOG = logging.getLogger(__name__)
_MOST_MADE_UP_S = 0.02
_MOST_BEHIND_S = 1.0
_MOST_COMMANDS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a bench's devices say of one instant.

    Args:
        stamp_ns: of the machine's monotonic clock, at the end of a period of the driver.
        vectors: the arm's own.
        environment: what perception estimates.
        judgement: the task's, once in each of its control periods.
        fault: why the arm obeys nobody; empty while it obeys.
        commands: heard so far.
    """

    stamp_ns: int
    vectors: Mapping[str, Vector]
    environment: Vector
    judgement: Judgement | None
    fault: str
    commands: int


class LiveWorld:
    """Runs a world at the pace of the machine's monotonic clock.

    A turn that comes a little late makes up for the periods in between, each with the commands
    that had come by then. More than 20 ms are not made up for: while this process is not let run
    the world stands still, its watchdog too, for a robot's controller has a machine of its own. An
    arm that was commanded and stood still for more than a second has lost its commander.

    Args:
        world: touched by the own thread alone from `start` on.
        rate_hz: of samples.
        tell: called with each sample, in the own thread.

    Raises:
        ConfigError: if there would be more samples than periods of the driver.
    """

    def __init__(self, world: SimWorld, rate_hz: float, tell: Callable[[Sample], None]) -> None:
        period_s = world.driver.period_s
        if rate_hz * period_s > 1.0:
            raise ConfigError(
                f"{rate_hz:g} samples a second, expected at most {1 / period_s:g}: the driver's "
                f"period is {period_s} s"
            )
        self._world = world
        self._tell = tell
        self._period_ns = round(period_s * NS_PER_S)
        self._sample_ns = round(NS_PER_S / rate_hz)
        self._judge_ns = round(world.driver.task.spec.action.period_s * NS_PER_S)
        self._commands: deque[tuple[int, Callable[[SimWorld], None]]] = deque(
            maxlen=_MOST_COMMANDS
        )
        self._asked: SimpleQueue[tuple[Future[Any], Callable[[SimWorld], Any]]] = SimpleQueue()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="physics", daemon=True)
        self.error: Exception | None = None
        """Why the world has come to an end by itself."""
        self.stood_still_s = 0.0
        """For how long altogether."""

    def start(self) -> None:
        """Let time pass."""
        self._now_ns = time.monotonic_ns()
        self._next_sample_ns = self._now_ns + self._sample_ns
        self._next_judged_ns = self._now_ns + self._judge_ns
        self._thread.start()

    def close(self) -> None:
        """Let time stand still, for good."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()

    def obey(self, values: Vector, period_s: float) -> None:
        """Hand a command over; see `SimWorld.obey`."""
        self._commands.append((time.monotonic_ns(), lambda world: world.obey(values, period_s)))

    def grip(self, *, opens: bool) -> None:
        """Hand a command to the gripper over; see `SimWorld.grip`."""
        self._commands.append((time.monotonic_ns(), lambda world: world.grip(opens=opens)))

    def ask[T](self, work: Callable[[SimWorld], T], timeout_s: float = 5.0) -> T:
        """Do something with the world between two periods, and return what it returns.

        Raises:
            HardwareError: if the world stands still.
        """
        if self.error is not None:
            raise HardwareError(f"the simulation has ended: {self.error}") from self.error
        future: Future[T] = Future()
        self._asked.put((future, work))
        try:
            return future.result(timeout_s)
        except TimeoutError:
            raise HardwareError(
                f"the simulation has not answered for {timeout_s:g} s: {self.error or 'stalled?'}"
            ) from self.error

    def look(self) -> tuple[int, Any]:
        """The machine's monotonic time [ns] and a copy of the physics then, for drawing it."""
        return self.ask(lambda world: (self._now_ns, world.driver.backend.data(0)))

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                self._turn()
                time.sleep(max(0, self._now_ns + self._period_ns - time.monotonic_ns()) / NS_PER_S)
        except Exception as error:  # noqa: BLE001 - whoever looks at `error` hears of it
            self.error = error
            _LOG.exception("the simulation has ended")

    def _turn(self) -> None:
        now_ns = time.monotonic_ns()
        behind_s = (now_ns - self._now_ns) / NS_PER_S
        if behind_s > _MOST_BEHIND_S:
            _LOG.warning("the simulation was not let run for %.1f s", behind_s)
            self._world.stood_still(behind_s)
        if behind_s > _MOST_MADE_UP_S:
            self.stood_still_s += behind_s
            self._now_ns = now_ns - self._period_ns
        while self._now_ns + self._period_ns <= now_ns:
            self._now_ns += self._period_ns
            self._answer()
            while self._commands and self._commands[0][0] <= self._now_ns:
                _, command = self._commands.popleft()
                command(self._world)
            vectors = self._world.tick().vectors
            if self._now_ns >= self._next_sample_ns:
                self._next_sample_ns = self._after(self._next_sample_ns, self._sample_ns)
                self._tell(self._sample(vectors))

    def _answer(self) -> None:
        while True:
            try:
                future, work = self._asked.get_nowait()
            except Empty:
                return
            try:
                future.set_result(work(self._world))
            except Exception as error:  # noqa: BLE001 - it is the asker's
                future.set_exception(error)

    def _after(self, due_ns: int, every_ns: int) -> int:
        """When it is due next: what was not let run is left out."""
        return due_ns + every_ns * ((self._now_ns - due_ns) // every_ns + 1)

    def _sample(self, vectors: Mapping[str, Vector]) -> Sample:
        judgement = None
        if self._now_ns >= self._next_judged_ns:
            self._next_judged_ns = self._after(self._next_judged_ns, self._judge_ns)
            judgement = self._world.judge()
        return Sample(
            stamp_ns=self._now_ns,
            vectors=vectors,
            environment=self._world.estimate(),
            judgement=judgement,
            fault=self._world.driver.fault,
            commands=self._world.commands,
        )
