"""The line to a session, in a thread of its own: whoever asks here is answered later."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from robot_rl.session.client.address import Address
from robot_rl.session.client.line import Argument, Heard, Line, Status
from robot_rl.session.client.post import stop_by_post
from robot_rl.session.command import Answer
from robot_rl.session.mode import Verb
from robot_rl.session.view import View

_LOG = logging.getLogger(__name__)
_NAME = "ros"
_ANSWER_S = 4.0
"""The session's own patience is shorter."""
_STOP_S = 0.25
"""A stop that is not answered within that goes another way as well."""
_MOST_VIEWS = 100
_RESTS = "nobody speaks with the session any more: whether it was done is not known"


class SessionLink:
    """One client of a session's page, from its making until `close`.

    Args:
        address: of the session.

    Attributes:
        error: what has ended the line though it should not have; None while nothing has.
    """

    def __init__(self, address: Address) -> None:
        self.error: Exception | None = None
        self._line = Line(address, _NAME)
        self._views: deque[View] = deque(maxlen=_MOST_VIEWS)
        self._was_shown = False
        self._answers: dict[int, asyncio.Future[Answer]] = {}
        self._closing = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="session", daemon=True)
        self._thread.start()

    @property
    def status(self) -> Status:
        """How the line stands now; live once there is a view."""
        status = self._line.status
        return replace(status, is_live=status.is_live and self._was_shown)

    def views(self) -> list[View]:
        """Return what the session has shown since the last call, oldest first."""
        return [self._views.popleft() for _ in range(len(self._views))]

    def ask(
        self,
        verb: Verb,
        arguments: Mapping[str, Argument],
        answered: Callable[[Answer], object],
        view: int = 0,
    ) -> None:
        """Ask for something; a stop goes out by whatever way there is, and takes no arguments.

        Args:
            verb: what is asked for.
            arguments: what it takes.
            answered: called once, soon, in another thread.
            view: number of the view that was seen; the newest, if not said.
        """
        asking = self._stop() if verb == Verb.STOP else self._ask(verb, arguments, view)
        self._start(asking).add_done_callback(lambda asked: answered(_answer_of(asked)))

    def close(self, seconds: float) -> bool:
        """Leave; whether it was done within so many seconds."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _start[T](self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._attend())

    async def _attend(self) -> None:
        talking = asyncio.create_task(self._talk())
        await self._closing.wait()
        talking.cancel()
        await asyncio.wait({talking})
        await self._line.close()

    async def _talk(self) -> None:
        try:
            await self._line.run(self._hear)
        except Exception as error:  # noqa: BLE001 - raised again by whoever looks at it
            self.error = error

    def _hear(self, heard: Heard) -> None:
        if isinstance(heard, View):
            self._views.append(heard)
            self._was_shown = True
        elif not isinstance(heard, Answer):
            _LOG.error("the session has not understood: %s", heard.words)
        elif (waiting := self._answers.get(heard.number)) is not None and not waiting.done():
            waiting.set_result(heard)

    async def _ask(self, verb: Verb, arguments: Mapping[str, Argument], view: int) -> Answer:
        if not self.status.is_live:
            return _refusal(f"nothing was asked for: {silence(self.status)}")
        answer = await self._answer_to(self._line.command(verb, arguments, view), _ANSWER_S)
        return answer or _refusal(
            f"the session has not answered within {_ANSWER_S:g} s: whether it is done shows in "
            "session/state"
        )

    async def _stop(self) -> Answer:
        """Stop over the line; over HTTP too if that shows nothing, or does not answer."""
        was_live = self.status.is_live
        number = self._line.command(Verb.STOP)
        if was_live and (answer := await self._answer_to(number, _STOP_S)) is not None:
            return answer
        if await asyncio.to_thread(stop_by_post, self._line.address):
            return Answer(client="", number=0, done=True, words="stopped")
        return _refusal(
            "the stop may not have been heard: use the emergency stop at the arm; "
            f"{silence(self.status)}"
        )

    async def _answer_to(self, number: int, patience_s: float) -> Answer | None:
        waiting = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(patience_s):
                return await waiting
        except TimeoutError:
            return None
        finally:
            del self._answers[number]


def silence(status: Status) -> str:
    """Return in words that the session is not heard, and what is done about it."""
    words = f"nothing was heard of the session for {status.silent_s:.1f} s"
    return f"{words}; {status.words}" if status.words else words


def _answer_of(asked: Future[Answer]) -> Answer:
    if asked.cancelled():
        return _refusal(_RESTS)
    error = asked.exception()
    return _refusal(f"{type(error).__name__}: {error}") if error else asked.result()


def _refusal(words: str) -> Answer:
    return Answer(client="", number=0, done=False, words=words)
