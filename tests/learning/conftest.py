from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from robot_rl.core.spec import JOINT_POSITION, ActionSpec, ObservationSpec, VectorSpec
from robot_rl.data.normaliser import Normaliser
from robot_rl.data.replay.batch import Batch

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
        }
        return Batch(**{**columns, **changes})

    return make_batch
