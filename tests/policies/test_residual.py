import numpy as np
import pytest
import torch

from robot_rl.core.errors import ContractError
from robot_rl.networks.encoder import StateEncoder
from robot_rl.networks.residual_actor import ResidualActor
from robot_rl.policies.residual import ResidualPolicy

BASE = np.float32([0.5, -0.95])


def make_actor(normaliser, output_bias=0.0) -> ResidualActor:
    torch.manual_seed(0)
    actor = ResidualActor(StateEncoder(np.arange(5), normaliser), (0.1, 0.2), (16, 16))
    actor.mlp.layers[-1].bias.data.fill_(output_bias)
    return actor


@pytest.fixture
def build(observation_spec, normaliser):
    def build(output_bias=0.0, **settings) -> ResidualPolicy:
        settings = {"exploration_std": 0.05, **settings}
        return ResidualPolicy(make_actor(normaliser, output_bias), observation_spec, **settings)

    return build


def test_a_fresh_residual_leaves_the_base_action_exactly(build, observation):
    action = build().propose(observation, BASE, explore=False)
    np.testing.assert_array_equal(action, BASE)
    assert action.dtype == np.float32


def test_base_and_residual_are_added_and_clipped(build, observation):
    # tanh(-50) = -1: the residual is at its bound, (-0.1, -0.2).
    action = build(output_bias=-50.0).propose(observation, BASE, explore=False)
    np.testing.assert_allclose(action, [0.4, -1.0], atol=1e-6)


def test_the_numpy_path_equals_the_network(build, observation, normaliser, observation_spec):
    actor = make_actor(normaliser)
    torch.nn.init.normal_(actor.mlp.layers[-1].weight)
    packed = torch.from_numpy(observation_spec.pack(observation.vectors))[None]
    with torch.no_grad():
        expected = actor(actor.encoder(packed), torch.from_numpy(BASE)[None])[0].numpy()
    policy = build()
    policy.load_weights(actor.state_dict(), version=1)
    np.testing.assert_allclose(policy.residual(observation, BASE), expected, atol=1e-5)


def test_it_steers_nothing_and_planning_anew_changes_no_action(build, observation):
    policies = [build(), build()]
    for policy in policies:
        policy.reset(1)
    policies[1].replan()
    one, other = (policy.propose(observation, BASE, explore=True) for policy in policies)
    np.testing.assert_array_equal(one, other)
    assert (policies[1].latent.dtype, policies[1].latent.shape) == (np.float32, (0,))


def test_exploration_noise_repeats_with_the_seed_and_has_its_width(build, observation):
    policy = build(exploration_std=0.05)
    zero = np.zeros(2, np.float32)
    runs = []
    for seed in (1, 1, 2):
        policy.reset(seed)
        runs.append([policy.propose(observation, zero, explore=True) for _ in range(500)])
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])
    assert np.std(runs[0]) == pytest.approx(0.05, rel=0.1)


def test_the_residual_comes_in_with_the_updates_when_exploring(build, observation, normaliser):
    policy = build(output_bias=50.0, exploration_std=0.0, ramp_updates=40)
    zero = np.zeros(2, np.float32)

    def mean_use() -> float:
        policy.reset(0)
        steps = [policy.propose(observation, zero, explore=True)[0] > 0.05 for _ in range(400)]
        return float(np.mean(steps))

    assert mean_use() == 0.0
    for version, share in ((10, 0.25), (40, 1.0), (90, 1.0)):
        policy.load_weights(make_actor(normaliser, 50.0).state_dict(), version)
        assert mean_use() == pytest.approx(share, abs=0.06 * (share < 1.0))
    assert policy.propose(observation, zero, explore=False)[0] == pytest.approx(0.1)


def test_without_a_ramp_the_residual_is_used_at_once(build, observation):
    policy = build(output_bias=50.0, exploration_std=0.0)
    assert policy.propose(observation, np.zeros(2, np.float32), explore=True)[0] > 0.05


def test_weights_that_are_not_newer_are_refused(build, normaliser):
    policy = build()
    policy.load_weights(make_actor(normaliser).state_dict(), version=3)
    for version in (3, 2):
        with pytest.raises(ContractError, match=f"got version {version}, expected more than 3"):
            policy.load_weights(make_actor(normaliser).state_dict(), version=version)
    assert policy.version == 3


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_and_the_old_stay(
    build, normaliser, observation, bad
):
    policy = build(output_bias=1.0)
    before = policy.propose(observation, BASE, explore=False)
    weights = make_actor(normaliser).state_dict()
    weights["mlp.layers.0.weight"] = weights["mlp.layers.0.weight"].clone()
    weights["mlp.layers.0.weight"][0, 0] = bad
    with pytest.raises(ContractError, match=r"mlp.layers.0.weight.*not finite"):
        policy.load_weights(weights, version=1)
    np.testing.assert_array_equal(policy.propose(observation, BASE, explore=False), before)
    assert policy.version == 0


def test_weights_of_another_network_are_refused(build, normaliser):
    weights = make_actor(normaliser).state_dict()
    missing = {k: v for k, v in weights.items() if k != "scale"}
    with pytest.raises(ContractError, match="names differ from the policy's: scale"):
        build().load_weights(missing, version=1)
    with pytest.raises(ContractError, match=r"'scale'.*got \[3\], expected \[2\]"):
        build().load_weights({**weights, "scale": torch.ones(3)}, version=1)


def test_nan_in_the_observation_is_passed_on_for_the_gate_to_refuse(build, observation):
    observation.vectors["observation.state"][0] = np.nan
    assert np.isnan(build().propose(observation, BASE, explore=False)).any()
