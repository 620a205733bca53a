from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from robot_rl.control.chunking.planner import PlanContext
from robot_rl.control.chunking.thread_planner import ThreadPlanner
from robot_rl.core.errors import ConfigError
from robot_rl.networks.denoiser import MlpDenoiserConfig
from robot_rl.policies.chunk_policy import ChunkPolicy, ChunkPolicyConfig
from robot_rl.policies.realtime import RealtimePolicy
from robot_rl.policies.sampler.ddim import DdimConfig
from robot_rl.policies.sampler.flow import FlowConfig
from robot_rl.policies.sampler.one_step import OneStepConfig
from robot_rl.policies.sampler.regression import RegressionConfig

SAMPLERS = {
    "ddim, sample": DdimConfig(),
    "ddim, epsilon": DdimConfig(prediction="epsilon"),
    "flow": FlowConfig(),
}


@pytest.fixture
def build(observation_spec, action_spec, normaliser):
    def make(sampler) -> ChunkPolicy:
        config = ChunkPolicyConfig(
            horizon=8,
            execute=4,
            network=MlpDenoiserConfig(hidden=(32,), embedding=8),
            sampler=sampler,
        )
        return ChunkPolicy(config, observation_spec, action_spec, normaliser, seed=1)

    return make


def context(ahead: np.ndarray, frozen: int) -> PlanContext:
    return PlanContext(ahead=ahead.astype(np.float32), frozen=frozen)


NOTHING = context(np.zeros((0, 0)), 0)


@pytest.mark.parametrize("name", SAMPLERS)
def test_with_nothing_in_play_it_plans_as_its_base(build, name, observation):
    base, policy = build(SAMPLERS[name]), RealtimePolicy(build(SAMPLERS[name]), most=5.0)
    base.reset(7)
    policy.reset(7)
    for _ in range(2):
        one, other = base.act(observation), policy.act(observation, NOTHING)
        assert np.array_equal(one.values, other.values)
        assert (one.start_ns, one.dt_s) == (other.start_ns, other.dt_s)
    assert policy.fingerprint == base.fingerprint


@pytest.mark.parametrize("name", SAMPLERS)
def test_plans_are_drawn_towards_what_is_in_play(build, name, observation):
    base = build(SAMPLERS[name])
    ahead = np.tile(np.float32([0.6, -0.4]), (5, 1))
    base.reset(3)
    free = base.act(observation).values
    policy = RealtimePolicy(base, most=5.0)
    policy.reset(3)
    chunk = policy.act(observation, context(ahead, 3))
    assert chunk.values.dtype == np.float32
    assert chunk.start_ns == observation.stamp_ns
    assert np.abs(chunk.values).max() <= 1.0
    gaps = [np.abs(values[:3] - ahead[:3]).mean() for values in (free, chunk.values)]
    # By how much depends on the network; this one has learnt nothing.
    assert gaps[1] < 0.95 * gaps[0]


def test_equal_seeds_and_contexts_plan_alike(build, observation):
    policy, ahead = RealtimePolicy(build(FlowConfig()), most=5.0), np.full((5, 2), 0.3)
    plans = []
    for _ in range(2):
        policy.reset(5)
        plans.append(policy.act(observation, context(ahead, 2)).values)
    assert np.array_equal(*plans)


def test_planning_leaves_the_weights_and_the_callers_gradient_mode_alone(build, observation):
    base = build(FlowConfig())
    before = base.fingerprint
    RealtimePolicy(base, most=5.0).act(observation, context(np.full((5, 2), 0.3), 2))
    assert torch.is_grad_enabled()
    assert base._fingerprint() == before
    assert not any(p.requires_grad or p.grad is not None for p in base.model.parameters())


def test_it_plans_in_a_thread_of_its_own(build, observation):
    policy, ahead = RealtimePolicy(build(FlowConfig()), most=5.0), np.full((5, 2), 0.3)
    policy.reset(5)
    expected = policy.act(observation, context(ahead, 2)).values
    planner = ThreadPlanner(policy)
    planner.reset(5)
    planner.start(observation, context(ahead, 2))
    deadline_s = time.monotonic() + 60
    while (chunk := planner.poll()) is None and time.monotonic() < deadline_s:
        time.sleep(0.001)
    assert chunk is not None
    assert np.array_equal(chunk.values, expected)


@pytest.mark.parametrize("sampler", [RegressionConfig(), OneStepConfig()])
def test_a_base_that_plans_with_one_call_is_refused_before_the_arm_moves(build, sampler):
    with pytest.raises(ConfigError, match=r"chunking\.mode to trim or ensemble"):
        RealtimePolicy(build(sampler), most=5.0)
