"""A page behind a port forward, as one sits at a robot over `ssh -L`, and a network that fails.

Neither end is told that the cable is out: both find out by what they do not hear.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from made_up_session import MadeUpSession
from relay import Relay

from robot_rl.session.config import PageConfig
from robot_rl.session.mode import Mode, Verb

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
Page, expect = playwright.Page, playwright.expect

pytestmark = pytest.mark.browser

LEASE_MOST_S = 0.30
"""Within so long of the cut the arm must be held."""
LOST_MOST_S = 1.2
"""The page says so after a second without a view; it looks five times a second."""
UNHEARD = "The stop may not have been heard"
UNHEARD_MOST_S = 2.0
HEALS_S = 6.0
WAIT_MS = 15_000
LOADED_S = 0.25
"""What a machine that does much else may take on top."""


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    """A forward of another port, which the session has to be told of."""
    made = Relay()
    yield made
    made.close()


@pytest.fixture(scope="module")
def page_config(relay: Relay) -> PageConfig:
    return PageConfig(port=0, names=(f"localhost:{relay.port}",))


@pytest.fixture(scope="module")
def served(session: MadeUpSession, relay: Relay) -> tuple[int, str]:
    """Port and token of the page, which the relay forwards to from now on."""
    found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/#token=(.+)", session.url)
    assert found is not None
    relay.start("127.0.0.1", int(found[1]))
    return int(found[1]), found[2]


@pytest.fixture
def far_page(
    context: Any, session: MadeUpSession, relay: Relay, served: tuple[int, str]
) -> Iterator[Page]:
    """A tab at the far end of the forward, with the policy driving."""
    session.begin(Mode.AUTO)
    page = context.new_page()
    page.goto(f"http://localhost:{relay.port}/#token={served[1]}")
    expect(page.locator("body[data-live=true][data-mode=auto] #action")).to_be_visible()
    yield page
    if relay.is_cut:
        relay.heal()


def banner(page: Page) -> Any:
    return page.locator("#banner")


def expect_mode(page: Page, mode: str) -> None:
    expect(banner(page)).to_have_attribute("data-mode", mode)


def drive(page: Page, session: MadeUpSession) -> None:
    """Hold a key until it moves the arm."""
    page.keyboard.down("ArrowUp")
    expect_mode(page, "human")
    session.wait(lambda: sum(m.active for m in session.motions) >= 3)


def test_another_port_is_let_in_once_the_session_is_told_its_name(
    far_page: Page, session: MadeUpSession
) -> None:
    drive(far_page, session)
    far_page.keyboard.up("ArrowUp")
    expect_mode(far_page, "hold")


def test_another_port_that_nobody_named_is_told_so(context: Any, served: tuple[int, str]) -> None:
    unnamed = Relay()
    unnamed.start("127.0.0.1", served[0])
    page = context.new_page()
    answer = page.goto(f"http://localhost:{unnamed.port}/#token={served[1]}")
    assert answer.status == 403
    expect(page.locator("body")).to_contain_text("This address is not the session's")
    expect(page.locator("body")).to_contain_text("session.page.names")
    page.close()
    unnamed.close()


def test_the_same_port_needs_no_name(
    context: Any, session: MadeUpSession, served: tuple[int, str]
) -> None:
    session.begin(Mode.AUTO)
    # The page is on 127.0.0.1: the other loopback address stands for the other machine's.
    try:
        same = Relay("::1", served[0])
    except OSError as error:
        pytest.skip(f"needs a second loopback address: {error}")
    same.start("127.0.0.1", served[0])
    page = context.new_page()
    page.goto(f"http://[::1]:{served[0]}/#token={served[1]}")
    expect(page.locator("body[data-live=true][data-mode=auto] #action")).to_be_visible()
    drive(page, session)
    page.close()
    same.close()


def test_a_pulled_cable_ends_the_drive_in_time(
    far_page: Page, session: MadeUpSession, relay: Relay
) -> None:
    taken_s = []
    for _ in range(5):
        session.begin(Mode.AUTO)
        expect_mode(far_page, "auto")
        drive(far_page, session)
        cut_s = relay.cut()
        gone = session.wait(lambda: next(iter(session.gone_clients), None))
        taken_s.append(time.monotonic() - cut_s)
        # Nobody was told: it is the silence that counts.
        assert "nothing was heard of it for" in gone.why
        assert session.motions[-1].active
        assert (session.view.mode, session.view.holder) == (Mode.HOLD, "")
        assert session.view.why == f"{gone.client} is gone: {gone.why}"
        far_page.keyboard.up("ArrowUp")
        relay.heal()
        session.wait(lambda: not session.motions[-1].active)
    assert statistics.median(taken_s) <= LEASE_MOST_S
    assert max(taken_s) <= LEASE_MOST_S + LOADED_S


@pytest.mark.parametrize("heals", ["with what waited", "without memory", "at once"])
def test_the_page_says_that_the_line_is_lost_and_is_of_use_once_it_heals(
    far_page: Page, session: MadeUpSession, relay: Relay, heals: str
) -> None:
    drive(far_page, session)
    cut_s = relay.cut()
    while banner(far_page).get_attribute("data-mode") != "lost":
        assert time.monotonic() - cut_s <= LOST_MOST_S + LOADED_S
    expect(banner(far_page)).to_contain_text("nothing heard from the session for")
    expect(far_page.locator(".verb[data-verb=success]")).to_be_disabled()
    if heals != "at once":
        # It takes the socket for dead, though no network says so, and goes for another one.
        expect(banner(far_page)).to_contain_text("Trying to reach it again")
    for key in ("Enter", "s", "Space"):
        far_page.keyboard.press(key)
    heal: Callable[[], None] = (
        relay.heal_without_memory if heals == "without memory" else relay.heal
    )
    heal()
    expect_mode(far_page, "hold")
    session.wait(lambda: not session.motions[-1].active)
    # What was pressed at a page that knew that nobody hears it is not asked for later.
    assert session.commands == []

    far_page.keyboard.up("ArrowUp")
    far_page.keyboard.press("Enter")
    session.wait_command(Verb.GIVE_BACK)
    expect_mode(far_page, "auto")
    session.motions.clear()
    drive(far_page, session)


def test_what_was_pressed_before_the_page_knew_is_refused_once_the_line_heals(
    far_page: Page, session: MadeUpSession, relay: Relay
) -> None:
    """The socket is still the same: what was pressed waits in it, and so does the answer."""
    session.set(mode=Mode.HOLD)
    expect_mode(far_page, "hold")
    cut_s = relay.cut()
    far_page.keyboard.press("Enter")
    assert time.monotonic() - cut_s < LOST_MOST_S
    expect_mode(far_page, "lost")
    # Longer ago than anybody may be obeyed, but not so long that the page goes for another line.
    far_page.wait_for_timeout(1000)
    relay.heal()
    refused = far_page.locator(".toast.bad", has_text="Refused: you saw what was")
    expect(refused).to_contain_text("s ago; look, then ask again")
    expect_mode(far_page, "hold")
    assert session.commands == []
    assert session.view.mode == Mode.HOLD
    far_page.keyboard.press("Enter")
    session.wait_command(Verb.GIVE_BACK)


def test_what_waits_in_a_line_that_the_page_gave_up_is_not_done_either(
    far_page: Page, session: MadeUpSession, relay: Relay
) -> None:
    session.set(mode=Mode.HOLD)
    expect_mode(far_page, "hold")
    cut_s = relay.cut()
    far_page.keyboard.press("Enter")
    far_page.keyboard.press("s")
    unanswered = far_page.locator(".toast.bad", has_text="No answer came to: Give back, Success")
    expect(unanswered).to_be_visible()
    far_page.wait_for_timeout(1000 * max(0.0, cut_s + HEALS_S - time.monotonic()))
    relay.heal()
    expect_mode(far_page, "hold")
    # Whatever waited is before this in the line.
    far_page.keyboard.press("n")
    far_page.keyboard.press("Enter")
    session.wait_command(Verb.GIVE_BACK)
    assert [command.verb for command in session.commands] == [Verb.GIVE_BACK]


def test_a_key_that_was_held_while_the_line_was_cut_moves_nothing_later(
    far_page: Page, session: MadeUpSession, relay: Relay
) -> None:
    relay.cut()
    session.motions.clear()
    # Nobody knows yet: what it wants waits in the socket.
    far_page.keyboard.down("ArrowUp")
    expect_mode(far_page, "lost")
    far_page.wait_for_timeout(1000)
    assert not any(motion.active for motion in session.motions)
    relay.heal()
    expect_mode(far_page, "auto")
    words = far_page.locator(".toast.bad", has_text="nothing moves: you saw what was")
    expect(words).to_be_visible()
    session.wait(lambda: len(session.motions) > 10)
    assert not any(motion.active for motion in session.motions)
    far_page.keyboard.up("ArrowUp")
    drive(far_page, session)


def test_a_stop_that_nobody_hears_says_so_at_once_and_goes_on_until_it_is_heard(
    far_page: Page, session: MadeUpSession, relay: Relay
) -> None:
    cut_s = relay.cut()
    far_page.keyboard.press("Escape")
    warning = far_page.locator(".toast.bad", has_text=UNHEARD)
    expect(warning).to_contain_text("use the emergency stop at the arm")
    assert time.monotonic() - cut_s <= UNHEARD_MOST_S + LOADED_S
    # It is said for as long as it is so, though words are gone after a while.
    warning.evaluate("toast => toast.remove()")
    expect(warning).to_be_visible()
    assert session.view.mode == Mode.AUTO
    relay.heal()
    session.wait_command(Verb.STOP)
    expect_mode(far_page, "stop")
    expect(far_page.locator(".toast.good", has_text="The stop was heard")).to_be_visible()
    expect(warning).to_have_count(0)
    # Whoever clears it is not stopped again.
    session.begin(Mode.AUTO)
    expect_mode(far_page, "auto")
    far_page.wait_for_timeout(2000)
    assert session.commands == []


def test_a_stop_goes_another_way_where_the_socket_is_gone(
    far_page: Page, session: MadeUpSession, relay: Relay
) -> None:
    relay.cut()
    expect(banner(far_page)).to_contain_text("Trying to reach it again", timeout=WAIT_MS)
    far_page.keyboard.press("Escape")
    expect(far_page.locator(".toast.bad", has_text=UNHEARD)).to_be_visible()
    relay.heal_without_memory()
    stop = session.wait_command(Verb.STOP)
    assert stop.client.startswith("script-")
    expect_mode(far_page, "stop")
