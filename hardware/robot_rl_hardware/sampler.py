"""A device that samples by itself: one thread opens, reads and closes it.

Not here: order, gaps and age of the samples (the inlet that is handed in), and what a device says
(its reader).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from pydantic import Field

from robot_rl.config.model import Config
from robot_rl.core.errors import HardwareError
from robot_rl.core.types import Image, Observation, Vector

WAIT_S = 0.1
"""No reader waits longer for a sample where it can help it."""
_JOIN_S = 3.0

_LOG = logging.getLogger(__name__)


class SensorConfig(Config):
    """What all sensors are told.

    Args:
        silent_after_s: a device that says nothing for so long is gone.
    """

    silent_after_s: float = Field(default=1.0, gt=0)

    def build(self, inlet: Inlet) -> Sampler:
        """Return the sensor, not yet open; its samples go into `inlet`.

        Raises:
            DependencyError: naming a package that is missing.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a device says at one instant.

    Args:
        sequence: its number, without a wrap-around.
        device_ns: when it was taken, by the device's clock [ns].
        vectors, images: as in `Observation`; nobody changes them afterwards.
        complaint: why it must not be used, in words; empty if it may be.
    """

    sequence: int
    device_ns: int
    vectors: Mapping[str, Vector] = field(default_factory=lambda: dict[str, Vector]())
    images: Mapping[str, Image] = field(default_factory=lambda: dict[str, Image]())
    complaint: str = ""


class Reader(Protocol):
    """A device, used by one thread alone. Its constructor touches nothing."""

    def open(self) -> None:
        """Connect; may take as long as it takes.

        Raises:
            HardwareError: saying what is missing and what to do.
        """
        ...

    def read(self) -> Sample | None:
        """Wait for the next sample; None if there was none for `WAIT_S`.

        Raises:
            HardwareError: if the device is gone.
        """
        ...

    def close(self) -> None:
        """Let go of the device; also after a failed `open`."""
        ...


class Inlet(Protocol):
    """Where samples go: `robot_rl.sensing.intake.Intake` is one."""

    name: str

    def latest(self) -> Observation | None:
        """Return the newest sample, stamped by the local clock."""
        ...

    def put(
        self,
        sequence: int,
        device_ns: int,
        *,
        vectors: Mapping[str, Vector] | None = None,
        images: Mapping[str, Image] | None = None,
    ) -> object:
        """Take one sample in."""
        ...


class Sampler:
    """Reads a device from its own thread (implements `core.protocol.Sensor`).

    Entering starts the thread and does not wait for the device. Once it has failed it stays so:
    whoever wants it back builds it anew.

    Args:
        reader: of the device.
        inlet: that the samples go into.
        silent_after_s: silence of this length counts as failure.

    Attributes:
        name: of the inlet.
        listener: called in the device's thread after each sample that was taken in.
        complaint: why the newest sample was not taken in; empty if it was.
        refused: count of the samples that were not taken in.
    """

    def __init__(self, reader: Reader, inlet: Inlet, silent_after_s: float) -> None:
        self.name = inlet.name
        self.listener: Callable[[Observation], None] = _nobody
        self.complaint = ""
        self.refused = 0
        self._reader = reader
        self._inlet = inlet
        self._silent_after_s = silent_after_s
        self._heard_s: float | None = None
        self._failure: HardwareError | None = None
        self._ended = threading.Event()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._live, name=self.name, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_JOIN_S)
            if self._thread.is_alive():
                _LOG.error("%s: its driver does not return; left to itself", self.name)

    @property
    def failure(self) -> HardwareError | None:
        """Why the device is gone; None as far as is known."""
        heard_s = self._heard_s
        if self._failure is None and heard_s is not None:
            silent_s = time.monotonic() - heard_s
            if silent_s > self._silent_after_s:
                return HardwareError(
                    f"{self.name}: silent for {silent_s:.2f} s, at most "
                    f"{self._silent_after_s:g} s are borne: is it still connected?"
                )
        return self._failure

    def latest(self) -> Observation | None:
        """Return the newest sample, or None before the first.

        Raises:
            HardwareError: if the device is gone.
        """
        if (failure := self.failure) is not None:
            raise failure
        return self._inlet.latest()

    def wait_until_ready(self, timeout_s: float) -> Observation:
        """Wait for the first sample and return it.

        Raises:
            HardwareError: if the device fails, or says nothing in time.
        """
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while (newest := self.latest()) is None:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0.0:
                    why = f": {self.complaint}" if self.complaint else "; is it connected?"
                    raise HardwareError(f"{self.name}: no sample within {timeout_s:g} s{why}")
                self._changed.wait(min(left_s, WAIT_S))
        return newest

    def _live(self) -> None:
        try:
            self._reader.open()
            self._heard_s = time.monotonic()
            while not self._ended.is_set() and self.failure is None:
                self._take(self._reader.read())
            self._failure = self.failure
        except HardwareError as error:
            self._failure = HardwareError(f"{self.name}: {error}")
        except Exception as error:  # noqa: BLE001 - whoever asks for samples hears of it
            _LOG.exception("%s: its driver has failed", self.name)
            self._failure = HardwareError(
                f"{self.name}: its driver has failed: {type(error).__name__}: {error}"
            )
        finally:
            self._reader.close()
            with self._changed:
                self._changed.notify_all()

    def _take(self, sample: Sample | None) -> None:
        if sample is None:
            return
        self._heard_s = time.monotonic()
        self.complaint = sample.complaint
        if sample.complaint:
            self.refused += 1
            return
        before = self._inlet.latest()
        self._inlet.put(
            sample.sequence, sample.device_ns, vectors=sample.vectors, images=sample.images
        )
        newest = self._inlet.latest()
        if newest is not None and newest is not before:
            self.listener(newest)
        if before is None:
            with self._changed:
                self._changed.notify_all()


def _nobody(newest: Observation) -> None:
    """Listens to no sample."""
