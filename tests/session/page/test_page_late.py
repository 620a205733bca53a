"""What waited in a cut line is not done when it comes; a stop is, and so is letting go."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from page_rig import KEY_SIZE, WAIT_S, Page, view

from robot_rl.session.client.address import Address
from robot_rl.session.client.line import Heard, Line
from robot_rl.session.client.post import stop_by_post
from robot_rl.session.command import Answer, Command, Gone, Motion
from robot_rl.session.mode import Verb
from robot_rl.session.page.hub import Hub
from robot_rl.session.page.line import Alive, Up
from robot_rl.session.page.mail import Mail
from robot_rl.session.page.message import PROTOCOL, Hello, Script
from robot_rl.session.page.present import LATE_S
from robot_rl.session.view import Shown, View

OTHERS = [verb for verb in Verb if verb != Verb.STOP]


class Scene:
    """A hub at a time that is set by hand, one client at it, and what comes to the loop."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.mail: Mail[Up] = Mail(100)
        self.hub = Hub(
            self.mail,
            lambda picture: None,
            quality=80,
            key_size=KEY_SIZE,
            store="store",
            clock=lambda: self.now_s,
        )
        self.hub.close()
        self.client = self.hub.join(Hello(token="t", protocol=PROTOCOL))
        self._number = 0
        self._heard: list[dict[str, Any]] = []

    def show(self, number: int) -> None:
        """The loop shows a view, and the client reads on until it has it."""
        self.hub.take(Shown(view=view(number)))
        self.read(until="view")

    def ask(self, verb: Verb, seen: int) -> None:
        self._say(type="command", verb=verb, view=seen, arguments={})

    def move(self, seen: int, *, active: bool = True) -> None:
        self._say(type="motion", view=seen, active=active, action=[0.5] * KEY_SIZE)

    def handed_in(self) -> list[Up]:
        self.mail.put(Alive())
        taken: list[Up] = []
        while not isinstance(message := self.mail.take(), Alive):
            assert message is not None
            taken.append(message)
        return taken

    def told(self, kind: str) -> list[dict[str, Any]]:
        """What the client was told since this was last asked."""

        self.client.tell(json.dumps({"type": "end"}))
        self.read(until="end")
        heard, self._heard = self._heard, []
        return [message for message in heard if message["type"] == kind]

    def read(self, until: str) -> None:
        """The client reads on until it is told something of that kind."""

        async def read() -> None:
            async with asyncio.timeout(WAIT_S):
                while not self._heard or self._heard[-1]["type"] != until:
                    self._heard.append(json.loads(await self.client.next()))

        # What was read before does not end it.
        self._heard.append({"type": "begin"})
        asyncio.run(read())

    def _say(self, **message: object) -> None:
        self._number += 1
        assert self.hub.hear(self.client, json.dumps({"number": self._number, **message}))


def test_who_has_just_looked_is_obeyed() -> None:
    scene = Scene()
    scene.show(7)
    scene.now_s += LATE_S
    scene.ask(Verb.GIVE_BACK, 7)
    assert [c.verb for c in scene.handed_in() if isinstance(c, Command)] == [Verb.GIVE_BACK]
    assert scene.told("answer") == []


@pytest.mark.parametrize("verb", OTHERS)
def test_a_command_that_waited_is_refused_with_its_age(verb: Verb) -> None:
    scene = Scene()
    scene.show(7)
    scene.now_s += 6.1
    # What the session shows meanwhile is not what its sender saw.
    scene.show(8)
    scene.ask(verb, 7)
    assert scene.handed_in() == []
    [answer] = scene.told("answer")
    assert (answer["number"], answer["done"]) == (1, False)
    assert answer["words"] == "you saw what was 6.1 s ago; look, then ask again"
    scene.ask(verb, 8)
    assert len(scene.handed_in()) == 1


def test_who_has_seen_nothing_is_not_obeyed() -> None:
    scene = Scene()
    scene.show(7)
    for seen in (0, 6, 8):
        scene.ask(Verb.START, seen)
    assert scene.handed_in() == []
    assert len([a for a in scene.told("answer") if "have not seen" in a["words"]]) == 3


def test_who_comes_while_nothing_new_is_shown_may_ask_for_what_they_see() -> None:
    scene = Scene()
    scene.show(7)
    scene.now_s += 20.0
    scene.client = scene.hub.join(Hello(token="t", protocol=PROTOCOL))
    # It waits to be sent: nobody can have seen it.
    scene.ask(Verb.START, 7)
    assert scene.handed_in() == []
    assert json.loads(asyncio.run(scene.client.next()))["type"] == "welcome"
    scene.read(until="view")
    scene.ask(Verb.START, 7)
    assert len(scene.handed_in()) == 1


def test_what_one_was_told_is_nothing_that_another_saw() -> None:
    scene = Scene()
    first = scene.client
    scene.show(7)
    scene.now_s += 6.1
    scene.client = scene.hub.join(Hello(token="t", protocol=PROTOCOL))
    scene.read(until="view")
    scene.client = first
    scene.ask(Verb.START, 7)
    assert scene.handed_in() == []


def test_a_stop_is_done_whatever_its_sender_saw() -> None:
    scene = Scene()
    for seen in (0, 7):
        scene.ask(Verb.STOP, seen)
    scene.show(7)
    scene.now_s += 3600.0
    scene.ask(Verb.STOP, 7)
    assert [c.verb for c in scene.handed_in() if isinstance(c, Command)] == [Verb.STOP] * 3


def test_a_motion_that_waited_moves_nothing_and_is_no_sign_of_life() -> None:
    scene = Scene()
    scene.show(7)
    scene.move(7)
    assert [type(m) for m in scene.handed_in()] == [Motion]
    scene.now_s += 6.1
    scene.show(8)
    for _ in range(20):
        scene.move(7)
    scene.hub.watch()
    [gone] = scene.handed_in()
    assert isinstance(gone, Gone)
    # Said once, not twenty times a second.
    [error] = scene.told("error")
    assert error["words"] == "nothing moves: you saw what was 6.1 s ago; look, then ask again"
    scene.move(8)
    assert [m.active for m in scene.handed_in() if isinstance(m, Motion)] == [True]
    scene.now_s += 6.1
    scene.move(8)
    assert len(scene.told("error")) == 1


def test_to_let_go_is_heard_however_late() -> None:
    scene = Scene()
    scene.show(7)
    scene.move(7)
    scene.handed_in()
    scene.now_s += 6.1
    scene.move(7, active=False)
    [motion] = scene.handed_in()
    assert isinstance(motion, Motion)
    assert (motion.active, motion.action) == (False, (0.0,) * KEY_SIZE)


def test_a_script_is_refused_as_anybody() -> None:
    scene = Scene()
    assert scene.hub.look() == ""
    scene.show(7)
    assert json.loads(scene.hub.look())["number"] == 7
    scene.now_s += 2.0
    answer = asyncio.run(scene.hub.ask(Script(verb=Verb.START, view=7)))
    assert (answer.done, answer.words) == (
        False,
        "you saw what was 2.0 s ago; look, then ask again",
    )
    assert scene.handed_in() == []


steps = st.lists(
    st.one_of(
        st.floats(0.01, 2.0).map(lambda s: ("pass", s)),
        st.just(("show", 0)),
        st.tuples(st.sampled_from([*OTHERS, Verb.STOP]), st.integers(0, 5)),
    ),
    max_size=40,
)


@settings(max_examples=100, deadline=None)
@given(steps)
def test_only_commands_of_the_present_and_stops_come_through(done: list[tuple[Any, Any]]) -> None:
    scene = Scene()
    shown_s: dict[int, float] = {}
    expected: list[Verb] = []
    refused = 0
    for what, number in done:
        if what == "pass":
            scene.now_s += number
        elif what == "show":
            shown_s[len(shown_s) + 1] = scene.now_s
            scene.show(len(shown_s))
        else:
            # One of the newest five views, or none that there is.
            seen = len(shown_s) - number
            is_new = scene.now_s - shown_s.get(seen, -1e9) <= LATE_S
            scene.ask(what, max(seen, 0))
            if is_new or what == Verb.STOP:
                expected.append(what)
            else:
                refused += 1
    assert [c.verb for c in scene.handed_in() if isinstance(c, Command)] == expected
    assert [a["done"] for a in scene.told("answer")] == [False] * refused


def test_the_line_of_scripts_says_what_it_saw(page: Page) -> None:
    async def talk() -> list[Answer]:
        line = Line(Address.parse(page.process.url), "trial")
        answers: asyncio.Queue[Answer] = asyncio.Queue()
        seen = asyncio.Event()

        def hear(heard: Heard) -> None:
            if isinstance(heard, Answer):
                answers.put_nowait(heard)
            elif isinstance(heard, View) and heard.number == 41:
                seen.set()

        await line.open()
        listening = asyncio.create_task(line.run(hear))
        page.process.show(view(41))
        got: list[Answer] = []
        async with asyncio.timeout(WAIT_S):
            await seen.wait()
            line.command(Verb.START)
            got.append(await answers.get())
            while line.status.silent_s <= LATE_S:
                await asyncio.sleep(0.05)
            # By now it shows nothing new; who asks all the same is told so.
            for verb in (Verb.START, Verb.STOP):
                line.command(verb)
                got.append(await answers.get())
        listening.cancel()
        await line.close()
        return got

    done, late, stop = asyncio.run(talk())
    assert (done.done, late.done, stop.done) == (True, False, True)
    assert "look, then ask again" in late.words


def test_a_stop_over_http_has_a_limit() -> None:
    """Whoever accepts the connection and says nothing, as a forward whose far end is cut."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        address = Address.parse(f"http://127.0.0.1:{port}/#token=t")
        kept: list[socket.socket] = []
        thread = threading.Thread(target=lambda: kept.append(silent.accept()[0]))
        thread.start()
        began_s = time.monotonic()
        assert not stop_by_post(address)
        assert time.monotonic() - began_s < 5.0
        thread.join()
        for connection in kept:
            connection.close()
