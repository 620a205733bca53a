"""The page in a process of its own, opened by real websockets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest
from page_rig import WAIT_S, Page, frame, view
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from robot_rl.core.errors import ConfigError
from robot_rl.session.command import Command, Gone, Motion
from robot_rl.session.mode import Verb
from robot_rl.session.page.message import PROTOCOL


def test_who_says_hello_is_told_who_they_are_and_how_all_stands(page):
    page.process.show(view(7, cameras=("wrist",)))
    with page.browser() as first:
        first.until("view", lambda v: v["number"] >= 7)
        with page.browser(hello={"name": "tablet"}) as second:
            assert first.name.startswith("page-")
            assert second.name.startswith("tablet-")
            assert second.welcome["protocol"] == PROTOCOL
            assert second.welcome["store"] == str(page.folder / "store")
            assert "wrist" in second.until("cameras")["names"]
            told = second.until("view")
    assert told["mode"] == "auto"
    assert "take_over" in told["legal"]


def test_everybody_is_shown_the_same_in_step(page):
    with ExitStack() as stack:
        browsers = [stack.enter_context(page.browser()) for _ in range(4)]
        for number in range(100, 120):
            page.process.show(view(number))
            for browser in browsers:
                told = browser.until("view", lambda v, n=number: v["number"] >= n)
                assert told["number"] == number


def test_who_does_not_read_for_a_while_is_shown_the_newest(page):
    with page.browser() as browser:
        for number in range(1000, 1400):
            page.process.show(view(number))
        told = browser.until("view", lambda v: v["number"] >= 1399)
    assert told["number"] == 1399


def test_answers_go_to_who_asked_and_to_nobody_else(page):
    with ExitStack() as stack:
        first, second = (stack.enter_context(page.browser()) for _ in range(2))
        stack.enter_context(page.showing(view(1), first, second))
        for number in range(1, 6):
            first.ask(number, "take_over")
            second.ask(10 + number, "success")
        for number in range(1, 6):
            assert first.until("answer")["number"] == number
            answer = second.until("answer")
            assert answer == {
                "type": "answer",
                "client": second.name,
                "number": 10 + number,
                "done": True,
                "words": "success",
            }
    assert [c.verb for c in page.desk.notes(Command, first.name)] == [Verb.TAKE_OVER] * 5


def test_nobody_can_say_that_they_are_somebody_else(page):
    with page.browser() as browser:
        browser.say(type="command", number=1, verb="stop", client="device")
        assert browser.until("answer")["client"] == browser.name
    assert not page.desk.notes(Command, "device")


def test_motion_is_stamped_when_it_is_heard(page):
    with page.browser() as browser, page.showing(view(1), browser):
        before_ns = time.monotonic_ns()
        browser.move()
        _, motion = page.desk.wait_for(Motion, browser.name)
        after_ns = time.monotonic_ns()
        assert before_ns <= motion.heard_ns <= after_ns
        assert motion.active
        assert motion.action == (0.5, 0.5, 0.5, 0.5)
        # A page that knows no action yet says that it is alive.
        browser.say(type="motion", number=9, active=False, action=[])
        _, motion = page.desk.wait_for(Motion, browser.name, where=lambda m: m.number == 9)
    assert motion.action == (0.0, 0.0, 0.0, 0.0)


def test_a_session_that_takes_nothing_in_keeps_nobody_waiting(page):
    """Neither views nor pictures wait for the process, nor do they pile up."""
    os.kill(page.process.pid, signal.SIGSTOP)
    try:
        began_s = time.monotonic()
        for number in range(500):
            page.process.show(view(number))
            page.process.picture(frame("stuck", number))
        assert time.monotonic() - began_s < 1.0
    finally:
        os.kill(page.process.pid, signal.SIGCONT)


def test_by_default_nobody_else_can_reach_it(page):
    listening: list[str] = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as lines:
            listening += [line.split()[1] for line in lines if line.split()[3] == "0A"]
    here = [address for address in listening if address.endswith(f":{page.port:04X}")]
    assert here == [f"0100007F:{page.port:04X}"]


def test_the_process_has_no_torch_and_is_deaf_to_ctrl_c(page):
    with open(f"/proc/{page.process.pid}/maps") as maps:
        assert "libtorch" not in maps.read()
    os.kill(page.process.pid, signal.SIGINT)
    assert page.http("GET", "/healthz", None).status_code == 200


def test_the_loop_itself_needs_no_web_server():
    words = (
        "import sys, robot_rl.session.page.process; "
        "print([m for m in ('fastapi', 'uvicorn', 'torch', 'simplejpeg') if m in sys.modules])"
    )
    told = subprocess.run(
        [sys.executable, "-c", words], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[]"


def test_a_killed_page_comes_back_at_the_same_address(serve, caplog):
    page: Page = serve()
    page.process.picture(frame("wrist", 1, reference=True))
    with page.browser() as browser:
        with page.showing(view(1), browser):
            browser.move()
            page.desk.wait_for(Motion, browser.name)
        first = page.process.pid
        os.kill(first, signal.SIGKILL)
        assert browser.code_of_closing() == 1006
    page.desk.wait_for(Gone, browser.name, where=lambda g: "process" in g.why)
    with _again(page) as browser:
        while not isinstance(message := browser.hear(), bytes):
            pass
        assert browser.split(message)[0] == 1 << 31
        page.process.show(view(3, cameras=("wrist",)))
        assert browser.until("view")["number"] == 3
        browser.say(type="command", number=1, verb="stop")
        assert browser.until("answer")["done"]
    assert page.process.pid != first
    assert "it is started again" in caplog.text
    assert page.token not in caplog.text


def test_a_page_that_has_got_stuck_is_started_anew(serve, caplog, monkeypatch):
    monkeypatch.setattr("robot_rl.session.page.process._SILENCE_S", 3.0)
    monkeypatch.setattr("robot_rl.runtime.child_process._GRACE_S", 0.5)
    page: Page = serve()
    first = page.process.pid
    os.kill(first, signal.SIGSTOP)
    with _again(page):
        assert page.process.pid != first
    assert "has said nothing for 3 s" in caplog.text


def test_closing_is_quick_and_leaves_nothing(serve):
    page: Page = serve()
    with page.browser() as browser:
        began_s = time.monotonic()
        page.process.close()
        assert time.monotonic() - began_s < 5.0
        browser.code_of_closing()
    with pytest.raises(ProcessLookupError):
        os.kill(page.process.pid, 0)
    page.process.close()
    assert page.token not in page.log.read_text()


def test_an_address_that_is_taken_is_named(page, serve):
    with pytest.raises(ConfigError, match=f"127.0.0.1:{page.port}"):
        serve(port=page.port)


def _again(page: Page):
    """A browser at the same address, as soon as it is served again."""
    deadline_s = time.monotonic() + 2 * WAIT_S
    while True:
        try:
            with connect(page.ws_address) as probe:
                probe.send(json.dumps({"type": "hidden"}))
            return page.browser()
        except (OSError, WebSocketException):
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
