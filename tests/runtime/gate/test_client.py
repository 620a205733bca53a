from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from robot_rl.core.errors import ContractError, HardwareError
from robot_rl.core.types import Source
from robot_rl.runtime.gate.channel import Listener
from robot_rl.runtime.gate.client import ACTOR_SOCKET, PERSON_SOCKET, GateClient
from robot_rl.runtime.gate.message import (
    MAX_ASKED_BYTES,
    Ask,
    Beat,
    Clear,
    Decoder,
    Drive,
    FromPerson,
    Granted,
    Leave,
    Refused,
    encode,
)

GRANTED = Granted(source=Source.POLICY, epoch=7, action=("dx", "dy"), period_s=0.1)


class OtherEnd:
    """Stands where a gate would: hears what is said and answers every ask."""

    def __init__(self, folder, answer, socket=ACTOR_SOCKET) -> None:
        self._listener = Listener(folder / socket, MAX_ASKED_BYTES)
        self._answer = answer
        self._decode = Decoder(FromPerson)
        self._ended = threading.Event()
        self.heard = []
        self.channel = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def of(self, kind) -> list:
        return [message for message in tuple(self.heard) if isinstance(message, kind)]

    def until_heard(self, kind, count=1) -> None:
        deadline_s = time.monotonic() + 20.0
        while len(self.of(kind)) < count:
            assert time.monotonic() < deadline_s, self.heard
            time.sleep(0.005)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._listener.close()
        if self.channel:
            self.channel.close()

    def _serve(self) -> None:
        while not self._ended.wait(0.002):
            for channel in self._listener.accept():
                self.channel = channel
            for frame in self.channel.receive() if self.channel else []:
                message = self._decode(frame)
                self.heard.append(message)
                if isinstance(message, Ask) and self._answer:
                    self.channel.send(encode(self._answer))


@pytest.fixture
def gate(folder):
    end = OtherEnd(folder, GRANTED)
    yield end
    end.close()


def test_a_lease_is_asked_for_waited_for_and_stands_on_every_command(gate, folder):
    with GateClient(folder, "actor", "test") as client:
        assert client.take(Source.POLICY, timeout_s=20.0) == GRANTED
        assert client.command(np.array([0.5, -0.5], np.float32)) == 1
        assert client.command(None) == 2
        gate.until_heard(Drive, 2)
    assert gate.of(Ask) == [Ask(source=Source.POLICY, kind="actor", name="test")]
    assert gate.of(Drive) == [
        Drive(epoch=7, sequence=1, active=True, action=(0.5, -0.5)),
        Drive(epoch=7, sequence=2, active=False, action=()),
    ]


def test_it_says_that_it_lives_while_its_owner_thinks_and_leaves_at_the_end(gate, folder):
    with GateClient(folder) as client:
        client.take(Source.POLICY, timeout_s=20.0)
        gate.until_heard(Beat, 10)
    gate.until_heard(Leave)


def test_without_a_lease_nothing_is_commanded(gate, folder):
    with (
        GateClient(folder) as client,
        pytest.raises(ContractError, match="no lease to command under: call take first"),
    ):
        client.command(np.zeros(2, np.float32))


def test_a_refusal_is_said_with_its_reason(folder):
    end = OtherEnd(folder, Refused(what="lease", why="'other' commands; one at a time"))
    with (
        GateClient(folder) as client,
        pytest.raises(HardwareError, match="refuses lease: 'other' commands"),
    ):
        client.take(Source.POLICY, timeout_s=20.0)
    end.close()


def test_a_gate_that_answers_nothing_is_not_waited_for_longer_than_asked(folder):
    end = OtherEnd(folder, None)
    with (
        GateClient(folder) as client,
        pytest.raises(HardwareError, match="has not answered in time"),
    ):
        client.take(Source.POLICY, timeout_s=0.05)
    end.close()


def test_the_end_of_the_gate_is_an_error_and_not_silence(gate, folder):
    with GateClient(folder) as client:
        client.take(Source.POLICY, timeout_s=20.0)
        gate.close()
        with pytest.raises(HardwareError, match="the gate has ended"):
            client.wait(timeout_s=20.0)
        assert not client.connected


def test_a_persons_words_go_by_the_persons_socket(folder):
    end = OtherEnd(folder, GRANTED, PERSON_SOCKET)
    with GateClient(folder, "device", "Ada") as client:
        client.clear("Ada", "contact of 70 N")
        end.until_heard(Clear)
    assert end.of(Clear) == [Clear(by="Ada", cause="contact of 70 N")]
    end.close()


def test_where_no_gate_runs_there_is_nothing_to_connect_to(folder):
    with pytest.raises(HardwareError, match=r"nobody answers at .*actor\.sock"):
        GateClient(folder)


def test_a_gate_of_another_version_is_an_error_that_says_so(gate, folder):
    with GateClient(folder) as client:
        client.take(Source.POLICY, timeout_s=20.0)
        gate.channel.send(b"rrg\x63" + encode(GRANTED)[4:])
        with pytest.raises(HardwareError, match="must be of the same version"):
            client.wait(timeout_s=20.0)


def test_a_lease_that_ends_is_commanded_under_no_more(gate, folder):
    with GateClient(folder) as client:
        client.take(Source.POLICY, timeout_s=20.0)
        gate.channel.send(encode(Refused(what="lease", why="silent for 0.1 s")))
        deadline_s = time.monotonic() + 20.0
        while client.lease and time.monotonic() < deadline_s:
            time.sleep(0.005)
        with pytest.raises(ContractError, match=r"no lease to command under: silent for 0\.1 s"):
            client.command(None)
