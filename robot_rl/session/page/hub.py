"""Where clients and the loop meet: views and pictures go out, wishes and lost leases come in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from robot_rl.core.errors import ContractError
from robot_rl.session.command import Answer, Command, Gone, Motion
from robot_rl.session.mode import Mode, Verb
from robot_rl.session.page.client import MESSAGES_PER_S, MOST_OFFENCES, Client
from robot_rl.session.page.line import Down, Up
from robot_rl.session.page.mail import Mail
from robot_rl.session.page.message import (
    REFERENCE,
    Asked,
    Hello,
    Hidden,
    Moved,
    Painted,
    Script,
    answer_text,
    cameras_text,
    decode,
    error_text,
    view_text,
    welcome,
)
from robot_rl.session.page.picture import Moment, Picture, Pictures
from robot_rl.session.page.present import Present
from robot_rl.session.view import Frame, Shown, View

LEASE_S = 0.18
"""Whoever holds the arm, or wants to move it, is heard at least this often."""
ANSWER_S = 3.0

_MOST_CAMERAS = 32
_RUNNING = frozenset({Mode.AUTO, Mode.HUMAN, Mode.HOLD})
_BUSY = "the session has too much to do: ask again"


class Hub:
    """All that the page's process knows. For one event loop; nothing here waits for a client.

    Args:
        mail: to the loop.
        keep: takes one picture a camera and step while an episode runs.
        quality: of JPEG, 1 to 100.
        key_size: length of a motion's action.
        store: the episode store, named to whoever comes.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        mail: Mail[Up],
        keep: Callable[[Picture], None],
        *,
        quality: int,
        key_size: int,
        store: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mail = mail
        self._keep = keep
        self._key_size = key_size
        self._store = store
        self._clock = clock
        self._clients: dict[str, Client] = {}
        self._count = 0
        self._view: tuple[int, str] | None = None
        # Of scripts, which have no line.
        self._present = Present(clock)
        self._holder, self._held_s = "", 0.0
        self._cameras: list[str] = []
        self._moment: Moment | None = None
        self._kept: dict[int, Moment] = {}
        self._asked: dict[str, asyncio.Future[Answer]] = {}
        self._pictures = Pictures(quality, self._is_wanted, self._made)

    def __len__(self) -> int:
        """How many clients there are."""
        return len(self._clients)

    def close(self) -> None:
        """End the threads that make pictures."""
        self._pictures.close()

    def take(self, message: Down) -> None:
        """Take what the loop says."""
        if isinstance(message, Shown):
            self._show(message.view)
        elif isinstance(message, Frame):
            self._take_frame(message)
        elif (future := self._asked.get(message.client)) is not None:
            if not future.done():
                future.set_result(message)
        elif (client := self._clients.get(message.client)) is not None:
            client.tell(answer_text(message))

    def join(self, hello: Hello) -> Client:
        """Let somebody in who knows the token, and tell them how all stands."""
        client = Client(self._named(hello.name), self._pictures, self._clock)
        self._clients[client.name] = client
        client.tell(welcome(client.name, self._cameras, self._store))
        client.tell(cameras_text(self._cameras))
        if self._view is not None:
            client.show(*self._view)
        self._pictures.look_at_all()
        return client

    def leave(self, client: Client) -> None:
        """Somebody's websocket has ended."""
        if self._clients.pop(client.name, None) is not None:
            self._say_gone(client, "its page was closed")

    def hear(self, client: Client, text: str) -> bool:
        """Take what a client says; False if it has said too much that makes no sense."""
        heard_ns = time.monotonic_ns()
        try:
            self._do(client, text, heard_ns)
        except ContractError as error:
            client.offences += 1
            client.tell(error_text(str(error)))
        return client.offences <= MOST_OFFENCES and not client.is_behind

    def look(self) -> str:
        """Return the newest view for a script, as it is told; empty before the first."""
        if self._view is None:
            return ""
        self._present.tell(self._view[0])
        return self._view[1]

    async def ask(self, script: Script) -> Answer:
        """Ask the loop for something on behalf of a script.

        Raises:
            TimeoutError: if there is no answer in time.
        """
        name = self._named("script")
        self._asked[name] = asyncio.get_running_loop().create_future()
        try:
            if why := self._put(name, 1, script, self._present):
                return Answer(client=name, number=1, done=False, words=why)
            async with asyncio.timeout(ANSWER_S):
                return await self._asked[name]
        finally:
            del self._asked[name]

    def watch(self) -> None:
        """Tell the loop of everybody who would drive and is not heard any more."""
        now = self._clock()
        for client in self._clients.values():
            since = client.signed_s
            if client.name == self._holder:
                since = max(since, self._held_s)
            elif not client.is_active:
                continue
            if now - since > LEASE_S:
                self._say_gone(client, f"nothing was heard of it for {LEASE_S:g} s")

    def _named(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self._count}"

    def _show(self, view: View) -> None:
        self._view = view.number, view_text(view)
        if view.holder != self._holder:
            self._holder, self._held_s = view.holder, self._clock()
        episode = view.episode if view.mode in _RUNNING else None
        self._moment = (episode.episode_id, episode.step) if episode else None
        for camera in view.cameras:
            self._index(camera.name)
        for client in self._clients.values():
            client.show(*self._view)

    def _take_frame(self, frame: Frame) -> None:
        index = self._index(frame.camera)
        if index is None:
            return
        channel = index | REFERENCE if frame.reference else index
        self._pictures.put(channel, frame, None if frame.reference else self._moment)

    def _index(self, camera: str) -> int | None:
        """Return the camera's index; it is never another's, so no picture is mistaken."""
        if camera not in self._cameras:
            if len(self._cameras) >= _MOST_CAMERAS:
                return None
            self._cameras.append(camera)
            for client in self._clients.values():
                client.tell(cameras_text(self._cameras))
        return self._cameras.index(camera)

    def _is_wanted(self, channel: int) -> bool:
        if not channel & REFERENCE and self._moment not in (None, self._kept.get(channel)):
            return True
        return any(client.looks_at(channel) for client in self._clients.values())

    def _made(self, picture: Picture) -> None:
        if picture.moment is not None and self._kept.get(picture.channel) != picture.moment:
            self._kept[picture.channel] = picture.moment
            self._keep(picture)
        for client in self._clients.values():
            client.look()

    def _do(self, client: Client, text: str, heard_ns: int) -> None:
        message = decode(text)
        if isinstance(message, Painted):
            channel = message.camera & 0xFFFFFFFF
            if client.painted(channel, message.number):
                # It answers a picture of ours, so there are no more of them than of those.
                self._pictures.look(channel)
                return
        speaks = client.may_speak()
        if isinstance(message, Asked) and (speaks or message.verb == Verb.STOP):
            self._submit(client, message)
        if not speaks:
            raise ContractError(f"got more than {MESSAGES_PER_S} messages in a second")
        if isinstance(message, Moved):
            self._move(client, message, heard_ns)
        elif isinstance(message, Hidden):
            client.is_visible = False
            self._say_gone(client, "its page is hidden")
        elif isinstance(message, Hello):
            raise ContractError("hello comes once, at first")

    def _submit(self, client: Client, asked: Asked) -> None:
        if why := self._put(client.name, asked.number, asked, client.present):
            answer = Answer(client=client.name, number=asked.number, done=False, words=why)
            client.tell(answer_text(answer))

    def _put(self, client: str, number: int, asked: Asked | Script, present: Present) -> str:
        """Hand a command on to the loop; or say why not. A stop may come late."""
        if asked.verb != Verb.STOP and (why := present.refuse(asked.view)):
            return why
        arguments = dict(asked.arguments)
        command = Command(client=client, number=number, verb=asked.verb, arguments=arguments)
        return "" if self._mail.put(command) else _BUSY

    def _move(self, client: Client, moved: Moved, heard_ns: int) -> None:
        if moved.active and len(moved.action) != self._key_size:
            raise ContractError(
                f"motion: got {len(moved.action)} numbers, expected {self._key_size}"
            )
        if not client.is_visible:
            client.appear()
            self._pictures.look_at_all()
        # Letting go may come late, as a stop may.
        if moved.active and (why := client.present.refuse(moved.view)):
            client.miss(why)
            return
        client.sign(active=moved.active)
        action = moved.action if moved.active else (0.0,) * self._key_size
        motion = Motion(
            client=client.name,
            number=moved.number,
            heard_ns=heard_ns,
            active=moved.active,
            action=action,
        )
        self._mail.put_newest(client.name, motion)

    def _say_gone(self, client: Client, why: str) -> None:
        # Whoever still holds the arm, or does again without a sign, is told of again.
        client.is_active, client.signed_s = False, self._clock()
        self._mail.put_newest(f"gone {client.name}", Gone(client=client.name, why=why))
