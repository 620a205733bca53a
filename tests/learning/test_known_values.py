"""Critics on decision processes whose Q is known: five states in a row, two in a ring."""

import numpy as np
import pytest
import torch

from robot_rl.learning.residual_td3 import ResidualTd3Config
from robot_rl.learning.rlpd import RlpdConfig

GAMMA = 0.9
SETTINGS = {"hidden": (32, 32), "heads": 2, "critic_lr": 3e-3, "tau": 0.1}
CONFIGS = {
    "residual_td3": ResidualTd3Config(**SETTINGS, target_noise_std=0.0, max_grad_norm=10.0),
    "rlpd": RlpdConfig(**SETTINGS),
}


def seen(states: torch.Tensor) -> torch.Tensor:
    """Observations float32[b, 3] of states 0 to 4."""
    angle = states * (2 * np.pi / 5)
    return torch.stack([angle.cos(), angle.sin(), states / 4 - 0.5], dim=-1).to(torch.float32)


@pytest.fixture(params=CONFIGS)
def learner(request, base):
    return CONFIGS[request.param].build(base, 0)


def learn(learner, make_batch, states, after, reward, ended) -> torch.Tensor:
    """Return the mean Q of each state once it has settled; what is done makes no difference."""
    rows = torch.arange(64) % len(states)
    for seed in range(700):
        batch = make_batch(
            seed,
            rows=64,
            observation=seen(states)[rows],
            next_observation=seen(after)[rows],
            reward=reward[rows],
            discount=torch.where(ended, 0.0, GAMMA)[rows],
        )
        learner.update([batch], train_actor=False)
    actions = make_batch(1, rows=64).action
    with torch.no_grad():
        q = learner.critics.critic(
            torch.cat([learner.actor.encoder(seen(states))[rows], actions], 1)
        )
    return torch.stack([q[:, rows == i].mean() for i in range(len(states))])


def test_five_states_in_a_row_are_worth_what_lies_ahead(learner, make_batch):
    states = torch.arange(5.0)
    last = states == 4
    q = learn(learner, make_batch, states, (states + 1).clamp(max=4), last.float(), last)
    # One is paid at the end: 0.9^4, 0.9^3, ..., 1.
    torch.testing.assert_close(q, GAMMA ** (4 - states), atol=0.06, rtol=0.0)


def test_two_states_in_a_ring_bootstrap_for_ever_though_every_step_is_an_episodes_last(
    learner, make_batch
):
    states = torch.tensor([0.0, 2.0])
    never = torch.zeros(2, dtype=torch.bool)
    q = learn(learner, make_batch, states, states.flip(0), torch.tensor([0.2, 0.0]), never)
    # Q0 = 0.2 + 0.9 Q2 and Q2 = 0.9 Q0: Q0 = 0.2 / (1 - 0.81), a time-out ends no value.
    torch.testing.assert_close(q, torch.tensor([1.0526, 0.9474]), atol=0.06, rtol=0.0)
