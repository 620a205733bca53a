from types import SimpleNamespace

import numpy as np
import pytest
import torch

from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import JOINT_POSITION, ActionSpec, ObservationSpec, VectorSpec
from robot_rl.core.types import Observation
from robot_rl.learning.residual_td3 import ResidualTd3, ResidualTd3Config


@pytest.fixture
def build(base):
    def build(seed=0, **changes) -> ResidualTd3:
        config = ResidualTd3Config(**{"hidden": (16, 16), "heads": 3, **changes})
        return config.build(base, seed)

    return build


def td_target(learner: ResidualTd3, batch, heads_seed: int = 0) -> torch.Tensor:
    features = learner.actor.encoder(batch.next_observation)
    action = learner.target_action(features, batch.next_base_action)
    generator = torch.Generator().manual_seed(heads_seed)
    return learner.critics.td_target(features, action, batch, generator)


def spread_actor(learner: ResidualTd3) -> None:
    """Give live and target actor a residual that is not zero."""
    torch.manual_seed(0)
    for actor in (learner.actor, learner.actor_target):
        torch.nn.init.normal_(actor.mlp.layers[-1].weight)


def test_the_target_is_reward_plus_discount_times_the_minimum_of_two_heads(build, make_batch):
    learner = build(heads=2, target_noise_std=0.0)
    # With all weights 0 a head returns the bias of its last layer: 3 and 5.
    for parameter in learner.critics.target.parameters():
        parameter.zero_()
    learner.critics.target.biases[-1].copy_(torch.tensor([3.0, 5.0]).view(2, 1, 1))
    batch = make_batch(reward=torch.full((16,), 0.5), discount=torch.full((16,), 0.81))
    # 0.5 + 0.81 * 3 = 2.93
    torch.testing.assert_close(td_target(learner, batch), torch.full((16,), 2.93))


def test_terminated_rows_do_not_bootstrap_and_truncated_rows_do(build, make_batch):
    learner = build(heads=2)
    discount = torch.full((16,), 0.9)
    discount[:8] = 0.0
    y = td_target(learner, make_batch(discount=discount))
    reward = make_batch().reward
    assert torch.equal(y[:8], reward[:8])
    assert (y[8:] != reward[8:]).all()


def test_the_target_uses_the_base_action_at_the_next_observation(build, make_batch):
    batch = make_batch()
    swapped = make_batch(base_action=batch.next_base_action, next_base_action=batch.base_action)
    moved_base = make_batch(base_action=-batch.base_action)
    one, two, three = (td_target(build(), b) for b in (batch, swapped, moved_base))
    assert not torch.allclose(one, two)
    assert torch.equal(one, three)


def test_the_target_action_is_the_next_base_action_while_the_residual_is_zero(build, make_batch):
    learner = build(target_noise_std=0.0)
    base = make_batch().next_base_action
    action = learner.target_action(learner.actor.encoder(make_batch().next_observation), base)
    assert torch.equal(action, base)


def test_the_target_action_stays_within_the_scale_of_the_base_and_within_range(build, make_batch):
    learner = build(residual_scale=(0.1, 0.2), target_noise_std=10.0, target_noise_clip=0.3)
    spread_actor(learner)
    batch = make_batch(rows=500)
    action = learner.target_action(
        learner.actor.encoder(batch.next_observation), batch.next_base_action
    )
    offset = (action - batch.next_base_action).abs().amax(0)
    assert offset.tolist() == pytest.approx([0.1, 0.2], abs=1e-6)
    assert action.abs().max() <= 1.0


def test_the_critic_sees_the_executed_action_and_never_the_residual_alone(build, make_batch):
    seen = []
    batch = make_batch()
    learner = build()
    spread_actor(learner)
    learner.critics.critic.register_forward_pre_hook(lambda _, x: seen.append(x[0].detach()))
    encoder, actor = learner.actor.encoder, learner.actor
    features = encoder(batch.observation)
    combined = (batch.base_action + actor(features, batch.base_action)).clamp(-1.0, 1.0)
    learner.update([batch])
    critic_input, actor_input = seen
    torch.testing.assert_close(critic_input, torch.cat([features, batch.action], -1))
    torch.testing.assert_close(actor_input, torch.cat([features, combined.detach()], -1))


def test_proposed_actions_are_not_learned_from(build, make_batch):
    one, two = build(), build()
    assert one.update([make_batch()]) == two.update(
        [make_batch(proposed_action=torch.ones(16, 2))]
    )


def test_the_human_loss_is_the_distance_to_the_shown_residual_within_the_bound(build, make_batch):
    human = torch.zeros(16, dtype=torch.bool)
    human[:2] = True
    action = torch.zeros(16, 2)
    action[0] = torch.tensor([0.1, 0.0])
    action[1] = torch.tensor([0.9, 0.0])
    batch = make_batch(human=human, action=action, base_action=torch.zeros(16, 2))
    # The residual is 0: row 0 is off by 0.1, row 1 by 0.9 clipped to 0.2, each over 2 elements:
    # (0.01 / 2 + 0.04 / 2) / 2 = 0.0125.
    metrics = build(residual_scale=0.2).update([batch])
    assert metrics["human_loss"] == pytest.approx(0.0125, abs=1e-6)


def test_without_human_rows_the_human_weight_changes_nothing(build, make_batch):
    results = [build(human_weight=w).update([make_batch()]) for w in (0.0, 100.0)]
    assert results[0]["human_loss"] == 0.0
    assert results[0] == results[1]


def test_the_residual_follows_a_persons_corrections(build, make_batch):
    learner = build(human_weight=100.0, actor_lr=3e-3, residual_scale=0.2)
    for seed in range(150):
        batch = make_batch(seed, human=torch.ones(16, dtype=torch.bool))
        shown = (batch.base_action * 0.5).clamp(-0.5, 0.5)
        learner.update(
            [
                make_batch(
                    seed,
                    human=batch.human,
                    base_action=shown,
                    action=shown + torch.tensor([0.1, -0.1]),
                )
            ]
        )
    residual = learner.actor(torch.zeros(1, 3), torch.zeros(1, 2))[0]
    assert residual.tolist() == pytest.approx([0.1, -0.1], abs=0.04)


def test_the_penalty_counts_the_mean_squared_residual(build, make_batch):
    plain, penalised = build(), build(residual_penalty=10.0)
    for learner in (plain, penalised):
        spread_actor(learner)
    batch = make_batch()
    with torch.no_grad():
        residual = plain.actor(plain.actor.encoder(batch.observation), batch.base_action)
    difference = penalised.update([batch])["actor_loss"] - plain.update([batch])["actor_loss"]
    assert difference == pytest.approx(10.0 * residual.square().mean().item(), rel=1e-4)


def test_the_minimum_of_two_heads_is_what_the_actor_may_maximise(build, make_batch):
    batch = make_batch()
    results = {o: build(heads=2, actor_objective=o).update([batch]) for o in ("mean", "min")}
    assert results["min"]["actor_loss"] > results["mean"]["actor_loss"]


@pytest.mark.parametrize("scale", [0.0, -0.1, 2.5, (0.1, 0.2, 0.3)])
def test_a_scale_that_makes_no_sense_is_refused(build, scale):
    with pytest.raises(ConfigError, match="residual_scale: got"):
        build(residual_scale=scale)


def test_the_residual_moves_towards_the_better_action(make_batch, normaliser):
    """A one-dimensional bandit: reward -(a - 0.15)^2 on top of a base that always does 0."""
    spec = ObservationSpec(
        vectors={JOINT_POSITION: VectorSpec(names=("q0", "q1", "q2"), unit="rad")}
    )
    action_spec = ActionSpec(kind="joint_delta", names=("a",), scale=(0.1,), period_s=0.05)
    config = ResidualTd3Config(
        hidden=(32, 32), heads=3, residual_scale=0.2, critic_lr=3e-3, actor_lr=3e-3, tau=0.05
    )
    learner = config.build(
        SimpleNamespace(observation=spec, action=action_spec, normaliser=normaliser), 0
    )
    zeros = torch.zeros(64, 1)
    for seed in range(300):
        action = 0.3 * (torch.rand(64, 1, generator=torch.Generator().manual_seed(seed)) * 2 - 1)
        batch = make_batch(
            seed,
            rows=64,
            action=action,
            base_action=zeros,
            next_base_action=zeros,
            reward=-10.0 * (action[:, 0] - 0.15).square(),
            discount=torch.zeros(64),
        )
        learner.update([batch], train_actor=seed >= 100)
    policy = learner.policy()
    observation = Observation(stamp_ns=0, vectors={JOINT_POSITION: np.zeros(3, np.float32)})
    proposed = policy.propose(observation, np.zeros(1, np.float32), explore=False)
    assert proposed[0] == pytest.approx(0.15, abs=0.04)
