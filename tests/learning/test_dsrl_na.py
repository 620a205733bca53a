import pytest
import torch

from robot_rl.core.errors import ConfigError
from robot_rl.learning.dsrl_na import DsrlNa, DsrlNaConfig

ROWS = 16


@pytest.fixture
def build(steerable_base):
    def build(seed=0, base=steerable_base, **changes) -> DsrlNa:
        settings = {"hidden": (16, 16), "heads": 2, "noise_rows": 1, "distill_steps": 2, **changes}
        return DsrlNaConfig(**settings).build(base, seed)

    return build


def same(one, two) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def bandit(two_modes, make_batch, seed):
    """Return a batch of one-step episodes in which one mode of the base pays 1."""
    generator = torch.Generator().manual_seed(seed)
    observation = make_batch(seed, rows=64).observation
    noise = torch.randn(64, 1, 2, generator=generator)
    actions = two_modes.plan(observation, {}, noise)
    reward = (actions[:, 0, 0] * observation[:, 0] > 0).float()
    return make_batch(seed, rows=64, discount=torch.zeros(64), actions=actions, reward=reward)


def test_a_chunk_is_what_the_base_plays_of_its_plan(build, make_steerable):
    base = make_steerable(horizon=4, execute=2)
    learner = build(base=base, noise_rows=2)
    observation, latent = torch.rand(3, 3), torch.rand(3, 4)
    noise = latent.view(3, 2, 2).repeat_interleave(2, dim=1)
    expected = base.plan(observation, {}, noise)[:, :2].flatten(1)
    torch.testing.assert_close(learner.chunk(observation, {}, latent), expected)


def test_the_target_plans_from_the_next_observation_with_the_actors_noise(
    build, make_batch, make_steerable
):
    # A base that plays its noise, times the first element of what it sees.
    base = make_steerable(plan=lambda o, images, noise: o[:, :1, None] * noise)
    learner = build(base=base)
    linear = learner.actor.head.linear
    linear.weight.data.zero_()
    # tanh(0.5) = 0.4621 times the bound of 1.5 = 0.6932, nearly without spread.
    linear.bias.data.copy_(torch.tensor([0.5, 0.5, -20.0, -20.0]))
    seen = []
    original = learner.critics.td_target

    def spy(features, next_action, *rest):
        seen.append(next_action)
        return original(features, next_action, *rest)

    learner.critics.td_target = spy
    batch = make_batch()
    learner.update([batch], train_actor=False)
    expected = 0.6932 * batch.next_observation[:, :1].expand(-1, 2)
    torch.testing.assert_close(seen[0], expected, atol=2e-4, rtol=0)


def test_the_target_is_the_return_of_the_window_plus_the_discounted_minimum(build, make_batch):
    learner = build()
    # With all weights 0 a head returns the bias of its last layer: 3 and 5.
    for parameter in learner.critics.target.parameters():
        parameter.zero_()
    learner.critics.target.biases[-1].copy_(torch.tensor([3.0, 5.0]).view(2, 1, 1))
    # 0.5 + 0.9 * 3 = 3.2; the last rows terminated.
    discount = torch.full((ROWS,), 0.9)
    discount[8:] = 0.0
    batch = make_batch(reward=torch.full((ROWS,), 0.5), discount=discount)
    features = learner.actor.encoder(batch.next_observation)
    chunk = learner.chunk(batch.next_observation, {}, torch.zeros(ROWS, 2))
    y = learner.critics.td_target(features, chunk, batch, torch.Generator())
    torch.testing.assert_close(y, torch.tensor([3.2] * 8 + [0.5] * 8))


def test_it_needs_chunks_from_any_step(build, make_steerable):
    needs = build(base=make_steerable(horizon=8, execute=3), noise_rows=4).needs
    assert (needs.starts, needs.n_step, needs.latent_size) == ("steps", 3, 8)
    assert needs.actions
    assert needs.demonstrations


def test_what_was_executed_counts_and_not_the_noise_that_it_came_from(build, make_batch):
    batch = make_batch()
    one = build().update([batch])
    assert build().update([make_batch(latent=-batch.latent)]) == one
    assert build().update([make_batch(actions=-batch.actions)]) != one


@pytest.mark.parametrize(("discount", "counts"), [(0.9, False), (0.0, True)])
def test_windows_cut_short_count_only_where_the_episode_terminated(
    build, make_batch, make_steerable, discount, counts
):
    base, short = make_steerable(execute=2), torch.arange(ROWS) < 4
    columns = {
        "actions": torch.rand(ROWS, 2, 2),
        "steps": torch.where(short, 1, 2),
        "discount": torch.where(short, discount, 0.81),
    }
    batch = make_batch(**columns)
    paid = make_batch(**columns, reward=torch.where(short, 100.0, batch.reward))
    one, two = (build(base=base).update([b]) for b in (batch, paid))
    assert (one != two) == counts


def test_a_cycle_has_its_steps_of_distillation_also_in_warm_up(build, make_batch):
    learner = build(distill_steps=5)
    learner.update([make_batch(0), make_batch(1)], train_actor=False)
    state = learner.state_dict()
    assert state["noise_adam.0.step"].item() == 5.0
    assert state["critics.adam.0.step"].item() == 2.0


def test_the_noise_critics_become_the_chunk_critics_after_the_base(build, make_batch, two_modes):
    learner = build(base=two_modes, hidden=(32, 32), critic_lr=3e-3, distill_steps=4)
    for seed in range(120):
        metrics = learner.update([bandit(two_modes, make_batch, seed)], train_actor=False)
    observation = make_batch(999, rows=256).observation
    latent = torch.randn(256, 2, generator=torch.Generator().manual_seed(999))
    features = learner.actor.encoder(observation)
    with torch.no_grad():
        chunk = learner.chunk(observation, {}, latent)
        q_a = learner.critics.critic(torch.cat([features, chunk], dim=-1)).mean(0)
        q_w = learner.noise_critic(torch.cat([features, latent], dim=-1)).mean(0)
    assert q_a.std() > 0.3
    assert (q_w - q_a).abs().mean() < 0.1
    assert metrics["distill_loss"] < 0.05


@pytest.mark.parametrize(("share", "lowest", "highest"), [(0.0, 0, 0), (0.5, 70, 130)])
def test_the_actors_share_of_the_distilled_noise_is_of_online_and_offline_rows(
    build, make_batch, make_steerable, share, lowest, highest
):
    planned = []

    def plan(observation, images, noise):
        planned.append(noise[:, 0])
        return torch.tanh(noise)

    learner = build(base=make_steerable(plan=plan), actor_share=share, distill_steps=1)
    linear = learner.actor.head.linear
    linear.weight.data.zero_()
    # The actor's noise is 1.5 tanh(0.5) = 0.6932, nearly without spread.
    linear.bias.data.copy_(torch.tensor([0.5, 0.5, -20.0, -20.0]))
    learner.update([make_batch(rows=400)], train_actor=False)
    chosen = ((planned[-1] - 0.6932).abs() < 1e-3).all(dim=-1)
    for rows in (chosen[:200], chosen[200:]):
        assert lowest <= rows.sum().item() <= highest


def test_distilling_changes_no_chunk_critic_and_no_encoder(build, make_batch):
    one, two = build(distill_steps=1), build(distill_steps=6)
    for learner in (one, two):
        learner.update([make_batch()], train_actor=False)
    live = [
        {k: v for k, v in learner.state_dict().items() if k.startswith("critics.")}
        for learner in (one, two)
    ]
    assert same(*live)


def test_a_base_that_sees_keeps_the_images_as_they_are(build, make_steerable):
    blind, seeing = make_steerable(), make_steerable(vision=object())
    assert not build(base=blind).needs.images
    assert build(base=seeing).needs.images
    assert build(base=seeing).frame_encoder is None


def test_a_base_that_cannot_be_steered_is_refused(build, make_steerable):
    with pytest.raises(ConfigError, match="plans do not depend on noise"):
        build(base=make_steerable(steerable=False))


def test_it_learns_which_mode_of_the_base_is_good(build, make_batch, two_modes, good_plans):
    learner = build(
        base=two_modes, hidden=(32, 32), critic_lr=3e-3, actor_lr=3e-3, distill_steps=4
    )
    assert 0.3 < good_plans(learner.policy(), explore=True) < 0.7
    for seed in range(150):
        learner.update([bandit(two_modes, make_batch, seed)], train_actor=seed >= 50)
    policy = learner.policy()
    policy.load_weights(learner.weights(), version=1)
    assert good_plans(policy, explore=False) > 0.9
    assert good_plans(policy, explore=True) > 0.9
