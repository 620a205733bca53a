from __future__ import annotations

import itertools
import json
import threading
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robot_rl.control.arbiter import Arbiter, HandOver
from robot_rl.core.episode import EpisodeMetadata
from robot_rl.core.errors import StorageError
from robot_rl.core.types import GateReason, GateState, Outcome, Source
from robot_rl.runtime.events import Evaluated, LearnerMetrics
from robot_rl.runtime.rollout import Agent, Rollout
from robot_rl.session.episodes import SessionEnded
from robot_rl.session.mode import LEGAL, Mode, Verb
from robot_rl.session.view import View

STOPPED = "page-1 pressed stop"


def metrics(updates: int, version_steps: int = 100) -> LearnerMetrics:
    return LearnerMetrics(
        env_steps_total=version_steps, updates_total=updates, updates_per_s=12.5, values={}
    )


def modes(world) -> list[Mode]:
    return [mode for mode, _ in itertools.groupby(v.mode for v in world.screen.views)]


def sounds(world) -> list[str]:
    return [n.sound for n in world.view.notices if n.sound]


# Before the first episode


def test_it_opens_once_all_is_well_and_the_person_starts(make_world):
    world = make_world(ask=("dead-man tried",))
    world.idle(0.1)
    world.then(Verb.START)
    world.then(Verb.CONFIRM, name="dead-man tried")
    world.idle(0.1)
    world.then(Verb.START)
    assert world.session.open()
    assert [a.done for a in world.answers] == [False, True, True]
    assert "no start in PREFLIGHT; possible now: check, confirm" in world.answers[0].words
    assert world.checks.confirmed == {"dead-man tried": "Ada"}
    assert modes(world) == [Mode.PREFLIGHT, Mode.READY]
    assert world.screen.views[0].why == "dead-man tried: try it"


def test_a_check_that_turns_bad_takes_the_start_away(make_world):
    world = make_world()

    def unplug() -> None:
        world.checks.broken = "no picture"
        world.say(Verb.CHECK)

    def plug() -> None:
        world.checks.broken = ""
        world.say(Verb.CHECK)

    world.script.append(unplug)
    world.then(Verb.START)
    world.script.append(plug)
    world.then(Verb.START)
    assert world.session.open()
    assert world.checks.runs == 3
    assert [a.done for a in world.answers] == [True, False, True, True]


def test_who_ends_it_before_the_start_gets_no_episode(make_world):
    world = make_world()
    world.then(Verb.END)
    assert not world.session.open()
    assert world.session.ended()


def test_a_stop_before_the_start_is_to_be_cleared_first(make_world):
    world = make_world()
    world.then(Verb.STOP)
    world.then(Verb.START)
    world.then(Verb.CLEAR, by="Ada", cause="something else")
    world.then(Verb.CLEAR, by=" ", cause=STOPPED)
    world.then(Verb.CLEAR, by="Ada", cause=STOPPED)
    world.then(Verb.START)
    assert world.session.open()
    assert [a.done for a in world.answers] == [True, False, False, False, True, True]
    assert STOPPED in world.answers[2].words
    assert modes(world) == [Mode.PREFLIGHT, Mode.READY, Mode.STOP, Mode.READY]
    assert world.bench.stops == 1


def test_a_session_that_waits_hears_at_once_what_comes_from_other_threads(make_world):
    world = make_world(scripted=False)
    asks = threading.Timer(0.1, world.say, args=(Verb.START,))
    asks.start()
    assert world.session.open()
    asks.join()
    assert world.answer.done


def test_a_stop_from_another_thread_does_not_wait_for_a_busy_loop(world):
    def press() -> None:
        page = threading.Thread(target=world.say, args=(Verb.STOP,))
        page.start()
        page.join()
        assert world.answer.done
        assert world.gate.state == GateState.ESTOP

    world.bench.on_reset = press
    world.begin()
    assert world.tick().truncated


def test_what_needs_a_store_is_refused_before_there_is_one(make_world):
    world = make_world()
    world.then(Verb.UNDO)
    world.then(Verb.NOTE, text="hello")
    world.then(Verb.START)
    assert world.session.open()
    assert [a.done for a in world.answers] == [False, False, True]


# Between two episodes


def test_the_first_episode_begins_without_a_review(world):
    assert world.between()
    assert world.store.log == []


def test_a_judged_episode_is_reviewed_for_a_while(make_world):
    world = make_world(review_s=0.5)
    world.open()
    world.run(Verb.SUCCESS)
    start_ns = world.clock.now_ns()
    world.idle(0.6)
    assert world.between()
    assert (world.clock.now_ns() - start_ns) / 1e9 == pytest.approx(0.5, abs=0.03)
    assert world.view.why.startswith("the next episode follows in ")


def test_an_episode_that_nobody_judged_waits_for_its_judgement(make_world):
    world = make_world(review_s=0.5)
    world.open()
    world.run(None)
    world.idle(5.0)
    world.then(Verb.FAILURE)
    world.idle(0.6)
    assert world.between()
    assert world.store.log == ["failure online-0"]
    assert world.view.episode.outcome == "failure"
    assert len(world.script) <= 6


def test_every_change_in_the_review_gives_more_time_for_another(make_world):
    world = make_world(review_s=0.5)
    world.open()
    world.run(Verb.SUCCESS)
    start_ns = world.clock.now_ns()
    world.idle(0.4)
    world.then(Verb.RELABEL, episode_id="online-0", outcome="failure")
    world.idle(0.6)
    assert world.between()
    assert (world.clock.now_ns() - start_ns) / 1e9 == pytest.approx(0.92, abs=0.04)


def test_next_ends_the_review(make_world):
    world = make_world(review_s=None)
    world.open()
    world.run(Verb.SUCCESS)
    world.idle(10.0)
    world.then(Verb.NEXT)
    assert world.between()


def test_re_record_while_running_discards_the_episode_before_the_next_one(world):
    world.run(Verb.RE_RECORD)
    assert world.between()
    assert world.store.log == ["delete online-0"]
    assert world.look().rates == ()
    assert "saved" not in sounds(world)


def test_re_record_in_the_review_discards_and_goes_on(make_world):
    world = make_world(review_s=None)
    world.open()
    world.run(Verb.FAILURE)
    world.then(Verb.RE_RECORD)
    assert world.between()
    assert world.store.log == ["delete online-0"]
    world.run(Verb.SUCCESS)
    assert len(world.look().rates) == 1


def test_the_verbs_of_the_review_reach_it_and_errors_are_answers(make_world):
    world = make_world(review_s=None)
    world.open()
    world.run(Verb.SUCCESS)
    world.then(Verb.NOTE, text="a good one")
    world.then(Verb.TRIM, episode_id="online-0", begin=1, end=2)
    world.then(Verb.RELABEL, episode_id="online-0", outcome="unknown")
    world.then(Verb.DELETE, episode_id="online-0")
    world.then(Verb.UNDO)
    refused = len(world.answers) + 5
    world.then(Verb.DELETE, episode_id="online-7")
    world.then(Verb.TRIM, episode_id="online-0", begin=2, end=2)
    world.then(Verb.TRIM, episode_id="online-0", begin=True, end="3")
    world.then(Verb.RELABEL, episode_id="online-0", outcome="superb")
    world.then(Verb.NOTE, text="")
    world.then(Verb.NOTE, text="x" * 3000)
    world.then(Verb.NEXT)
    assert world.between()
    assert all(a.done for a in world.answers[refused - 5 : refused])
    assert not any(a.done for a in world.answers[refused:-1])
    assert "online-7" in world.answers[refused].words
    assert "superb" in world.answers[refused + 3].words
    assert world.store.log == [
        "note a good one online-0",
        "trim 1 2 online-0",
        "unknown online-0",
    ]


def test_a_note_on_a_running_episode_is_written_once_it_is_saved(world):
    world.begin()
    world.tick()
    world.say(Verb.NOTE, text="it slips")
    world.tick()
    assert world.answer.done
    world.say(Verb.SUCCESS)
    world.tick()
    world.end()
    assert world.store.log == []
    assert world.between()
    assert world.store.log == ["note it slips online-0"]


def test_a_note_that_cannot_be_written_is_told_with_its_text(world):
    world.begin()
    world.say(Verb.NOTE, text="it slips", episode_id="nowhere")
    world.say(Verb.SUCCESS)
    world.tick()
    world.end()
    world.between()
    assert any("it slips" in n.words and n.level == "bad" for n in world.look().notices)


def test_a_pause_in_an_episode_comes_before_the_next_one(world):
    world.begin()
    world.tick()
    world.say(Verb.PAUSE)
    world.tick()
    world.say(Verb.SUCCESS)
    world.tick()
    world.end()
    world.idle(1.0)
    world.then(Verb.RESUME)
    assert world.between()
    assert modes(world)[-3:] == [Mode.HOLD, Mode.REVIEW, Mode.PAUSED]


def test_end_in_the_review_ends_the_run(make_world):
    world = make_world(review_s=None)
    world.open()
    world.run(Verb.SUCCESS)
    world.then(Verb.END)
    assert not world.between()
    assert world.session.ended()


def test_a_stop_while_an_episode_runs_waits_for_a_clear_and_a_start(world):
    world.begin()
    world.tick()
    world.say(Verb.STOP)
    assert world.answer.done
    assert world.gate.state == GateState.ESTOP
    world.say(Verb.CLEAR, by="Ada", cause=STOPPED)
    result = world.tick()
    assert result.truncated
    assert result.gate_reason == GateReason.NOT_RUNNING
    assert not world.answer.done
    world.end()
    world.idle(0.5)
    world.then(Verb.CLEAR, by="Ada", cause=STOPPED)
    world.then(Verb.FAILURE)
    world.idle(0.5)
    world.then(Verb.START)
    assert world.between()
    assert modes(world)[-3:] == [Mode.STOP, Mode.REVIEW, Mode.READY]
    assert "stop" in sounds(world)
    stopped = next(v for v in world.screen.views if v.mode == Mode.STOP)
    assert stopped.why == STOPPED


def test_a_gate_that_stops_by_itself_is_told_and_cleared_likewise(world):
    world.begin()
    world.tick()
    world.bench.force_n = 70.0
    world.tick()
    world.bench.force_n = 0.0
    while world.running:
        world.tick()
    world.end()
    cause = world.gate.cause
    assert "70.0 N" in cause
    world.then(Verb.CLEAR, by="Ada", cause=cause)
    world.then(Verb.NEXT)
    world.then(Verb.START)
    assert world.between()


def test_give_back_ends_a_hold_of_the_gate(world):
    world.begin()
    world.tick()
    world.gate.hold(GateReason.PEER_LOST, "the actor was silent")
    world.tick(2)
    assert world.view.mode == Mode.HOLD
    assert "the actor was silent" in world.view.why
    world.say(Verb.RESUME)
    world.tick(3)
    assert world.view.mode == Mode.AUTO


# What is shown


def test_views_come_ten_times_a_second_and_at_once_when_the_mode_changes(make_world):
    world = make_world(review_s=None)
    world.idle(2.0)
    world.then(Verb.START)
    world.session.open()
    # The first view, then one every 0.1 s.
    assert 20 <= len(world.screen.views) <= 23
    numbers = [v.number for v in world.screen.views]
    assert numbers == sorted(set(numbers))
    world.begin()
    world.tick()
    count = len(world.screen.views)
    world.move(-1.0, 0.0)
    world.tick()
    assert world.screen.views[count].mode == Mode.HUMAN


def test_an_episode_is_shown_as_it_runs(world):
    world.bench.force_n = 3.0
    world.bench.touch = np.array([0.5, 0.25], np.float32)
    world.begin()
    world.move(-1.0, 0.5)
    world.tick()
    view = world.view
    assert (view.run, view.task, view.period_s) == ("run-1", "line", 0.1)
    assert view.episode.episode_id == "online-0"
    assert (view.episode.step, view.episode.horizon, view.episode.human_steps) == (1, 20, 1)
    assert view.episode.seconds == pytest.approx(0.1)
    assert view.force.force_n == (3.0, 0.0, 0.0)
    assert view.force.tactile == {"left": (0.5, 0.25)}
    assert (view.force.limit_n, view.force.limit_n_m) == (30.0, 5.0)
    assert view.action.names == ("a", "b")
    assert view.action.proposed == (-1.0, 0.5)
    assert view.action.executed == pytest.approx((-1.0, 0.5))
    assert view.action.gate_reason == "PASSED"
    assert set(view.legal) == LEGAL[Mode.HUMAN]


def test_base_and_proposed_action_are_shown_where_the_loop_tells_them(world):
    world.begin()
    told = SimpleNamespace(
        base_action=np.array([0.5, 0.25], np.float32),
        proposed_action=np.array([0.75, np.nan], np.float32),
        policy_version=0,
    )
    world.tick()
    world.session.acted(told)
    assert world.look().action.base == (0.5, 0.25)
    assert world.view.action.proposed == ()


def test_a_view_is_json_without_numbers_that_are_none(world):
    world.bench.force_n = np.nan
    world.begin()
    world.gate.hold(GateReason.PEER_LOST, "x")
    world.tick()
    assert world.view.force is None
    json.loads(msgspec.json.encode(world.view), parse_constant=pytest.fail)
    assert msgspec.json.decode(msgspec.json.encode(world.view), type=View) == world.view


def test_saved_is_told_once_the_episode_is_in_the_store(world):
    world.begin()
    world.say(Verb.SUCCESS)
    world.tick()
    assert "saved" not in sounds(world)
    world.end()
    world.idle(0.2)
    world.between()
    world.begin()
    assert sounds(world).count("saved") == 1
    assert world.view.notices[-1].words == "Saved online-0: success"


def test_saved_is_told_too_where_nobody_tells_of_the_end(make_world):
    world = make_world(review_s=0.3)
    world.open()
    world.begin()
    world.say(Verb.SUCCESS)
    world.tick()
    world.store.save("online-0", "success", 1)
    world.idle(0.4)
    world.between()
    assert sounds(world).count("saved") == 1


def test_each_hand_over_has_its_sound(world):
    world.begin()
    world.tick()
    world.move(-1.0, 0.0)
    world.tick()
    world.move(active=False)
    world.tick()
    world.say(Verb.GIVE_BACK)
    world.tick()
    world.say(Verb.STOP)
    world.tick()
    assert sounds(world) == ["take_over", "hold", "give_back", "stop"]
    assert all(n.say for n in world.view.notices if n.sound)
    numbers = [n.number for n in world.view.notices]
    assert numbers == sorted(set(numbers))


def test_every_change_of_the_mode_is_kept_with_its_reason(world):
    world.begin()
    world.tick()
    world.say(Verb.STOP)
    world.tick()
    changes = world.session.changes
    assert all(a.after == b.before for a, b in itertools.pairwise(changes))
    assert (changes[-1].after, changes[-1].why) == (Mode.STOP, STOPPED)


def test_rates_rows_data_and_hints_follow_the_store(make_world):
    world = make_world(review_s=None)
    world.open()
    for _ in range(2):
        world.run(Verb.FAILURE)
        world.then(Verb.NEXT)
        world.between()
    world.run(Verb.SUCCESS)
    assert [p.autonomous[0] for p in world.look().rates] == [0.0, 0.0, pytest.approx(1 / 3)]
    world.then(Verb.RELABEL, episode_id="online-2", outcome="failure")
    world.then(Verb.NEXT)
    world.between()
    assert world.look().rates[-1].autonomous[0] == 0.0
    assert [r.episode_id for r in world.view.rows] == ["online-2", "online-1", "online-0"]
    assert world.view.data.episodes == 3
    assert "without help" in world.view.hints[0]


def test_a_store_that_cannot_be_read_is_told_and_ends_nothing(world):
    world.run(Verb.SUCCESS)

    def fail(folder, target):
        raise StorageError("the disk is gone")

    world.store.data = fail
    assert world.between()
    assert any("the disk is gone" in n.words for n in world.look().notices)


# Learning


def test_the_learner_is_shown_as_far_as_it_tells(make_world):
    world = make_world()
    world.open()
    world.begin()
    assert world.view.learner.state == "starting"
    assert world.view.learner.weights_age_s is None
    told = SimpleNamespace(
        base_action=np.zeros(2, np.float32),
        proposed_action=np.zeros(2, np.float32),
        policy_version=3,
    )
    world.session.acted(told)
    world.session.heard(metrics(40))
    learner = world.look().learner
    assert (learner.state, learner.updates, learner.version) == ("learning", 40, 3)
    assert learner.updates_per_s == 12.5
    assert learner.env_steps == 100
    world.tick(5)
    assert world.look().learner.weights_age_s == pytest.approx(0.6)


def test_a_learner_that_says_nothing_of_two_episodes_waits(world):
    world.run()
    world.session.heard(metrics(40))
    world.run()
    world.begin()
    assert world.view.learner.state == "learning"
    world.say(Verb.SUCCESS)
    world.tick()
    world.end()
    world.begin()
    assert world.view.learner.state == "waiting"


def test_a_judgement_of_the_policy_is_told(world):
    world.session.heard(
        Evaluated(
            env_steps_total=1,
            base_success=0.4,
            improved_success=0.6,
            episodes=50,
            lower_bound=0.05,
            deployed="improved",
            deployed_version=3,
        )
    )
    assert "base 40%, improved 60%" in world.look().notices[-1].words


# Whole


def test_the_loop_of_every_run_runs_it_unchanged(world):
    agent = Agent(base=None, online=Steady(), size=2)
    arbiter = Arbiter(world.bench.task.action, world.clock, HandOver(after_release="hold"))
    rollout = Rollout(world.env, agent, arbiter, operator=world.session.operator)

    def person(step) -> None:
        world.move(-1.0, 0.0, active=step.step in (1, 2))
        if step.step == 5:
            world.say(Verb.GIVE_BACK)
        if step.step == 8:
            world.say(Verb.SUCCESS)

    world.between()
    episode = rollout.run("online-0", 0, EpisodeMetadata(task="line"), person)
    p, h, r = Source.POLICY, Source.HUMAN, Source.HOLD
    assert episode.source.tolist() == [p, p, h, h, r, r, p, p, p, p]
    assert episode.outcome == Outcome.SUCCESS
    assert episode.reward.tolist() == [0.0] * 9 + [1.0]
    assert episode.terminated


class Steady:
    version = 0
    latent = np.zeros(0, np.float32)

    def reset(self, seed: int) -> None: ...

    def replan(self) -> None: ...

    def propose(self, observation, base_action, *, explore):
        return np.array([0.1, 0.0], np.float32)


def test_who_asks_after_the_end_is_told_so(world):
    world.session.close()
    world.say(Verb.PAUSE)
    assert not world.answer.done
    world.say(Verb.STOP)
    assert world.gate.state == GateState.ESTOP


ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["dead-man tried", "x"]),
        "by": st.sampled_from(["Ada", "Ada", "", 3]),
        "cause": st.sampled_from([STOPPED, STOPPED, "page-2 pressed stop", None]),
        "episode_id": st.sampled_from(["online-0", "online-1", "x", 1]),
        "outcome": st.sampled_from(["success", "failure", "unknown", "x"]),
        "begin": st.integers(-1, 3),
        "end": st.integers(-1, 3),
        "text": st.sampled_from(["hello", ""]),
    },
)
CLIENT = st.sampled_from(["page-1", "page-2"])
# What leads on to another episode comes more often, so that there are several.
LEADING = [Verb.PAUSE, Verb.RESUME, Verb.SUCCESS, Verb.FAILURE, Verb.START, Verb.CLEAR]
SAYS = st.tuples(st.just("say"), st.sampled_from([*Verb, *LEADING * 2]), CLIENT, ARGUMENTS)
MOVES = st.tuples(st.just("move"), st.booleans(), CLIENT)
HAPPENS = st.one_of(
    SAYS, SAYS, MOVES, st.tuples(st.just("gone"), CLIENT), st.just(("pass",)), st.just(("pass",))
)


class Chaos:
    """Runs episode after episode while whatever happens, and watches what must never be."""

    def __init__(self, world, events) -> None:
        self.world = world
        self.events = iter(events)
        self.paused = False
        self.over = False
        world.wait = self.wait

    def wait(self, seconds: float) -> None:
        self.world.clock.advance_s(seconds)
        self.happen()

    def happen(self) -> None:
        event = next(self.events, None)
        if event is None:
            self.over = True
            self.leave()
        elif event[0] == "say":
            self.world.say(event[1], event[2], **event[3])
        elif event[0] == "move":
            self.world.move(-0.1, 0.0, active=event[1], client=event[2])
        elif event[0] == "gone":
            self.world.gone(event[1])

    def leave(self) -> None:
        """End the session from wherever it waits."""
        if self.world.view.mode in (Mode.AUTO, Mode.HUMAN, Mode.HOLD):
            self.world.say(Verb.FAILURE)
        self.world.say(Verb.END)

    def follow_pause(self) -> None:
        """What was answered so far decides whether the next episode may begin."""
        for answer, verb in self.said():
            if answer.done and verb == Verb.PAUSE:
                self.paused = True
            elif answer.done and verb == Verb.RESUME:
                self.paused = False

    def said(self):
        while self.world.answers:
            answer = self.world.answers.pop(0)
            yield answer, self.world.verbs.pop(answer.number)

    def run(self) -> None:
        world = self.world
        if not world.session.open():
            return
        while not self.over:
            recorded = world.seed % 2 == 1
            if recorded and not world.between():
                return
            resets = len(world.bench.seeds)
            try:
                world.reset()
            except SessionEnded:
                return
            self.follow_pause()
            assert len(world.bench.seeds) == resets + 1
            assert not self.paused
            while world.running:
                self.happen()
                latched = world.gate.state >= GateState.STOP
                before = world.bench.q.copy()
                world.tick()
                if latched:
                    assert (world.bench.q == before).all()
                    assert not world.running
            if recorded:
                world.end()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(events=st.lists(HAPPENS, max_size=80))
def test_whatever_is_asked_for_in_whatever_mode(make_world, events):
    world = make_world(horizon=4, review_s=0.04, ask=("dead-man tried",))
    world.verbs = {}
    say = world.say

    def remember(verb, client="page-1", **arguments) -> None:
        world.verbs[world.asked + 1] = verb
        say(verb, client, **arguments)

    world.say = remember
    # Most of what happens should happen to episodes.
    start = [("say", Verb.CONFIRM, "page-1", {"name": "dead-man tried"})]
    start.append(("say", Verb.START, "page-1", {}))
    chaos = Chaos(world, [*start, *events])
    chaos.run()
    world.session.close()
    chaos.follow_pause()
    # Each was answered once: none is left over, none was popped twice.
    assert world.verbs == {}


def test_undo_discards_what_was_just_saved_and_undo_again_brings_it_back(make_world):
    world = make_world(review_s=None)
    world.open()
    world.run()
    world.answers.clear()
    world.then(Verb.UNDO)
    world.then(Verb.UNDO)
    world.then(Verb.RELABEL, episode_id="online-0", outcome="failure")
    world.then(Verb.UNDO)
    world.then(Verb.END)
    assert not world.between()
    assert [answer.words for answer in world.answers[:4]] == [
        "online-0: delete",
        "undone: delete online-0",
        "online-0: failure",
        "undone: failure online-0",
    ]
