"""The learner's own process: takes in steps, pays the updates owed, tells its news.

The other end of the line is `process_link`. It holds nothing worth saving at its end: a state is
asked for, and steps are in the episode store.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import select
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any, cast

import torch

from robot_rl.core.errors import ConfigError, ContractError, LearningError, did_you_mean
from robot_rl.core.types import Observation, Transition
from robot_rl.runtime.child_process import redirect_stderr
from robot_rl.runtime.link import published
from robot_rl.runtime.wire import (
    Amend,
    Ask,
    Failed,
    Reply,
    Step,
    decode_message,
    decode_transition,
    encode_message,
    encode_published,
    encode_state,
)
from robot_rl.runtime.wire_array import MAX_BYTES
from robot_rl.runtime.worker import LearnerWorker

PUBLISH_S = 0.2
"""New weights are told at most this often, unless asked for."""
HEARTBEAT_S = 1.0
"""At least this often something is told, unless an update takes longer."""

_NICE = 5
"""The actor's ticks come first where cores are few."""


def main(
    factory: str,
    arguments: str,
    max_lag_updates: int | None,
    threads: int,
    log: str,
    inbox: Connection,
    outbox: Connection,
) -> None:
    """Serve until the actor closes the line or dies. What goes wrong ends up in `log`."""
    redirect_stderr(log)
    os.nice(_NICE)
    torch.set_num_threads(threads)
    worker = import_factory(factory)(arguments)
    LearnerServer(worker, inbox, outbox, max_lag_updates).serve()


def import_factory(named: str) -> Callable[[str], LearnerWorker]:
    """Import the function that `package.module:function` names.

    Raises:
        ConfigError: if there is no such module or function.
    """
    module_name, _, name = named.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (ModuleNotFoundError, ValueError) as error:
        raise ConfigError(
            f"factory {named!r}: {error}; expected an importable 'package.module:function'"
        ) from error
    function: Any = getattr(module, name, None)
    if not callable(function):
        raise ConfigError(f"factory {named!r} is no function{did_you_mean(name, vars(module))}")
    return cast(Callable[[str], LearnerWorker], function)


class LearnerServer:
    """Serves one actor over a pair of pipes.

    It reads on only while it owes at most `max_lag_updates`, so a step waits in the line until
    the updates before it are made: with 0, they are made at the very points where `InlineLink`
    makes them.

    Args:
        worker: ready to learn.
        inbox, outbox: steps and questions come in, news and states go out.
        max_lag_updates: None to take in every step at once, however much is owed.
    """

    def __init__(
        self,
        worker: LearnerWorker,
        inbox: Connection,
        outbox: Connection,
        max_lag_updates: int | None,
    ) -> None:
        self._worker = worker
        self._inbox = inbox
        self._outbox = outbox
        self._max_lag = max_lag_updates
        self._applied = 0
        self._previous: Observation | None = None
        self._amendment: Amend | None = None
        self._amended: list[Transition] = []
        self._metrics: Mapping[str, float] = {}
        self._said_s = 0.0
        self._said_updates = 0
        self._hang_up = select.poll()
        self._hang_up.register(inbox.fileno(), 0)

    def serve(self) -> None:
        """Work until the other end hangs up, whatever is still owed then.

        Raises:
            ContractError: if a step is missing, or what came in is not readable.
            LearningError: if learning has diverged; the other end has been told.
        """
        # It may hang up in the middle of something, too.
        with contextlib.suppress(EOFError, BrokenPipeError):
            try:
                self._serve()
            except LearningError as error:
                self._outbox.send_bytes(encode_message(Failed(reason=str(error))))
                raise

    def _serve(self) -> None:
        self._say(answers=0)
        while not self._hang_up.poll(0):
            # An amendment is taken in as a whole, as `InlineLink` does.
            due = self._worker.cycle_is_due and self._amendment is None
            if self._reads_on and self._inbox.poll(0 if due else HEARTBEAT_S):
                self._take(self._inbox.recv_bytes(MAX_BYTES))
            elif due:
                self._metrics = self._worker.train_cycle()
            self._say_if_due()

    @property
    def _reads_on(self) -> bool:
        # Less than a cycle cannot be paid, so it is not waited for.
        return (
            self._max_lag is None
            or self._amendment is not None
            or not self._worker.cycle_is_due
            or self._worker.updates_owed <= self._max_lag
        )

    def _take(self, data: bytes) -> None:
        message = decode_message(data)
        if isinstance(message, Step | Amend):
            self._apply(message)
        elif not isinstance(message, Ask):
            kind = type(message).__name__
            raise ContractError(f"learner: got a {kind}, expected a step or a question")
        elif message.about == "state":
            self._send(Reply(answers=message.number, body=encode_state(self._worker.state_dict())))
        else:
            self._say(answers=message.number)

    def _apply(self, message: Step | Amend) -> None:
        if message.number <= self._applied:
            return
        if message.number != self._applied + 1:
            raise ContractError(
                f"learner: got step {message.number} after {self._applied}; those between are lost"
            )
        if isinstance(message, Amend):
            if self._amendment is not None:
                raise ContractError("learner: an amendment begins before the last one is whole")
            self._amendment, self._amended = message, []
        else:
            transition = decode_transition(message.body, self._previous)
            self._previous = transition.next_observation
            if self._amendment is None:
                self._worker.add(transition)
            else:
                self._amended.append(transition)
        self._applied = message.number
        self._amend_if_whole()

    def _amend_if_whole(self) -> None:
        amendment = self._amendment
        if amendment is not None and len(self._amended) >= amendment.steps:
            self._worker.amend(amendment.episode_id, self._amended)
            self._amendment, self._amended = None, []

    def _say_if_due(self) -> None:
        silent_s = time.monotonic() - self._said_s
        news = self._worker.updates != self._said_updates
        if silent_s >= HEARTBEAT_S or (news and silent_s >= PUBLISH_S):
            self._say(answers=0)

    def _say(self, answers: int) -> None:
        self._said_s, self._said_updates = time.monotonic(), self._worker.updates
        body = encode_published(published(self._worker, self._metrics))
        self._send(Reply(answers=answers, body=body))

    def _send(self, reply: Reply) -> None:
        self._outbox.send_bytes(encode_message(reply))
