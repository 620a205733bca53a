"""A toy policy's spec and observations, and websocket servers that speak for it."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import contextmanager

import numpy as np
from websockets.asyncio.server import serve

from robot_rl.core.spec import (
    JOINT_POSITION,
    ActionSpec,
    ImageSpec,
    ObservationSpec,
    TaskSpec,
    VectorSpec,
)
from robot_rl.core.types import Observation
from robot_rl.policies.base import PolicySpec
from robot_rl.policies.remote.codec import decode, encode
from robot_rl.policies.remote.protocol import answer_of, metadata_of, read_request

WRIST = "observation.images.wrist"


@contextmanager
def serving(handler, **options):
    """A websocket server in a thread of its own; yields its port."""
    found, ready = {}, threading.Event()
    options = {"compression": None, "max_size": None, "close_timeout": 0.2} | options

    async def run():
        found["loop"], found["end"] = asyncio.get_running_loop(), asyncio.Event()
        async with serve(handler, "127.0.0.1", options.pop("port", 0), **options) as server:
            found["port"] = server.sockets[0].getsockname()[1]
            ready.set()
            await found["end"].wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert ready.wait(10)
    try:
        yield found["port"]
    finally:
        found["loop"].call_soon_threadsafe(found["end"].set)
        thread.join(10)


def make_spec(**changes) -> PolicySpec:
    fields = {
        "name": "toy",
        "fingerprint": "abc",
        "observation": ObservationSpec(
            vectors={JOINT_POSITION: VectorSpec(names=("q0", "q1"), unit="rad")},
            images={WRIST: ImageSpec(height=6, width=8)},
        ),
        "action": ActionSpec(
            kind="joint_delta", names=("a", "b", "c"), scale=(0.1, 0.2, 4.0), period_s=0.05
        ),
        "horizon": 4,
        "execute": 2,
    }
    return PolicySpec(**fields | changes)


def make_task(spec: PolicySpec, **changes) -> TaskSpec:
    fields = {
        "name": "task",
        "horizon": 10,
        "observation": spec.observation,
        "action": spec.action,
    }
    return TaskSpec(**fields | changes)


def make_observation(seed: int = 0, instruction: str = "push") -> Observation:
    rng = np.random.default_rng(seed)
    return Observation(
        stamp_ns=seed * 50_000_000,
        vectors={JOINT_POSITION: rng.standard_normal(2, np.float32)},
        images={WRIST: rng.integers(0, 255, (6, 8, 3), np.uint8)},
        instruction=instruction,
    )


def planning(plan: Callable, spec: Callable[[], PolicySpec], version: Callable[[], int]):
    """A handler that speaks our protocol; `plan` returns float32[h, d] for what is asked."""

    async def handle(connection):
        specs = {"toy": spec()}
        await connection.send(encode(metadata_of(specs, {"toy": version()}, "toy")))
        async for data in connection:
            asked = read_request(decode(data), {"toy": spec()}, "toy")
            message = answer_of(
                plan(asked), spec(), asked, version=version(), infer_ms=1.0, prev_total_ms=None
            )
            await connection.send(encode(message))

    return handle
