"""One policy of a server: its thread, and which requests it plans together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from threading import Thread

from robot_rl.core.errors import ContractError, RobotRlError
from robot_rl.core.types import Vector
from robot_rl.policies.base import BasePolicy, PlanRequest, PolicySpec
from robot_rl.runtime.serving import probe
from robot_rl.runtime.serving.config import ServerConfig
from robot_rl.runtime.serving.metric import PolicyMetric, PolicyState

_LOG = logging.getLogger(__name__)


class RequestError(RobotRlError):
    """A request is not answered with a plan.

    Args:
        kind: under which it is counted: `bad` (not understood), `late`, `failed` (the policy
            raised), `plan` (what it planned is no good) or `ending`.
        text: what to tell the client.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan float32[h, d], by whom, and how long its batch took [s]."""

    plan: Vector
    spec: PolicySpec
    version: int
    infer_s: float


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    request: PlanRequest
    deadline_s: float | None
    answer: asyncio.Future[Planned]


@dataclass(frozen=True, slots=True)
class _Current:
    policy: BasePolicy
    spec: PolicySpec
    version: int
    canary: Vector | None


class ServedPolicy:
    """Plans for all clients of one policy, in a thread of its own that does nothing else.

    All methods are for the server's loop. What is waiting when the thread is free is planned in
    one batch; a request waits for others only while there are other clients. A request that
    makes the policy raise fails alone.

    Args:
        name: by which clients ask for it.
        policy: nobody else may call it while this runs.
        config: of the server.

    Attributes:
        askers: clients that have asked for this policy and are still there.
        metric: counts.
    """

    def __init__(self, name: str, policy: BasePolicy, config: ServerConfig) -> None:
        self.name = name
        self.askers = 0
        self.metric = PolicyMetric()
        self._current = _Current(policy, policy.spec, 0, None)
        self._config = config
        self._queue: SimpleQueue[_Asked | None] = SimpleQueue()
        self._open: set[_Asked] = set()
        self._loop: asyncio.AbstractEventLoop

    @property
    def spec(self) -> PolicySpec:
        """Of the policy at present."""
        return self._current.spec

    @property
    def version(self) -> int:
        """Of its weights: 0 until some are exchanged."""
        return self._current.version

    @property
    def policy(self) -> BasePolicy:
        """What plans at present, to be copied; its thread is using it."""
        return self._current.policy

    @property
    def canary(self) -> Vector | None:
        """Its `probe.canary_plans`, if the server limits their change."""
        return self._current.canary

    @property
    def state(self) -> PolicyState:
        """What is to be told to whoever measures."""
        return PolicyState(
            metric=self.metric,
            waiting=len(self._open),
            version=self.version,
            fingerprint=self.spec.fingerprint,
        )

    async def start(self) -> None:
        """Start the thread; returns once the policy is warm.

        Raises:
            ContractError: if the policy cannot plan from a zero observation.
        """
        self._loop = asyncio.get_running_loop()
        warm: asyncio.Future[None] = self._loop.create_future()
        # A daemon, so that a policy that hangs does not keep the process from ending.
        Thread(target=self._work, args=(warm,), name=f"plan-{self.name}", daemon=True).start()
        await warm

    async def plan(self, request: PlanRequest, deadline_s: float | None) -> Planned:
        """Plan, if that can be begun in time.

        Args:
            request: fits the spec.
            deadline_s: by `time.monotonic`, after which no plan is begun.

        Raises:
            RequestError: if there is none.
        """
        asked = _Asked(request, deadline_s, self._loop.create_future())
        self._open.add(asked)
        self._queue.put(asked)
        try:
            return await asked.answer
        finally:
            self._open.discard(asked)

    def replace(self, policy: BasePolicy, version: int, canary: Vector) -> None:
        """Let another policy of the same spec plan, from the next batch on."""
        self._current = _Current(policy, policy.spec, version, canary)

    def stop(self) -> None:
        """End the thread after the batch that it is at; who still waits gets no plan."""
        self._queue.put(None)
        for asked in self._open:
            _settle(asked, RequestError("ending", "the server is ending"))

    def _work(self, warm: asyncio.Future[None]) -> None:
        failure = None
        try:
            self._warm_up()
        except Exception as error:  # noqa: BLE001 - a policy may raise anything
            failure = ContractError(f"policy {self.name!r} cannot be warmed up: {_line(error)}")
            failure.__cause__ = error
        self._tell(_finish, warm, failure)
        while failure is None and (first := self._queue.get()) is not None:
            self._answer(self._gather(first))

    def _warm_up(self) -> None:
        config, current = self._config, self._current
        probe.warm_up(current.policy, config.warm_ups, config.max_batch)
        if config.canary_max_change is not None:
            self._current = replace(current, canary=probe.canary_plans(current.policy))

    def _gather(self, first: _Asked) -> list[_Asked]:
        """Return the next batch: whoever waits, and whoever comes while it is worth waiting."""
        batch, until_s = [first], time.monotonic() + self._config.batch_wait_s
        while len(batch) < self._config.max_batch:
            others = len(batch) < self.askers
            wait_s = until_s - time.monotonic() if others else 0.0
            try:
                asked = self._queue.get(timeout=wait_s) if wait_s > 0 else self._queue.get_nowait()
            except Empty:
                break
            if asked is None:
                self._queue.put(None)
                break
            batch.append(asked)
        return batch

    def _answer(self, batch: list[_Asked]) -> None:
        # Read once: the policy may be replaced at any time, but not within a batch.
        current, now_s = self._current, time.monotonic()
        timely = [a for a in batch if a.deadline_s is None or now_s <= a.deadline_s]
        for asked in batch:
            if asked not in timely:
                late = RequestError("late", "the deadline had passed before planning began")
                self._tell(_settle, asked, late)
        if timely:
            self._plan(current, timely)

    def _plan(self, current: _Current, asked: Sequence[_Asked]) -> None:
        begun_s = time.perf_counter()
        try:
            plans = probe.plan(current.policy, [each.request for each in asked])
        except Exception as error:  # noqa: BLE001 - a policy may raise anything
            if len(asked) > 1:
                # It may be one request that the policy fails at: no other is to suffer for it.
                for each in asked:
                    self._plan(current, [each])
                return
            _LOG.exception("policy %r has failed", self.name)
            self._tell(_settle, asked[0], RequestError("failed", _line(error)))
            return
        infer_s = time.perf_counter() - begun_s
        results = [_judged(row, current, infer_s) for row in plans]
        self._tell(self._settle_all, asked, results, infer_s)

    def _settle_all(
        self, asked: Sequence[_Asked], results: Sequence[Planned | RequestError], infer_s: float
    ) -> None:
        self.metric.planned(len(asked), infer_s)
        for each, result in zip(asked, results, strict=True):
            _settle(each, result)

    def _tell(self, function: object, *arguments: object) -> None:
        # The loop is closed when the server has not waited for this thread.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)  # pyright: ignore[reportArgumentType,reportCallIssue]


def _judged(plan: Vector, current: _Current, infer_s: float) -> Planned | RequestError:
    if fault := probe.fault_of(plan):
        return RequestError("plan", fault)
    return Planned(plan, current.spec, current.version, infer_s)


def _settle(asked: _Asked, result: Planned | RequestError) -> None:
    if asked.answer.done():
        return
    if isinstance(result, RequestError):
        asked.answer.set_exception(result)
    else:
        asked.answer.set_result(result)


def _finish(done: asyncio.Future[None], failure: ContractError | None) -> None:
    if not done.done():
        done.set_exception(failure) if failure else done.set_result(None)


def _line(error: BaseException) -> str:
    """An error in one line, without its traceback."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]
