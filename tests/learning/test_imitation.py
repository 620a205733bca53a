import numpy as np
import pytest
import torch
from pydantic import ValidationError

from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.data.chunks import ChunkData
from robot_rl.learning.chunk_batch import ChunkBatch
from robot_rl.learning.descent import DescentConfig, learning_rate_share
from robot_rl.learning.imitation import ImitationConfig, imitation_loss, train_policy
from robot_rl.networks.denoiser import MlpDenoiserConfig
from robot_rl.networks.dit import DitConfig
from robot_rl.networks.encoder import NO_IMAGES
from robot_rl.policies.chunk_policy import ChunkModel, ChunkPolicy, ChunkPolicyConfig
from robot_rl.policies.sampler.ddim import DdimConfig
from robot_rl.policies.sampler.flow import FlowConfig
from robot_rl.policies.sampler.one_step import OneStepConfig
from robot_rl.policies.sampler.regression import RegressionConfig

SMALL = MlpDenoiserConfig(hidden=(8,))


@pytest.fixture
def make_policy(observation_spec, action_spec, normaliser):
    def make_policy(**changes) -> ChunkPolicy:
        network = MlpDenoiserConfig(hidden=(64, 64))
        settings = {"horizon": 4, "execute": 2, "network": network, **changes}
        return ChunkPolicyConfig(**settings).build(observation_spec, action_spec, normaliser)

    return make_policy


def two_modes(count: int = 512, episodes: int = 16) -> ChunkData:
    """Half of the chunks are +0.6 throughout, half -0.6: their mean is in neither."""
    rng = np.random.default_rng(0)
    sign = rng.choice([-0.6, 0.6], (count, 1, 1))
    return ChunkData(
        observation=rng.uniform(-1, 1, (count, 3)).astype(np.float32),
        action=np.broadcast_to(sign, (count, 4, 2)).astype(np.float32),
        valid=np.ones((count, 4), np.bool_),
        episode=np.arange(count) * episodes // count,
    )


def plans_of(policy: ChunkPolicy, count: int = 200) -> torch.Tensor:
    """Means over plans from as many noises, of one observation."""
    policy.reset(0)
    return policy.plan(torch.zeros(count, 3), NO_IMAGES, policy.draw_noise(count)).mean((1, 2))


def test_the_loss_ignores_padding_and_averages_over_what_is_valid(make_policy):
    policy = make_policy()
    action = torch.full((2, 4, 2), 0.5)
    valid = torch.tensor([[True, True, False, False], [True, False, False, False]])
    action[~valid] = 99.0
    batch = ChunkBatch(observation=torch.zeros(2, 3), images={}, action=action, valid=valid)

    class Zero(torch.nn.Module):
        def forward(self, sample, step, features):
            return torch.zeros_like(sample)

    # A network that says 0 where the sample is 0.5 errs by 0.25 on each of the 3 valid actions.
    model = ChunkModel(policy.model.encoder, Zero())
    loss = imitation_loss(policy.sampler, model, batch, torch.Generator().manual_seed(0))
    assert loss.item() == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("sampler", "on_a_mode"), [(DdimConfig(), 0.95), (FlowConfig(), 0.85)], ids=["ddim", "flow"]
)
def test_generative_samplers_fit_both_modes(make_policy, sampler, on_a_mode):
    policy = make_policy(sampler=sampler)
    config = ImitationConfig(steps=800, batch_size=128, lr=3e-3, warmup_steps=50)
    result = train_policy(policy, two_modes(), config, seed=0)
    plans = plans_of(policy)
    assert plans.abs().sub(0.6).abs().lt(0.15).float().mean() > on_a_mode
    assert 0.3 < (plans > 0).float().mean() < 0.7
    assert result.chosen.held_out_loss < 0.5


def test_regression_goes_where_nobody_went(make_policy):
    policy = make_policy(sampler=RegressionConfig())
    config = ImitationConfig(steps=300, batch_size=128, lr=3e-3, warmup_steps=50)
    result = train_policy(policy, two_modes(), config, seed=0)
    # The mean of +0.6 and -0.6 is in neither mode: it errs by 0.36 wherever it is asked.
    assert plans_of(policy, 2).abs().max() < 0.2
    assert result.chosen.held_out_loss == pytest.approx(0.36, abs=0.05)


def test_a_transformer_learns_by_flow_what_depends_on_the_place_in_the_chunk(make_policy):
    data = two_modes(64)
    ramp = np.linspace(-0.6, 0.6, 4, dtype=np.float32)
    data.action[:] = ramp[None, :, None]
    policy = make_policy(network=DitConfig(width=16, depth=1, heads=2), sampler=FlowConfig())
    config = ImitationConfig(steps=250, batch_size=64, lr=1e-2, warmup_steps=20)
    train_policy(policy, data, config, seed=0)
    plans = policy.plan(torch.zeros(50, 3), NO_IMAGES, policy.draw_noise(50))
    np.testing.assert_allclose(plans.mean((0, 2)), ramp, atol=0.15)


def test_training_is_deterministic_under_a_seed(make_policy):
    config = ImitationConfig(steps=5, batch_size=8)

    def train(seed: int):
        policy = make_policy()
        result = train_policy(policy, two_modes(64), config, seed)
        return policy.fingerprint, result

    assert train(0) == train(0)
    assert train(0) != train(1)


def test_the_policy_ends_up_with_new_weights_frozen_and_a_new_fingerprint(make_policy):
    policy = make_policy()
    before = policy.fingerprint
    train_policy(policy, two_modes(64), ImitationConfig(steps=3, batch_size=8), seed=0)
    assert policy.fingerprint != before
    assert not any(p.requires_grad for p in policy.model.parameters())
    # What is trained has weights of its own.
    assert all(p.requires_grad for p in policy.trainable_model().parameters())


def test_progress_is_reported_every_hundred_steps_and_at_the_end(make_policy):
    calls = []
    config = ImitationConfig(steps=250, batch_size=4, held_out=0.0)
    result = train_policy(
        make_policy(network=SMALL),
        two_modes(16),
        config,
        seed=0,
        on_progress=lambda step, metrics: calls.append((step, metrics["train_loss"])),
    )
    assert [step for step, _ in calls] == [100, 200, 250]
    assert calls[-1][1] == result.chosen.train_loss
    assert result.chosen.held_out_loss is None


def test_each_checkpoint_is_evaluated_on_what_is_held_out_and_the_last_is_taken(make_policy):
    told = []
    policy = make_policy(network=SMALL)
    config = ImitationConfig(steps=250, batch_size=8, checkpoints=3)
    result = train_policy(
        policy, two_modes(64), config, 0, lambda _, m: told.append(m.get("held_out_loss"))
    )
    assert [c.step for c in result.checkpoints] == [83, 166, 250]
    assert result.chosen == result.checkpoints[-1]
    losses = [c.held_out_loss for c in result.checkpoints]
    # Told at steps 100, 200 and 250: always the newest there is.
    assert told == losses
    assert losses[0] > losses[2]
    alone = make_policy(network=SMALL)
    train_policy(alone, two_modes(64), config.model_copy(update={"checkpoints": 1}), 0)
    assert alone.fingerprint == policy.fingerprint


def test_the_checkpoint_that_succeeds_most_is_chosen(make_policy):
    seen = []

    def judge(policy: ChunkPolicy) -> int:
        seen.append(policy.fingerprint)
        return [3, 7, 7, 2][len(seen) - 1]

    policy = make_policy(network=SMALL)
    config = ImitationConfig(steps=200, batch_size=8, checkpoints=4)
    result = train_policy(policy, two_modes(64), config, 0, judge=judge)
    assert [c.successes for c in result.checkpoints] == [3, 7, 7, 2]
    # Of the two with 7, that with the lower held-out loss.
    second, third = result.checkpoints[1:3]
    assert result.chosen == min(second, third, key=lambda c: c.held_out_loss)
    assert policy.fingerprint == seen[result.checkpoints.index(result.chosen)]
    assert len(set(seen)) == 4


def test_the_step_size_warms_up_and_falls_to_zero():
    config = DescentConfig(steps=300, warmup_steps=100)
    shares = [learning_rate_share(step, config) for step in (1, 50, 100, 200, 300)]
    assert shares == pytest.approx([0.01, 0.5, 1.0, 0.5, 0.0])


def test_windows_of_another_horizon_are_refused(make_policy):
    with pytest.raises(ContractError, match=r"\(3, 4, 2\), expected at least 1 of \(3, 8, 2\)"):
        train_policy(make_policy(horizon=8), two_modes(8), ImitationConfig(), seed=0)


def test_more_checkpoints_than_steps_are_refused():
    with pytest.raises((ConfigError, ValidationError), match="checkpoints: got 4, expected at"):
        ImitationConfig(steps=3, checkpoints=4)


def test_a_student_cannot_be_trained_on_demonstrations(make_policy):
    with pytest.raises(ConfigError, match=r"set imitate\.student"):
        train_policy(make_policy(sampler=OneStepConfig()), two_modes(8), ImitationConfig(), 0)


def test_demonstrations_that_are_not_finite_stop_the_training(make_policy):
    data = two_modes(8)
    data.action[:] = np.nan
    policy = make_policy()
    before = policy.fingerprint
    with pytest.raises(ContractError, match="imitation: the loss is nan at step 1"):
        train_policy(policy, data, ImitationConfig(held_out=0.0), seed=0)
    assert policy.fingerprint == before
