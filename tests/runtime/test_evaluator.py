from __future__ import annotations

import numpy as np
import pytest
import torch

from robot_rl.core.types import GateReason
from robot_rl.data.normaliser import Normaliser
from robot_rl.learning.residual_td3 import ResidualTd3Config
from robot_rl.networks.denoiser import MlpDenoiserConfig
from robot_rl.policies.chunk_policy import ChunkPolicyConfig
from robot_rl.policies.sampler.ddim import DdimConfig
from robot_rl.runtime.evaluator import Deployed, NeverWorse, evaluate

SEEDS = tuple(range(100, 110))


@pytest.fixture
def judged(kit):
    """A judge over ten starts, the policy it judges, and the bench that saw the starts."""

    def judged(base_wins=(), deployed=None, confidence=0.95):
        env, bench = kit.env(horizon=4)
        policy = kit.Winner()
        judge = NeverWorse(
            kit.rollout(env, kit.agent(online=policy)),
            SEEDS,
            kit.metadata(),
            base_success=np.isin(SEEDS, base_wins),
            confidence=confidence,
            deployed=deployed,
        )
        return judge, policy, bench

    return judged


def weights(value: float) -> dict[str, torch.Tensor]:
    return {"w": torch.full((2,), value)}


def test_a_candidate_that_is_surely_better_is_deployed(judged):
    judge, policy, _ = judged()
    policy.winning = set(SEEDS)
    verdict = judge.consider(3, weights(1.0), 500)
    # 10 of 10 against 0 of 10: won 11/12, lost 1/12, difference 10/12, variance
    # (1 - (10/12)^2) / 12 = 0.025463, bound 0.83333 - 1.644854 * 0.159571 = 0.570863.
    assert verdict.lower_bound == pytest.approx(0.570863, abs=1e-5)
    assert (verdict.base_success, verdict.improved_success) == (0.0, 1.0)
    assert (verdict.episodes, verdict.env_steps_total) == (10, 500)
    assert (verdict.deployed, verdict.deployed_version) == ("improved", 3)
    assert (judge.deployed.version, judge.deployed.success) == (3, 1.0)


def test_a_candidate_that_is_better_but_not_surely_leaves_the_base(judged):
    judge, policy, _ = judged()
    policy.winning = {100, 101}
    verdict = judge.consider(3, weights(1.0), 500)
    # 2 of 10: won 3/12, lost 1/12, difference 2/12, variance (4/12 - (2/12)^2) / 12 = 0.025463,
    # bound 0.166667 - 0.262471 < 0.
    assert verdict.lower_bound == pytest.approx(-0.095804, abs=1e-5)
    assert (verdict.deployed, verdict.deployed_version) == ("base", 0)
    assert judge.deployed.weights is None


def test_a_worse_candidate_leaves_the_base(judged):
    judge, policy, _ = judged(base_wins=SEEDS)
    policy.winning = {100}
    verdict = judge.consider(3, weights(1.0), 500)
    assert verdict.lower_bound < 0
    assert (verdict.deployed, verdict.base_success) == ("base", 1.0)
    assert judge.deployed == Deployed(version=0, success=1.0, weights=None)


def test_a_candidate_surely_better_than_the_base_does_not_replace_a_better_one(judged):
    judge, policy, _ = judged()
    policy.winning = set(SEEDS)
    judge.consider(1, weights(1.0), 100)
    policy.winning = set(SEEDS[:8])
    verdict = judge.consider(2, weights(2.0), 200)
    # 8 of 10: won 9/12, lost 1/12: 0.666667 - 1.644854 * sqrt(0.388889 / 12) = 0.370554.
    assert verdict.lower_bound == pytest.approx(0.370554, abs=1e-5)
    assert (verdict.improved_success, verdict.deployed_version) == (0.8, 1)
    assert judge.deployed.weights["w"].tolist() == [1.0, 1.0]


def test_a_later_candidate_that_does_as_well_is_deployed(judged):
    judge, policy, _ = judged()
    policy.winning = set(SEEDS)
    judge.consider(1, weights(1.0), 100)
    judge.consider(2, weights(2.0), 200)
    assert judge.deployed.version == 2


def test_deployed_weights_are_a_copy(judged):
    judge, policy, _ = judged()
    policy.winning = set(SEEDS)
    live = weights(1.0)
    judge.consider(1, live, 100)
    live["w"].fill_(9.0)
    assert judge.deployed.weights["w"].tolist() == [1.0, 1.0]


def test_what_was_deployed_before_a_resume_must_be_beaten_too(judged):
    before = Deployed(version=5, success=0.9, weights=weights(5.0))
    judge, policy, _ = judged(deployed=before)
    policy.winning = set(SEEDS[:8])
    assert judge.consider(6, weights(6.0), 100).deployed_version == 5
    assert judge.deployed is before


def test_more_confidence_asks_for_more_wins(judged):
    policy_wins = set(SEEDS[:5])
    for confidence, deployed in ((0.9, "improved"), (0.999, "base")):
        judge, policy, _ = judged(confidence=confidence)
        policy.winning = policy_wins
        # 5 of 10: won 6/12, lost 1/12, difference 5/12 = 2.25 of its standard deviations
        # sqrt((7/12 - (5/12)^2) / 12) = 0.18478; asked for are 1.28 and 3.09 of them.
        assert judge.consider(1, weights(1.0), 100).deployed == deployed


def test_base_and_candidate_start_from_the_same_states_in_the_same_order(kit, judged):
    judge, policy, bench = judged()
    judge.consider(1, weights(1.0), 100)
    judge.consider(2, weights(1.0), 200)
    env, base_bench = kit.env(horizon=4)
    evaluate(kit.rollout(env, kit.agent(kit.PlanPolicy())), SEEDS, kit.metadata(), "base")
    assert bench.seeds == [*SEEDS, *SEEDS]
    assert base_bench.seeds == list(SEEDS)
    # Pairs are made by place, so a swap of two outcomes must change the bound's inputs.
    assert policy.seeds == bench.seeds


def test_judging_does_not_explore(judged):
    judge, policy, _ = judged()
    explored = []
    propose = policy.propose

    def spy(observation, base_action, *, explore):
        explored.append(explore)
        return propose(observation, base_action, explore=explore)

    policy.propose = spy
    judge.consider(1, weights(1.0), 100)
    assert not any(explored)
    assert len(explored) == 10 * 4


def test_every_episode_is_handed_on_as_it_ends(kit):
    env, bench = kit.env(horizon=2)
    heard: list[tuple[str, int]] = []
    episodes = evaluate(
        kit.rollout(env, kit.agent()),
        (7, 8),
        kit.metadata(),
        "trial",
        lambda episode: heard.append((episode.episode_id, len(bench.seeds))),
    )
    assert heard == [("trial-7", 1), ("trial-8", 2)]
    assert [e.episode_id for e in episodes] == ["trial-7", "trial-8"]


def real_agent(kit):
    """A tiny diffusion policy with a residual policy on top, both with random weights."""
    size = kit.observation.packed_size
    normaliser = Normaliser(offset=np.zeros(size, "f4"), scale=np.ones(size, "f4"))
    config = ChunkPolicyConfig(
        horizon=4,
        execute=2,
        network=MlpDenoiserConfig(hidden=(8,)),
        sampler=DdimConfig(inference_steps=4),
    )
    base = config.build(kit.observation, kit.action, normaliser, seed=3)
    learner = ResidualTd3Config(hidden=(8,), heads=2, exploration_std=0.2).build(base, 4)
    policy = learner.policy()
    rng = torch.Generator().manual_seed(5)
    noisy = {
        k: v + 0.3 * torch.randn(v.shape, generator=rng) if v.is_floating_point() else v
        for k, v in learner.weights().items()
        if not k.startswith("encoder") and k != "scale"
    }
    policy.load_weights(learner.weights() | noisy, 1)
    return kit.agent(base, policy, execute=2), policy


def test_evaluating_the_same_weights_twice_gives_identical_episodes(kit):
    env, _ = kit.env(horizon=6)
    agent, _ = real_agent(kit)
    first, second = (
        evaluate(kit.rollout(env, agent), range(4), kit.metadata(), "twice") for _ in range(2)
    )
    assert all(map(kit.same_episode, first, second))
    assert not kit.same_episode(first[0], first[1])


def test_training_in_between_does_not_change_an_evaluation(kit):
    env, _ = kit.env(horizon=6)
    agent, _ = real_agent(kit)
    judge, train = kit.rollout(env, agent), kit.rollout(env, agent, explore=True)
    before = evaluate(judge, range(2), kit.metadata(), "e")
    explored = train.run("train", 0, kit.metadata())
    after = evaluate(judge, range(2), kit.metadata(), "e")
    assert not kit.same_episode(before[0], explored)
    assert all(map(kit.same_episode, before, after))


def test_evaluation_passes_the_same_gate_as_training(kit):
    env, _ = kit.env(horizon=1, max_joint_velocity_rad_s=(0.5, 0.5))
    agent = kit.agent(online=kit.Steady((1.0, 0.0)))
    (episode,) = evaluate(kit.rollout(env, agent), [1], kit.metadata(), "e")
    assert episode.gate_reason.tolist() == [GateReason.VELOCITY]
