"""Pictures: the newest, not before the last was painted, and nothing for nobody."""

from __future__ import annotations

import time

import numpy as np
import simplejpeg
from page_rig import WAIT_S, Browser, Page, frame, view

from robot_rl.session.mode import Mode

REFERENCE = 1 << 31


def grey_of(jpeg: bytes) -> float:
    return float(np.mean(simplejpeg.decode_jpeg(jpeg)))


def picture_of(browser: Browser, camera: str, *, reference: bool = False):
    """The next picture of that camera: channel, number, taken and sent [ms], JPEG."""
    while True:
        if isinstance(message := browser.hear(), bytes):
            channel, *rest = browser.split(message)
            is_it = browser.cameras[channel & ~REFERENCE] == camera
            if is_it and bool(channel & REFERENCE) == reference:
                return channel, *rest


def test_a_picture_comes_behind_its_header(page: Page):
    page.process.show(view(1, cameras=("header a", "header b")))
    with page.browser() as browser:
        taken = frame("header b", 42, grey=90)
        page.process.picture(taken)
        _, number, taken_ms, sent_ms, jpeg = picture_of(browser, "header b")
        assert number == 42
        age_ms = (time.monotonic_ns() - taken.stamp_ns) / 1e6
        assert abs(time.time_ns() / 1e6 - age_ms - taken_ms) < 20
        assert taken_ms <= sent_ms <= time.time_ns() / 1e6
        assert simplejpeg.decode_jpeg_header(jpeg)[:2] == (48, 64)
        assert abs(grey_of(jpeg) - 90) < 3


def test_the_next_picture_waits_until_the_last_is_painted_and_is_the_newest(page: Page):
    with page.browser() as slow, page.browser() as fast:
        for number in range(1, 31):
            page.process.picture(frame("pace", number, grey=number * 5))
            channel, got, _, _, jpeg = picture_of(fast, "pace")
            assert got == number
            assert abs(grey_of(jpeg) - number * 5) < 4
            fast.say(type="painted", camera=channel, number=number)
        assert picture_of(slow, "pace")[1] == 1
        slow.say(type="painted", camera=channel, number=99)
        slow.say(type="command", number=1, verb="stop")
        # Nothing of the camera came before the answer: the first is not painted yet.
        while not isinstance(message := slow.hear(), dict) or message["type"] != "answer":
            assert isinstance(message, dict) or slow.split(message)[0] != channel
        slow.say(type="painted", camera=channel, number=1)
        assert picture_of(slow, "pace")[1] == 30


def test_a_reference_is_marked_and_shown_to_who_comes_later(page: Page):
    page.process.picture(frame("ghost", 1, grey=200, reference=True))
    with page.browser() as first:
        channel, *_, jpeg = picture_of(first, "ghost", reference=True)
        assert abs(grey_of(jpeg) - 200) < 3
        first.say(type="painted", camera=channel, number=1)
        page.process.picture(frame("ghost", 2, grey=50, reference=True))
        assert picture_of(first, "ghost", reference=True)[1] == 2
    with page.browser() as second:
        assert picture_of(second, "ghost", reference=True)[1] == 2


def test_a_hidden_page_is_sent_no_pictures_until_it_is_seen_again(page: Page):
    with page.browser() as browser:
        # No episode runs: pictures are made for those who look, and for nobody else.
        page.process.show(view(776, mode=Mode.PAUSED))
        browser.until("view", lambda v: v["number"] == 776)
        browser.say(type="hidden")
        browser.say(type="command", number=1, verb="stop")
        browser.until("answer")
        page.process.picture(frame("hidden", 1))
        page.process.picture(frame("hidden", 2))
        page.process.show(view(777, mode=Mode.PAUSED))
        while not isinstance(message := browser.hear(), dict) or message["type"] != "view":
            assert isinstance(message, dict)
        browser.move(active=False)
        assert picture_of(browser, "hidden")[1] == 2


def test_a_picture_of_the_wrong_size_costs_nothing_but_itself(page: Page):
    with page.browser() as browser:
        page.process.picture(frame("size", 1, rows=480))
        page.process.show(view(888))
        browser.until("view", lambda v: v["number"] == 888)
        page.process.picture(frame("size", 2))
        assert picture_of(browser, "size")[1] == 2
    assert "expected 92160 for 64 x 480" in page.log.read_text()


def test_one_picture_a_step_is_kept_while_an_episode_runs_though_nobody_looks(page: Page):
    for step in range(3):
        page.process.show(view(step, episode_id="e7", step=step))
        # They meet in the page's process: the one may overtake the other.
        time.sleep(0.1)
        page.process.picture(frame("kept", step, grey=50 + 50 * step))
        until_s = time.monotonic() + WAIT_S
        while abs(kept(page, step) - 50 - 50 * step) > 3:
            assert time.monotonic() < until_s
            time.sleep(0.02)
    page.process.show(view(4))


def kept(page: Page, step: int) -> float:
    answer = page.http("GET", f"/api/episode/e7/picture/kept/{step}")
    if answer.status_code != 200:
        return 0.0
    assert answer.headers["content-type"] == "image/jpeg"
    return grey_of(answer.content)
