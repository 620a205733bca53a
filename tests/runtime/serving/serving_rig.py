"""Policies that are small enough to work out by hand, and a server with them in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from websockets.sync.client import ClientConnection, connect, unix_connect

from robot_rl.core.spec import JOINT_POSITION, ActionSpec, ImageSpec, ObservationSpec, VectorSpec
from robot_rl.core.types import Vector
from robot_rl.policies.base import PlanRequest, PolicySpec
from robot_rl.policies.remote.codec import decode, encode

WRIST = "observation.images.wrist"
SPEC = PolicySpec(
    name="echo",
    fingerprint="f0",
    observation=ObservationSpec(
        vectors={JOINT_POSITION: VectorSpec(names=("q0", "q1"), unit="rad")},
        images={WRIST: ImageSpec(height=4, width=6)},
    ),
    action=ActionSpec(kind="joint_delta", names=("a", "b"), scale=(0.1, 0.2), period_s=0.05),
    horizon=3,
    execute=2,
)


class Echo:
    """Plans, for all of the horizon, the joints times its gain; counts what it is asked.

    Args:
        spec: what it says of itself.
        infer_s: how long a batch takes.
        gain: its only weight.

    Attributes:
        sizes: requests of each batch.
        hold: while it is cleared, plans are begun but not finished.
        begun: set whenever a plan is begun.
    """

    def __init__(self, spec: PolicySpec = SPEC, infer_s: float = 0.0, gain: float = 1.0) -> None:
        self.spec = spec
        self.infer_s = infer_s
        self.weights = {"gain": torch.tensor([gain])}
        self.sizes: list[int] = []
        self.hold = threading.Event()
        self.hold.set()
        self.begun = threading.Event()

    def infer(self, requests: Sequence[PlanRequest]) -> Vector:
        self.sizes.append(len(requests))
        self.begun.set()
        self.hold.wait(30)
        if self.infer_s:
            time.sleep(self.infer_s)
        gain = self.weights["gain"].item()
        return np.stack([self.plan(request, gain) for request in requests])

    def plan(self, request: PlanRequest, gain: float) -> Vector:
        joints = request.window[-1].vectors[JOINT_POSITION]
        return np.float32(gain) * np.tile(np.clip(joints, -1, 1), (self.spec.horizon, 1))

    def with_weights(self, weights: Mapping[str, Tensor]) -> Echo:
        copied = Echo(self.spec, self.infer_s)
        copied.weights = {name: tensor.clone() for name, tensor in weights.items()}
        copied.spec = replace(self.spec, fingerprint=f"f{copied.weights['gain'].item():g}")
        return copied


class Moody(Echo):
    """Raises where the first joint is 0.5, and plans what is not finite where it is 0.25."""

    def plan(self, request: PlanRequest, gain: float) -> Vector:
        joint = request.window[-1].vectors[JOINT_POSITION][0]
        if joint == 0.5:
            raise RuntimeError("no plan\nfor this")
        return super().plan(request, gain) * np.float32(np.nan if joint == 0.25 else 1)


def seen(first: float = 0.1, second: float = -0.2, **more: object) -> dict[str, object]:
    """A request with these joints; keywords replace or add keys, `__` for `/`."""
    message: dict[str, object] = {
        JOINT_POSITION: np.float32([first, second]),
        WRIST: np.zeros((4, 6, 3), np.uint8),
        "prompt": "reach",
    }
    return message | {key.replace("__", "/"): value for key, value in more.items()}


class Client:
    """One websocket to a server, with the codec alone."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.metadata = decode(bytes_of(connection.recv(10)))

    def ask(self, message: Mapping[str, object]) -> dict[str, object]:
        self.send(message)
        return self.receive()

    def send(self, message: Mapping[str, object]) -> None:
        self.connection.send(encode(message))

    def receive(self) -> dict[str, object]:
        return decode(bytes_of(self.connection.recv(30)))


def bytes_of(frame: str | bytes) -> bytes:
    assert isinstance(frame, bytes), frame
    return frame


@contextmanager
def client_of(address: str, path: str = "/", key: str = "", **options) -> Iterator[Client]:
    headers = {"Authorization": f"Api-Key {key}"} if key else {}
    options = {"additional_headers": headers, "compression": None} | options
    if address.startswith("unix://"):
        opened = unix_connect(address.removeprefix("unix://"), **options)
    else:
        opened = connect(address + path, **options)
    with opened as connection:
        yield Client(connection)
