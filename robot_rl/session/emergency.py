"""The emergency stop of the software, from any thread, and how a person ends it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from robot_rl.core.errors import RobotRlError
from robot_rl.core.types import GateState
from robot_rl.session.argument import Refused
from robot_rl.session.needs import SessionGate

_LOG = logging.getLogger(__name__)


class EmergencyStop:
    """Stops at once; no stop is lost, also one that comes while another is cleared.

    Args:
        gate: that every command passes.
        stop: brings the robot to rest; may be called from any thread at any time.
    """

    def __init__(self, gate: SessionGate, stop: Callable[[], None]) -> None:
        self._gate = gate
        self._stop = stop
        # A signal handler may interrupt the very thread that holds it.
        self._lock = threading.RLock()
        self._presses = 0

    @property
    def latched(self) -> bool:
        """Whether the gate is stopped, by whatever."""
        return self._gate.state >= GateState.STOP

    def press(self, cause: str) -> str:
        """Stop, and return words for the person."""
        with self._lock:
            self._presses += 1
            self._gate.estop(cause)
        try:
            self._stop()
        except RobotRlError as error:
            _LOG.exception("the gate is stopped; the robot itself did not take the stop")
            return f"stopped at the gate; the robot itself did not answer: {error}"
        return "stopped"

    def clear(self, by: str, cause: str) -> None:
        """End what is latched, in a person's name.

        Raises:
            Refused: if the cause is another than the person has read.
        """
        presses = self._presses
        if cause.strip() != self._gate.cause.strip():
            raise Refused(f"the cause is: {self._gate.cause}; look at it, then clear that")
        # Not under the lock: a gate elsewhere takes its time, and a press waits for nobody.
        self._gate.clear(by)
        if self._presses != presses:
            self.press("stop was pressed while another one was cleared")
            raise Refused("stop was pressed again")
