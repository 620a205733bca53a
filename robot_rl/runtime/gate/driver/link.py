"""The gate's line to the driver: the one connection over which the arm can be told to move."""

from __future__ import annotations

import os
import time
from pathlib import Path

from robot_rl.core.clock import Clock
from robot_rl.core.errors import HardwareError, RobotRlError
from robot_rl.core.spec import RobotSpec
from robot_rl.core.types import SafeAction
from robot_rl.runtime.gate.channel import Channel, connect
from robot_rl.runtime.gate.message import (
    MAX_TOLD_BYTES,
    Busy,
    Bye,
    Claim,
    Decoder,
    FromDriver,
    Move,
    Owned,
    Sample,
    Unlatch,
    Welcome,
    encode,
)


class DriverLink:
    """Owns a driver once it says so.

    Args:
        channel: connected to the driver; owned from now on.
        period_s: how long each command lasts.
        clock: monotonic and common to all processes of this machine.
    """

    def __init__(self, channel: Channel, period_s: float, clock: Clock) -> None:
        self._channel = channel
        self._clock = clock
        self._decode = Decoder[FromDriver](FromDriver)
        self._robot: RobotSpec | None = None
        self._sample: Sample | None = None
        self._owned = False
        self._sequence = 0
        channel.send(encode(Claim(pid=os.getpid(), period_s=period_s)))

    @classmethod
    def open(cls, path: Path, period_s: float, clock: Clock, timeout_s: float = 5.0) -> DriverLink:
        """Connect to the driver at `path` and own it.

        Raises:
            HardwareError: if there is none, it is owned by another gate, or says nothing.
        """
        deadline_s = time.monotonic() + timeout_s
        link = cls(connect(path, MAX_TOLD_BYTES, timeout_s), period_s, clock)
        try:
            while not link.poll():
                left_s = deadline_s - time.monotonic()
                if left_s <= 0.0:
                    raise HardwareError(f"the driver at {path} has said nothing for {timeout_s} s")
                link._channel.wait(left_s)
        except RobotRlError:
            link._channel.close()
            raise
        return link

    @property
    def robot(self) -> RobotSpec:
        """What is driven."""
        if self._robot is None:
            raise HardwareError("the driver has not said yet what it drives")
        return self._robot

    @property
    def sample(self) -> Sample:
        """The newest that was heard."""
        if self._sample is None:
            raise HardwareError("the driver has sent no sample yet")
        return self._sample

    def poll(self) -> bool:
        """Hear what the driver has said; return whether it is owned and has sent a sample.

        Raises:
            HardwareError: if the driver has gone, or is owned by another gate.
        """
        frames = self._channel.receive()
        for frame in frames:
            message = self._decode(frame)
            if isinstance(message, Sample):
                self._sample = message
            elif isinstance(message, Welcome):
                self._robot = message.robot
            elif isinstance(message, Owned):
                self._owned = True
            else:
                self._refuse(message)
        if self._channel.closed:
            raise HardwareError(
                "the driver's process has ended, or has given the robot to another gate: look at "
                "the arm, then start driver and gate again"
            )
        return self._owned and self._sample is not None

    def move(self, action: SafeAction) -> None:
        """Send a command; it lasts for one period."""
        self._sequence += 1
        values = tuple(action.values.tolist())
        stamp_ns = self._clock.now_ns()
        self._send(Move(sequence=self._sequence, stamp_ns=stamp_ns, values=values))

    def clear(self, by: str) -> None:
        """Ask a robot that has stopped by itself to obey again, on the word of a person."""
        self._send(Unlatch(by=by))

    def release(self) -> None:
        """Leave an arm that is at rest, so that nothing is expected of a gate any more."""
        self._send(Bye())
        self._channel.close()

    def close(self) -> None:
        """Hang up without a word; the robot stops by itself."""
        self._channel.close()

    def _send(self, message: Claim | Move | Unlatch | Bye) -> None:
        self._channel.send(encode(message))

    def _refuse(self, busy: Busy) -> None:
        raise HardwareError(
            f"the robot is owned by the gate in process {busy.pid}; one gate at a time drives it. "
            "End that one first"
        )
