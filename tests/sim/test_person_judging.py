from __future__ import annotations

import numpy as np
import pytest

from robot_rl_sim.person import DemonstratorConfig, Hand
from robot_rl_sim.person_judging import RandomHelperConfig, ValueJudgeConfig
from robot_rl_sim.tasks.pick_cube import PickCubeConfig
from robot_rl_sim.tasks.point_reach import PointReachConfig

pytestmark = pytest.mark.sim

CLEAN = DemonstratorConfig(noise=0.0, wander=0.0, speed=0.5)
REST = np.zeros(2, np.float32)


@pytest.fixture(scope="module")
def stage(make_stage):
    return make_stage(PointReachConfig())


def driven(stage, person, seed, steps, policy=lambda: REST) -> str:
    """Who drives in each step, P or H; the policy acts where nobody takes over."""
    observation = stage.station.env.reset(seed)
    person.reset(seed)
    who = ""
    for _ in range(steps):
        decision = person.poll(observation)
        who += "H" if decision.active else "P"
        result = stage.step(*(decision.action if decision.active else policy()))
        observation = result.observation
        if result.terminated or result.truncated:
            break
    return who


def test_what_is_foreseen_is_what_happens_and_foreseeing_changes_nothing(stage):
    stage.reset(3)
    stage.step(0.3, -0.2)
    backend, task = stage.bench.backend, stage.bench.sim_task
    before = backend.state()
    ctrl = backend.ctrl.copy()
    values = task.spec.action.to_si(np.float32([[0.4, 0.1]]))
    task.drive.obey(ctrl, before, values.astype(float))
    foreseen = backend.foresee(0, ctrl[0], substeps=20)
    assert backend.state() is before
    stage.step(0.4, 0.1)
    after = backend.state()
    np.testing.assert_allclose(foreseen.tcp_pose, after.tcp_pose, atol=1e-6)
    np.testing.assert_allclose(foreseen.joint_position, after.joint_position, atol=1e-6)
    assert task.distance(after)[0] != pytest.approx(task.distance(before)[0], abs=1e-3)


def test_a_judge_objects_to_a_policy_that_rests_and_lets_go_again(stage):
    judge = ValueJudgeConfig(hand=CLEAN, attention=1.0, correction_steps=3).build(stage.bench)
    # The first step has nothing before it to judge; the next objection needs a policy step again.
    assert driven(stage, judge, seed=0, steps=6) == "PHHHPH"


def test_a_judge_lets_one_go_on_who_does_as_well_as_they_would(stage):
    judge = ValueJudgeConfig(hand=CLEAN, attention=1.0).build(stage.bench)
    expert = Hand(CLEAN, stage.bench)
    for seed in range(5):
        who = driven(stage, judge, seed, 40, policy=lambda: expert.ideal().astype(np.float32))
        assert set(who) == {"P"}


def test_the_margin_is_how_much_worse_a_step_may_be(stage):
    # One step of the expert's, at most 0.1 rad a joint of an arm of 0.5 m, is less than 0.15 m.
    lenient = ValueJudgeConfig(hand=CLEAN, attention=1.0, margin_m=0.15).build(stage.bench)
    assert set(driven(stage, lenient, seed=0, steps=20)) == {"P"}


def test_a_judge_sees_that_an_arm_rests_instead_of_picking(make_stage):
    stage = make_stage(PickCubeConfig())
    judge = ValueJudgeConfig(hand=CLEAN, attention=1.0, correction_steps=2).build(stage.bench)
    rest = np.zeros(7, np.float32)
    assert driven(stage, judge, seed=0, steps=5, policy=lambda: rest) == "PHHPH"


def test_an_inattentive_judge_misses_some(stage):
    judge = ValueJudgeConfig(hand=CLEAN, attention=0.5, correction_steps=1).build(stage.bench)
    who = "".join(driven(stage, judge, seed, 10) for seed in range(20))
    # Of the policy's resting steps far from the goal half are objected to.
    assert 0.35 < who.count("PH") / who.count("P") < 0.6


def test_a_random_helper_steps_in_at_the_rate_asked_for_whatever_the_policy_does(stage):
    helper = RandomHelperConfig(rate=0.2, hand=CLEAN, correction_steps=2).build(stage.bench)
    expert = Hand(CLEAN, stage.bench)
    for policy in (lambda: REST, lambda: expert.ideal().astype(np.float32)):
        runs = [driven(stage, helper, seed, 40, policy) for seed in range(40)]
        assert all(who[0] == "P" for who in runs)
        starts = sum(who.count("PH") for who in runs)
        # A policy step at the very end is followed by nothing.
        chances = sum(who[:-1].count("P") for who in runs)
        assert starts / chances == pytest.approx(0.2, abs=0.07)
    assert set(driven(stage, helper, 3, 40).replace("PHH", "")) <= {"P", "H"}


def test_a_helper_with_rate_zero_never_steps_in(stage):
    helper = RandomHelperConfig(rate=0.0).build(stage.bench)
    assert set(driven(stage, helper, seed=0, steps=40)) == {"P"}


@pytest.mark.parametrize(
    "config",
    [ValueJudgeConfig(attention=0.5), RandomHelperConfig(rate=0.3)],
    ids=["judge", "random"],
)
def test_equal_seeds_help_alike(stage, config):
    runs = []
    for seed in (1, 1, 2):
        person = config.build(stage.bench)
        runs.append(driven(stage, person, seed, 30))
    assert runs[0] == runs[1] != runs[2]
