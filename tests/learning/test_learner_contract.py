"""What every `Learner` must do, over all of them."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from robot_rl.core.spec import JOINT_POSITION
from robot_rl.core.types import Observation
from robot_rl.learning.dsrl_na import DsrlNaConfig
from robot_rl.learning.dsrl_sac import DsrlSacConfig
from robot_rl.learning.residual_td3 import ResidualTd3Config
from robot_rl.learning.rlpd import RlpdConfig

CONFIGS = {
    "residual_td3": ResidualTd3Config(hidden=(16, 16), heads=3, human_weight=1.0),
    "rlpd": RlpdConfig(hidden=(16, 16), heads=3),
    "dsrl_sac": DsrlSacConfig(hidden=(16, 16), heads=3, noise_rows=1),
    "dsrl_na": DsrlNaConfig(hidden=(16, 16), heads=3, noise_rows=1, distill_steps=1),
}
METRICS = {
    "critic_loss",
    "q_mean",
    "q_max",
    "q_policy",
    "td_error_online",
    "td_error_offline",
    "actor_loss",
    "grad_norm_critic",
    "grad_norm_actor",
    "skipped_updates",
    "skipped_in_a_row",
    "dormant_ratio_actor",
    "dormant_ratio_critic",
}


@pytest.fixture(params=CONFIGS)
def build(request, steerable_base):
    def build(seed=0, **changes):
        config = CONFIGS[request.param].model_copy(update=changes)
        return config.build(steerable_base, seed)

    return build


def live_critic(learner):
    return {k: v for k, v in learner.state_dict().items() if k.startswith("critics.live")}


def same(one, two) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def test_resume_is_bit_identical_over_100_updates(build, make_batch):
    batches = [make_batch(seed) for seed in range(5)]
    learner = build(seed=1)
    for _ in range(10):
        learner.update(batches[:2])
    stored = save(learner.state_dict())
    resumed = build(seed=2)
    resumed.load_state_dict(load(stored))
    for step in range(100):
        chosen = [batches[step % 5], batches[(step + 1) % 5]]
        assert learner.update(chosen) == resumed.update(chosen)
    assert same(learner.state_dict(), resumed.state_dict())


def test_a_state_is_a_copy_that_later_updates_leave_alone(build, make_batch):
    learner = build()
    learner.update([make_batch()])
    state, weights = learner.state_dict(), learner.weights()
    before = {k: v.clone() for k, v in state.items()}
    weights_before = {k: v.clone() for k, v in weights.items()}
    learner.update([make_batch(1)])
    assert same(state, before)
    assert same(weights, weights_before)
    assert not same(learner.state_dict(), before)


def test_equal_seeds_learn_alike_and_others_do_not(build, make_batch):
    learners = [build(seed=seed) for seed in (4, 4, 5)]
    metrics = [learner.update([make_batch()]) for learner in learners]
    assert metrics[0] == metrics[1] != metrics[2]


def test_building_and_updating_leave_the_global_random_state_alone(build, make_batch):
    before = torch.get_rng_state()
    build().update([make_batch()])
    assert torch.equal(torch.get_rng_state(), before)


def test_metrics_are_finite_numbers_under_their_names(build, make_batch):
    metrics = build().update([make_batch()])
    assert metrics.keys() >= METRICS
    assert all(isinstance(v, float) and math.isfinite(v) for v in metrics.values())


def test_a_td_error_without_rows_is_absent(build, make_batch):
    metrics = build().update([make_batch(offline=torch.zeros(16, dtype=torch.bool))])
    assert "td_error_offline" not in metrics
    assert "td_error_online" in metrics


@pytest.mark.parametrize("column", ["observation", "next_observation", "reward", "action"])
def test_a_nan_batch_changes_no_critic_and_is_counted(build, make_batch, column):
    learner = build()
    clean = make_batch()
    bad = make_batch(**{column: torch.full_like(getattr(clean, column), torch.nan)})
    before = live_critic(learner)
    metrics = learner.update([bad], train_actor=False)
    assert metrics["skipped_updates"] == 1.0
    assert "critic_loss" not in metrics
    assert same(live_critic(learner), before)
    assert all(v.isfinite().all() for v in learner.state_dict().values())
    assert learner.update([clean])["skipped_updates"] == 1.0


def test_bad_batches_in_a_row_are_counted_until_a_good_one(build, make_batch):
    learner = build()
    bad = make_batch(reward=torch.full((16,), 1e38))
    told = [
        learner.update(batches, train_actor=False)["skipped_in_a_row"]
        for batches in ([bad], [bad, bad], [bad, make_batch()], [make_batch(), bad])
    ]
    assert told == [1.0, 3.0, 0.0, 1.0]
    resumed = build(seed=1)
    resumed.load_state_dict(learner.state_dict())
    assert resumed.update([bad], train_actor=False)["skipped_in_a_row"] == 2.0


def test_q_policy_and_dormant_ratios_are_those_of_the_networks(build, make_batch):
    learner = build()
    metrics = learner.update([make_batch()])
    assert 0.0 <= metrics["dormant_ratio_actor"] <= 1.0
    for parameter in learner.critics.critic.parameters():
        parameter.data.zero_()
    # A value of 0 everywhere; what is measured every hundredth cycle is told again until then.
    later = learner.update([make_batch(reward=torch.zeros(16), discount=torch.zeros(16))])
    assert later["q_mean"] == 0.0
    assert later["dormant_ratio_critic"] == metrics["dormant_ratio_critic"] < 1.0


def test_a_nan_observation_leaves_the_actor_alone(build, make_batch):
    learner = build()
    bad = make_batch(observation=torch.full((16, 3), torch.nan))
    before = learner.weights()
    assert learner.update([bad])["skipped_updates"] >= 2.0
    assert same(learner.weights(), before)


def test_the_actor_step_changes_no_critic(build, make_batch):
    with_actor, without = build(), build()
    with_actor.update([make_batch()])
    without.update([make_batch()], train_actor=False)
    assert same(live_critic(with_actor), live_critic(without))
    assert not same(with_actor.weights(), without.weights())


def test_critic_only_updates_leave_the_weights_alone(build, make_batch):
    learner = build()
    before = learner.weights()
    metrics = learner.update([make_batch(), make_batch(1)], train_actor=False)
    assert same(learner.weights(), before)
    assert "actor_loss" not in metrics


def test_one_cycle_steps_the_critic_once_a_batch_and_the_actor_once(build, make_batch):
    learner = build()
    learner.update([make_batch(seed) for seed in range(4)])
    state = learner.state_dict()
    assert state["critics.adam.0.step"].item() == 4.0
    assert state["actor_adam.0.step"].item() == 1.0


def test_the_target_follows_the_live_critic_by_tau(build, make_batch):
    learner = build(tau=0.25)
    before = learner.state_dict()["critics.target.weights.0"]
    learner.update([make_batch()])
    state = learner.state_dict()
    expected = 0.75 * before + 0.25 * state["critics.live.weights.0"]
    torch.testing.assert_close(state["critics.target.weights.0"], expected)


def test_the_policy_acts_with_the_weights_it_is_given(build, make_batch):
    learner = build(actor_lr=1e-2)
    policy = learner.policy()
    observation = Observation(stamp_ns=0, vectors={JOINT_POSITION: np.float32([0.1, 0.2, 0.3])})
    base = np.zeros(2, np.float32)

    def act():
        policy.reset(0)
        return policy.propose(observation, base, explore=False)

    before = act()
    learner.update([make_batch()])
    np.testing.assert_array_equal(act(), before)
    policy.load_weights(learner.weights(), version=1)
    assert not np.array_equal(act(), before)


def test_targets_are_clipped_to_the_reachable_range(build, make_batch):
    learner = build(target_range=(0.0, 1.0))
    batch = make_batch(reward=torch.linspace(-9.0, 9.0, 16))
    features = learner.actor.encoder(batch.next_observation)
    y = learner.critics.td_target(features, batch.action, batch, torch.Generator())
    assert y[0].item() == 0.0
    assert y[-1].item() == 1.0


def test_critics_learn_a_known_value(build, make_batch):
    # Every row ends, so Q must become the reward, here the first action element.
    learner = build(critic_lr=3e-3)
    losses = []
    for seed in range(400):
        reward = make_batch(seed, rows=64).action[:, 0]
        batch = make_batch(seed, rows=64, discount=torch.zeros(64), reward=reward)
        losses.append(learner.update([batch], train_actor=False)["critic_loss"])
    assert np.mean(losses[-20:]) < 0.01 < 0.1 < losses[0]
