from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from robot_rl.core.spec import JOINT_POSITION, ActionSpec, ObservationSpec, VectorSpec
from robot_rl.core.types import Observation
from robot_rl.data.normaliser import Normaliser
from robot_rl.data.replay.batch import Batch
from robot_rl.networks.denoiser import MlpDenoiserConfig
from robot_rl.policies.chunk_policy import ChunkPolicy, ChunkPolicyConfig
from robot_rl.policies.sampler.ddim import DdimConfig

ROWS, INPUTS, ACTIONS = 16, 3, 2


@pytest.fixture
def observation_spec() -> ObservationSpec:
    return ObservationSpec(
        vectors={JOINT_POSITION: VectorSpec(names=("q0", "q1", "q2"), unit="rad")}
    )


@pytest.fixture
def action_spec() -> ActionSpec:
    return ActionSpec(kind="joint_delta", names=("a", "b"), scale=(0.1, 0.1), period_s=0.05)


@pytest.fixture
def normaliser() -> Normaliser:
    return Normaliser(offset=np.zeros(INPUTS, np.float32), scale=np.ones(INPUTS, np.float32))


@pytest.fixture
def base(observation_spec, action_spec, normaliser) -> SimpleNamespace:
    """What a learner builds upon, without a policy."""
    return SimpleNamespace(observation=observation_spec, action=action_spec, normaliser=normaliser)


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    def make_batch(seed: int = 0, rows: int = ROWS, **changes: Any) -> Batch:
        generator = torch.Generator().manual_seed(seed)

        def uniform(*shape: int) -> torch.Tensor:
            return torch.rand(*shape, generator=generator) * 2.0 - 1.0

        columns: dict[str, Any] = {
            "observation": uniform(rows, INPUTS),
            "next_observation": uniform(rows, INPUTS),
            "images": {},
            "next_images": {},
            "action": uniform(rows, ACTIONS),
            "base_action": uniform(rows, ACTIONS),
            "next_base_action": uniform(rows, ACTIONS),
            "proposed_action": uniform(rows, ACTIONS),
            "reward": uniform(rows),
            "discount": torch.full((rows,), 0.9),
            "human": torch.zeros(rows, dtype=torch.bool),
            "offline": torch.arange(rows) < rows // 2,
            "steps": torch.ones(rows, dtype=torch.int64),
        }
        columns |= changes
        # Windows of one step, planned from noise that equals the action.
        noise_and_chunk = {"latent": columns["action"], "actions": columns["action"][:, None]}
        return Batch(**{**noise_and_chunk, **columns})

    return make_batch


@pytest.fixture
def steerable_base(observation_spec, action_spec, normaliser) -> ChunkPolicy:
    """An untrained base policy that plays one action of a plan."""
    config = ChunkPolicyConfig(
        horizon=2,
        execute=1,
        network=MlpDenoiserConfig(hidden=(16,)),
        sampler=DdimConfig(train_steps=10, inference_steps=2),
    )
    return config.build(observation_spec, action_spec, normaliser)


@pytest.fixture
def make_steerable(base) -> Callable[..., SimpleNamespace]:
    """Base policies of known arithmetic; by default a plan is the tanh of its noise."""

    def make_steerable(
        horizon: int = 2,
        execute: int = 1,
        vision: object | None = None,
        steerable: bool = True,
        plan: Callable[..., torch.Tensor] = lambda o, images, noise: torch.tanh(noise),
    ) -> SimpleNamespace:
        return SimpleNamespace(
            **vars(base),
            execute=execute,
            noise_shape=(horizon, base.action.size),
            sees_images=vision is not None,
            steerable=steerable,
            plan=plan,
        )

    return make_steerable


@pytest.fixture
def two_modes(make_steerable) -> SimpleNamespace:
    """A base policy that goes to -1 or to 1 with equal odds, in each element."""
    return make_steerable(plan=lambda o, images, noise: torch.tanh(4.0 * noise))


@pytest.fixture
def good_plans() -> Callable[..., float]:
    """How often the first action element has the sign of the first observation element."""

    def good_plans(policy: Any, *, explore: bool, count: int = 200) -> float:
        policy.reset(0)
        rng = np.random.default_rng(0)
        good = 0
        for _ in range(count):
            seen = rng.uniform(-1, 1, INPUTS).astype(np.float32)
            observation = Observation(stamp_ns=0, vectors={JOINT_POSITION: seen})
            action = policy.propose(observation, np.zeros(ACTIONS, np.float32), explore=explore)
            good += action[0] * seen[0] > 0
        return good / count

    return good_plans
