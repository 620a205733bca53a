"""A session in which nobody has learned anything yet: the person shows how it is done."""

from __future__ import annotations

from collections import deque

import pytest

from robot_rl.core.types import GateState, Outcome, Source
from robot_rl.runtime.events import PhaseProgress, PhaseStarted
from robot_rl.session.episodes import SessionEnded
from robot_rl.session.mode import Mode, Verb

SCALE = 0.1
"""What an action of 1 moves in a period [rad]."""


@pytest.fixture
def start(make_world, demos):
    """A session that was opened for three demonstrations; nobody else acts in it."""

    def start(**options):
        world = make_world(**options)
        world.policy = None
        world.session.heard(PhaseStarted(phase="collect", total=3, unit="demonstrations"))
        assert world.open()
        return world

    return start


@pytest.fixture
def world(start):
    return start()


def meanwhile(world, *acts):
    """Do one thing after the other, one in each period, until the episode has begun."""
    left = deque(acts)

    def act():
        assert left, f"it still waits in {world.view.mode}: {world.view.why}"
        left.popleft()()

    # The first reading is that of the reset.
    left.appendleft(nothing)
    world.bench.on_read = act


def nothing():
    pass


def begin(world, demos, *acts):
    """Open a demonstration that is begun after these acts by driving to the left."""
    assert world.session.between(demos, None)
    meanwhile(world, *acts, lambda: world.move(-1.0, 0.0))
    world.reset()
    world.bench.on_read = nothing


def drive(world, ticks):
    for _ in range(ticks):
        world.move(-1.0, 0.0)
        result = world.tick()
    return result


def test_it_begins_when_the_person_moves_the_arm_however_long_that_takes(world, demos):
    begin(world, demos, *[nothing] * 50)
    waited = [v for v in world.screen.views if v.mode == Mode.HOLD]
    assert {v.why for v in waited} == {
        "demonstration 1 of 3: drive, and it is recorded from there on"
    }
    assert waited[-1].episode.episode_id == "demo-0"
    assert waited[-1].action.names == ("a", "b")
    assert not waited[-1].episode.judging
    assert world.bench.q == pytest.approx([0, 0])
    assert Mode.AUTO not in {v.mode for v in world.screen.views}
    # All of its time is left.
    assert not drive(world, 19).truncated
    assert world.view.episode.step == 19
    assert drive(world, 1).truncated
    assert world.sources == [Source.HUMAN] * 20
    assert world.bench.q[0] == pytest.approx(-20 * SCALE)


def test_its_time_stands_still_while_nobody_drives(world, demos):
    begin(world, demos)
    drive(world, 5)
    for _ in range(40):
        world.move(active=False)
        assert not world.tick().truncated
    assert world.view.mode == Mode.HOLD
    assert world.view.why == "nobody drives; drive on, or judge the demonstration"
    assert (world.look().episode.step, world.view.episode.horizon) == (45, 60)
    assert not drive(world, 14).truncated
    assert drive(world, 1).truncated
    # The next one has no more time than that.
    world.then(Verb.NEXT)
    begin(world, demos)
    assert not drive(world, 19).truncated
    assert drive(world, 1).truncated


def test_a_policys_episode_has_the_time_of_its_task_whoever_holds_the_arm(world, demos):
    begin(world, demos)
    world.say(Verb.SUCCESS)
    world.tick()
    world.policy = None
    world.begin()
    assert not world.tick(19).truncated
    assert world.tick().truncated


def test_who_is_lost_in_it_may_drive_on(world, demos):
    begin(world, demos)
    drive(world, 1)
    world.gone()
    world.tick()
    assert world.view.why == "page-1 is gone: closed; drive on, or judge the demonstration"
    world.move(active=False, client="page-2")
    world.tick()
    world.move(-1.0, 0.0, client="page-2")
    world.tick()
    assert world.sources[-1] == Source.HUMAN


def test_there_is_nobody_to_give_the_arm_back_to(world, demos):
    begin(world, demos)
    drive(world, 1)
    assert Verb.GIVE_BACK not in world.view.legal
    world.say(Verb.GIVE_BACK)
    world.tick()
    assert not world.answer.done
    assert world.answer.words.startswith("there is no policy yet that could have the arm")


def test_what_has_not_begun_is_not_judged(world, demos):
    said = {}

    def judge(verb):
        def ask():
            world.say(verb)
            said[verb] = len(world.answers)

        return ask

    verbs = (Verb.SUCCESS, Verb.FAILURE, Verb.RE_RECORD, Verb.NOTE)
    begin(world, demos, *[judge(verb) for verb in verbs], nothing)
    assert len(said) == len(verbs)
    assert [world.answers[at].done for at in said.values()] == [False] * len(verbs)
    assert not drive(world, 3).terminated
    world.say(Verb.SUCCESS)
    assert world.tick().outcome == Outcome.SUCCESS


def test_a_pause_while_the_person_is_waited_for_begins_it_anew_and_it_is_still_recorded(
    world, demos
):
    world.then(Verb.RESUME)
    begin(world, demos, nothing, lambda: world.say(Verb.PAUSE), nothing, nothing)
    assert Mode.PAUSED in {v.mode for v in world.screen.views}
    assert world.bench.seeds == [0, 0]
    drive(world, 1)
    assert (world.view.episode.episode_id, world.view.episode.judging) == ("demo-0", False)


def test_a_stop_while_the_person_is_waited_for_has_to_be_cleared(world, demos):
    cause = "page-1 pressed stop"
    world.then(Verb.CLEAR, by="Ada", cause=cause)
    world.then(Verb.START)
    begin(world, demos, nothing, lambda: world.say(Verb.STOP), nothing, nothing)
    assert Mode.STOP in {v.mode for v in world.screen.views}
    assert world.gate.state == GateState.RUN
    assert world.bench.seeds == [0, 0]
    drive(world, 1)
    assert not world.view.episode.judging


def test_it_may_be_ended_while_the_person_is_waited_for(world, demos):
    assert world.session.between(demos, None)
    meanwhile(world, nothing, lambda: world.say(Verb.PAUSE), nothing)
    world.then(Verb.END)
    with pytest.raises(SessionEnded):
        world.reset()


def test_a_device_that_is_lost_meanwhile_is_told_and_begins_nothing(start, demos):
    world = start(sticks=1)
    (stick,) = world.sticks

    def pull():
        stick.gone = "pulled out"

    begin(world, demos, nothing, pull, nothing, nothing)
    assert any("pulled out" in notice.words for notice in world.view.notices)
    assert world.bench.seeds == [0]


def test_what_is_about_a_policy_is_not_shown(world, demos):
    for number in range(3):
        begin(world, demos)
        drive(world, 2)
        world.say(Verb.FAILURE)
        world.tick()
        demos.save(f"demo-{number}", "failure", 2, assisted=True)
    assert world.session.between(demos, None)
    shown = world.look()
    assert shown.learner is None
    assert (shown.rates, shown.hints) == ((), ())
    assert [row.episode_id for row in shown.rows] == ["demo-2", "demo-1", "demo-0"]
    assert shown.data.target == 3


def test_demonstrations_are_reviewed_as_other_episodes_are(start, demos):
    world = start(review_s=None)
    begin(world, demos)
    world.say(Verb.FAILURE)
    world.tick()
    demos.save("demo-0", "failure", 1)
    world.then(Verb.SUCCESS)
    world.then(Verb.NEXT)
    assert world.session.between(demos, None)
    assert demos.log == ["success demo-0"]


def test_nothing_is_undone_across_stores(start, demos):
    world = start(review_s=0.0)
    begin(world, demos)
    world.say(Verb.SUCCESS)
    world.tick()
    demos.save("demo-0", "success", 1)
    assert world.session.between(demos, None)
    world.begin()
    assert world.view.learner is not None
    assert world.view.rows == ()
    assert world.view.episode.episode_id == "online-1"
    world.say(Verb.PAUSE)
    world.say(Verb.SUCCESS)
    world.tick()
    world.store.save("online-1", "success", 1)
    world.then(Verb.UNDO)
    world.then(Verb.UNDO)
    world.then(Verb.RESUME)
    assert world.between()
    assert demos.log == []


def test_while_the_base_policy_learns_its_progress_is_shown_and_the_person_may_end_it(world):
    session = world.session
    with session.learning():
        session.heard(PhaseStarted(phase="imitate", total=600, unit="updates"))
        session.heard(PhaseProgress(phase="imitate", done=200))
        world.clock.advance_s(0.1)
        world.session._service.show()
        assert world.view.mode == Mode.LEARNING
        assert world.view.why == "the base policy learns: 200 of 600 updates; then you start it"
        assert set(world.view.legal) == {Verb.STOP, Verb.END}
        world.say(Verb.TAKE_OVER)
        session.heard(PhaseProgress(phase="imitate", done=300))
        assert not world.answer.done
        assert not session.ended()
        world.say(Verb.END)
        session.heard(PhaseProgress(phase="imitate", done=400))
        assert session.ended()


def test_what_was_learned_drives_only_once_the_person_starts_it(world, demos):
    begin(world, demos)
    world.say(Verb.SUCCESS)
    world.tick()
    with world.session.learning():
        pass
    runs = world.checks.runs
    world.script.append(lambda: world.look())
    world.then(Verb.START)
    assert world.session.open()
    assert world.checks.runs == runs + 1
    assert Mode.READY in {v.mode for v in world.screen.views[-10:]}


def test_a_policy_that_is_tried_while_it_learns_is_started_too_and_only_counts(world, demos):
    begin(world, demos)
    world.say(Verb.SUCCESS)
    world.tick()
    demos.save("demo-0", "success", 1)
    assert world.session.between(demos, None)
    with world.session.learning():
        world.then(Verb.START)
        world.policy = -SCALE * world.bench.q.astype("float32")
        world.reset()
        world.tick()
        assert world.view.episode.judging
        assert Verb.RE_RECORD not in world.view.legal
        world.session.heard(PhaseProgress(phase="imitate", done=1))
        assert world.look().mode == Mode.LEARNING
