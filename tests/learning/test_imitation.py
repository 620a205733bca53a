import numpy as np
import pytest
import torch

from robot_rl.core.errors import ContractError
from robot_rl.data.chunks import ChunkData
from robot_rl.learning.imitation import (
    ImitationConfig,
    Windows,
    _schedule,
    masked_loss,
    train_policy,
)
from robot_rl.policies.chunk_policy import ChunkPolicy, ChunkPolicyConfig


@pytest.fixture
def make_policy(observation_spec, action_spec, normaliser):
    def make_policy(**changes) -> ChunkPolicy:
        settings = {"horizon": 4, "execute": 2, "hidden": (64, 64), **changes}
        return ChunkPolicyConfig(**settings).build(observation_spec, action_spec, normaliser)

    return make_policy


def two_modes(count: int = 512) -> ChunkData:
    """Half of the chunks are +0.6 throughout, half -0.6: their mean is in neither."""
    rng = np.random.default_rng(0)
    sign = rng.choice([-0.6, 0.6], (count, 1, 1))
    return ChunkData(
        observation=rng.uniform(-1, 1, (count, 3)).astype(np.float32),
        action=np.broadcast_to(sign, (count, 4, 2)).astype(np.float32),
        valid=np.ones((count, 4), np.bool_),
    )


def test_the_loss_ignores_padding_and_averages_over_what_is_valid(make_policy):
    policy = make_policy(prediction="sample")
    action = torch.full((2, 4, 2), 0.5)
    valid = torch.tensor([[True, True, False, False], [True, False, False, False]])
    action[~valid] = 99.0
    windows = Windows(torch.zeros(2, 3), action, valid)

    def zero_network(sample, step, features):
        return torch.zeros_like(sample)

    # A network that says 0 where the sample is 0.5 errs by 0.25 on each of the 3 valid actions.
    loss = masked_loss(policy, zero_network, windows, torch.Generator().manual_seed(0))
    assert loss.item() == pytest.approx(0.25)


def test_diffusion_fits_both_modes(make_policy):
    policy = make_policy()
    config = ImitationConfig(steps=800, batch_size=128, lr=3e-3, warmup_steps=50)
    metrics = train_policy(policy, two_modes(), config, seed=0)
    policy.reset(0)
    plans = policy.plan(torch.zeros(200, 3), policy.draw_noise(200)).mean((1, 2))
    assert plans.abs().sub(0.6).abs().lt(0.15).float().mean() > 0.95
    assert 0.3 < (plans > 0).float().mean() < 0.7
    assert metrics["held_out_loss"] < 0.5


def test_training_is_deterministic_under_a_seed(make_policy):
    config = ImitationConfig(steps=5, batch_size=8)

    def train(seed: int) -> tuple[str, dict[str, float]]:
        policy = make_policy()
        metrics = train_policy(policy, two_modes(64), config, seed)
        return policy.fingerprint, metrics

    assert train(0) == train(0)
    assert train(0) != train(1)


def test_the_policy_ends_up_with_new_weights_frozen_and_a_new_fingerprint(make_policy):
    policy = make_policy()
    before = policy.fingerprint
    train_policy(policy, two_modes(64), ImitationConfig(steps=3, batch_size=8), seed=0)
    assert policy.fingerprint != before
    assert not any(p.requires_grad for p in policy.denoiser.parameters())


def test_progress_is_reported_every_hundred_steps_and_at_the_end(make_policy):
    calls = []
    config = ImitationConfig(steps=250, batch_size=4, held_out=0.0)
    metrics = train_policy(
        make_policy(hidden=(8,)),
        two_modes(16),
        config,
        seed=0,
        on_progress=lambda step, metrics: calls.append((step, metrics["train_loss"])),
    )
    assert [step for step, _ in calls] == [100, 200, 250]
    assert calls[-1][1] == metrics["train_loss"]
    assert "held_out_loss" not in metrics


def test_the_step_size_warms_up_and_falls_to_zero():
    config = ImitationConfig(steps=300, warmup_steps=100)
    shares = [_schedule(step, config) for step in (1, 50, 100, 200, 300)]
    assert shares == pytest.approx([0.01, 0.5, 1.0, 0.5, 0.0])


def test_windows_of_another_horizon_are_refused(make_policy):
    with pytest.raises(ContractError, match=r"\(3, 4, 2\), expected at least 1 of \(3, 8, 2\)"):
        train_policy(make_policy(horizon=8), two_modes(8), ImitationConfig(), seed=0)


def test_demonstrations_that_are_not_finite_stop_the_training(make_policy):
    data = two_modes(8)
    data.action[:] = np.nan
    policy = make_policy()
    before = policy.fingerprint
    with pytest.raises(ContractError, match="loss is nan at step 1"):
        train_policy(policy, data, ImitationConfig(held_out=0.0), seed=0)
    assert policy.fingerprint == before
