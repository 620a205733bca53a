from types import SimpleNamespace

import numpy as np
import pytest
import torch

from robot_rl.control.chunk_player import ChunkPlayer
from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.core.types import Observation
from robot_rl.networks.denoiser import MlpDenoiserConfig
from robot_rl.networks.encoder import NO_IMAGES, StateEncoder
from robot_rl.networks.gaussian_actor import GaussianActor
from robot_rl.policies.chunk_policy import ChunkPolicy, ChunkPolicyConfig
from robot_rl.policies.sampler.ddim import DdimConfig
from robot_rl.policies.sampler.regression import RegressionConfig
from robot_rl.policies.steered import LatentSpace, SteeredPolicy

BASE_ACTION = np.zeros(2, np.float32)
HORIZON, EXECUTE = 4, 2


@pytest.fixture
def base(observation_spec, action_spec, normaliser) -> ChunkPolicy:
    config = ChunkPolicyConfig(
        horizon=HORIZON,
        execute=EXECUTE,
        network=MlpDenoiserConfig(hidden=(16,)),
        sampler=DdimConfig(train_steps=10, inference_steps=2),
    )
    return config.build(observation_spec, action_spec, normaliser, seed=3)


@pytest.fixture
def make_actor(normaliser):
    def make_actor(seed=0, latent=HORIZON * 2) -> GaussianActor:
        torch.manual_seed(seed)
        return GaussianActor(StateEncoder(np.arange(5), normaliser), latent, (16,))

    return make_actor


@pytest.fixture
def build(base, make_actor):
    def build(rows=None, bound=1.5, base=base) -> SteeredPolicy:
        space = LatentSpace.of(base, rows, bound)
        return SteeredPolicy(make_actor(latent=space.size), base, space)

    return build


@pytest.fixture
def trained(build, make_actor):
    """A policy that has the weights of a learner."""
    policy = build()
    policy.load_weights(make_actor().state_dict(), version=1)
    return policy


def play(policy, observation, steps, explore=True):
    """Return the actions and, of each, the noise of the chunk in play."""
    actions, latents = [], []
    for _ in range(steps):
        actions.append(policy.propose(observation, BASE_ACTION, explore=explore))
        latents.append(policy.latent)
    return np.stack(actions), np.stack(latents)


def replanned(base, observation, latent, rows=HORIZON):
    """Return what the base plays from a recorded latent."""
    packed = torch.from_numpy(base.observation.pack(observation.vectors))[None]
    noise = torch.from_numpy(latent).view(1, rows, 2).repeat_interleave(HORIZON // rows, dim=1)
    return base.plan(packed, NO_IMAGES, noise)[0, :EXECUTE].numpy()


@pytest.mark.parametrize("explore", [True, False])
def test_without_weights_it_acts_exactly_as_the_base_does(build, base, observation, explore):
    policy, player = build(), ChunkPlayer(base, EXECUTE)
    for seed in (5, 6):
        policy.reset(seed)
        player.reset(seed)
        expected = [player.next(observation) for _ in range(5)]
        np.testing.assert_array_equal(play(policy, observation, 5, explore)[0], expected)


def test_the_recorded_latent_is_the_noise_that_planned_the_chunk(build, base, observation):
    for rows in (4, 2, 1):
        actions, latents = play(build(rows=rows), observation, 4)
        assert latents.shape == (4, rows * 2)
        for start in (0, 2):
            expected = replanned(base, observation, latents[start], rows)
            np.testing.assert_array_equal(actions[start : start + 2], expected)


def test_the_latent_changes_with_the_plan_and_not_before(trained, observation):
    _, latents = play(trained, observation, 4)
    np.testing.assert_array_equal(latents[0], latents[1])
    np.testing.assert_array_equal(latents[2], latents[3])
    assert (latents[1] != latents[2]).any()


@pytest.mark.parametrize("interrupt", [lambda p: p.replan(), lambda p: p.reset(9)])
def test_a_reset_and_a_persons_hand_drop_the_rest_of_the_chunk(
    trained, base, observation, interrupt
):
    play(trained, observation, 1)
    before = trained.latent
    interrupt(trained)
    actions, latents = play(trained, observation, 2)
    assert (latents[0] != before).any()
    np.testing.assert_array_equal(actions, replanned(base, observation, latents[0]))


def test_a_chunk_is_played_out_with_the_weights_it_was_planned_with(
    build, make_actor, base, observation
):
    policy = build()
    (first,), (latent,) = play(policy, observation, 1)
    policy.load_weights(make_actor(seed=1).state_dict(), version=1)
    (second,), (unchanged,) = play(policy, observation, 1, explore=False)
    np.testing.assert_array_equal([first, second], replanned(base, observation, latent))
    np.testing.assert_array_equal(unchanged, latent)
    play(policy, observation, 1, explore=False)
    assert (policy.latent != latent).any()


def test_without_exploring_the_noise_is_the_actors_mode(
    build, make_actor, observation, observation_spec
):
    actor, policy = make_actor(seed=1), build(bound=0.5)
    policy.load_weights(actor.state_dict(), version=1)
    packed = torch.from_numpy(observation_spec.pack(observation.vectors))[None]
    with torch.no_grad():
        expected = 0.5 * torch.tanh(actor(actor.encoder(packed))[0])[0].numpy()
    for seed in (1, 2):
        policy.reset(seed)
        play(policy, observation, 1, explore=False)
        np.testing.assert_allclose(policy.latent, expected, atol=1e-6)


def test_explored_noise_stays_within_its_bound_and_repeats_with_the_seed(trained, observation):
    runs = []
    for seed in (1, 1, 2):
        trained.reset(seed)
        runs.append(play(trained, observation, 200))
    assert 1.0 < np.abs(runs[0][1]).max() <= 1.5
    np.testing.assert_array_equal(runs[0][0], runs[1][0])
    assert (runs[0][1] != runs[2][1]).any()


def test_a_row_of_noise_stands_for_its_part_of_the_chunk():
    space = LatentSpace(rows=2, horizon=4, width=2, bound=1.0)
    noise = space.noise(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    assert noise.tolist() == [[[1.0, 2.0], [1.0, 2.0], [3.0, 4.0], [3.0, 4.0]]]


@pytest.mark.parametrize("rows", [3, 5, 8])
def test_rows_that_do_not_divide_the_horizon_are_refused(base, rows):
    with pytest.raises(ConfigError, match=f"noise_rows: got {rows}, expected a divisor .* of 4"):
        LatentSpace.of(base, rows, 1.5)


def test_a_base_whose_plans_do_not_depend_on_noise_is_refused(
    observation_spec, action_spec, normaliser
):
    config = ChunkPolicyConfig(sampler=RegressionConfig())
    base = config.build(observation_spec, action_spec, normaliser)
    with pytest.raises(ConfigError, match="plans do not depend on noise"):
        LatentSpace.of(base, None, 1.5)


def test_only_newer_finite_weights_are_taken(trained, make_actor):
    weights = make_actor(seed=2).state_dict()
    with pytest.raises(ContractError, match="got version 1, expected more than 1"):
        trained.load_weights(weights, version=1)
    weights["head.linear.bias"] = torch.full_like(weights["head.linear.bias"], torch.nan)
    with pytest.raises(ContractError, match="not finite"):
        trained.load_weights(weights, version=2)
    assert trained.version == 1


@pytest.mark.parametrize(("vision", "cameras"), [(None, []), (object(), ["wrist"])])
def test_a_base_that_sees_gets_the_images(build, base, observation, vision, cameras):
    seen = []

    def plan(packed, images, noise):
        seen.append({key: (image.dtype, tuple(image.shape)) for key, image in images.items()})
        return torch.zeros(1, HORIZON, 2)

    seeing = SimpleNamespace(
        observation=base.observation,
        action=base.action,
        normaliser=base.normaliser,
        execute=EXECUTE,
        noise_shape=(HORIZON, 2),
        sees_images=vision is not None,
        steerable=True,
        plan=plan,
    )
    image = np.zeros((6, 8, 3), np.uint8)
    looked = Observation(stamp_ns=0, vectors=observation.vectors, images={"wrist": image})
    build(base=seeing).propose(looked, BASE_ACTION, explore=False)
    assert seen == [{key: (torch.uint8, (1, 6, 8, 3)) for key in cameras}]


def test_nan_in_the_observation_is_passed_on_for_the_gate_to_refuse(trained, observation):
    observation.vectors["observation.state"][0] = np.nan
    action = trained.propose(observation, BASE_ACTION, explore=False)
    assert action.shape == (2,)
    assert not np.isfinite(action).all()
