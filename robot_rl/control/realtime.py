"""What the operating system can do for a loop that must be on time. What is refused, it says.

How a sleep ends on time was chosen by measurement (`scripts/bench/lateness.py`): a plain sleep
with the kernel's timer slack taken away wakes 0.1 ms late, a hundredth of a period at 100 Hz.
Spinning through the last 0.2 ms gains that tenth of a millisecond for 1 % of a core at 100 Hz and
7 % at 500 Hz, and nothing where other processes make the loop late: against those a real-time
priority helps.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import Field

from robot_rl.config.model import Config
from robot_rl.core.errors import ConfigError

_LOG = logging.getLogger(__name__)

_PR_SET_TIMERSLACK = 29
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Something that the system did not grant, why, and what a person can do about it."""

    what: str
    why: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}; {self.remedy}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeReport:
    """What was granted and what was refused, each in words."""

    granted: tuple[str, ...]
    refused: tuple[Refused, ...]


class RealtimeConfig(Config):
    """What the control loop's thread asks of the machine. Belongs to the machine of one cell.

    Args:
        priority: of the SCHED_FIFO class, which goes before all ordinary processes; below 50,
            where the threads of interrupts are. None asks for nothing.
        cores: the processor cores to stay on, best kept free of all else (`isolcpus=` on the
            kernel's command line). None asks for nothing.
        lock_memory: keep what has once been in memory from being swapped out.
        required: a refusal is an error; otherwise it is a warning.
    """

    priority: int | None = Field(default=None, ge=1, le=49)
    cores: tuple[int, ...] | None = Field(default=None, min_length=1)
    lock_memory: bool = False
    required: bool = False

    def apply(self) -> RealtimeReport:
        """Ask for all of it, for the calling thread, which is to run the control loop.

        Two things need nobody's leave and are always done: timers of this thread end when they
        are due instead of up to 0.05 ms later, and the garbage collector leaves alone what is
        alive now (beside torch it would stop the loop for half a second to look through it).

        To be called when all is built and other processes have been started: those would inherit
        the cores. Nothing that is started later inherits the priority.

        Raises:
            ConfigError: if something was refused that is required.
        """
        wishes: list[tuple[str, Callable[[], None], str]] = [
            ("timers without slack", _take_slack, "go on without"),
        ]
        if self.cores is not None:
            wishes.append((f"cores {list(self.cores)}", self._pin, _remedy_for_cores()))
        if self.lock_memory:
            wishes.append(("locked memory", _lock_memory, _REMEDY_FOR_MEMORY))
        if self.priority is not None:
            wishes.append((f"priority {self.priority}", self._prefer, _REMEDY_FOR_PRIORITY))
        report = _ask(wishes)
        exempt_from_collection()
        if report.refused and self.required:
            raise ConfigError(f"real time is required but {'; '.join(map(str, report.refused))}")
        for refusal in report.refused:
            _LOG.warning("real time: %s", refusal)
        _LOG.info("real time: %s", ", ".join(report.granted) or "nothing granted")
        return report

    def _pin(self) -> None:
        os.sched_setaffinity(0, set(self.cores or ()))

    def _prefer(self) -> None:
        policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, policy, os.sched_param(self.priority or 0))


def exempt_from_collection() -> None:
    """Collect garbage once, and keep the collector from ever visiting again what survived."""
    gc.collect()
    gc.freeze()


_REMEDY_FOR_PRIORITY = (
    "add `<user> - rtprio 49` to /etc/security/limits.conf and log in anew, or give the process "
    "CAP_SYS_NICE"
)
_REMEDY_FOR_MEMORY = (
    "add `<user> - memlock unlimited` to /etc/security/limits.conf and log in anew, or give the "
    "process CAP_IPC_LOCK"
)


def _remedy_for_cores() -> str:
    return f"name some of the cores that this process may use: {sorted(os.sched_getaffinity(0))}"


def _ask(wishes: list[tuple[str, Callable[[], None], str]]) -> RealtimeReport:
    granted: list[str] = []
    refused: list[Refused] = []
    for what, ask, remedy in wishes:
        try:
            ask()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            refused.append(Refused(what=what, why=why, remedy=remedy))
        else:
            granted.append(what)
    return RealtimeReport(granted=tuple(granted), refused=tuple(refused))


def _take_slack() -> None:
    # 0 would mean "as it was at first"; 1 is the least there is [ns].
    _call("prctl", _PR_SET_TIMERSLACK, 1, 0, 0, 0)


def _lock_memory() -> None:
    # ONFAULT: without it every page of torch's libraries, used or not, would be read in.
    _call("mlockall", _MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT)


def _call(function: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*map(ctypes.c_ulong, arguments)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
