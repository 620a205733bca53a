"""Whoever would drive is heard again and again, or the loop is told within 300 ms."""

from __future__ import annotations

import time

import pytest
from page_rig import Page, view

from robot_rl.session.command import Gone, Motion

MOST_S = 0.30
LOADED_S = 0.25
"""What a machine that does much else may take on top."""


def move_for(browser, seconds: float, *, active: bool = True) -> float:
    """Move at 20 Hz, and return when the last motion was said."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        said_s = time.monotonic()
        browser.move(active)
        time.sleep(0.05)
    return said_s


def test_silence_while_a_key_is_held_ends_the_lease(page: Page):
    with page.browser() as browser, page.showing(view(1), browser):
        said_s = move_for(browser, 0.4)
        gone_s, gone = page.desk.wait_for(Gone, browser.name)
        assert 0.18 <= gone_s - said_s <= MOST_S + LOADED_S
        assert "nothing was heard" in gone.why
        # It is told once, and a motion begins a new lease.
        time.sleep(0.3)
        assert len(page.desk.notes(Gone, browser.name)) == 1
        browser.move()
        page.desk.wait_for(Gone, browser.name, count=2)


def test_silence_of_who_holds_the_arm_ends_the_lease_though_no_key_is_held(page: Page):
    with page.browser() as browser:
        move_for(browser, 0.1, active=False)
        page.process.show(view(1, holder=browser.name))
        browser.until("view", lambda v: v["holder"] == browser.name)
        said_s = move_for(browser, 0.2, active=False)
        gone_s, _ = page.desk.wait_for(Gone, browser.name)
        assert 0.18 <= gone_s - said_s <= MOST_S + LOADED_S
    page.process.show(view(2))


def test_who_took_the_arm_and_says_nothing_at_all_loses_it(page: Page):
    with page.browser() as browser:
        page.process.show(view(1, holder=browser.name))
        page.desk.wait_for(Gone, browser.name)
        # It still holds it, or does again: that is told again.
        page.desk.wait_for(Gone, browser.name, count=2)
    page.process.show(view(2))


def test_who_neither_holds_nor_moves_may_be_silent(page: Page):
    with page.browser() as browser:
        browser.move(active=False)
        page.desk.wait_for(Motion, browser.name)
        time.sleep(0.5)
        assert not page.desk.notes(Gone, browser.name)


@pytest.mark.parametrize("how", ["hidden", "closed", "cut off"])
def test_a_page_that_is_no_longer_seen_ends_its_lease_at_once(page: Page, how):
    with page.browser() as browser, page.showing(view(1), browser):
        browser.move()
        page.desk.wait_for(Motion, browser.name)
        said_s = time.monotonic()
        if how == "hidden":
            browser.say(type="hidden")
        elif how == "closed":
            browser.socket.close()
        else:
            browser.socket.socket.shutdown(2)
        gone_s, gone = page.desk.wait_for(Gone, browser.name)
    assert gone_s - said_s <= MOST_S + LOADED_S
    assert gone.why in ("its page is hidden", "its page was closed")


def test_motion_goes_on_while_it_is_said_in_time(page: Page):
    with page.browser() as browser, page.showing(view(1), browser):
        move_for(browser, 1.0)
        assert not page.desk.notes(Gone, browser.name)
        assert len(page.desk.notes(Motion, browser.name)) >= 10
