"""Where weights are handed in: one message after another, each answered, while plans go on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from threading import Thread

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from robot_rl.core.types import Vector
from robot_rl.policies.base import BasePolicy
from robot_rl.runtime.serving.config import ServerConfig
from robot_rl.runtime.serving.served_policy import ServedPolicy
from robot_rl.runtime.serving.swap import WeightError, WeightReply, read_weights, renewed

_LOG = logging.getLogger(__name__)

_Renewed = tuple[BasePolicy, int, Vector]


class WeightDesk:
    """Takes weights for policies that are being served; refuses what fails a check.

    Args:
        config: of the server.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._one_at_a_time = asyncio.Lock()

    async def serve(self, connection: ServerConnection, served: ServedPolicy) -> None:
        """Answer each message until the sender leaves.

        Raises:
            ConnectionClosed: if the sender leaves without a word.
        """
        try:
            async for data in connection:
                async with self._one_at_a_time:
                    reply = await self._exchange(served, data)
                await connection.send(msgspec.msgpack.encode(reply))
        except ConnectionClosed as closed:
            if closed.sent and closed.sent.code == CloseCode.MESSAGE_TOO_BIG:
                served.metric.weights["size"] += 1
            raise

    async def _exchange(self, served: ServedPolicy, data: bytes | str) -> WeightReply:
        try:
            policy, version, canary = await _aside(lambda: self._renewed(served, data))
        except WeightError as error:
            served.metric.weights[error.reason] += 1
            _LOG.warning("weights for %r refused: %s: %s", served.name, error.reason, error)
            return _reply(served, False, error.reason, str(error))
        served.replace(policy, version, canary)
        served.metric.weights["adopted"] += 1
        _LOG.info("%r plans with weights of version %d", served.name, version)
        return _reply(served, True)

    def _renewed(self, served: ServedPolicy, data: bytes | str) -> _Renewed:
        limit = self._config.max_weight_bytes
        version, weights = read_weights(data, served.name, served.version, limit)
        policy, canary = renewed(served.policy, weights, served.canary, self._config)
        return policy, version, canary


def _reply(served: ServedPolicy, adopted: bool, reason: str = "", words: str = "") -> WeightReply:
    return WeightReply(adopted, served.version, served.spec.fingerprint, reason, words)


async def _aside(function: Callable[[], _Renewed]) -> _Renewed:
    """Call it in a thread that does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_Renewed] = loop.create_future()

    def settle(result: _Renewed | WeightError) -> None:
        if done.done():
            return
        if isinstance(result, WeightError):
            done.set_exception(result)
        else:
            done.set_result(result)

    def work() -> None:
        try:
            result: _Renewed | WeightError = function()
        except WeightError as error:
            result = error
        with contextlib.suppress(RuntimeError):  # The loop is closed: nobody waits any more.
            loop.call_soon_threadsafe(settle, result)

    Thread(target=work, name="weights", daemon=True).start()
    return await done
