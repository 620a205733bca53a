"""Opening is the last element of the observation; every number here is worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import GRIPPER, JOINT_POSITION, ActionSpec, ObservationSpec, VectorSpec
from robot_rl.core.types import Observation
from robot_rl.learning.critic_step import Encoded
from robot_rl.learning.grasp_critic import GraspCritic, GraspCriticConfig
from robot_rl.learning.rlpd import RlpdConfig
from robot_rl.networks.grasp_q import CLOSE, HOLD, OPEN, GraspQ

ROWS = 16
WIDE, NARROW = 0.08, 0.01
"""Openings on either side of what counts as open, 0.05 m."""


@pytest.fixture
def gripper_base(base) -> SimpleNamespace:
    """A robot of one motion and a gripper, that sees two joints and the opening."""
    observation = ObservationSpec(
        vectors={
            JOINT_POSITION: VectorSpec(names=("q0", "q1"), unit="rad"),
            GRIPPER: VectorSpec(names=("opening",), unit="m"),
        }
    )
    action = ActionSpec(kind="tcp_delta", names=("x", "gripper"), scale=(0.1, 1.0), period_s=0.05)
    return SimpleNamespace(observation=observation, action=action, normaliser=base.normaliser)


def settings(**changes) -> GraspCriticConfig:
    return GraspCriticConfig(**{"open_m": 0.05, **changes})


@pytest.fixture
def build(gripper_base):
    def build(seed=0, grasp=None, **changes):
        config = RlpdConfig(
            **{"hidden": (16, 16), "heads": 3, "grasp": grasp or settings(), **changes}
        )
        return config.build(gripper_base, seed)

    return build


def constant(network: GraspQ, *q: float) -> None:
    """Let a network say the same of every observation."""
    for parameter in network.parameters():
        parameter.data.zero_()
    network.mlp.layers[-1].bias.data.copy_(torch.tensor(q))


def make_critic(ceiling=None, **changes) -> GraspCritic:
    torch.manual_seed(0)
    network = GraspQ(3, (8,))
    return GraspCritic(
        settings(**changes), network, opening=2, max_grad_norm=10.0, ceiling=ceiling
    )


def encoded(rows: int) -> Encoded:
    features = torch.zeros(rows, 3)
    return Encoded(now=features, next_target=features)


def with_column(columns: torch.Tensor, values) -> torch.Tensor:
    """The same columns with other values in the last."""
    return torch.cat([columns[:, :-1], torch.as_tensor(values)[:, None]], dim=1)


def test_executed_values_count_as_commands_beyond_the_threshold():
    values = torch.tensor([-1.0, -0.51, -0.5, 0.0, 0.5, 0.51, 1.0])
    action = with_column(torch.zeros(7, 2), values)
    expected = [CLOSE, CLOSE, HOLD, HOLD, HOLD, OPEN, OPEN]
    assert make_critic().commands(action).tolist() == expected
    # A robot that obeys every sign.
    expected = [CLOSE, CLOSE, CLOSE, HOLD, OPEN, OPEN, OPEN]
    assert make_critic(threshold=0.0).commands(action).tolist() == expected


def test_closing_what_is_open_and_opening_what_is_closed_toggles_and_nothing_else_does():
    commands = torch.tensor([CLOSE, HOLD, OPEN, CLOSE, HOLD, OPEN, OPEN])
    # The last is exactly at the bound: not above it, so closed.
    opening = [WIDE, WIDE, WIDE, NARROW, NARROW, NARROW, 0.05]
    toggles = make_critic().toggles(commands, with_column(torch.zeros(7, 3), opening))
    assert toggles.tolist() == [True, False, False, False, False, True, True]


def test_the_live_network_chooses_and_the_target_network_values(make_batch):
    critic = make_critic()
    constant(critic.live, 1.0, 3.0, 2.0)
    constant(critic.target, 10.0, 20.0, 30.0)
    batch = make_batch(rows=2, reward=torch.ones(2), discount=torch.tensor([0.5, 0.0]))
    y = critic.td_target(encoded(2), batch, torch.tensor([True, False]))
    # Hold is chosen by 3 and worth 20, though open would be worth 30:
    # 1 - 0.02 + 0.5 * 20, and of what terminated the reward alone.
    assert y.tolist() == pytest.approx([10.98, 1.0])


def test_a_target_stays_below_what_can_be_had_and_may_fall_by_the_penalty(make_batch):
    critic = make_critic(ceiling=1.0, penalty=-0.5)
    constant(critic.live, 0.0, 0.0, 0.0)
    constant(critic.target, 9.0, 9.0, 9.0)
    batch = make_batch(rows=2, reward=torch.zeros(2), discount=torch.tensor([0.9, 0.0]))
    assert critic.td_target(encoded(2), batch, torch.tensor([True, True])).tolist() == [1.0, -0.5]


def test_a_penalty_is_not_dropped_at_one_update_a_cycle(build, make_batch):
    learner = build(grasp=settings(penalty=-0.5, learning_rate=1e-2))
    batch = make_batch(
        observation=with_column(torch.zeros(ROWS, 3), torch.full((ROWS,), WIDE)),
        action=with_column(torch.zeros(ROWS, 2), torch.full((ROWS,), -1.0)),
        reward=torch.zeros(ROWS),
        discount=torch.zeros(ROWS),
    )
    for _ in range(150):
        metrics = learner.update([batch])
    assert metrics["grasp_toggled"] == 1.0
    assert metrics["grasp_q_mean"] == pytest.approx(-0.5, abs=0.02)


@pytest.mark.parametrize("train_actor", [True, False])
def test_it_learns_at_every_critic_step(build, make_batch, train_actor):
    learner = build()
    learner.update([make_batch(seed) for seed in range(3)], train_actor=train_actor)
    assert learner.state_dict()["grasp.adam.0.step"].item() == 3.0


def test_the_target_follows_by_tau(build, make_batch):
    learner = build(grasp=settings(tau=0.25))
    before = learner.state_dict()["grasp.target.mlp.layers.0.weight"]
    learner.update([make_batch()])
    state = learner.state_dict()
    expected = 0.75 * before + 0.25 * state["actor.grasp.mlp.layers.0.weight"]
    torch.testing.assert_close(state["grasp.target.mlp.layers.0.weight"], expected)


def test_the_other_critics_see_nothing_of_the_gripper(build, make_batch):
    found = []
    for value in (-1.0, 1.0):
        batch = make_batch()
        batch = make_batch(action=with_column(batch.action, torch.full((ROWS,), value)))
        found.append(build().update([batch]))
    for name in ("critic_loss", "q_mean", "actor_loss", "entropy"):
        assert found[0][name] == found[1][name]
    assert found[0]["grasp_loss"] != found[1]["grasp_loss"]


def test_a_batch_that_is_not_finite_changes_nothing_of_it(build, make_batch):
    learner = build()
    before = {k: v for k, v in learner.state_dict().items() if "grasp" in k and "skip" not in k}
    learner.update([make_batch(reward=torch.full((ROWS,), torch.nan))])
    after = learner.state_dict()
    assert all(torch.equal(v, after[k]) for k, v in before.items())
    assert after["grasp.adam.skipped"].item() == 1


def test_resume_is_bit_identical_with_it(build, make_batch):
    batches = [make_batch(seed) for seed in range(4)]
    learner = build(seed=1)
    learner.update(batches)
    resumed = build(seed=2)
    resumed.load_state_dict(learner.state_dict())
    for _ in range(20):
        assert learner.update(batches[:2]) == resumed.update(batches[:2])
    one, two = learner.state_dict(), resumed.state_dict()
    assert all(torch.equal(one[k], two[k]) for k in one)


def test_it_asks_for_windows_of_one_step(build):
    assert build().needs.n_step == 1


def seen() -> Observation:
    vectors = {JOINT_POSITION: np.float32([0.1, 0.2]), GRIPPER: np.float32([WIDE])}
    return Observation(stamp_ns=0, vectors=vectors)


@pytest.mark.parametrize(("q", "command"), [((3, 2, 1), -1), ((1, 3, 2), 0), ((1, 2, 3), 1)])
def test_the_policy_gives_the_command_of_the_largest_q(build, q, command):
    learner = build()
    constant(learner.actor.grasp, *q)
    action = learner.policy().propose(seen(), np.zeros(2, np.float32), explore=False)
    assert action.dtype == np.float32
    assert action.shape == (2,)
    assert action[1] == command
    # The rest is the actor's.
    with torch.no_grad():
        mean = learner.actor(torch.tensor([[0.1, 0.2, WIDE]]))[0]
    assert action[0] == pytest.approx(torch.tanh(mean).item(), abs=1e-5)


def test_exploring_commands_are_random_as_often_as_asked_for(build):
    learner = build(grasp=settings(epsilon=0.3))
    constant(learner.actor.grasp, 0.0, 1.0, 0.0)
    policy = learner.policy()
    commands = [policy.propose(seen(), np.zeros(2), explore=True)[1] for _ in range(2000)]
    # A third of the random ones is the hold that would have been given anyway.
    for command, share in ((-1, 0.1), (0, 0.8), (1, 0.1)):
        assert np.mean(np.equal(commands, command)) == pytest.approx(share, abs=0.03)


def test_learned_weights_bring_the_gripper_along(build, make_batch):
    learner = build()
    policy = learner.policy()
    constant(learner.actor.grasp, 0.0, 0.0, 1.0)
    policy.load_weights(learner.weights(), version=1)
    assert policy.propose(seen(), np.zeros(2, np.float32), explore=False)[1] == 1.0


def test_a_task_without_a_gripper_is_refused(base):
    with pytest.raises(ConfigError, match="last action element is 'b', expected 'gripper'"):
        RlpdConfig(grasp=settings()).build(base, 0)


def test_a_gripper_that_nobody_sees_is_refused(base, gripper_base):
    gripper_base.observation = base.observation
    with pytest.raises(ConfigError, match=r"expected the vector 'observation\.gripper'"):
        RlpdConfig(grasp=settings()).build(gripper_base, 0)
