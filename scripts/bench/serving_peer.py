"""The servers that `serving_wire` compares and their clients, each in a process of its own.

Usage: .venv/bin/python scripts/bench/serving_peer.py serve NAME; it prints its address.
       .venv/bin/python scripts/bench/serving_peer.py ask NAME ADDRESS; for each line
           `HEIGHT WIDTH COUNT` that it reads it asks so often, and prints the times [ms] as JSON.

Every server answers two images and a state with the same chunk, at once:

- `ours`: `RemotePolicy` and the policy server, over TCP; `ours, unix socket` without TCP;
- `openpi`: its client package, unmodified, and the loop that its server runs, over the same codec;
- `lerobot`: the server of its asynchronous inference, with the policy replaced and its sleep, its
  log and its filter of similar observations off; as its client does, one call brings the pickled
  observation, another one fetches the pickled chunk.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from robot_rl.core.spec import (
    JOINT_POSITION,
    ActionSpec,
    ImageSpec,
    ObservationSpec,
    TaskSpec,
    VectorSpec,
)
from robot_rl.core.types import Observation, Vector
from robot_rl.policies.base import PlanRequest, PolicySpec
from robot_rl.policies.remote.remote_policy import RemotePolicyConfig

OPENPI = Path(__file__).parents[2] / ".venv" / "openpi-client"
IMAGES = ("observation.images.front", "observation.images.wrist")
HORIZON, SIZE = 50, 14
SIZES = ((224, 224), (480, 640))
"""Height and width of the images."""
NAMES = tuple(f"q{i}" for i in range(SIZE))

Size = tuple[int, int]
Ask = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One observation, the same for all."""

    state: Vector
    images: Mapping[str, Any]

    @classmethod
    def make(cls, height: int, width: int) -> Question:
        """Return one with images uint8[height, width, 3] of noise."""
        rng = np.random.default_rng(0)
        return cls(
            state=rng.standard_normal(SIZE, np.float32),
            images={key: rng.integers(0, 256, (height, width, 3), np.uint8) for key in IMAGES},
        )


class Still:
    """A base policy that plans nothing, at once."""

    def __init__(self, height: int, width: int) -> None:
        self.spec = PolicySpec(
            name=f"{height}x{width}",
            fingerprint="0",
            observation=ObservationSpec(
                vectors={JOINT_POSITION: VectorSpec(names=NAMES, unit="rad")},
                images={key: ImageSpec(height=height, width=width) for key in IMAGES},
            ),
            action=ActionSpec(kind="joint_delta", names=NAMES, scale=(0.1,) * SIZE, period_s=0.02),
            horizon=HORIZON,
            execute=HORIZON,
        )

    def infer(self, requests: Sequence[PlanRequest]) -> Vector:
        """Return zeros float32[b, 50, 14]."""
        return np.zeros((len(requests), HORIZON, SIZE), np.float32)


def missing(name: str) -> str:
    """Why a peer cannot be measured here; nothing if it can."""
    if name == "openpi" and not OPENPI.is_dir():
        return f"openpi-client is not installed in {OPENPI}"
    if name == "lerobot":
        try:
            import grpc  # noqa: F401
            import lerobot  # noqa: F401
        except ImportError as error:
            return str(error)
    return ""


@contextlib.contextmanager
def peer(name: str) -> Iterator[Callable[[Size, int], list[float]]]:
    """Start a server and a client; yields what has the client ask, and returns the times [ms].

    The client is a process of its own because a robot's has no torch loaded: with it malloc keeps
    large blocks, which helps whoever copies images most.
    """
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = stack.enter_context(_child(folder, "serve", name))
        client = stack.enter_context(_child(folder, "ask", name, _line(server, name)))
        if _line(client, name) != "ready":
            raise RuntimeError(f"the client of {name!r} has not started")

        def ask(size: Size, count: int) -> list[float]:
            assert client.stdin
            client.stdin.write(f"{size[0]} {size[1]} {count}\n")
            client.stdin.flush()
            return json.loads(_line(client, name))

        yield ask


@contextlib.contextmanager
def _child(folder: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, __file__, *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=folder) as process:
        try:
            yield process
        finally:
            process.terminate()


def _line(process: subprocess.Popen[str], name: str) -> str:
    assert process.stdout
    line = process.stdout.readline().strip()
    if not line:
        raise RuntimeError(f"a process of {name!r} has ended: see above")
    return line


@contextlib.contextmanager
def _ask_ours(address: str) -> Iterator[dict[Size, Ask]]:
    with contextlib.ExitStack() as stack:
        asks: dict[Size, Ask] = {}
        for size in SIZES:
            spec = Still(*size).spec
            task = TaskSpec(
                name="task", horizon=1, observation=spec.observation, action=spec.action
            )
            policy = RemotePolicyConfig(url=address, policy=spec.name).build(task)
            stack.enter_context(contextlib.closing(policy))
            question = Question.make(*size)
            vectors = {JOINT_POSITION: question.state}
            seen = Observation(stamp_ns=0, vectors=vectors, images=question.images)
            asks[size] = partial(policy.infer, [PlanRequest(window=(seen,))])
        yield asks


@contextlib.contextmanager
def _ask_openpi(address: str) -> Iterator[dict[Size, Ask]]:
    sys.path.insert(0, str(OPENPI))
    from openpi_client.websocket_client_policy import WebsocketClientPolicy

    host, _, port = address.partition(":")
    client = WebsocketClientPolicy(host, int(port))
    questions = {size: Question.make(*size) for size in SIZES}
    try:
        yield {
            size: partial(client.infer, {"state": q.state, **q.images, "prompt": ""})
            for size, q in questions.items()
        }
    finally:
        client._ws.close()


@contextlib.contextmanager
def _ask_lerobot(address: str) -> Iterator[dict[Size, Ask]]:
    import grpc
    from lerobot.async_inference.helpers import TimedObservation
    from lerobot.transport import services_pb2, services_pb2_grpc
    from lerobot.transport.utils import (
        bytes_to_python_object,
        grpc_channel_options,
        python_object_to_bytes,
        send_bytes_in_chunks,
    )

    channel = grpc.insecure_channel(address, grpc_channel_options())
    stub = services_pb2_grpc.AsyncInferenceStub(channel)
    stub.Ready(services_pb2.Empty())

    def ask(raw: dict[str, Any]) -> object:
        seen = TimedObservation(timestamp=time.time(), timestep=0, observation=raw, must_go=True)
        data = python_object_to_bytes(seen)
        stub.SendObservations(send_bytes_in_chunks(data, services_pb2.Observation))
        return bytes_to_python_object(stub.GetActions(services_pb2.Empty()).data)

    questions = {size: Question.make(*size) for size in SIZES}
    with channel:
        yield {
            size: partial(ask, {**dict(zip(NAMES, q.state, strict=True)), **q.images, "task": ""})
            for size, q in questions.items()
        }


CLIENTS = {
    "ours": _ask_ours,
    "ours, unix socket": _ask_ours,
    "openpi": _ask_openpi,
    "lerobot": _ask_lerobot,
}


def _serve_ours(unix: Path | None = None) -> None:
    from robot_rl.runtime.serving.config import ServerConfig
    from robot_rl.runtime.serving.server import PolicyServer

    policies = {policy.spec.name: policy for policy in (Still(*size) for size in SIZES)}
    server = PolicyServer(policies, ServerConfig(port=0, unix=unix))
    asyncio.run(server.run(lambda: print(server.address, flush=True)))


def _serve_openpi() -> None:
    """The order of reading, timing and sending that its websocket server has."""
    sys.path.insert(0, str(OPENPI))
    from openpi_client import msgpack_numpy
    from websockets.asyncio.server import ServerConnection, serve
    from websockets.exceptions import ConnectionClosed

    async def handle(connection: ServerConnection) -> None:
        packer = msgpack_numpy.Packer()
        await connection.send(packer.pack({}))
        before_s = None
        with contextlib.suppress(ConnectionClosed):
            while True:
                begun_s = time.monotonic()
                msgpack_numpy.unpackb(await connection.recv())
                timing = {"infer_ms": 0.0}
                if before_s is not None:
                    timing["prev_total_ms"] = before_s * 1e3
                chunk = np.zeros((HORIZON, SIZE), np.float32)
                await connection.send(packer.pack({"actions": chunk, "server_timing": timing}))
                before_s = time.monotonic() - begun_s

    async def run() -> None:
        async with serve(handle, "127.0.0.1", 0, compression=None, max_size=None) as server:
            print(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
            await server.serve_forever()

    asyncio.run(run())


def _serve_lerobot() -> None:
    import grpc
    import torch
    from lerobot.async_inference.configs import PolicyServerConfig
    from lerobot.async_inference.policy_server import PolicyServer
    from lerobot.transport import services_pb2_grpc

    class StillServer(PolicyServer):
        def _predict_action_chunk(self, observation_t: Any) -> list[Any]:
            chunk = torch.zeros(HORIZON, SIZE)
            return self._time_action_chunk(observation_t.get_timestamp(), list(chunk), 0)

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    logging.disable()
    torch.set_num_threads(1)
    config = PolicyServerConfig(host="127.0.0.1", port=port, inference_latency=0.0)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    services_pb2_grpc.add_AsyncInferenceServicer_to_server(StillServer(config), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    os.write(1, f"127.0.0.1:{port}\n".encode())
    server.wait_for_termination()


def _ask(name: str, address: str) -> None:
    """Ask as often as is said, until nothing more is."""
    with CLIENTS[name](address) as asks:
        print("ready", flush=True)
        for line in sys.stdin:
            height, width, count = map(int, line.split())
            ask, taken_ms = asks[height, width], list[float]()
            for _ in range(count):
                begun_ns = time.perf_counter_ns()
                ask()
                taken_ms.append((time.perf_counter_ns() - begun_ns) * 1e-6)
            print(json.dumps(taken_ms), flush=True)


def main() -> None:
    """Serve or ask until this process is ended."""
    what, name, *address = sys.argv[1:]
    if what == "ask":
        _ask(name, *address)
    elif name == "openpi":
        _serve_openpi()
    elif name == "lerobot":
        _serve_lerobot()
    else:
        _serve_ours(Path("policy.sock").absolute() if "unix" in name else None)


if __name__ == "__main__":
    main()
