from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from robot_rl.core.clock import MonotonicClock
from robot_rl.core.errors import HardwareError
from robot_rl.core.spec import WRENCH
from robot_rl.sensing.intake import Intake
from robot_rl_hardware.force_torque import rdt
from robot_rl_hardware.force_torque.ati_net_ft import AtiNetFtConfig

COUNTS = np.array([1_000_000, -2_000_000, 3_000_000, 100_000, -200_000, 300_000])
"""Of (1, -2, 3) N and (0.1, -0.2, 0.3) N m."""


class NetBox:
    """A Net F/T on loopback, which sends a record when the test says so."""

    def __init__(self, deaf_to: int = 0) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.05)
        self.port: int = self.socket.getsockname()[1]
        self.commands: list[int] = []
        self.client: Any = None
        self._deaf_to = deaf_to
        self._ended = False
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def send(self, sequence: int, **changes: Any) -> None:
        fields = {
            "sequence": sequence % 2**32,
            "ft_sequence": 7 * sequence % 2**32,
            "status": 0,
            "counts": COUNTS,
        }
        self.send_bytes(rdt.encode(rdt.Record(**(fields | changes))))

    def send_bytes(self, data: bytes) -> None:
        self.until(lambda: self.client is not None)
        self.socket.sendto(data, self.client)

    def until(self, happened: Any) -> None:
        end = time.monotonic() + 20
        while not happened():
            assert time.monotonic() < end
            time.sleep(0.005)

    def close(self) -> None:
        self._ended = True
        self._thread.join()
        self.socket.close()

    def _listen(self) -> None:
        while not self._ended:
            try:
                data, client = self.socket.recvfrom(64)
            except TimeoutError:
                continue
            self.commands.append(rdt.request_from(data))
            if len(self.commands) > self._deaf_to:
                self.client = client


@pytest.fixture
def box() -> Iterator[NetBox]:
    box = NetBox()
    yield box
    box.close()


def sensor(box: NetBox, **changes: Any) -> Any:
    config = AtiNetFtConfig(
        host="127.0.0.1",
        port=box.port,
        counts_per_n=1e6,
        counts_per_nm=1e6,
        range_n=(100, 100, 100),
        range_nm=(10, 10, 10),
        **({"silent_after_s": 20.0} | changes),
    )
    inlet = Intake("ft", MonotonicClock(), 0.1)
    return config.build(inlet), inlet


def test_the_bytes_are_those_of_the_protocol() -> None:
    assert rdt.start_request().hex() == "1234000200000000"
    assert rdt.stop_request().hex() == "1234000000000000"
    record = rdt.Record(sequence=1, ft_sequence=2, status=3, counts=np.array([-1, 0, 1, 0, 0, 2]))
    data = rdt.encode(record)
    assert data.hex() == (
        "000000010000000200000003ffffffff000000000000000100000000" + "0000000000000002"
    )
    assert rdt.decode(data).counts.tolist() == [-1, 0, 1, 0, 0, 2]


def test_counts_become_newtons(box: NetBox) -> None:
    device, _ = sensor(box)
    with device:
        box.send(1)
        wrench = device.wait_until_ready(20).vectors[WRENCH]
    assert wrench.dtype == np.float32
    assert wrench.tolist() == pytest.approx([1, -2, 3, 0.1, -0.2, 0.3])
    box.until(lambda: box.commands == [2, 0])


def test_a_request_that_got_lost_is_sent_again() -> None:
    box = NetBox(deaf_to=1)
    device, _ = sensor(box)
    with device:
        box.send(1)
        device.wait_until_ready(20)
    assert box.commands[:2] == [2, 2]
    box.close()


def test_lost_records_are_counted_across_the_wrap_around(box: NetBox) -> None:
    device, inlet = sensor(box)
    with device:
        for sequence in (2**32 - 2, 2**32 - 1, 2**32 + 1):
            box.send(sequence)
        box.until(lambda: inlet.counts.fresh + inlet.counts.late == 3)
    assert inlet.counts.lost == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status": 0x80020000}, "status 0x80020000 (the transducer is saturated)"),
        ({"counts": COUNTS * 100}, "beyond the sensor's range"),
    ],
)
def test_a_record_with_an_error_is_not_taken_in(
    box: NetBox, changes: dict[str, Any], words: str
) -> None:
    device, inlet = sensor(box)
    with device:
        box.send(1)
        device.wait_until_ready(20)
        box.send(2, **changes)
        box.until(lambda: device.complaint)
        assert words in device.complaint
        assert inlet.counts.fresh == 1
        box.send(3)
        box.until(lambda: not device.complaint)
        assert device.failure is None


def test_a_record_of_another_length_is_refused(box: NetBox) -> None:
    device, _ = sensor(box)
    with device:
        box.send_bytes(bytes(72))
        with pytest.raises(HardwareError, match="a record of 72 bytes, expected 36"):
            device.wait_until_ready(20)


def test_a_sensor_that_does_not_answer_is_told(box: NetBox) -> None:
    device, _ = sensor(box)
    with device, pytest.raises(HardwareError, match="does not answer: is it switched on"):
        device.wait_until_ready(20)


def test_nobody_at_the_address_is_told() -> None:
    box = NetBox()
    box.close()
    device, _ = sensor(box)
    with device, pytest.raises(HardwareError, match=r"cannot be (heard|reached): .*refused"):
        device.wait_until_ready(20)


def test_a_sensor_that_falls_silent_is_gone(box: NetBox) -> None:
    device, _ = sensor(box, silent_after_s=0.2)
    with device:
        box.send(1)
        device.wait_until_ready(20)
        box.until(lambda: device.failure)
        assert "silent for" in str(device.failure)
