from __future__ import annotations

import numpy as np
import pytest

from robot_rl.control.operator_lease import LeaseChange
from robot_rl.core.episode import Episode
from robot_rl.core.errors import ContractError, HardwareError
from robot_rl.core.spec import JOINT_POSITION
from robot_rl.core.types import GateReason, Outcome, Source, Transition
from robot_rl.data.replay.replay_buffer import ReplayBuffer
from robot_rl.runtime.rollout import force_curve, succeeded

F = np.float32


def run(kit, rollout, on_step=lambda _: None, *, seed=0) -> Episode:
    return rollout.run(f"e-{seed}", seed, kit.metadata(seed), on_step)


def test_what_the_gate_let_through_is_recorded_beside_what_was_proposed(kit):
    # 0.5 rad/s over 0.1 s are 0.05 rad, half of the action's scale of 0.1 rad.
    env, bench = kit.env(horizon=1, max_joint_velocity_rad_s=(0.5, 0.5))
    episode = run(kit, kit.rollout(env, kit.agent(online=kit.Steady((1.0, 0.0)))))
    assert episode.proposed_action.tolist() == [[1.0, 0.0]]
    assert episode.action == pytest.approx(np.array([[0.5, 0.0]]), abs=1e-6)
    assert episode.gate_reason.tolist() == [GateReason.VELOCITY]
    assert bench.q == pytest.approx([0.05, 0.0])


def test_next_observation_is_seen_after_the_action_had_its_period(kit):
    env, _ = kit.env(horizon=3)
    steps: list[Transition] = []
    run(kit, kit.rollout(env, kit.agent(online=kit.Steady((0.5, -1.0)))), steps.append)
    for t, step in enumerate(steps):
        before = step.observation.vectors[JOINT_POSITION]
        after = step.next_observation.vectors[JOINT_POSITION]
        assert before == pytest.approx([0.05 * t, -0.1 * t], abs=1e-6)
        assert after == pytest.approx([0.05 * (t + 1), -0.1 * (t + 1)], abs=1e-6)
        assert step.next_observation.stamp_ns - step.observation.stamp_ns == 100_000_000
    assert steps[1].observation is steps[0].next_observation


def test_base_actions_of_both_instants_are_recorded(kit):
    # The base is not followed, so q stays 0 and its actions are (0.01 plan + 0.001 j, 0).
    env, _ = kit.env(horizon=4)
    steps: list[Transition] = []
    online = kit.Steady()
    agent = kit.agent(kit.PlanPolicy(), online, execute=3)
    episode = run(kit, kit.rollout(env, agent), steps.append)
    # Three actions of the first plan, then two of the second: T + 1 = 5 instants.
    expected = np.array([0.010, 0.011, 0.012, 0.020, 0.021], F)
    assert np.array_equal(episode.base_action[:, 0], expected)
    assert [s.base_action[0] for s in steps] == expected[:4].tolist()
    assert [s.next_base_action[0] for s in steps] == expected[1:].tolist()
    assert [a[0] for a in online.saw] == expected[:4].tolist()


def test_without_an_online_policy_the_base_action_is_executed(kit):
    env, _ = kit.env(horizon=2)
    episode = run(kit, kit.rollout(env, kit.agent(kit.PlanPolicy())))
    assert np.array_equal(episode.action, episode.base_action[:2])
    assert np.array_equal(episode.action[:, 0], np.array([0.010, 0.011], F))
    assert episode.policy_version.tolist() == [0, 0]


def test_an_agent_of_nobody_rests_at_a_base_action_of_zero(kit):
    env, bench = kit.env(horizon=2)
    episode = run(kit, kit.rollout(env, kit.agent()))
    assert not episode.base_action.any()
    assert not bench.q.any()


def test_intervention_starts_on_the_first_human_step_only(kit):
    env, _ = kit.env(horizon=9)
    rollout = kit.rollout(env, kit.agent(online=kit.Steady()), operator=kit.Person((2, 3, 4, 7)))
    episode = run(kit, rollout)
    assert np.flatnonzero(episode.intervention_start).tolist() == [2, 7]
    assert np.flatnonzero(episode.source == Source.HUMAN).tolist() == [2, 3, 4, 7]
    assert np.flatnonzero(episode.source == Source.POLICY).tolist() == [0, 1, 5, 6, 8]


def test_the_persons_action_replaces_the_policys_in_the_same_step(kit):
    env, _ = kit.env(horizon=3)
    rollout = kit.rollout(
        env, kit.agent(online=kit.Steady((0.1, 0.1))), operator=kit.Person((1,), (0.5, -0.5))
    )
    episode = run(kit, rollout)
    assert np.array_equal(episode.action, np.array([[0.1, 0.1], [0.5, -0.5], [0.1, 0.1]], F))
    assert np.array_equal(episode.proposed_action, np.full((3, 2), 0.1, F))


def test_the_base_plans_anew_after_each_human_step(kit):
    env, _ = kit.env(horizon=6)
    agent = kit.agent(kit.PlanPolicy(), execute=3)
    episode = run(kit, kit.rollout(env, agent, operator=kit.Person((1, 2))))
    # Plan 1 at t = 0, 1; the person's steps 1 and 2 drop the queue, so plan 2 begins at t = 2,
    # plan 3 at t = 3 and lasts for three instants, plan 4 begins at t = 6.
    expected = [0.010, 0.011, 0.020, 0.030, 0.031, 0.032, 0.040]
    assert np.array_equal(episode.base_action[:, 0], np.array(expected, F))


def test_the_base_plans_anew_after_a_hold_in_which_the_arm_did_not_follow_it(kit):
    env, _ = kit.env(horizon=6)
    agent = kit.agent(kit.PlanPolicy(), execute=3)
    rollout = kit.rollout(env, agent, operator=kit.Person((1,)), release_s=0.2)
    episode = run(kit, rollout)
    # Two ticks of 0.1 s are held after step 1.
    assert np.flatnonzero(episode.source == Source.HOLD).tolist() == [2, 3]
    assert not episode.action[2:4].any()
    # Whoever drives at t = 4 begins a plan there, as the arm has rested since t = 2.
    expected = [0.010, 0.011, 0.020, 0.030, 0.040, 0.041, 0.042]
    assert np.array_equal(episode.base_action[:, 0], np.array(expected, F))


def test_demonstrated_success_is_no_autonomous_success(kit):
    env, _ = kit.env()
    person = kit.Person(range(10), (1.0, 0.0))
    shown = run(kit, kit.rollout(env, kit.agent(), operator=person, human_source=Source.DEMO))
    # 0.1 rad a step to a goal at 0.3 rad.
    assert shown.source.tolist() == [Source.DEMO] * 3
    assert succeeded(shown)
    assert shown.assisted
    assert not shown.success_autonomous
    alone = run(kit, kit.rollout(env, kit.agent(online=kit.Steady((1.0, 0.0)))))
    assert alone.success_autonomous


def test_success_after_one_human_step_is_assisted(kit):
    env, _ = kit.env()
    rollout = kit.rollout(env, kit.agent(online=kit.Steady((1.0, 0.0))), operator=kit.Person((0,)))
    episode = run(kit, rollout)
    assert succeeded(episode)
    assert not episode.success_autonomous


@pytest.mark.parametrize(
    ("speed", "steps", "terminated", "outcome", "reward"),
    [
        (1.0, 3, True, Outcome.SUCCESS, 1.0),
        (-1.0, 3, True, Outcome.FAILURE, 0.0),
        (0.0, 5, False, Outcome.UNKNOWN, 0.0),
        # The goal is reached in the very last step: the scene's word stands.
        (0.6, 5, True, Outcome.SUCCESS, 1.0),
    ],
)
def test_a_time_out_is_truncated_and_a_judgement_terminates(
    kit, speed, steps, terminated, outcome, reward
):
    env, _ = kit.env(horizon=5)
    seen: list[Transition] = []
    rollout = kit.rollout(env, kit.agent(online=kit.Steady((speed, 0))))
    episode = run(kit, rollout, seen.append)
    assert len(episode) == steps
    assert (episode.terminated, episode.truncated) == (terminated, not terminated)
    assert episode.outcome == outcome
    assert episode.reward.tolist() == [0.0] * (steps - 1) + [reward]
    assert [(s.terminated, s.truncated) for s in seen[:-1]] == [(False, False)] * (steps - 1)
    assert (seen[-1].terminated, seen[-1].truncated) == (terminated, not terminated)


@pytest.mark.parametrize("goal_rad", [0.3, 0.0005])
def test_the_bases_queue_survives_no_reset(kit, goal_rad):
    # With the far goal four steps time out, with the near one the first step succeeds.
    env, _ = kit.env(horizon=4, goal_rad=goal_rad)
    base = kit.PlanPolicy()
    rollout = kit.rollout(env, kit.agent(base, execute=3))
    first, second = run(kit, rollout), run(kit, rollout, seed=1)
    assert first.truncated == (goal_rad == 0.3)
    plans = round(first.base_action[-1, 0] * 100)
    assert second.base_action[0, 0] == F(0.01 * (plans + 1))
    # Planned from where the second episode starts, not from where the first one ended.
    assert second.base_action[0, 1] == 0.0
    assert base.seeds == [0, 1]


def test_the_version_that_acted_is_recorded(kit):
    env, _ = kit.env(horizon=2)
    policy = kit.Steady()
    rollout = kit.rollout(env, kit.agent(online=policy))
    policy.version = 7
    assert run(kit, rollout).policy_version.tolist() == [7, 7]
    policy.version = 8
    assert run(kit, rollout).policy_version.tolist() == [8, 8]


@pytest.mark.parametrize("explore", [True, False])
def test_only_an_exploring_rollout_explores(kit, explore):
    env, _ = kit.env(horizon=2)
    policy = kit.Steady()
    run(kit, kit.rollout(env, kit.agent(online=policy), explore=explore))
    assert policy.explored == [explore, explore]


def test_the_latent_behind_each_proposal_is_recorded(kit):
    env, _ = kit.env(horizon=3)

    class Planner(kit.Steady):
        """Plans two steps at a time: from noise 1, then from noise 2."""

        def propose(self, observation, base_action, *, explore):
            if len(self.saw) % 2 == 0:
                self.latent = np.full(4, len(self.saw) // 2 + 1, F)
            return super().propose(observation, base_action, explore=explore)

    episode = run(kit, kit.rollout(env, kit.agent(online=Planner())))
    assert episode.latent.tolist() == [[1.0] * 4, [1.0] * 4, [2.0] * 4]


def test_the_latent_is_that_of_the_proposal_though_the_plan_is_dropped_in_the_same_step(kit):
    env, _ = kit.env(horizon=3)

    class Planner(kit.Steady):
        def propose(self, observation, base_action, *, explore):
            self.latent = np.full(1, self.replans + 1, F)
            return super().propose(observation, base_action, explore=explore)

        def replan(self):
            super().replan()
            self.latent = np.zeros(1, F)

    policy = Planner()
    episode = run(kit, kit.rollout(env, kit.agent(online=policy), operator=kit.Person((1,))))
    assert policy.replans == 1
    assert episode.latent.tolist() == [[1.0], [1.0], [2.0]]


def test_what_was_planned_before_a_refusal_of_the_gate_is_not_played_after_it(kit):
    env, _ = kit.env(horizon=4)

    class Faulty(kit.Steady):
        def propose(self, observation, base_action, *, explore):
            action = super().propose(observation, base_action, explore=explore)
            return np.full(2, np.nan, F) if len(self.saw) == 2 else action

    policy = Faulty()
    episode = run(kit, kit.rollout(env, kit.agent(kit.PlanPolicy(), policy, execute=4)))
    # Refused as not finite in the second step, and held from then on.
    assert policy.replans == 3
    assert episode.base_action[:, 0].tolist() == [F(0.01), F(0.011), F(0.02), F(0.03), F(0.04)]


def test_both_policies_plan_anew_after_a_person_and_after_a_hold(kit):
    env, _ = kit.env(horizon=6)
    policy = kit.Steady()
    agent = kit.agent(kit.PlanPolicy(), policy, execute=3)
    episode = run(kit, kit.rollout(env, agent, operator=kit.Person((1,)), release_s=0.2))
    # One human step, and two ticks of 0.1 s that are held after it.
    assert policy.replans == 3
    assert episode.base_action[2:5, 0].tolist() == [F(0.02), F(0.03), F(0.04)]


def test_without_a_policy_that_steers_the_latent_is_empty(kit):
    env, _ = kit.env(horizon=2)
    for agent in (kit.agent(), kit.agent(kit.PlanPolicy()), kit.agent(online=kit.Steady())):
        assert run(kit, kit.rollout(env, agent)).latent.shape == (2, 0)


def test_noise_that_is_not_finite_is_recorded_as_zeros_where_the_proposal_is_not_either(kit):
    env, _ = kit.env(horizon=2)
    policy = kit.Steady((np.nan, 0.5))
    policy.latent = np.array([np.nan, 1.0], F)
    episode = run(kit, kit.rollout(env, kit.agent(online=policy)))
    assert episode.gate_reason.tolist() == [GateReason.NON_FINITE] * 2
    assert episode.latent.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_a_finite_proposal_from_noise_that_is_not_is_a_fault(kit):
    env, _ = kit.env(horizon=1)
    policy = kit.Steady()
    policy.latent = np.array([np.inf], F)
    with pytest.raises(ContractError, match="latent of step 0 is not finite"):
        run(kit, kit.rollout(env, kit.agent(online=policy)))


def test_everybody_begins_an_episode_with_its_seed(kit):
    env, bench = kit.env(horizon=1)
    base, policy, person = kit.PlanPolicy(), kit.Steady(), kit.Person(())
    run(kit, kit.rollout(env, kit.agent(base, policy), operator=person), seed=42)
    assert bench.seeds == base.seeds == policy.seeds == person.seeds == [42]


def test_an_episode_that_a_person_ended_driving_leaves_the_next_to_the_policy(kit):
    env, _ = kit.env(horizon=2)
    person = kit.Person((1,))
    rollout = kit.rollout(env, kit.agent(online=kit.Steady()), operator=person, release_s=0.5)
    run(kit, rollout)
    person.steps = ()
    assert run(kit, rollout).source.tolist() == [Source.POLICY, Source.POLICY]


def test_a_proposal_of_nan_is_refused_and_the_arm_holds(kit):
    env, bench = kit.env(horizon=3)
    buffer = ReplayBuffer(10, kit.observation, 2)
    policy = kit.Steady((np.nan, 0.5))
    episode = run(kit, kit.rollout(env, kit.agent(online=policy)), buffer.add)
    assert episode.gate_reason.tolist() == [GateReason.NON_FINITE] * 3
    assert not bench.q.any()
    assert not episode.action.any()
    assert env.gate.counts.refused == 3
    # What is kept for learning is finite: the refusal is in the gate's reason.
    assert len(buffer) == 3
    assert np.isfinite(episode.proposed_action).all()


def test_where_a_person_and_the_policy_disagree_both_are_recorded(kit):
    rng = np.random.default_rng(3)
    env, _ = kit.env(horizon=200, goal_rad=99.0)
    proposals, given = [], []

    class Wild(kit.Steady):
        def propose(self, observation, base_action, *, explore):
            proposals.append(rng.uniform(-1, 1, 2).astype(F))
            return proposals[-1]

    class Erratic(kit.Person):
        def poll(self, observation):
            self.action = rng.uniform(-1, 1, 2).astype(F)
            given.append(self.action if self._step in self.steps else None)
            return super().poll(observation)

    steps = set(np.flatnonzero(rng.random(200) < 0.5).tolist())
    rollout = kit.rollout(env, kit.agent(online=Wild()), operator=Erratic(steps))
    episode = run(kit, rollout)
    assert episode.proposed_action.tolist() == [p.tolist() for p in proposals]
    for t, said in enumerate(given):
        driver, wanted = (Source.POLICY, proposals[t]) if said is None else (Source.HUMAN, said)
        assert episode.source[t] == driver
        # The limits of this arm are out of reach: what is executed is what its driver wants.
        assert episode.action[t] == pytest.approx(wanted, abs=1e-6)


def test_a_device_that_is_lost_leaves_the_arm_held_and_no_other_episode_begins(kit, caplog):
    env, bench = kit.env(horizon=6)

    class Unplugged(kit.Person):
        def poll(self, observation):
            if self._step == 3:
                raise HardwareError("the SpaceMouse is gone")
            return super().poll(observation)

    person = Unplugged((1, 2))
    rollout = kit.rollout(env, kit.agent(online=kit.Steady((0.5, 0.0))), operator=person)
    episode = run(kit, rollout)
    assert episode.source.tolist() == [Source.POLICY, *[Source.HUMAN] * 2, *[Source.HOLD] * 3]
    assert not episode.action[3:].any()
    assert [e.change for e in rollout.take_overs] == [LeaseChange.TAKEN, LeaseChange.DEVICE_LOST]
    assert "the SpaceMouse is gone; the arm is held" in caplog.text
    with pytest.raises(HardwareError, match="the SpaceMouse is gone; see to the device, then res"):
        run(kit, rollout, seed=1)
    assert bench.seeds == [0]


def test_where_the_person_is_awaited_the_next_episode_begins_with_the_arm_held(kit):
    env, _ = kit.env(horizon=4)

    class Lost(kit.Person):
        seed = 0

        def reset(self, seed):
            self.seed = seed
            super().reset(seed)

        def poll(self, observation):
            if self.seed == 0 and self._step == 3:
                raise HardwareError("the tab is closed")
            return super().poll(observation)

    online = kit.Steady((0.5, 0.0))
    rollout = kit.rollout(env, kit.agent(online=online), operator=Lost((2,)), awaits_person=True)
    run(kit, rollout)
    assert run(kit, rollout, seed=1).source.tolist() == [
        Source.HOLD,
        Source.HOLD,
        Source.HUMAN,
        Source.POLICY,
    ]


def test_a_held_rollout_lets_a_person_drive_and_the_policy_in_the_next_episode(kit):
    env, _ = kit.env(horizon=4)
    rollout = kit.rollout(env, kit.agent(online=kit.Steady()), operator=kit.Person((2,)))
    held = run(kit, rollout, lambda step: rollout.hold())
    sources = [Source.POLICY, Source.HOLD, Source.HUMAN, Source.HOLD]
    assert held.source.tolist() == sources
    assert run(kit, rollout, seed=1).source.tolist() == [
        Source.POLICY,
        Source.POLICY,
        Source.HUMAN,
        Source.POLICY,
    ]


def test_a_failing_device_ends_the_episode_and_the_next_begins_clean(kit):
    env, bench = kit.env(horizon=4)
    rollout = kit.rollout(env, kit.agent(kit.PlanPolicy(), execute=3))
    bench.breaks_at = 2
    with pytest.raises(HardwareError, match="the line is silent"):
        run(kit, rollout)
    assert bench.stops == 1
    bench.breaks_at = None
    episode = run(kit, rollout, seed=1)
    # Plan 1 served the two steps of the broken episode; its rest is gone.
    assert np.array_equal(episode.base_action[:2, 0], np.array([0.020, 0.021], F))


def test_force_curve_is_the_norm_of_the_force_after_each_step(kit):
    env, bench = kit.env(horizon=2)
    bench.force_n = 3.0
    episode = run(kit, kit.rollout(env, kit.agent()))
    assert force_curve(episode, "observation.wrench").tolist() == [3.0, 3.0]
    assert np.isnan(force_curve(episode, "observation.absent")).tolist() == [True, True]
