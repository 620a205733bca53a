"""One browser, terminal or script at the websocket: what waits for it, and how it behaves."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from robot_rl.session.page.message import REFERENCE, error_text, framed
from robot_rl.session.page.picture import Picture, Pictures
from robot_rl.session.page.present import Present

MOST_OFFENCES = 20
MESSAGES_PER_S = 200
_MOST_TEXTS = 256


class Client:
    """What is to be said to a client, newest first where only the newest counts.

    Args:
        name: whose commands are under it.
        pictures: of all cameras.
        clock: seconds that only grow.

    Attributes:
        is_visible: somebody looks at it.
        is_active: its newest motion was one.
        present: which view it was told when.
        signed_s: when its newest motion came, or the loop was told that none comes.
        offences: messages that made no sense, or were too many.
    """

    def __init__(self, name: str, pictures: Pictures, clock: Callable[[], float]) -> None:
        self.name = name
        self.is_visible = True
        self.is_active = False
        self.signed_s = clock()
        self.offences = 0
        self.present = Present(clock)
        self._clock = clock
        self._pictures = pictures
        self._texts: deque[str] = deque()
        self._view: tuple[int, str] | None = None
        self._sent: dict[int, Picture] = {}
        self._unpainted: dict[int, int] = {}
        self._news = asyncio.Event()
        self._is_late = False
        self._room = float(MESSAGES_PER_S)
        self._filled_s = clock()

    @property
    def is_behind(self) -> bool:
        """Whether it takes so little that it is of no use to say more."""
        return len(self._texts) > _MOST_TEXTS

    def tell(self, text: str) -> None:
        """Say something, in its turn."""
        if not self.is_behind:
            self._texts.append(text)
        self._news.set()

    def show(self, number: int, view: str) -> None:
        """Show a view in place of one that still waits."""
        self._view = number, view
        self._news.set()

    def look(self) -> None:
        """See whether there is a picture to be sent."""
        self._news.set()

    def appear(self) -> None:
        """Somebody looks at it again."""
        self.is_visible = True
        self.look()

    def miss(self, why: str) -> None:
        """A motion came late: say so once, until one comes in time."""
        if not self._is_late:
            self._is_late = True
            self.tell(error_text(f"nothing moves: {why}"))

    def sign(self, *, active: bool) -> None:
        """A motion came in time."""
        self.is_active, self.signed_s = active, self._clock()
        self._is_late = False

    def looks_at(self, channel: int) -> bool:
        """Whether a new picture of that channel would be sent at once."""
        return self.is_visible and channel not in self._unpainted

    def painted(self, channel: int, number: int) -> bool:
        """Hear that a picture was painted; whether it was the one that was waited for."""
        if channel & REFERENCE:
            return self._sent.get(channel) is not None
        if self._unpainted.get(channel) != number:
            return False
        del self._unpainted[channel]
        self._news.set()
        return True

    def may_speak(self) -> bool:
        """Count a message; False if there were more than 200 in a second."""
        now = self._clock()
        refill = (now - self._filled_s) * MESSAGES_PER_S
        self._room, self._filled_s = min(self._room + refill, MESSAGES_PER_S), now
        if self._room < 1:
            return False
        self._room -= 1
        return True

    async def next(self) -> str | bytes:
        """Wait for what is to be sent next: words first, then the view, then pictures."""
        while (message := self._take()) is None:
            self._news.clear()
            await self._news.wait()
        return message

    def _take(self) -> str | bytes | None:
        if self._texts:
            return self._texts.popleft()
        if self._view is not None:
            (number, view), self._view = self._view, None
            self.present.tell(number)
            return view
        return next((self._send(p) for p in self._pictures if self._is_due(p)), None)

    def _is_due(self, picture: Picture) -> bool:
        channel = picture.channel
        unseen = self._sent.get(channel) is not picture
        return self.is_visible and unseen and channel not in self._unpainted

    def _send(self, picture: Picture) -> bytes:
        self._sent[picture.channel] = picture
        if not picture.channel & REFERENCE:
            self._unpainted[picture.channel] = picture.number & 0xFFFFFFFF
        sent_ms = time.time_ns() / 1e6
        return framed(picture.channel, picture.number, picture.taken_ms, sent_ms, picture.jpeg)
