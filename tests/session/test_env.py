from __future__ import annotations

import time

import pytest

from robot_rl.core.errors import ContractError, GateStopError, HardwareError
from robot_rl.core.types import GateState, Outcome, Source
from robot_rl.session.episodes import SessionEnded
from robot_rl.session.mode import Mode, Verb


def test_it_is_the_environment_that_it_wraps(world):
    world.begin()
    result = world.tick()
    assert world.env.horizon == 20
    assert world.env.action_spec == world.bench.task.action
    assert world.env.observation_spec == world.bench.task.observation
    assert result.executed_action == pytest.approx([0.1, 0.0])
    assert (result.reward, result.terminated, result.truncated) == (0.0, False, False)
    assert world.bench.q == pytest.approx([0.01, 0.0])


def test_the_scenes_judgement_stands_where_the_person_says_nothing(world):
    world.begin()
    world.bench.q[0] = 0.295
    result = world.tick()
    assert result.terminated
    assert result.outcome == Outcome.SUCCESS
    assert result.reward == 1.0


@pytest.mark.parametrize(
    ("verb", "outcome", "reward"),
    [(Verb.SUCCESS, Outcome.SUCCESS, 1.0), (Verb.FAILURE, Outcome.FAILURE, 0.0)],
)
def test_a_persons_judgement_terminates_the_episode_with_its_reward(world, verb, outcome, reward):
    world.begin()
    world.tick()
    world.say(verb)
    result = world.tick()
    assert world.answer.done
    assert result.terminated
    assert not result.truncated
    assert (result.outcome, result.reward) == (outcome, reward)
    assert world.view.mode == Mode.REVIEW
    assert world.view.episode.outcome == outcome.name.lower()


@pytest.mark.parametrize("verb", [Verb.SUCCESS, Verb.RE_RECORD])
def test_what_a_person_ends_has_ended_for_the_robot_too(world, verb):
    world.begin()
    world.tick()
    world.say(verb)
    world.tick()
    with pytest.raises(ContractError, match="call reset first"):
        world.tick()


def test_a_persons_judgement_goes_before_the_scenes(world):
    world.begin()
    world.bench.q[0] = 0.295
    world.say(Verb.FAILURE)
    result = world.tick()
    assert (result.outcome, result.reward) == (Outcome.FAILURE, 0.0)


def test_re_record_ends_the_episode_as_a_truncation_without_an_outcome(world):
    world.begin()
    world.tick()
    world.say(Verb.SUCCESS)
    world.say(Verb.RE_RECORD)
    result = world.tick()
    assert result.truncated
    assert not result.terminated
    assert result.outcome == Outcome.UNKNOWN


def test_a_judgement_counts_for_one_episode_only(world):
    world.run(Verb.SUCCESS)
    world.begin()
    assert not world.tick().terminated


def test_what_is_said_while_the_arm_resets_is_refused_but_a_pause_holds_from_the_first_tick(world):
    def person() -> None:
        world.say(Verb.SUCCESS)
        world.say(Verb.PAUSE)

    world.bench.on_reset = person
    world.begin()
    assert [a.done for a in world.answers[-2:]] == [False, True]
    assert "RESETTING" in world.answers[-2].words
    assert not world.tick(3).terminated
    assert world.sources == [Source.HOLD] * 3


def test_an_episode_that_between_did_not_open_only_counts(world):
    world.begin(recorded=False)
    world.tick()
    assert world.view.episode.judging
    world.say(Verb.RE_RECORD)
    assert not world.tick().truncated
    assert not world.answer.done
    assert "only counts" in world.answer.words
    assert Verb.RE_RECORD not in world.view.legal
    world.say(Verb.SUCCESS)
    assert world.tick().outcome == Outcome.SUCCESS
    world.begin()
    assert not world.view.episode.judging
    assert not world.store.log


def test_between_opens_one_recorded_episode(world):
    world.run()
    world.begin(recorded=False)
    assert world.view.episode.judging


def test_a_person_may_take_over_while_a_policy_is_judged(world):
    world.begin(recorded=False)
    world.tick()
    world.move(-1.0, 0.0)
    world.tick()
    assert world.sources == [Source.POLICY, Source.HUMAN]


def test_a_stop_before_a_judging_episode_is_waited_out(world):
    world.begin(recorded=False)
    world.tick()
    world.say(Verb.STOP)
    assert world.tick().truncated
    world.idle(0.1)
    world.then(Verb.CLEAR, by="Ada", cause="page-1 pressed stop")
    world.then(Verb.START)
    resets = len(world.bench.seeds)
    world.begin(recorded=False)
    assert not world.script
    assert len(world.bench.seeds) == resets + 1
    assert world.gate.state <= GateState.HOLD
    world.tick()
    assert world.sources == [Source.POLICY]


def test_a_stop_that_comes_before_the_arm_is_at_its_start_is_waited_out(world):
    def press() -> None:
        world.bench.on_reset = lambda: None
        world.say(Verb.STOP)
        raise GateStopError("the reset was stopped")

    world.bench.on_reset = press
    world.then(Verb.CLEAR, by="Ada", cause="page-1 pressed stop")
    world.then(Verb.START)
    world.begin()
    assert world.bench.seeds == [0, 0]
    assert not world.view.episode.judging
    world.tick()
    assert world.sources == [Source.POLICY]


def test_a_stop_that_is_not_latched_is_the_callers(world):
    def refuse() -> None:
        raise GateStopError("another gate")

    world.bench.on_reset = refuse
    with pytest.raises(GateStopError, match="another gate"):
        world.begin()


def test_end_before_a_judging_episode_leaves_the_run(world):
    world.begin(recorded=False)
    world.say(Verb.PAUSE)
    world.tick()
    world.say(Verb.SUCCESS)
    world.tick()
    world.then(Verb.END)
    with pytest.raises(SessionEnded):
        world.begin(recorded=False)
    assert world.session.ended()


def test_end_in_a_stop_truncates_the_episode(world):
    world.begin()
    world.tick()
    world.say(Verb.STOP)
    world.say(Verb.END)
    assert world.tick().truncated
    assert not world.between()


def test_a_device_that_fails_is_told_and_raised(world):
    world.begin()
    world.tick()
    world.bench.breaks = True
    with pytest.raises(HardwareError):
        world.tick()
    assert world.view.notices[-1].sound == "error"
    assert "the line is silent" in world.view.notices[-1].words


def test_the_cameras_see_every_observation(world):
    world.begin()
    world.tick(3)
    assert len(world.eyes.seen) == 4


def test_a_session_adds_less_than_a_third_of_a_millisecond_to_a_step(make_world):
    world = make_world(horizon=10**6)
    world.open()
    world.begin()
    inner = world.env._env
    results = [world.tick()]
    inner.step = lambda action, source: results[0]
    own_s: list[float] = []
    for _ in range(200):
        start_s = time.perf_counter()
        world.env.step(results[0].executed_action)
        own_s.append(time.perf_counter() - start_s)
        world.clock.advance_s(0.033)
    # With the views that are due; the median, because this machine does other things too.
    assert sorted(own_s)[len(own_s) // 2] < 0.3e-3
