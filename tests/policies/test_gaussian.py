import numpy as np
import pytest
import torch

from robot_rl.core.errors import ContractError
from robot_rl.networks.encoder import StateEncoder
from robot_rl.networks.gaussian_actor import GaussianActor
from robot_rl.policies.gaussian import GaussianPolicy

BASE = np.zeros(2, np.float32)


def make_actor(normaliser, seed=0, hidden=(16, 12)) -> GaussianActor:
    torch.manual_seed(seed)
    return GaussianActor(StateEncoder(np.arange(5), normaliser), 2, hidden)


@pytest.mark.parametrize("hidden", [(16,), (16, 12)])
def test_the_greedy_action_is_the_tanh_of_the_networks_mean(
    normaliser, observation_spec, observation, hidden
):
    actor = make_actor(normaliser, hidden=hidden)
    packed = torch.from_numpy(observation_spec.pack(observation.vectors))[None]
    with torch.no_grad():
        expected = torch.tanh(actor(actor.encoder(packed))[0])[0].numpy()
    action = GaussianPolicy(actor, observation_spec).propose(observation, BASE, explore=False)
    np.testing.assert_allclose(action, expected, atol=1e-5)
    assert action.dtype == np.float32


def test_the_base_action_is_ignored(normaliser, observation_spec, observation):
    policy = GaussianPolicy(make_actor(normaliser), observation_spec)
    one = policy.propose(observation, BASE, explore=False)
    np.testing.assert_array_equal(policy.propose(observation, BASE + 1, explore=False), one)


def test_it_steers_nothing_and_planning_anew_changes_no_action(
    normaliser, observation_spec, observation
):
    policies = [GaussianPolicy(make_actor(normaliser), observation_spec) for _ in range(2)]
    for policy in policies:
        policy.reset(1)
    policies[1].replan()
    one, other = (policy.propose(observation, BASE, explore=True) for policy in policies)
    np.testing.assert_array_equal(one, other)
    assert (policies[1].latent.dtype, policies[1].latent.shape) == (np.float32, (0,))


def test_samples_repeat_with_the_seed_and_have_the_networks_width(
    normaliser, observation_spec, observation
):
    actor = make_actor(normaliser)
    policy = GaussianPolicy(actor, observation_spec)
    runs = []
    for seed in (1, 1):
        policy.reset(seed)
        runs.append([policy.propose(observation, BASE, explore=True) for _ in range(2000)])
    np.testing.assert_array_equal(runs[0], runs[1])
    packed = torch.from_numpy(observation_spec.pack(observation.vectors))[None]
    with torch.no_grad():
        std = actor(actor.encoder(packed))[1][0].numpy()
    np.testing.assert_allclose(np.arctanh(runs[0]).std(axis=0), std, rtol=0.1)


def test_only_newer_finite_weights_are_taken(normaliser, observation_spec, observation):
    policy = GaussianPolicy(make_actor(normaliser), observation_spec)
    before = policy.propose(observation, BASE, explore=False)
    policy.load_weights(make_actor(normaliser, seed=1).state_dict(), version=2)
    assert policy.version == 2
    assert not np.array_equal(policy.propose(observation, BASE, explore=False), before)
    weights = make_actor(normaliser, seed=2).state_dict()
    with pytest.raises(ContractError, match="version 2"):
        policy.load_weights(weights, version=2)
    weights["head.linear.bias"] = torch.full_like(weights["head.linear.bias"], torch.nan)
    with pytest.raises(ContractError, match="not finite"):
        policy.load_weights(weights, version=3)
