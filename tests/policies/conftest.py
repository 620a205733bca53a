import numpy as np
import pytest

from robot_rl.core.spec import JOINT_POSITION, TCP_TWIST, ActionSpec, ObservationSpec, VectorSpec
from robot_rl.core.types import Observation
from robot_rl.data.normaliser import Normaliser


@pytest.fixture
def observation_spec() -> ObservationSpec:
    return ObservationSpec(
        vectors={
            JOINT_POSITION: VectorSpec(names=("q0", "q1", "q2"), unit="rad"),
            TCP_TWIST: VectorSpec(names=("vx", "vy"), unit="m/s", frame="base"),
        }
    )


@pytest.fixture
def action_spec() -> ActionSpec:
    return ActionSpec(kind="joint_delta", names=("a", "b"), scale=(0.1, 0.2), period_s=0.05)


@pytest.fixture
def normaliser() -> Normaliser:
    return Normaliser(
        offset=np.float32([0.1, 0.2, 0.3, 0.0, 0.0]), scale=np.float32([1, 2, 0.5, 1, 3])
    )


@pytest.fixture
def observation() -> Observation:
    rng = np.random.default_rng(0)
    return Observation(
        stamp_ns=123,
        vectors={
            JOINT_POSITION: rng.standard_normal(3, np.float32),
            TCP_TWIST: rng.standard_normal(2, np.float32),
        },
    )
