"""A learner that is lost is told at once, whatever the session does then, and once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from robot_rl.core.errors import LearnerLostError
from robot_rl.core.types import Source
from robot_rl.runtime.events import LearnerMetrics
from robot_rl.runtime.process_link import ProcessLink
from robot_rl.session.mode import Mode, Verb

ENDED = "it has ended; the policy acts with the weights of now until the episode ends"
VIEW_S = 0.1
LOADED_S = 0.25
"""What a machine that does much else may take on top."""


class Line:
    """A learner that can be lost, and that says how often it was asked."""

    def __init__(self) -> None:
        self.words = ""
        self.asked = 0

    @property
    def loss(self) -> str:
        self.asked += 1
        return self.words

    def amend(self, episode_id: str, episode: object) -> None:
        """Nothing to forget."""


@pytest.fixture
def line(world) -> Line:
    world.link = Line()
    return world.link


def notices(world) -> list[str]:
    return [n.words for n in world.look().notices if "learner" in n.words]


def measured(updates: int) -> LearnerMetrics:
    return LearnerMetrics(
        env_steps_total=100, updates_total=updates, updates_per_s=12.5, values={}
    )


def test_a_loss_is_shown_in_the_next_step_and_the_episode_goes_on(world, line):
    world.begin()
    world.tick(2)
    assert world.view.learner.state == "starting"
    line.words = ENDED
    before = len(world.screen.views)
    world.tick()
    assert len(world.screen.views) == before + 1
    assert (world.view.learner.state, world.view.learner.words) == ("lost", ENDED)
    assert world.view.notices[-1].words == f"The learner is lost: {ENDED}"
    assert (world.view.notices[-1].sound, world.view.notices[-1].level) == ("error", "bad")
    world.tick(5)
    assert world.view.mode == Mode.AUTO
    assert world.sources == [Source.POLICY] * 8


def test_a_loss_between_two_views_does_not_wait_for_the_next(make_world):
    world = make_world()
    world.link = Line()
    world.open()
    world.begin()
    world.tick()
    # Nothing is due: a session that serves twice in one instant is shown once.
    before = len(world.screen.views)
    world.session.heard(measured(40))
    assert len(world.screen.views) == before
    world.link.words = ENDED
    world.session.heard(measured(40))
    assert len(world.screen.views) == before + 1
    assert world.view.learner.state == "lost"


def test_a_loss_is_told_while_an_episode_only_counts(world, line):
    world.begin()
    world.say(Verb.SUCCESS)
    world.tick()
    world.end()
    world.begin(recorded=False)
    line.words = ENDED
    world.tick()
    assert world.view.learner.state == "lost"


@pytest.mark.parametrize("is_paused", [False, True])
def test_a_loss_is_told_while_the_person_is_waited_for(make_world, is_paused):
    world = make_world(review_s=None)
    world.link = Line()
    world.open()
    world.run()
    if is_paused:
        world.then(Verb.PAUSE)
        world.then(Verb.NEXT)

    def lose() -> None:
        assert world.view.mode == (Mode.PAUSED if is_paused else Mode.REVIEW)
        world.link.words = ENDED

    def see() -> None:
        assert world.view.learner.state == "lost"

    world.script.extend([lambda: None, lose, lambda: None, see])
    world.then(Verb.RESUME if is_paused else Verb.NEXT)
    assert world.between()
    assert len(notices(world)) == 1


def test_a_loss_is_told_once_and_a_new_learner_is_shown_from_its_beginning(world, line):
    world.begin()
    world.session.heard(measured(40))
    line.words = ENDED
    world.tick(3)
    world.session.learner_lost("the learner has ended. It was killed by SIGKILL")
    world.tick(3)
    assert notices(world) == [f"The learner is lost: {ENDED}"]
    assert world.view.learner.words == ENDED
    world.say(Verb.SUCCESS)
    world.tick()
    world.end()
    # Until there is a new one, none learns.
    assert world.look().learner.state == "lost"
    world.link = Line()
    world.begin()
    assert (world.view.learner.state, world.view.learner.words) == ("starting", "")
    assert world.view.learner.updates == 40
    world.session.heard(measured(50))
    assert world.look().learner.state == "learning"
    world.link.words = "it has said nothing for 60 s"
    world.tick()
    assert len(notices(world)) == 2


def test_a_lost_learner_that_goes_on_being_handed_in_is_told_once(world, line):
    world.begin()
    line.words = ENDED
    world.say(Verb.SUCCESS)
    world.tick()
    world.end()
    world.begin()
    assert len(notices(world)) == 1
    assert world.view.learner.state == "lost"


def test_a_learner_that_is_lost_before_the_session_has_it_is_told_too(world, line):
    world.begin()
    line.words = ENDED
    world.tick()
    world.session.learner_lost("the learner has ended")
    world.session.learner_lost("the new one has ended before it was ready")
    assert notices(world) == [
        f"The learner is lost: {ENDED}",
        "The learner is lost: the new one has ended before it was ready",
    ]


def test_a_loss_may_be_said_from_any_thread(world):
    world.begin()
    thread = threading.Thread(target=world.session.learner_lost, args=("it has ended",))
    thread.start()
    thread.join()
    assert world.look().learner.state == "lost"
    assert world.view.learner.words == "it has ended"
    assert world.view.notices[-1].sound == "error"


@pytest.fixture
def open_link(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ProcessLink]]:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "runtime")
    links: list[ProcessLink] = []

    def open_link(**options) -> ProcessLink:
        links.append(ProcessLink("tiny_worker:build", "{}", max_lag_updates=None, **options))
        return links[-1]

    yield open_link
    for link in links:
        link.close()


def at_rest(world) -> None:
    """In an episode that no step ends."""
    world.open()
    world.begin()
    world.say(Verb.TAKE_OVER)
    world.tick()
    assert world.view.mode == Mode.HOLD


def lost_after_s(world, begin_s: float) -> float:
    """Make a step every 10 ms until the page shows the loss; seconds since `begin_s`."""
    while world.view.learner.state != "lost":
        assert time.monotonic() < begin_s + 10.0
        world.tick()
        time.sleep(0.01)
    return time.monotonic() - begin_s


def test_a_killed_process_is_told_within_one_view_of_its_end(make_world, open_link):
    world = make_world(horizon=100_000)
    world.link = link = open_link()
    at_rest(world)
    os.kill(link.pid, signal.SIGKILL)
    # Returns once the process is gone, and leaves it to the link to bury it.
    os.waitid(os.P_PID, link.pid, os.WEXITED | os.WNOWAIT)
    assert lost_after_s(world, time.monotonic()) < VIEW_S + LOADED_S
    assert world.view.learner.words == ENDED
    world.tick(10)
    assert world.running
    with pytest.raises(LearnerLostError) as error:
        link.sync()
    world.session.learner_lost(str(error.value))
    link.close()
    world.tick()
    assert notices(world) == [f"The learner is lost: {ENDED}"]


def test_a_silent_process_is_told_as_soon_as_the_link_knows(make_world, open_link, monkeypatch):
    monkeypatch.setattr("robot_rl.runtime.child_process._GRACE_S", 0.2)
    world = make_world(horizon=100_000)
    world.link = link = open_link(silence_s=2.5)
    at_rest(world)
    os.kill(link.pid, signal.SIGSTOP)
    assert lost_after_s(world, time.monotonic()) < 2.5 + VIEW_S + LOADED_S
    assert world.view.learner.words.startswith("it has said nothing for 2.5 s; the policy acts")
