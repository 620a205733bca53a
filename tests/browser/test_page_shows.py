"""What the page shows is what the session says, and it says so when it hears nothing."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable

import numpy as np
import pytest
from made_up_session import HEIGHT, LOST_LEARNER, WIDTH, MadeUpSession

from robot_rl.session.mode import LEGAL, Mode, Verb

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
Page, expect = playwright.Page, playwright.expect

pytestmark = pytest.mark.browser

READ_PIXEL = """canvas => Array.from(
    canvas.getContext('2d').getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data)"""
COUNT_TONES = """
    window.tones = [];
    const make = AudioContext.prototype.createOscillator;
    AudioContext.prototype.createOscillator = function () {
      const tone = make.call(this);
      setTimeout(() => window.tones.push(tone.frequency.value), 0);
      return tone;
    };
    window.said = [];
    speechSynthesis.speak = (words) => window.said.push(words.text);
"""
SHOWN_VERBS = """Array.from(document.querySelectorAll('[data-verb]'))
    .filter((button) => button.checkVisibility()).map((button) => button.dataset.verb)"""
NAMELESS = """Array.from(document.querySelectorAll('button, input, canvas, progress'))
    .filter((e) => e.checkVisibility() && !e.matches('[aria-hidden]'))
    .filter((e) => !(e.ariaLabel || e.textContent.trim() || e.labels?.length))
    .map((e) => e.outerHTML)"""
COLOURS = """c => new Set(new Uint32Array(
    c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size"""
LUMINANCE = """
function luminance(colour) {
  const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
}
function behind(element) {
  for (let at = element; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if (!/^rgba.*, 0\\)$/.test(colour)) return colour;
  }
  return 'rgb(255, 255, 255)';
}
function contrast(element) {
  const [a, b] = [luminance(getComputedStyle(element).color), luminance(behind(element))];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}
"""
WRITTEN = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    if (element.closest('script, noscript')) continue;
    found.push([contrast(element), walker.currentNode.data.trim().slice(0, 40)]);
  }
  return found;
}"""


def until(is_so: Callable[[], bool], patience_s: float = 15.0) -> None:
    """Ask until it is so. The page's policy lets the driver wait for no expression."""
    end_s = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < end_s, "it never was so"


@pytest.mark.parametrize("mode", Mode)
def test_a_mode_has_its_buttons_its_word_and_its_shape(
    tab: Page, session: MadeUpSession, mode: Mode
) -> None:
    session.begin(mode)
    expect(tab.locator("#banner")).to_have_attribute("data-mode", mode)
    assert set(tab.evaluate(SHOWN_VERBS)) == LEGAL[mode]
    assert tab.evaluate(NAMELESS) == []
    expect(tab.locator("#banner use")).to_have_attribute("href", f"#icon-{mode}")
    assert tab.locator(f"#icon-{mode}").count() == 1
    expect(tab.locator("#told")).to_have_text(re.compile(r"\w+"))
    written = tab.evaluate(f"() => {{ {LUMINANCE}; return ({WRITTEN})(); }}")
    assert len(written) > 15
    assert [pair for pair in written if pair[0] < 4.5] == []


def test_a_canvas_shows_the_frame_that_was_sent(tab: Page, session: MadeUpSession) -> None:
    wrist = tab.locator("[data-camera=wrist] canvas.live")
    for grey in (40, 200):
        session.grey["wrist"] = grey
        # One that is on its way may still be of the colour before.
        after = session.frame_number + 1
        until(lambda after=after: int(wrist.get_attribute("data-number") or 0) > after)
        assert wrist.evaluate(READ_PIXEL)[:3] == pytest.approx([grey] * 3, abs=2)
    front = tab.locator("[data-camera=front] canvas.live")
    assert front.evaluate(READ_PIXEL)[:3] == pytest.approx([60] * 3, abs=2)


def test_a_reference_is_laid_over_as_far_as_the_slider_says(
    tab: Page, session: MadeUpSession
) -> None:
    session.send_picture("wrist", np.full((HEIGHT, WIDTH, 3), 250, np.uint8), reference=True)
    slider = tab.get_by_label("Opacity of the reference picture over wrist")
    ghost = tab.locator("[data-camera=wrist] canvas.ghost")
    expect(ghost).to_have_css("opacity", "0")
    slider.fill("50")
    expect(ghost).to_have_css("opacity", "0.5")
    assert ghost.evaluate(READ_PIXEL)[:3] == pytest.approx([250] * 3, abs=2)


def test_silence_is_said_and_the_controls_are_dead(page: Page, session: MadeUpSession) -> None:
    session.begin(Mode.AUTO)
    expect(page.locator("body[data-mode=auto] #action")).to_be_visible()
    page.keyboard.down("ArrowUp")
    expect(page.locator("#banner")).to_have_attribute("data-mode", "human")
    session.silent = True
    expect(page.locator("#banner")).to_contain_text("nothing heard from the session for")
    expect(page.locator("[data-camera=wrist]")).to_have_attribute("data-frozen", "true")
    expect(page.locator(".verb[data-verb=success]")).to_be_disabled()
    session.wait(lambda: not session.motions[-1].active)
    for key in ("s", "Enter", "Space", "ArrowUp"):
        page.keyboard.press(key)
    session.silent = False
    expect(page.locator("body")).to_have_attribute("data-live", "true")
    expect(page.locator(".verb[data-verb=success]")).to_be_enabled()
    assert session.commands == []
    assert not session.motions[-1].active
    expect(page.locator("[data-camera=wrist]")).to_have_attribute("data-frozen", "false")


def test_a_wrong_token_is_told_and_not_tried_again(
    open_page: Callable[..., Page], session: MadeUpSession
) -> None:
    page = open_page(session.url.partition("#")[0] + "#token=guessed")
    expect(page.locator("#banner")).to_contain_text("is not the session's")
    assert "guessed" not in page.url


def test_the_token_leaves_the_address_and_outlives_a_reload(page: Page) -> None:
    assert "token" not in page.url
    page.reload()
    expect(page.locator("body")).to_have_attribute("data-live", "true")


def test_a_lost_learner_is_loud(tab: Page, session: MadeUpSession) -> None:
    session.begin()
    learner = tab.locator("#learner")
    expect(learner).to_contain_text("1,204 updates, 21.5/s")
    small = learner.bounding_box()
    session.set(learner=LOST_LEARNER)
    expect(learner).to_contain_text("LEARNER LOST")
    expect(learner).to_contain_text("acts with weights 41")
    large = learner.bounding_box()
    assert small is not None
    assert large is not None
    assert large["height"] > 1.5 * small["height"]


def test_sounds_differ_and_can_be_muted(
    context, open_page: Callable[..., Page], session: MadeUpSession
) -> None:
    context.add_init_script(COUNT_TONES)
    page = open_page()
    page.locator("h1").click()
    expect(page.get_by_role("button", name="Sound is on")).to_be_visible()
    melodies = set()
    for sound in ("take_over", "give_back", "saved", "hold", "stop", "error"):
        page.evaluate("window.tones = []")
        session.tell("info", sound, sound, f"say {sound}")
        until(lambda: len(page.evaluate("window.tones")) >= 2)
        melodies.add(tuple(page.evaluate("window.tones")))
    assert len(melodies) == 6
    assert page.evaluate("window.said")[0] == "say take_over"
    page.get_by_role("button", name="Sound is on").click()
    page.evaluate("window.tones = []")
    session.tell("info", "the last one", "error")
    expect(page.locator(".toast", has_text="the last one")).to_be_visible()
    assert page.evaluate("window.tones") == []


def test_the_numbers_are_the_sessions(tab: Page, session: MadeUpSession) -> None:
    session.begin(Mode.AUTO)
    expect(tab.locator("#force-now")).to_contain_text("of 40 N")
    expect(tab.locator("#reward-words")).to_contain_text("of 0.90")
    expect(tab.locator("#data-episodes")).to_have_text("23 of 50 episodes, 2 discarded")
    expect(tab.locator("#data-disk")).to_have_text("41.3 GB free, room for 900 episodes")
    expect(tab.locator("#hints li")).to_have_count(2)
    for chart in ("force-strip", "tactile-strip", "action-bars", "rates"):
        canvas = tab.locator(f"#{chart}")
        until(lambda canvas=canvas: canvas.evaluate(COLOURS) > 2)


def test_a_refusal_is_shown(page: Page, session: MadeUpSession) -> None:
    session.begin(Mode.AUTO)
    expect(page.locator("body")).to_have_attribute("data-mode", "auto")
    page.keyboard.press("n")
    expect(page.locator(".toast")).to_contain_text("Next: not possible now")
    assert session.commands == []


def test_comes_back_by_itself_when_the_server_does(
    page: Page, session: MadeUpSession, complaints: list[str]
) -> None:
    session.begin(Mode.AUTO)
    os.kill(session.page_pid(), signal.SIGKILL)
    expect(page.locator("#banner")).to_contain_text("Trying to reach it again")
    page.keyboard.press("s")
    expect(page.locator("#banner")).to_have_attribute("data-mode", "auto", timeout=60_000)
    assert session.commands == []
    page.keyboard.press("s")
    session.wait_command(Verb.SUCCESS)
    assert all("WebSocket" in complaint for complaint in complaints)
    complaints.clear()
