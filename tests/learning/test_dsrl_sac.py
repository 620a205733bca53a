import pytest
import torch

from robot_rl.core.errors import ConfigError
from robot_rl.learning.dsrl_sac import DsrlSac, DsrlSacConfig

ROWS = 16


@pytest.fixture
def build(steerable_base):
    def build(seed=0, base=steerable_base, **changes) -> DsrlSac:
        settings = {"hidden": (16, 16), "heads": 2, "noise_rows": 1, **changes}
        return DsrlSacConfig(**settings).build(base, seed)

    return build


def same(one, two) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def test_the_target_is_the_return_of_the_plan_plus_the_discounted_minimum(build, make_batch):
    learner = build()
    # With all weights 0 a head returns the bias of its last layer: 3 and 5.
    for parameter in learner.critics.target.parameters():
        parameter.zero_()
    learner.critics.target.biases[-1].copy_(torch.tensor([3.0, 5.0]).view(2, 1, 1))
    # Three steps of a plan, 0.9 each: 0.5 + 0.729 * 3 = 2.687; the last rows terminated.
    discount = torch.full((ROWS,), 0.729)
    discount[8:] = 0.0
    batch = make_batch(reward=torch.full((ROWS,), 0.5), discount=discount)
    features = learner.actor.encoder(batch.next_observation)
    y = learner.critics.td_target(features, batch.latent, batch, torch.Generator())
    torch.testing.assert_close(y, torch.tensor([2.687] * 8 + [0.5] * 8))


def test_its_windows_are_the_plans_of_the_base(build, make_steerable):
    learner = build(base=make_steerable(horizon=8, execute=3), noise_rows=4)
    needs = learner.needs
    assert (needs.starts, needs.n_step, needs.latent_size) == ("plans", 3, 8)
    assert not needs.demonstrations
    assert not needs.images


def test_the_critics_see_the_noise_and_not_the_actions(build, make_batch):
    batch = make_batch()
    one = build().update([batch])
    moved = make_batch(latent=batch.latent, action=-batch.action, base_action=-batch.base_action)
    assert build().update([moved]) == one
    assert build().update([make_batch(latent=-batch.latent)]) != one


def test_steps_that_a_person_drove_are_no_noises_doing(build, make_batch):
    human = torch.arange(ROWS) < 4
    batch = make_batch(human=human)
    paid = make_batch(human=human, reward=torch.where(human, 100.0, batch.reward))
    one, two = build(), build()
    metrics = one.update([batch]), two.update([paid])
    assert metrics[0] == metrics[1]
    assert same(one.state_dict(), two.state_dict())


def test_a_batch_of_human_steps_alone_teaches_the_critics_nothing(build, make_batch):
    learner = build()
    before = learner.state_dict()
    metrics = learner.update([make_batch(human=torch.ones(ROWS, dtype=torch.bool))])
    assert metrics["critic_loss"] == 0.0
    assert "td_error_online" not in metrics
    live = [name for name in before if name.startswith("critics.live")]
    assert all(torch.equal(learner.state_dict()[name], before[name]) for name in live)


def test_noise_is_chosen_within_its_bound(build, make_batch):
    learner = build(noise_bound=0.5, actor_lr=1e-2)
    for _ in range(20):
        metrics = learner.update([make_batch()])
    # Two elements, each at most 0.5: a norm of at most 0.7071.
    assert 0.0 < metrics["latent_norm"] <= 0.7072


@pytest.mark.parametrize(("target", "direction"), [(0.6, 1.0), (-5.0, -1.0)])
def test_the_temperature_moves_against_the_gap_to_the_target_entropy(
    build, make_batch, target, direction
):
    # Two elements: the entropy of a fresh actor lies between -10 and 1.2.
    learner = build(target_entropy=target, temperature_lr=1e-2, initial_temperature=0.03)
    first, second = (learner.update([make_batch()]) for _ in range(2))
    assert first["temperature"] == pytest.approx(0.03, rel=1e-4)
    assert direction * (2 * target - first["entropy"]) > 0.0
    assert direction * (second["temperature"] - first["temperature"]) > 0.0


def test_the_entropy_is_in_the_target_only_when_asked_for(build, make_batch):
    losses = [
        build(entropy_backup=backup, initial_temperature=1.0).update([make_batch()])["critic_loss"]
        for backup in (False, True)
    ]
    assert losses[0] != losses[1]


def test_a_base_that_cannot_be_steered_is_refused(build, make_steerable):
    with pytest.raises(ConfigError, match="plans do not depend on noise"):
        build(base=make_steerable(steerable=False))


def test_it_learns_which_mode_of_the_base_is_good(build, make_batch, two_modes, good_plans):
    learner = build(base=two_modes, hidden=(32, 32), critic_lr=3e-3, actor_lr=3e-3)
    assert 0.3 < good_plans(learner.policy(), explore=True) < 0.7
    generator = torch.Generator().manual_seed(0)
    for seed in range(150):
        batch = make_batch(seed, rows=64, discount=torch.zeros(64))
        latent = torch.randn(64, 2, generator=generator)
        chunk = two_modes.plan(batch.observation, {}, latent[:, None])[:, 0, 0]
        reward = (chunk * batch.observation[:, 0] > 0).float()
        learner.update(
            [make_batch(seed, rows=64, discount=batch.discount, latent=latent, reward=reward)],
            train_actor=seed >= 50,
        )
    policy = learner.policy()
    policy.load_weights(learner.weights(), version=1)
    assert good_plans(policy, explore=False) > 0.9
    assert good_plans(policy, explore=True) > 0.9
