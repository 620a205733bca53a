"""A port forward whose cable can be pulled: both ends keep their sockets and are told nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable

_CHUNK = 1 << 16


class Relay:
    """Forwards a port of this machine to another one, in a thread of its own.

    What is said while the cable is out waits, and comes once it is in again, as with TCP.

    Args:
        host: to listen on.
        port: likewise; 0 takes a free one.

    Attributes:
        port: to be opened instead of the other one.
        is_cut: nothing is forwarded, and who connects is not answered.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = socket.create_server((host, port), family=family)
        self.port: int = self._listening.getsockname()[1]
        self.is_cut = False
        self._to = ("", 0)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._in = asyncio.Event()
        self._in.set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._thread.start()

    def start(self, host: str, port: int) -> None:
        """Forward to that port from now on."""
        self._to = (host, port)

        async def listen() -> asyncio.Server:
            return await asyncio.start_server(self._serve, sock=self._listening)

        self._server = asyncio.run_coroutine_threadsafe(listen(), self._loop).result()

    def cut(self) -> float:
        """Pull the cable; return when nothing came through any more [s, monotonic]."""
        self._call(self._in.clear)
        self.is_cut = True
        return time.monotonic()

    def heal(self) -> None:
        """Put it in again: what waited comes through."""
        self.is_cut = False
        self._call(self._in.set)

    def heal_without_memory(self) -> None:
        """Put it in again, where a router on the way has forgotten its connections."""

        def reset() -> None:
            for writer in self._writers:
                writer.transport.abort()
            self._in.set()

        self.is_cut = False
        self._call(reset)

    def close(self) -> None:
        """End every connection, and the thread."""

        async def end() -> None:
            self._server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Callable[[], object]) -> None:
        async def do() -> None:
            work()

        asyncio.run_coroutine_threadsafe(do(), self._loop).result()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        writers = {writer}
        self._writers.add(writer)
        try:
            await self._in.wait()
            try:
                far_reader, far_writer = await asyncio.open_connection(*self._to)
            except ConnectionRefusedError:
                # Nobody serves there any more: who connects here is sent away as well.
                return
            writers.add(far_writer)
            self._writers.add(far_writer)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(reader, far_writer))
                group.create_task(self._forward(far_reader, writer))
        finally:
            self._writers -= writers
            for one in writers:
                one.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # An end that hangs up is heard of as far as the cable is in.
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._in.wait()
                writer.write(data)
                await writer.drain()
            await self._in.wait()
            if writer.can_write_eof():
                writer.write_eof()
