"""One client of a server: its metadata, then an answer for each request, one after another."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from robot_rl.core.errors import ContractError
from robot_rl.policies.base import PlanRequest, PolicySpec, check_request
from robot_rl.policies.remote.codec import decode, encode
from robot_rl.policies.remote.protocol import Asked, answer_of, metadata_of, read_request
from robot_rl.runtime.serving.served_policy import RequestError, ServedPolicy

ENDING = "the server is ending"
"""Why a connection is closed with code 1001."""

_WORDS = 500


class Session:
    """Answers a client until it leaves, says what is not understood, or the server ends.

    While a request is being answered the next one is not read, so a client has one in flight.

    Args:
        connection: to the client.
        served: the policies, by name.
        default: the name of the one that answers who names none.
        refused: where messages are counted that name no policy, by kind.
    """

    def __init__(
        self,
        connection: ServerConnection,
        served: Mapping[str, ServedPolicy],
        default: str,
        refused: Counter[str],
    ) -> None:
        self._connection = connection
        self._served = served
        self._default = default
        self._refused = refused
        self._asking: ServedPolicy | None = None
        self._rng = np.random.default_rng()
        self._busy = False
        self._ending = False

    async def serve(self) -> None:
        """Answer until the end.

        Raises:
            ConnectionClosed: if the client leaves.
        """
        try:
            await self._connection.send(encode(self._metadata()))
            await self._answer_all()
        except RequestError as error:
            await self._refuse(error)
        except ConnectionClosed as closed:
            if closed.sent and closed.sent.code == CloseCode.MESSAGE_TOO_BIG:
                self._refused["size"] += 1
            raise
        finally:
            self._ask(None)

    async def finish(self) -> None:
        """Take no more requests; close once the one in flight is answered."""
        self._ending = True
        if not self._busy:
            await self._connection.close(CloseCode.GOING_AWAY, ENDING)

    def _metadata(self) -> dict[str, object]:
        specs, served = self._specs(), self._served
        return metadata_of(specs, {name: served[name].version for name in served}, self._default)

    def _specs(self) -> dict[str, PolicySpec]:
        return {name: each.spec for name, each in self._served.items()}

    async def _answer_all(self) -> None:
        previous_ms = None
        while not self._ending:
            data = await self._connection.recv()
            self._busy = True
            begun_s = time.monotonic()
            await self._connection.send(await self._answer(data, begun_s, previous_ms))
            previous_ms = (time.monotonic() - begun_s) * 1e3
            self._busy = False
        await self._connection.close(CloseCode.GOING_AWAY, ENDING)

    async def _answer(self, data: bytes | str, begun_s: float, previous_ms: float | None) -> bytes:
        try:
            asked = self._read(data)
        except ContractError as error:
            self._refused["bad"] += 1
            raise RequestError("bad", str(error)) from error
        served = self._served[asked.policy]
        self._ask(served)
        served.metric.requests += 1
        deadline_s = None if asked.deadline_s is None else begun_s + asked.deadline_s
        try:
            planned = await served.plan(asked.request, deadline_s)
        except RequestError as error:
            served.metric.errors[error.kind] += 1
            raise
        message = answer_of(
            planned.plan,
            planned.spec,
            asked,
            version=planned.version,
            infer_ms=planned.infer_s * 1e3,
            prev_total_ms=previous_ms,
        )
        return encode(message)

    def _read(self, data: bytes | str) -> Asked:
        if isinstance(data, str):
            raise ContractError("message: got text, expected a binary frame of msgpack")
        specs = self._specs()
        asked = read_request(decode(data), specs, self._default)
        spec = specs[asked.policy]
        asked = replace(asked, request=self._with_noise(asked.request, spec))
        check_request(spec, asked.request)
        return asked

    def _with_noise(self, request: PlanRequest, spec: PolicySpec) -> PlanRequest:
        if request.noise is not None or spec.noise is None:
            return request
        return replace(request, noise=self._rng.standard_normal(spec.noise, np.float32))

    def _ask(self, served: ServedPolicy | None) -> None:
        """Count this client among those who ask that policy, and no other."""
        if served is not self._asking:
            if self._asking is not None:
                self._asking.askers -= 1
            if served is not None:
                served.askers += 1
            self._asking = served

    async def _refuse(self, error: RequestError) -> None:
        """Say what is wrong in one line, as openpi's clients expect it: text, then the end."""
        if error.kind == "ending":
            await self._connection.close(CloseCode.GOING_AWAY, ENDING)
            return
        await self._connection.send(" ".join(str(error).split())[:_WORDS])
        await self._connection.close(CloseCode.INTERNAL_ERROR, "see the text before")
