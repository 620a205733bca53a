"""A server in a thread of this process: for measurements, tests and notebooks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from robot_rl.runtime.serving.server import PolicyServer


@contextmanager
def in_background(server: PolicyServer) -> Iterator[str]:
    """Let a server run in a thread; yields its address once it is ready, and ends it.

    Raises:
        RobotRlError: what `PolicyServer.run` raises.
    """
    # In the end it also ends what a connection of the last moment has begun.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        loop = runner.get_loop()
        begun = asyncio.Event()
        running = loop.create_task(server.run(begun.set))
        first = loop.create_task(begun.wait())
        awaited = asyncio.wait((running, first), return_when=asyncio.FIRST_COMPLETED)
        loop.run_until_complete(awaited)
        if running.done():
            running.result()
        thread = Thread(target=loop.run_until_complete, args=(running,), name="server")
        thread.start()
        try:
            yield server.address
        finally:
            loop.call_soon_threadsafe(server.stop)
            thread.join()
