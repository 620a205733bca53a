"""The command itself, in real time: simulated arm, learner, gate and page; nothing is made up."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from relay import Relay

from robot_rl.core.types import Source
from robot_rl.data.store.episode_reader import EpisodeReader

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
expect = playwright.expect

pytestmark = [pytest.mark.browser, pytest.mark.sim, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[2]
CODE = "import sys; from robot_rl.app.main import main; sys.exit(main())"
RUN = "configs/runs/peg_insert_session.yaml"
SMALL = (
    "collect.episodes=6",
    "imitate.steps=300",
    "improve.judge_episodes=1",
    "improve.checkpoint_every_episodes=1",
    "schedule.prefill_steps=30",
    "schedule.warmup_updates=8",
    "task.horizon=160",
    "session.review_s=null",
)
PATIENCE_MS = 60_000


class Sitting:
    """The process of a session, and what it has said so far.

    Attributes:
        url: of the page; `far_url`: the same through a port forward, whose cable `relay` has.
    """

    def __init__(self, runs: Path, *overrides: str) -> None:
        self.log = runs / "log"
        self.relay = Relay()
        words = ["session", "--runs", str(runs), "--operator", "anna", "--port", "0", RUN, *SMALL]
        words += [f"session.page.names=[localhost:{self.relay.port}]", *overrides]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", CODE, *words], cwd=ROOT, stdout=log, stderr=log
            )
        self.url = str(until(lambda: re.search(r"http://\S+", self.said), 120.0)[0])
        self.run = next(p for p in runs.iterdir() if p.is_dir())
        address, _, token = self.url.partition("/#token=")
        self.relay.start("127.0.0.1", int(address.rpartition(":")[2]))
        self.far_url = f"http://localhost:{self.relay.port}/#token={token}"

    @property
    def said(self) -> str:
        assert self.process.poll() is None, self.log.read_text()
        return self.log.read_text()

    @property
    def learner(self) -> psutil.Process:
        """The child that serves nothing: the other one is the page's."""
        children = psutil.Process(self.process.pid).children()
        spawned = [c for c in children if any("spawn_main" in word for word in c.cmdline())]
        return next(c for c in spawned if not c.net_connections("tcp"))

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(60)
        self.relay.close()


def until(found: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (what := found()):
        assert time.monotonic() < deadline, f"nothing within {seconds} s"
        time.sleep(0.05)
    return what


@pytest.fixture
def sitting(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Sitting]:
    """A session of the run, with further overrides if a test has some."""
    started = Sitting(tmp_path, *getattr(request, "param", ()))
    yield started
    started.end()


@pytest.fixture
def open_tab(context: Any, sitting: Sitting) -> Callable[..., Any]:
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)

    def open_one(url: str = "") -> Any:
        page = context.new_page()
        page.goto(url or sitting.url)
        page.wait_for_selector("body[data-live=true]")
        return page

    return open_one


def expect_mode(page: Any, mode: str) -> None:
    expect(page.locator("#banner")).to_have_attribute("data-mode", mode)


def expect_recorded_episode(page: Any, number: int) -> None:
    expect(page.locator("body[data-mode=auto]")).to_contain_text(f"online-{number}")


@pytest.fixture
def picture(request: pytest.FixtureRequest) -> Callable[[Any, str], None]:
    """Keeps a screenshot for the documents, if whoever runs the tests asks for them."""
    folder: Path | None = request.config.getoption("--pictures")

    def take(page: Any, name: str) -> None:
        if folder is not None:
            page.screenshot(path=folder / f"{name}.png")

    return take


def test_a_session_from_the_first_check_to_the_end(
    open_tab: Callable[..., Any], sitting: Sitting, picture: Callable[[Any, str], None]
) -> None:
    page = open_tab()
    picture(page, "preflight")
    for name in ("emergency stop tried", "dead-man tried"):
        page.get_by_role("button", name=f"Confirm: {name}").click()
    page.get_by_role("button", name="Start").click()

    # Take over, correct, give back, judge; discard, and think better of it.
    expect_recorded_episode(page, 0)
    page.keyboard.down("ArrowUp")
    expect_mode(page, "human")
    time.sleep(0.5)
    picture(page, "human")
    page.keyboard.up("ArrowUp")
    expect_mode(page, "hold")
    page.keyboard.press("Enter")
    expect_mode(page, "auto")
    page.keyboard.press("s")
    expect_mode(page, "review")
    expect(page.locator("#review")).to_contain_text("with help")
    picture(page, "review")
    page.keyboard.press("u")
    expect(page.locator("#review")).to_contain_text("discarded")
    page.keyboard.press("u")
    expect(page.locator("#review")).not_to_contain_text("discarded")
    page.locator("#review [data-outcome=failure]").click()
    expect(page.locator("#review [data-outcome=failure]")).to_have_attribute(
        "aria-pressed", "true"
    )
    page.keyboard.press("n")

    # The stop stays until a person has said so, whoever loads the page anew.
    expect_recorded_episode(page, 1)
    page.keyboard.press("Escape")
    expect_mode(page, "stop")
    picture(page, "stop")
    page.close()
    page = open_tab()
    expect_mode(page, "stop")
    page.get_by_role("button", name=re.compile("Clear")).first.click()
    page.keyboard.type("anna")
    page.keyboard.press("Enter")
    expect(page.locator("body[data-mode=ready], body[data-mode=review]")).to_be_visible()
    if page.locator("body[data-mode=review]").count():
        page.keyboard.press("n")
    page.get_by_role("button", name="Start").click()

    # A tab that is closed while it drives leaves the arm held, as another tab sees.
    expect_recorded_episode(page, 2)
    other = open_tab()
    expect(other.locator("body[data-mode=auto] #action")).to_be_visible()
    other.keyboard.down("ArrowUp")
    expect_mode(page, "human")
    other.close()
    expect_mode(page, "hold")
    page.keyboard.press("Enter")
    expect_mode(page, "auto")

    # So does a cable that is pulled; what waited in it moves nothing once it is in again.
    far = open_tab(sitting.far_url)
    expect(far.locator("body[data-mode=auto] #action")).to_be_visible()
    far.keyboard.down("ArrowUp")
    expect_mode(page, "human")
    sitting.relay.cut()
    expect_mode(page, "hold")
    expect(page.locator("#banner")).to_contain_text("nothing was heard of it for")
    expect(far.locator("#banner")).to_contain_text("Trying to reach it again")
    sitting.relay.heal()
    expect_mode(far, "hold")
    expect(far.locator("#banner")).to_contain_text("nothing was heard of it for")
    far.close()
    page.keyboard.press("Enter")
    expect_mode(page, "auto")

    # The learner dies and comes back; the policy goes on meanwhile, and the person knows at once.
    page.keyboard.press("f")
    expect_mode(page, "review")
    page.keyboard.press("n")
    expect_recorded_episode(page, 3)
    expect(page.locator("body")).to_contain_text(re.compile(r"weights [1-9]"))
    sitting.learner.kill()
    expect(page.locator("body[data-mode=auto] #learner")).to_contain_text("LEARNER LOST")
    expect(page.locator("#learner")).to_contain_text("it has ended; the policy acts with")
    expect(page.locator("body")).to_contain_text("The learner is lost: it has ended")
    expect(page.locator("body[data-mode=auto]")).to_contain_text("online-3")
    page.keyboard.press("s")
    expect_mode(page, "review")
    page.keyboard.press("n")
    expect_recorded_episode(page, 4)
    expect(page.locator("#learner")).not_to_contain_text("LOST")
    page.keyboard.press("s")
    expect_mode(page, "review")
    expect(page.locator("#learner")).to_contain_text("Learning")

    page.get_by_role("button", name="End session").click()
    page.get_by_role("button", name=re.compile("^End")).last.click()
    assert sitting.process.wait(60) == 130, sitting.log.read_text()
    store = EpisodeReader(sitting.run / "online")
    assert [*store.ids()] == [f"online-{number}" for number in range(5)]
    corrected = store.read("online-0")
    assert (corrected.source == Source.HUMAN).sum() >= 2
    assert corrected.metadata.operator == "anna"
    assert {*store.labels("online-0")} == {"success"}
    assert "robot-rl session --resume" in sitting.log.read_text()


@pytest.mark.parametrize(
    "sitting", [("demonstrator=null", "collect.episodes=2", "imitate.steps=400")], indirect=True
)
def test_who_has_no_demonstrations_gives_them_at_the_page(
    open_tab: Callable[..., Any], sitting: Sitting, picture: Callable[[Any, str], None]
) -> None:
    page = open_tab()
    for name in ("emergency stop tried", "dead-man tried"):
        page.get_by_role("button", name=f"Confirm: {name}").click()
    page.get_by_role("button", name="Start").click()

    # It is recorded from when it is driven, for as long as it takes; a bad one is done again.
    expect_mode(page, "hold")
    expect(page.locator("#banner")).to_contain_text("demonstration 1 of 2: drive")
    expect(page.locator("[data-verb=give_back]")).to_be_hidden()
    time.sleep(2)
    drive(page)
    picture(page, "demonstrate")
    page.keyboard.press("x")
    expect(page.locator("#banner")).to_contain_text("demonstration 1 of 2: drive")
    for number in (1, 2):
        expect(page.locator("#banner")).to_contain_text(f"demonstration {number} of 2: drive")
        drive(page)
        expect(page.locator("#banner")).to_contain_text("drive on, or judge")
        page.keyboard.press("s")
        expect_mode(page, "review")
        expect(page.locator("#review")).to_contain_text(f"demo-1000000{number:02d}")
        page.keyboard.press("n")

    expect_mode(page, "learning")
    expect(page.locator("#banner")).to_contain_text(re.compile("[123]00 of 400 updates"))
    picture(page, "learning")
    # What was learned moves nothing before the person says so.
    expect_mode(page, "ready")
    page.get_by_role("button", name="Start").click()
    expect_recorded_episode(page, 0)
    page.get_by_role("button", name="Pause").click()
    page.keyboard.press("s")
    expect(page.locator("body[data-mode=review], body[data-mode=paused]")).to_be_visible()
    page.get_by_role("button", name="End session").click()
    page.get_by_role("button", name=re.compile("^End")).last.click()
    assert sitting.process.wait(60) == 130, sitting.log.read_text()

    store = EpisodeReader(sitting.run / "demos")
    names = [f"demo-{100_000_000 + number}" for number in range(3)]
    assert [*store.ids(), *store.deleted()] == [*names[1:], names[0]]
    for name in names[1:]:
        shown = store.read(name)
        assert shown.metadata.operator == "anna"
        assert shown.source[0] == Source.DEMO
        assert set(shown.source) <= {Source.DEMO, Source.HOLD}
    assert [*EpisodeReader(sitting.run / "online").ids()] == ["online-0"]


def drive(page: Any, seconds: float = 0.6) -> None:
    page.keyboard.down("ArrowUp")
    expect_mode(page, "human")
    time.sleep(seconds)
    page.keyboard.up("ArrowUp")
    expect_mode(page, "hold")
