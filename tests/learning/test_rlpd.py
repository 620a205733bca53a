import pytest
import torch

from robot_rl.learning.rlpd import Rlpd, RlpdConfig


@pytest.fixture
def build(base):
    def build(seed=0, **changes) -> Rlpd:
        config = RlpdConfig(**{"hidden": (16, 16), "heads": 3, **changes})
        return config.build(base, seed)

    return build


def test_the_temperature_starts_where_it_is_set(build, make_batch):
    assert build(initial_temperature=0.03).update([make_batch()])["temperature"] == pytest.approx(
        0.03, rel=1e-4
    )


@pytest.mark.parametrize(("std", "direction"), [(1e-3, 1.0), (0.7, -1.0)])
def test_the_temperature_moves_against_the_gap_to_the_target_entropy(
    build, make_batch, std, direction
):
    # Two actions: the target entropy is -1. A narrow policy is below it, a wide one above.
    learner = build(temperature_lr=1e-2)
    linear = learner.actor.head.linear
    linear.weight.data.zero_()
    linear.bias.data.copy_(torch.tensor([0.0, 0.0, *[torch.tensor(std).log().item()] * 2]))
    first = learner.update([make_batch()])
    assert direction * (-1.0 - first["entropy"]) > 0.0
    second = learner.update([make_batch()])
    assert direction * (second["temperature"] - first["temperature"]) > 0.0


def test_base_actions_are_ignored(build, make_batch):
    changed = make_batch(base_action=torch.zeros(16, 2), next_base_action=torch.zeros(16, 2))
    assert build().update([make_batch()]) == build().update([changed])


def test_the_entropy_is_in_the_target_only_when_asked_for(build, make_batch):
    bonuses = []
    for backup in (False, True):
        learner = build(entropy_backup=backup, initial_temperature=1.0)
        original = learner.critics.td_target

        def spy(*args, original=original):
            bonuses.append(args[-1])
            return original(*args)

        learner.critics.td_target = spy
        learner.update([make_batch()])
    assert bonuses[0] == 0.0
    assert bonuses[1].shape == (16,)


def test_the_bonus_is_discounted_with_the_value(build, make_batch):
    critics = build(heads=2).critics
    for parameter in critics.target.parameters():
        parameter.zero_()
    batch = make_batch(reward=torch.ones(16), discount=torch.full((16,), 0.5))
    y = critics.td_target(torch.zeros(16, 3), batch.action, batch, torch.Generator(), 4.0)
    # 1 + 0.5 * (0 + 4) = 3
    torch.testing.assert_close(y, torch.full((16,), 3.0))


def test_the_actor_moves_towards_the_better_action(build, make_batch):
    learner = build(hidden=(32, 32), critic_lr=3e-3, actor_lr=3e-3, initial_temperature=1e-3)
    target = torch.tensor([0.5, -0.5])
    for seed in range(500):
        action = make_batch(seed, rows=64).action
        reward = -(action - target).square().sum(-1)
        batch = make_batch(seed, rows=64, action=action, reward=reward, discount=torch.zeros(64))
        learner.update([batch], train_actor=seed >= 250)
    mean = torch.tanh(learner.actor(torch.zeros(1, 3))[0])[0]
    assert mean.tolist() == pytest.approx(target.tolist(), abs=0.15)
