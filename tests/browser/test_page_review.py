"""Looking at what was recorded, and changing it."""

from __future__ import annotations

import pytest
from made_up_session import MadeUpSession
from recorded import BY_HAND, EPISODES, STEPS, grey_of

from robot_rl.session.mode import Mode, Verb

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
Page, expect = playwright.Page, playwright.expect

pytestmark = pytest.mark.browser

NEWEST = EPISODES[-1]
READ_PIXEL = "canvas => canvas.getContext('2d').getImageData(9, 9, 1, 1).data[0]"


@pytest.fixture
def review(page: Page, session: MadeUpSession) -> Page:
    session.begin(Mode.REVIEW)
    expect(page.locator("#reviewed")).to_have_text(NEWEST)
    expect(page.locator("#review-at")).to_contain_text(f"step 1 of {STEPS}")
    return page


def picture_of_step(page: Page, step: int) -> int:
    canvas = page.locator(f"#pictures canvas[data-camera=wrist][data-step='{step}']")
    expect(canvas).to_be_visible()
    return canvas.evaluate(READ_PIXEL)


def test_the_scrubber_shows_the_picture_of_its_step(review: Page) -> None:
    assert picture_of_step(review, 0) == pytest.approx(grey_of(0), abs=2)
    review.get_by_label("Step shown").fill("25")
    assert picture_of_step(review, 25) == pytest.approx(grey_of(25), abs=2)
    expect(review.locator("#review-at")).to_contain_text("step 26 of 40 · 2.5 s")
    review.get_by_label("Step shown").press("ArrowRight")
    assert picture_of_step(review, 26) == pytest.approx(grey_of(26), abs=2)


def test_a_camera_of_which_nothing_was_kept_takes_no_room(
    review: Page, session: MadeUpSession, complaints: list[str]
) -> None:
    assert picture_of_step(review, 0) == pytest.approx(grey_of(0), abs=2)
    expect(review.locator("#pictures canvas[data-camera=front]")).to_be_visible()
    review.locator(f"#rows [data-episode={EPISODES[0]}]").click()
    expect(review.locator("#reviewed")).to_have_text(EPISODES[0])
    assert picture_of_step(review, 0) == pytest.approx(grey_of(0), abs=2)
    review.get_by_label("Step shown").fill("9")
    assert picture_of_step(review, 9) == pytest.approx(grey_of(9), abs=2)
    expect(review.locator("#pictures canvas[data-camera=front]")).to_have_count(0)
    # Asked for once, not at every step.
    assert len(complaints) == 1
    assert "404" in complaints.pop()


def test_it_plays_to_the_end_and_stops(review: Page) -> None:
    review.get_by_label("Step shown").fill(str(STEPS - 5))
    review.get_by_role("button", name="Play").click()
    expect(review.get_by_role("button", name="Stop playing")).to_be_visible()
    expect(review.locator("#review-at")).to_contain_text(f"step {STEPS} of {STEPS}")
    expect(review.get_by_role("button", name="Play")).to_be_visible()


def test_the_bands_are_where_a_person_drove(review: Page) -> None:
    # The middle of the upper lane, by hand against not.
    lane = """(canvas, share) => {
      const at = Math.round(canvas.width * share);
      const pixels = canvas.getContext('2d').getImageData(at, 1, 8, 10).data;
      return new Set(new Uint32Array(pixels.buffer)).size;
    }"""
    timeline = review.locator("#timeline")
    within = (BY_HAND[0] + BY_HAND[-1]) / 2 / STEPS
    assert timeline.evaluate(lane, within) > 1
    assert timeline.evaluate(lane, 0.8) == 1


def test_an_episode_is_judged_anew(review: Page, session: MadeUpSession) -> None:
    judge = review.get_by_role("group", name="Judge this episode")
    expect(judge.get_by_role("button", name="unknown")).to_have_attribute("aria-pressed", "true")
    judge.get_by_role("button", name="success").click()
    relabelled = session.wait_command(Verb.RELABEL)
    assert relabelled.arguments == {"episode_id": NEWEST, "outcome": "success"}
    expect(judge.get_by_role("button", name="success")).to_have_attribute("aria-pressed", "true")
    toast = review.locator(".toast", has_text=f"{NEWEST} is a success now")
    toast.get_by_role("button", name="Undo").click()
    session.wait_command(Verb.UNDO)


def test_two_handles_say_what_is_kept(review: Page, session: MadeUpSession) -> None:
    keep = review.locator("#trim")
    expect(keep).to_be_disabled()
    review.get_by_label("First step to keep").fill("5")
    review.get_by_label("End of the steps to keep").fill("30")
    expect(keep).to_have_text("Keep 5 to 30")
    assert picture_of_step(review, 29) == pytest.approx(grey_of(29), abs=2)
    keep.click()
    trimmed = session.wait_command(Verb.TRIM)
    assert trimmed.arguments == {"episode_id": NEWEST, "begin": 5, "end": 30}


def test_the_handles_never_cross(review: Page) -> None:
    review.get_by_label("End of the steps to keep").fill("10")
    review.get_by_label("First step to keep").fill("20")
    expect(review.locator("#trim")).to_have_text("Keep 9 to 10")


def test_a_discarded_episode_stays_in_the_list(review: Page, session: MadeUpSession) -> None:
    review.get_by_role("button", name="Discard").click()
    discarded = session.wait_command(Verb.DELETE)
    assert discarded.arguments == {"episode_id": NEWEST}
    expect(review.locator(f"#rows [data-episode={NEWEST}]")).to_contain_text("discarded")
    expect(review.locator("#reviewed")).to_have_text(EPISODES[-2])


def test_older_episodes_are_a_press_away(review: Page, session: MadeUpSession) -> None:
    review.get_by_role("button", name="Older episode").click()
    expect(review.locator("#reviewed")).to_have_text(EPISODES[-2])
    review.get_by_role("button", name="Newer episode").click()
    expect(review.locator("#reviewed")).to_have_text(NEWEST)
    review.locator(f"#rows [data-episode={EPISODES[1]}]").click()
    expect(review.locator("#reviewed")).to_have_text(EPISODES[1])
    review.locator("#note-text").fill("slipped at the rim")
    review.get_by_role("button", name="Save", exact=True).click()
    noted = session.wait_command(Verb.NOTE)
    assert noted.arguments == {"episode_id": EPISODES[1], "text": "slipped at the rim"}
    expect(review.locator(f"#rows [data-episode={EPISODES[1]}]")).to_contain_text("slipped")
