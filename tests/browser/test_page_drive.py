"""A person at the page: from what is checked before the start to a judged episode."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from made_up_session import MadeUpSession

from robot_rl.session.mode import Mode, Verb

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
Page, expect = playwright.Page, playwright.expect

pytestmark = pytest.mark.browser


def banner(page: Page):
    return page.locator("#banner")


def expect_mode(page: Page, mode: str) -> None:
    expect(banner(page)).to_have_attribute("data-mode", mode)


def test_a_whole_session_by_keys(page: Page, session: MadeUpSession) -> None:
    expect_mode(page, "preflight")
    page.get_by_role("button", name="Confirm: emergency stop tried").click()
    page.get_by_role("button", name="Confirm: dead-man tried").click()
    expect_mode(page, "ready")
    page.get_by_role("button", name="Start").click()
    expect_mode(page, "auto")
    expect(page.locator("#action")).to_be_visible()

    page.keyboard.down("ArrowLeft")
    expect_mode(page, "human")
    expect(banner(page)).to_contain_text("You drive")
    expect(banner(page)).to_contain_text("this tab holds the arm")
    moved = session.wait(lambda: next((m for m in session.motions if m.active), None))
    assert moved.action == (0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 1.0)
    page.keyboard.up("ArrowLeft")
    expect_mode(page, "hold")

    page.keyboard.press("Enter")
    expect_mode(page, "auto")
    page.keyboard.press("s")
    expect_mode(page, "review")
    toast = page.locator(".toast", has_text="Saved as a success")
    expect(toast.get_by_role("button", name="Undo")).to_be_visible()
    page.keyboard.press("u")
    session.wait_command(Verb.UNDO)
    page.keyboard.press("n")
    expect_mode(page, "auto")
    page.keyboard.press("Escape")
    expect_mode(page, "stop")


def test_says_that_it_lives_twenty_times_a_second(page: Page, session: MadeUpSession) -> None:
    session.begin(Mode.AUTO)
    session.wait(lambda: len(session.motions) > 10)
    heard_s = [m.heard_ns / 1e9 for m in session.motions[:10]]
    assert not any(m.active for m in session.motions)
    # As fast as a loaded machine lets it; never much faster.
    assert 9 / (heard_s[-1] - heard_s[0]) < 30


def test_space_takes_over_and_holds_still(page: Page, session: MadeUpSession) -> None:
    session.begin(Mode.AUTO)
    expect_mode(page, "auto")
    page.keyboard.press("Space")
    session.wait_command(Verb.TAKE_OVER)
    expect_mode(page, "hold")
    assert not any(motion.active for motion in session.motions)


def test_a_held_key_moves_one_element(page: Page, session: MadeUpSession) -> None:
    session.begin(Mode.AUTO)
    expect(page.locator("body[data-mode=auto] #action")).to_be_visible()
    moves = {"ArrowUp": (0, 0.5), "ArrowDown": (0, -0.5), "ArrowRight": (1, -0.5)}
    moves |= {"PageUp": (2, 0.5), "PageDown": (2, -0.5), "[": (5, 0.5), "]": (5, -0.5)}
    for key, (index, value) in moves.items():
        page.keyboard.down(key)
        moved = session.wait(lambda: next((m for m in session.motions if m.active), None))
        page.keyboard.up(key)
        session.wait(lambda: not session.motions[-1].active)
        session.motions.clear()
        expected = [0.0] * 6
        expected[index] = value
        assert moved.action[:6] == tuple(expected), key


def test_the_gripper_stays_as_it_is_until_it_is_toggled(
    page: Page, session: MadeUpSession
) -> None:
    session.begin(Mode.AUTO)
    expect(page.locator("#gripper")).to_contain_text("open")
    page.keyboard.press("g")
    closed = session.wait(lambda: next((m for m in session.motions if m.active), None))
    assert closed.action == (0.0,) * 6 + (-1.0,)
    session.wait(lambda: not session.motions[-1].active)


def test_a_key_that_is_down_does_not_move_what_comes_next(
    page: Page, session: MadeUpSession
) -> None:
    session.begin(Mode.AUTO)
    expect_mode(page, "auto")
    page.keyboard.down("ArrowUp")
    expect_mode(page, "human")
    session.set(mode=Mode.REVIEW, holder="")
    expect_mode(page, "review")
    session.wait(lambda: not session.motions[-1].active)
    session.begin(Mode.AUTO)
    expect_mode(page, "auto")
    # Another one, as a keyboard repeats it.
    page.keyboard.down("ArrowUp")
    session.wait(lambda: len(session.motions) > 10)
    assert not any(motion.active for motion in session.motions)


def test_leaving_the_window_lets_go(page: Page, session: MadeUpSession) -> None:
    session.begin(Mode.AUTO)
    expect_mode(page, "auto")
    page.keyboard.down("ArrowUp")
    expect_mode(page, "human")
    page.evaluate("window.dispatchEvent(new Event('blur'))")
    expect_mode(page, "hold")


def test_a_hidden_tab_is_gone_at_once(page: Page, session: MadeUpSession) -> None:
    session.begin(Mode.AUTO)
    expect_mode(page, "auto")
    page.keyboard.down("ArrowUp")
    expect_mode(page, "human")
    page.evaluate(
        "Object.defineProperty(document, 'visibilityState', {value: 'hidden'});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    gone = session.wait(lambda: next(iter(session.gone_clients), None))
    assert "hidden" in gone.why
    assert session.view.mode == Mode.HOLD


def test_a_closed_tab_is_gone_at_once(page: Page, session: MadeUpSession) -> None:
    session.begin(Mode.AUTO)
    expect_mode(page, "auto")
    page.keyboard.down("ArrowUp")
    expect_mode(page, "human")
    page.close()
    session.wait(lambda: session.gone_clients)
    assert session.view.mode == Mode.HOLD


def test_another_tab_sees_who_drives(
    open_page: Callable[..., Page], session: MadeUpSession
) -> None:
    session.begin(Mode.AUTO)
    one, other = open_page(), open_page()
    expect(one.locator("body[data-mode=auto] #action")).to_be_visible()
    one.bring_to_front()
    one.keyboard.down("ArrowUp")
    expect(banner(other)).to_contain_text("Anna drives")
    expect(banner(other)).to_contain_text(re.compile(r"page-\d+ holds the arm"))
    one.keyboard.up("ArrowUp")
    expect(banner(other)).to_contain_text("Hold")


def test_no_key_acts_while_somebody_writes_but_the_stop(
    page: Page, session: MadeUpSession
) -> None:
    session.begin(Mode.AUTO)
    page.get_by_role("button", name="Note").click()
    page.keyboard.type("sfxpun ]")
    page.keyboard.press("ArrowUp")
    expect(page.get_by_label("Note", exact=True)).to_have_value("sfxpun ]")
    page.keyboard.press("Escape")
    expect_mode(page, "stop")
    assert [c.verb for c in session.commands] == [Verb.STOP]
    assert not any(motion.active for motion in session.motions)


def test_clearing_a_stop_names_who_and_why(page: Page, session: MadeUpSession) -> None:
    session.begin(Mode.STOP)
    page.get_by_role("button", name="Clear the stop").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("a person pressed STOP on the page")
    dialog.get_by_role("button", name="Clear the stop").click()
    expect(dialog).to_be_visible()
    dialog.get_by_label("Your name").fill("Anna")
    dialog.get_by_role("button", name="Clear the stop").click()
    cleared = session.wait_command(Verb.CLEAR)
    assert cleared.arguments == {"by": "Anna", "cause": "a person pressed STOP on the page"}


def test_the_end_asks_once_more(page: Page, session: MadeUpSession) -> None:
    session.begin(Mode.READY)
    page.get_by_role("button", name="End session").click()
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="End session").click()
    assert session.commands == []
    page.get_by_role("button", name="End the session").click()
    session.wait_command(Verb.END)


def test_all_can_be_reached_by_tab(page: Page, session: MadeUpSession) -> None:
    session.begin(Mode.READY)
    expect_mode(page, "ready")
    page.keyboard.press("Tab")
    expect(page.locator("#stop")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Start")).to_be_focused()
    page.keyboard.press("Enter")
    session.wait_command(Verb.START)
    expect_mode(page, "auto")
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.dataset.verb ?? ''"))
    assert set(session.view.legal) <= reached | {Verb.STOP}


def test_space_on_a_button_presses_the_button_alone(page: Page, session: MadeUpSession) -> None:
    session.begin(Mode.AUTO)
    failure = page.locator(".verb[data-verb=failure]")
    # What is not shown yet does not take the focus.
    expect(failure).to_be_visible()
    failure.focus()
    expect(failure).to_be_focused()
    page.keyboard.press("Space")
    session.wait_command(Verb.FAILURE)
    assert [c.verb for c in session.commands] == [Verb.FAILURE]


def test_two_thumbs_move_the_arm_on_a_tablet(browser: Any, session: MadeUpSession) -> None:
    context = browser.new_context(viewport={"width": 1024, "height": 768}, has_touch=True)
    page = context.new_page()
    page.goto(session.url)
    session.begin(Mode.AUTO)
    expect(page.locator("body[data-mode=auto] #action")).to_be_visible()
    boxes = [page.locator(pad).bounding_box() for pad in ("#pad-plane", "#pad-height")]
    assert all(box is not None and box["y"] + box["height"] <= 768 for box in boxes)
    assert all(box is not None and box["width"] >= 160 for box in boxes)
    tops = [{"x": b["x"] + b["width"] / 2, "y": b["y"] + 4} for b in boxes if b is not None]
    fingers = [{**top, "id": i} for i, top in enumerate(tops)]
    touch = context.new_cdp_session(page)
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": fingers})
    moved = session.wait(
        lambda: next((m for m in session.motions if m.action[0] > 0.4 and m.action[2] > 0.4), None)
    )
    assert moved.action[1] == pytest.approx(0.0, abs=0.05)
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect_mode(page, "hold")
    context.close()
