"""ATI Net F/T sensors over Ethernet."""

from __future__ import annotations

import contextlib
import socket
import time

import numpy as np
from pydantic import Field

from robot_rl.core.clock import NS_PER_S
from robot_rl.core.errors import HardwareError
from robot_rl.core.spec import WRENCH
from robot_rl_hardware.force_torque import rdt
from robot_rl_hardware.force_torque.sensor import ForceTorqueConfig
from robot_rl_hardware.sampler import WAIT_S, Inlet, Sample, Sampler

_ASK_AGAIN_S = 0.5


class AtiNetFtConfig(ForceTorqueConfig):
    """A Net F/T. How many records a second it sends is set on its own web page.

    Args:
        host: address of the Net Box.
        port: of its RDT service.
        counts_per_n, counts_per_nm: from its web page, under Configurations.
    """

    host: str = Field(min_length=1)
    port: int = Field(default=rdt.PORT, ge=1, le=65535)
    counts_per_n: float = Field(gt=0)
    counts_per_nm: float = Field(gt=0)

    def build(self, inlet: Inlet) -> Sampler:
        """Return the sensor, not yet open."""
        return Sampler(AtiNetFt(self), inlet, self.silent_after_s)


class AtiNetFt:
    """Implements `Reader`: the records of one Net F/T, numbered and stamped by itself."""

    def __init__(self, config: AtiNetFtConfig) -> None:
        self._config = config
        self._scale = np.repeat([config.counts_per_n, config.counts_per_nm], 3)
        self._socket: socket.socket | None = None
        self._sequence = rdt.Unwrapped()
        self._ft_sequence = rdt.Unwrapped()
        self._first: bytes | None = None
        self._what = f"the Net F/T at {config.host}:{config.port}"

    def open(self) -> None:
        """Ask for records, more than once if nothing comes, and wait for the first."""
        c = self._config
        try:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._socket.connect((c.host, c.port))
            self._socket.settimeout(WAIT_S)
        except OSError as error:
            raise HardwareError(f"{self._what} cannot be addressed: {error}") from error
        # A request over UDP may get lost; a second one would begin the numbers anew.
        deadline_s = time.monotonic() + 4 * _ASK_AGAIN_S
        asked_s = 0.0
        while self._first is None:
            now_s = time.monotonic()
            if now_s >= deadline_s:
                raise HardwareError(
                    f"{self._what} does not answer: is it switched on, on this network, and RDT "
                    "enabled on its web page?"
                )
            if now_s - asked_s >= _ASK_AGAIN_S:
                asked_s = now_s
                self._say(rdt.start_request())
            self._first = self._hear()

    def read(self) -> Sample | None:
        """Wait for the next record."""
        data, self._first = (self._first or self._hear()), None
        if data is None:
            return None
        record = rdt.decode(data)
        wrench = (record.counts / self._scale).astype(np.float32)
        taken = self._ft_sequence(record.ft_sequence)
        return Sample(
            sequence=self._sequence(record.sequence),
            device_ns=taken * NS_PER_S // rdt.INTERNAL_HZ,
            vectors={WRENCH: wrench},
            complaint=rdt.status_complaint(record.status) or self._config.complaint(wrench),
        )

    def close(self) -> None:
        """Ask for no more records."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.send(rdt.stop_request())
            self._socket.close()

    def _say(self, request: bytes) -> None:
        assert self._socket is not None
        try:
            self._socket.send(request)
        except OSError as error:
            raise HardwareError(f"{self._what} cannot be reached: {error}") from error

    def _hear(self) -> bytes | None:
        assert self._socket is not None
        try:
            return self._socket.recv(2048)
        except TimeoutError:
            return None
        except OSError as error:
            raise HardwareError(f"{self._what} cannot be heard: {error}") from error
