"""The actor's line to a learner in a process of its own: the actor never waits for an update.

Nothing but bytes crosses (see `wire`). Not here: what the process does (`process_worker`), how it
is started and ended (`child_process`).
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

from robot_rl.control.watchdog import watched
from robot_rl.core.episode import Episode
from robot_rl.core.errors import ContractError, LearnerLostError, LearningError
from robot_rl.core.types import Observation, Transition
from robot_rl.runtime import process_worker
from robot_rl.runtime.child_process import ChildProcess
from robot_rl.runtime.link import Published
from robot_rl.runtime.wire import (
    Amend,
    Ask,
    Failed,
    Reply,
    Step,
    decode_message,
    decode_published,
    decode_state,
    encode_message,
    encode_transition,
)
from robot_rl.runtime.wire_array import MAX_BYTES

MAX_WAITING_STEPS = 10_000
MAX_WAITING_BYTES = 1 << 28
"""What may wait here for a learner that does not take it; beyond, the learner counts as lost."""

_LOG = logging.getLogger(__name__)
_LEARNER = watched("learner", "actor")
_HANG_UP_S = 1.0
_ROOM_S = 0.01
"""Between two looks at whether what waits has been sent."""


class ProcessLink:
    """A learner in a process of its own (implements `LearnerLink`).

    For one thread. When the learner is lost, that is logged at once, said by `loss` from then on,
    and raised between episodes, so that the episode can be finished and stored; its steps are then
    in the store alone, from where the next learner gets each of them once. Ctrl-C in a terminal
    does not reach the process: its state can still be asked for.

    Args:
        factory: `package.module:function` that makes the `LearnerWorker`, in the process.
        arguments: what it is called with; JSON, say.
        max_lag_updates: `sync` waits until the learner owes at most so many updates; with 0 the
            results are those of `InlineLink`. None never waits, as a robot does not either.
        threads: that torch uses in the process.
        finish_s: how long the policy may still drive after the learner was lost; None for as
            long as the episode lasts.
        silence_s: a process that says nothing for so long counts as lost; more than a cycle takes.
        log: where the process writes what it has to say; without it, to a temporary file.

    Raises:
        LearnerLostError: if the process ends before it is ready.
    """

    def __init__(
        self,
        factory: str,
        arguments: str,
        *,
        max_lag_updates: int | None,
        threads: int = 1,
        finish_s: float | None = None,
        silence_s: float = _LEARNER.limit_s,
        log: Path | None = None,
    ) -> None:
        self._max_lag = max_lag_updates
        self._finish_s = finish_s
        self._silence_s = silence_s
        self._steps = 0
        self._questions = 0
        self._previous: Observation | None = None
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._queued_bytes = 0
        self._written_bytes = 0
        self._heard = threading.Condition()
        self._news: Reply | None = None
        self._answer: Reply | None = None
        self._lost = ""
        self._lost_s = 0.0
        self._loss = ""
        self._failure = ""
        self._closed = False
        self._process = ChildProcess(
            process_worker.main,
            (factory, arguments, max_lag_updates, threads),
            name="learner",
            log=log,
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, name="learner-news", daemon=True)
        self._writer = threading.Thread(target=self._write, name="learner-steps", daemon=True)
        self._reader.start()
        self._writer.start()
        self._wait_until_ready()

    def add(self, transition: Transition) -> None:
        """Hand over one step; it is encoded here and sent by a thread. For nobody once lost.

        Raises:
            ContractError: if an array is of a dtype that does not travel.
            LearnerLostError: if the line is closed.
        """
        if self._closed:
            self._check()
        if self._lost:
            return
        self._send(transition)
        self._check_waiting()

    def amend(self, episode_id: str, episode: Episode | None) -> None:
        """Let the learner forget an episode and take in what takes its place.

        For nobody once lost. It waits while much is on its way, so that a long episode does not
        count as falling behind.

        Raises:
            ContractError: if an array is of a dtype that does not travel.
            LearnerLostError: if the line is closed.
        """
        if self._closed:
            self._check()
        if self._lost:
            return
        steps = 0 if episode is None else len(episode)
        self._steps += 1
        self._put(encode_message(Amend(number=self._steps, episode_id=episode_id, steps=steps)))
        for transition in episode.transitions() if episode is not None else ():
            self._wait_for_room()
            if self._lost:
                return
            self._send(transition)

    @property
    def loss(self) -> str:
        """Why the learner is lost, in words for a person; empty while it lives.

        A line that was closed while it lived has lost nobody. Never waits.
        """
        return self._loss

    @property
    def time_is_up(self) -> bool:
        """Whether the learner was lost `finish_s` ago: the policy is to drive no more."""
        if not self._lost or self._finish_s is None:
            return False
        return time.monotonic() - self._lost_s >= self._finish_s

    def sync(self) -> Published:
        """Wait until the learner owes few enough updates, if it is to be waited for at all.

        Raises:
            LearnerLostError: if the learner is lost.
            LearningError: if it has stopped because learning diverged.
        """
        self._check()
        return decode_published(self._newest() if self._max_lag is None else self._ask("news"))

    def state_dict(self) -> dict[str, Any]:
        """The worker's state, after every step handed over and between two updates.

        Raises:
            LearnerLostError: if the learner is lost.
            LearningError: if it has stopped because learning diverged.
        """
        self._check()
        return decode_state(self._ask("state"))

    def close(self) -> None:
        """End the process, by force if need be; steps that it has not taken are not waited for."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._writer.join(_HANG_UP_S)
        if self._writer.is_alive():
            self._process.kill()
            self._writer.join()
        self._process.hang_up()
        self._reader.join()
        self._process.close()

    def _wait_until_ready(self) -> None:
        try:
            with self._heard:
                self._heard.wait_for(lambda: self._lost or self._news)
            self._check()
        except BaseException:
            self.close()
            raise

    def _send(self, transition: Transition) -> None:
        self._steps += 1
        body = encode_transition(transition, self._previous)
        self._previous = transition.next_observation
        self._put(encode_message(Step(number=self._steps, body=body)))

    def _wait_for_room(self) -> None:
        """Wait until half of what may wait here does, or the learner is lost."""
        with self._heard:
            while not self._lost and self._waiting_share > 0.5:
                self._heard.wait(_ROOM_S)

    @property
    def _waiting_share(self) -> float:
        size = self._queued_bytes - self._written_bytes
        return max(self._queue.qsize() / MAX_WAITING_STEPS, size / MAX_WAITING_BYTES)

    def _put(self, data: bytes) -> None:
        self._queued_bytes += len(data)
        self._queue.put(data)

    def _ask(self, about: Literal["news", "state"]) -> bytes:
        self._questions += 1
        self._put(encode_message(Ask(number=self._questions, about=about)))
        with self._heard:
            self._heard.wait_for(lambda: self._lost or self._answered())
            if (answer := self._answered()) is not None:
                return answer.body
        self._check()
        raise ContractError(f"the learner has not answered question {self._questions}")

    def _answered(self) -> Reply | None:
        fits = self._answer is not None and self._answer.answers == self._questions
        return self._answer if fits else None

    def _newest(self) -> bytes:
        if self._news is None:
            raise ContractError("the learner has told nothing yet")
        return self._news.body

    def _check(self) -> None:
        if self._closed:
            raise LearnerLostError("the line to the learner is closed; open another one")
        if self._failure:
            raise LearningError(self._failure)
        if self._lost:
            raise LearnerLostError(
                f"the learner {self._lost}. Episodes up to here are stored: resume the run to go "
                f"on from its last checkpoint. It was {self._process.fate}"
            )

    def _check_waiting(self) -> None:
        steps, size = self._queue.qsize(), self._queued_bytes - self._written_bytes
        if steps > MAX_WAITING_STEPS or size > MAX_WAITING_BYTES:
            self._lose(
                f"is {steps} steps ({size / 1e6:.0f} MB) behind, expected at most "
                f"{MAX_WAITING_STEPS} ({MAX_WAITING_BYTES / 1e6:.0f} MB): lower `utd`, or give "
                "it more threads"
            )

    def _lose(self, why: str) -> None:
        with self._heard:
            if not self._lost:
                self._lost, self._lost_s = why, time.monotonic()
                if not self._closed:
                    self._loss = f"it {why}; {self._until()}"
                    _LOG.error("the learner %s; %s, then nobody drives", why, self._until())
            self._heard.notify_all()

    def _until(self) -> str:
        rest = "the episode ends" if self._finish_s is None else f"{self._finish_s:g} s are over"
        return f"the policy acts with the weights of now until {rest}"

    def _write(self) -> None:
        while (data := self._queue.get()) is not None and not self._closed:
            try:
                self._process.outbox.send_bytes(data)
            except OSError:
                # The reader hears of the same end and says so.
                return
            self._written_bytes += len(data)

    def _read(self) -> None:
        patience_s = _LEARNER.grace_s
        try:
            while self._process.inbox.poll(patience_s):
                self._hear(self._process.inbox.recv_bytes(MAX_BYTES))
                patience_s = self._silence_s
            self._lose(f"has said nothing for {patience_s:g} s")
        except (EOFError, OSError):
            self._lose("has ended")
        except ContractError as error:
            self._lose(f"says what cannot be read: {error}")

    def _hear(self, data: bytes) -> None:
        reply = decode_message(data)
        if isinstance(reply, Failed):
            self._failure = reply.reason
            self._lose(f"has stopped: {reply.reason}")
            return
        if not isinstance(reply, Reply):
            raise ContractError(f"got a {type(reply).__name__}, expected a reply")
        with self._heard:
            if reply.answers:
                self._answer = reply
            else:
                self._news = reply
            self._heard.notify_all()
