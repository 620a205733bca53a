"""Where what a person wants is handed in, from any thread, and waits for the control loop.

Only the emergency stop does not wait. Not here: what may be asked for when (`mode`), and what
each command does (`verbs`).
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable

from robot_rl.core.errors import RobotRlError
from robot_rl.session.command import Answer, Command, Gone, Motion
from robot_rl.session.mode import Verb
from robot_rl.session.motions import Motions

_LOG = logging.getLogger(__name__)
_MOST_WAITING = 256
_REMEMBERED = 4096
_CLOSED = "the session has ended"

Reply = Callable[[Answer], None]


class FrontDesk:
    """Takes commands, motions and farewells (implements `seam.Desk`).

    A command that was handed in twice, as its client and number say, is done once and answered
    twice, alike. `submit` may also be called from a signal handler.

    Args:
        motions: where the motions go.
        stop: does a STOP at once, in the thread that hands it in, and returns words for the
            person.
        told: hears of what was refused at the door, in words for a person; from any thread.

    Attributes:
        refused: motions that were none.
    """

    def __init__(
        self, motions: Motions, stop: Callable[[Command], str], told: Callable[[str], None]
    ) -> None:
        self._motions = motions
        self._stop = stop
        self._told = told
        # A signal handler may interrupt the very thread that holds it.
        self._lock = threading.RLock()
        self._arrived = threading.Event()
        self._waiting: deque[Command] = deque()
        self._book: OrderedDict[tuple[str, int], Answer | list[Reply]] = OrderedDict()
        self._has_erred: set[str] = set()
        self._closed = False
        self.refused = 0

    def submit(self, command: Command, answer: Reply) -> None:
        """Ask for something; `answer` is called once, soon, in whatever thread."""
        key = (command.client, command.number)
        with self._lock:
            known = self._book.get(key)
            if known is None:
                self._book[key] = [answer]
                self._trim()
            elif isinstance(known, list):
                known.append(answer)
        if isinstance(known, Answer):
            _reply(answer, known)
        elif known is None:
            self._take_in(command)

    def move(self, motion: Motion) -> None:
        """Say what the keys want now; what is no motion counts for nothing, not as heard."""
        if why := self._motions.refuse(motion):
            self._refuse(motion.client, why)
        else:
            self._motions.put(motion)

    def gone(self, gone: Gone) -> None:
        """Say that somebody can no longer be heard; whoever has their name next is another."""
        with self._lock:
            self._has_erred.discard(gone.client)
            answered = [k for k in self._book if k[0] == gone.client]
            for key in answered:
                if isinstance(self._book[key], Answer):
                    del self._book[key]
        self._motions.leave(gone)
        self._arrived.set()

    def take(self) -> tuple[Command, ...]:
        """The commands that wait, oldest first; each is to be answered."""
        if not self._waiting:
            return ()
        with self._lock:
            waiting = tuple(self._waiting)
            self._waiting.clear()
            return waiting

    def answer(self, command: Command, *, done: bool, words: str = "") -> None:
        """Answer a command that was taken."""
        said = Answer(client=command.client, number=command.number, done=done, words=words)
        key = (command.client, command.number)
        with self._lock:
            replies = self._book.get(key)
            self._book[key] = said
        for reply in replies if isinstance(replies, list) else ():
            _reply(reply, said)

    def close(self) -> None:
        """Nobody takes commands any more: each is answered so. A stop still stops."""
        with self._lock:
            self._closed = True
        for command in self.take():
            self.answer(command, done=False, words=_CLOSED)

    def wait(self, seconds: float) -> None:
        """Return when something has come in, or so much time is over."""
        self._arrived.wait(seconds)
        self._arrived.clear()

    def _take_in(self, command: Command) -> None:
        if command.verb == Verb.STOP:
            words = self._stop(command)
            self.answer(command, done=True, words=words)
        elif words := self._put(command):
            self.answer(command, done=False, words=words)
        self._arrived.set()

    def _put(self, command: Command) -> str:
        """Let a command wait; or say why not."""
        with self._lock:
            if self._closed:
                return _CLOSED
            if len(self._waiting) >= _MOST_WAITING:
                return "too much was asked for at once; ask again"
            self._waiting.append(command)
            return ""

    def _trim(self) -> None:
        """Forget the oldest answers; what is not answered yet is kept."""
        while len(self._book) > _REMEMBERED:
            oldest = next((k for k, v in self._book.items() if isinstance(v, Answer)), None)
            if oldest is None:
                return
            del self._book[oldest]

    def _refuse(self, client: str, why: str) -> None:
        with self._lock:
            self.refused += 1
            first = client not in self._has_erred and len(self._has_erred) < _MOST_WAITING
            if first:
                self._has_erred.add(client)
        if first:
            self._told(f"{client} sent {why}: it moves nothing")


def _reply(reply: Reply, said: Answer) -> None:
    try:
        reply(said)
    except (OSError, RobotRlError):
        _LOG.exception("%s cannot be told the answer to its command %d", said.client, said.number)
