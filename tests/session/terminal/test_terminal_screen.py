"""A person at the terminal, in front of a page that is served by its own process."""

from __future__ import annotations

import asyncio
import time

import pytest
from page_rig import Page
from terminal_rig import CHECKS, full, seat
from textual import events

from robot_rl.core.errors import ConfigError
from robot_rl.session.client.address import Address
from robot_rl.session.client.line import Absent, Line
from robot_rl.session.command import Command, Gone, Motion
from robot_rl.session.mode import Mode, Verb
from robot_rl.session.view import CheckView, Notice


def test_all_of_it_stands_in_80_by_24(page):
    async def look() -> None:
        async with seat(page) as person:
            for mode in Mode:
                await person.show(full(mode, checks=CHECKS))
                lines = person.text.splitlines()
                assert len(lines) == 24
                assert all(len(line) <= 80 for line in lines)
                assert "Esc STOP" in person.text
            await person.show(full())
            for words in ("driver: policy", "gate", "learner", "data", "last 20", "S success"):
                assert words in person.text
            assert "Enter give back" not in person.text

    asyncio.run(look())


def test_a_key_asks_once_however_long_it_is_held(page):
    async def ask() -> None:
        async with seat(page) as person:
            await person.pilot.press("s", "s", "s")
            command = await person.heard(Command)
            await person.pilot.press("x")
            await person.heard(Command, lambda c: c.verb == Verb.RE_RECORD)
            asked = page.desk.notes(Command, person.line.client)
            assert command.arguments == {}
            assert [c.verb for c in asked] == [Verb.SUCCESS, Verb.RE_RECORD]
            await person.pilot.press("n")
            await person.until(lambda: "next: not possible now" in person.text)

    asyncio.run(ask())


def test_a_motion_key_moves_until_another_key_comes(page):
    async def move() -> None:
        async with seat(page) as person:
            await person.heard(Motion, lambda m: not m.active)
            await person.pilot.press("up")
            motion = await person.heard(Motion, lambda m: m.active)
            assert motion.action == (0.5, 0.0, 0.0, 1.0)
            await person.pilot.press("question_mark")
            last = page.desk.notes(Motion, person.line.client)[-1].number
            await person.heard(Motion, lambda m: m.number > last and not m.active)

    asyncio.run(move())


def test_a_window_that_nobody_looks_at_moves_nothing(page):
    async def blur() -> None:
        async with seat(page) as person:
            await person.pilot.press("left")
            await person.heard(Motion, lambda m: m.active)
            person.app.post_message(events.AppBlur())
            last = page.desk.notes(Motion, person.line.client)[-1].number
            await person.heard(Motion, lambda m: m.number > last and not m.active)

    asyncio.run(blur())


def test_what_was_meant_for_a_question_asks_for_nothing_else(page):
    async def write() -> None:
        async with seat(page) as person:
            await person.show(full(Mode.HOLD))
            # The key that sends a note is held: it does not give the arm back.
            await person.pilot.press("w", "a", "enter", "enter", "enter")
            await person.heard(Command, lambda c: c.verb == Verb.NOTE)
            await person.pilot.press("w", *"long")
            now_s = time.monotonic()
            await person.show(full(Mode.RESETTING))
            await person.until(lambda: "Note" not in person.text)
            # Somebody who writes on, and then the rest of a key that nobody knows.
            person.type("p", now_s)
            person.type("^", now_s + 10.0)
            person.type("p", now_s + 10.001)
            person.type("p", now_s + 20.0)
            await person.heard(Command, lambda c: c.verb == Verb.PAUSE)
            asked = page.desk.notes(Command, person.line.client)
            assert [c.verb for c in asked] == [Verb.NOTE, Verb.PAUSE]

    asyncio.run(write())


def test_signs_of_life_come_often_though_nothing_is_held(page):
    async def live() -> None:
        async with seat(page) as person:
            before = len(page.desk.notes(Motion, person.line.client))
            began_s = time.monotonic()
            await person.until(
                lambda: len(page.desk.notes(Motion, person.line.client)) >= before + 20
            )
            # One in 50 ms; generous on a machine that is busy.
            assert time.monotonic() - began_s < 5.0

    asyncio.run(live())


@pytest.mark.parametrize("key", ["escape", "alt+s"])
def test_a_stop_is_heard_also_in_a_question(page, key):
    async def stop() -> None:
        async with seat(page) as person:
            await person.show(full(Mode.REVIEW))
            await person.pilot.press("w", "a")
            await person.until(lambda: "Note" in person.text)
            await person.pilot.press(key)
            await person.heard(Command, lambda c: c.verb == Verb.STOP)
            await person.until(lambda: "R E V I E W" in person.text)
            verbs = [c.verb for c in page.desk.notes(Command, person.line.client)]
            assert verbs == [Verb.STOP]

    asyncio.run(stop())


def test_a_stop_is_cleared_by_name_with_the_cause_that_was_shown(page):
    async def clear() -> None:
        async with seat(page) as person:
            await person.show(full(Mode.STOP, why="pressed by page-3"))
            await person.pilot.press("c")
            await person.pilot.press("C")
            await person.until(lambda: "Cause: pressed by page-3" in person.text)
            await person.pilot.press(*"Anna", "enter")
            command = await person.heard(Command)
            assert command.verb == Verb.CLEAR
            assert command.arguments == {"by": "Anna", "cause": "pressed by page-3"}

    asyncio.run(clear())


def test_a_question_ends_with_what_it_is_for(page):
    async def miss() -> None:
        async with seat(page) as person:
            await person.show(full(Mode.STOP, why="pressed"))
            await person.pilot.press("C")
            await person.until(lambda: "Cause: pressed" in person.text)
            await person.show(full(Mode.AUTO))
            assert "Cause" not in person.text

    asyncio.run(miss())


def test_notes_trims_and_confirmations_say_what_they_are_about(page):
    async def write() -> None:
        async with seat(page) as person:
            await person.show(full(Mode.REVIEW))
            await person.pilot.press("w", *"tip", "space", *"bent", "enter")
            note = await person.heard(Command, lambda c: c.verb == Verb.NOTE)
            assert note.arguments == {"text": "tip bent"}
            await person.pilot.press("t", *"e1", "space", *"3", "space", *"40", "enter")
            trim = await person.heard(Command, lambda c: c.verb == Verb.TRIM)
            assert trim.arguments == {"episode_id": "e1", "begin": 3, "end": 40}
            await person.show(full(Mode.PREFLIGHT, checks=CHECKS))
            await person.pilot.press("2")
            confirm = await person.heard(Command, lambda c: c.verb == Verb.CONFIRM)
            assert confirm.arguments == {"name": "dead-man tried"}

    asyncio.run(write())


def test_the_same_number_again_confirms_nothing_else(page):
    async def confirm() -> None:
        async with seat(page) as person:
            checks = [CheckView(name=n, state="ask", words="") for n in ("stop", "deadman", "cup")]
            await person.show(full(Mode.PREFLIGHT, checks=tuple(checks)))
            person.type("1", time.monotonic())
            await person.heard(Command, lambda c: c.arguments == {"name": "stop"})
            checks[0] = CheckView(name="stop", state="good", words="confirmed by Anna")
            await person.show(full(Mode.PREFLIGHT, checks=tuple(checks)))
            await person.until(lambda: "[1]" not in person.text)
            assert "[2] deadman" in person.text
            # So much later that it is no repeat of the first.
            person.type("1", time.monotonic() + 10.0)
            person.type("3", time.monotonic() + 20.0)
            await person.heard(Command, lambda c: c.arguments == {"name": "cup"})
            commands = page.desk.notes(Command, person.line.client)
            assert [c.arguments["name"] for c in commands] == ["stop", "cup"]

    asyncio.run(confirm())


def test_to_end_is_asked_twice_and_to_leave_lets_go(page):
    async def end() -> None:
        async with seat(page) as person:
            await person.show(full(Mode.READY))
            await person.pilot.press("q", "n")
            await person.pilot.press("ctrl+c")
            await person.until(lambda: "End?" in person.text)
            await person.pilot.press("y")
            await person.heard(Command, lambda c: c.verb == Verb.END)
            assert len(page.desk.notes(Command, person.line.client)) == 1
            client = person.line.client
            await person.pilot.press("ctrl+q", "l")
            await person.until(lambda: person.app.return_value == 0)
        await asyncio.to_thread(page.desk.wait_for, Gone, client)

    asyncio.run(end())


def test_what_is_bad_rings_the_bell(page):
    async def ring() -> None:
        async with seat(page) as person:
            notice = Notice(number=1, level="bad", words="force too high", sound="hold")
            await person.show(full(Mode.HOLD, notices=(notice,)))
            await person.until(lambda: person.bells == 1)
            assert "!!  0:00  force too high" in person.text

    asyncio.run(ring())


def test_a_refusal_is_shown(page):
    async def refuse() -> None:
        async with seat(page) as person:
            page.desk.refuses = True
            try:
                await person.pilot.press("f")
                await person.until(lambda: "Refused: failure" in person.text)
            finally:
                page.desk.refuses = False

    asyncio.run(refuse())


def test_a_silent_session_makes_the_keys_dead_but_a_stop_is_tried(page):
    async def silence() -> None:
        async with seat(page) as person:
            person.is_showing = False
            await person.until(lambda: "L O S T" in person.text)
            assert "S success" not in person.text
            await person.pilot.press("s")
            await person.until(lambda: "nothing was asked for" in person.text)
            await person.pilot.press("escape")
            await person.heard(Command, lambda c: c.verb == Verb.STOP)
            assert len(page.desk.notes(Command, person.line.client)) == 1
            person.is_showing = True
            await person.until(lambda: "A U T O" in person.text)

    asyncio.run(silence())


def test_a_stop_that_is_not_answered_goes_another_way_too_and_its_doubt_is_told(page):
    async def doubt() -> None:
        async with seat(page) as person:
            page.desk.answers = False
            try:
                await person.pilot.press("escape")
                await person.heard(Command, lambda c: c.verb == Verb.STOP)
                await person.until(lambda: "may not have been heard" in person.text)
            finally:
                page.desk.answers = True
            await person.pilot.press("escape")
            stops = page.desk.notes(Command, person.line.client)
            assert {c.verb for c in stops} == {Verb.STOP}

    asyncio.run(doubt())


def test_a_lost_line_mends_itself(page):
    async def lose() -> None:
        async with seat(page) as person:
            first = person.line.client
            socket = person.line._socket
            assert socket is not None
            socket.transport.abort()
            await person.until(lambda: person.line.client not in ("", first))
            await person.until(lambda: "A U T O" in person.text)
            await person.pilot.press("s")
            await person.heard(Command, lambda c: c.verb == Verb.SUCCESS)
        assert page.desk.notes(Gone, first)

    asyncio.run(lose())


def test_a_wrong_token_and_an_empty_port_are_told_apart(page):
    wrong = Line(Address.parse(page.process.url + "x"), "terminal")
    with pytest.raises(ConfigError, match="token in this address is not the session's"):
        asyncio.run(wrong.open())
    with pytest.raises(Absent, match="no session answers"):
        asyncio.run(Line(Address.parse("http://127.0.0.1:9/#token=x"), "terminal").open())


def test_what_was_asked_before_the_line_was_lost_is_not_asked_after(page: Page):
    async def drop() -> list[Verb]:
        line = Line(Address.parse(page.process.url), "terminal")
        await line.open()
        line.command(Verb.SUCCESS)
        await line.close()
        assert line.command(Verb.FAILURE) == 0
        await line.open()
        name = line.client
        task = asyncio.create_task(line.run(lambda _: None))
        line.command(Verb.STOP)
        await asyncio.to_thread(page.desk.wait_for, Command, name)
        task.cancel()
        await line.close()
        return [c.verb for c in page.desk.notes(Command, name)]

    assert asyncio.run(drop()) == [Verb.STOP]
