"""How motion into a singularity is slowed: by hand on two equal links in the plane, then behind
the gate. The condition of the two links' Jacobian grows the more the elbow is stretched.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from robot_rl.control.kinematics import SerialChainConfig
from robot_rl.control.motion.singularity import Singularity, ratio
from robot_rl.core.types import GateReason

ELBOW = {
    "a_m": (0.0, 0.5),
    "d_m": (0.0, 0.0),
    "alpha_rad": (0.0, 0.0),
    "flange_pose": (0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
    "tcp_pose": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
}


@pytest.fixture
def chain():
    return SerialChainConfig.model_validate(ELBOW).build()


def condition(chain, q):
    return ratio(np.linalg.svd(chain.jacobian(q), compute_uv=False).tolist())


def test_ratio_is_that_of_the_greatest_to_the_least():
    assert ratio([6.0, 3.0, 2.0]) == 3.0
    assert ratio([6.0, 0.0]) == math.inf


def test_condition_of_a_stretched_elbow_is_that_of_its_two_columns(chain):
    # Columns (0, 1, 1) and (0, 0.5, 1): eigenvalues of their Gram matrix are (3.25 +- 3.17) / 2.
    columns = math.sqrt((3.25 + math.sqrt(3.25**2 - 1)) / (3.25 - math.sqrt(3.25**2 - 1)))
    assert condition(chain, [0.7, 0.0]) == pytest.approx(columns)
    assert condition(chain, [0, 1.5]) < condition(chain, [0, 0.5]) < condition(chain, [0, 0.1])


@pytest.fixture
def slowing(chain, make_rig):
    def make(slow_at, hold_at):
        limits = make_rig(slow_at_condition=slow_at, hold_at_condition=hold_at).gate.limits
        return Singularity(limits, chain)

    return make


def test_motion_inward_is_slowed_linearly_between_the_two_conditions(slowing):
    inward = [0.0, -0.01]
    singularity = slowing(2.0, 10.0)
    assert singularity.factor([0.0, 1.0], 1.9, inward) == 1.0
    assert singularity.factor([0.0, 1.0], 2.0, inward) == 1.0
    # What is compared with is the condition one period later, 5.4 and 6.3.
    assert singularity.factor([0.0, 1.0], 3.0, inward) == pytest.approx(7 / 8)
    assert singularity.factor([0.0, 0.1], 6.0, inward) == pytest.approx(4 / 8)


def test_nothing_inward_is_left_beyond_the_second(slowing, chain):
    q = [0.0, 0.05]
    singularity = slowing(2.0, 4.0)
    assert singularity.factor(q, condition(chain, q), [0.0, -0.01]) == 0.0


def test_motion_outward_and_rest_are_free_everywhere(slowing, chain):
    q = [0.0, 0.05]
    singularity = slowing(2.0, 4.0)
    assert singularity.factor(q, condition(chain, q), [0.0, 0.01]) == 1.0
    assert singularity.factor(q, condition(chain, q), [0.0, 0.0]) == 1.0


@pytest.fixture
def stretching(fr3, make_rig):
    """A rig at an arm's half-stretched elbow, the condition there, and a delta that stretches."""

    def make(slow, hold, **limits):
        q = np.array([0.1, -0.8, 0.2, -0.6, -0.1, 1.6, 0.7], np.float32)
        now = condition(fr3, q.tolist())
        rig = make_rig(
            chain=fr3,
            joints=7,
            slow_at_condition=now + slow,
            hold_at_condition=now + hold,
            **limits,
        )
        rig.q, rig.tcp = q, fr3.forward(q).astype(np.float32)
        delta = 0.02 * fr3.jacobian(q)[:, 3]
        return rig, delta / rig.gate.action.scale, delta

    return make


def test_gate_slows_the_whole_delta_and_says_why(stretching):
    # Half of the way between the two conditions.
    rig, action, delta = stretching(-2.0, 2.0)
    safe = rig.check(*action)
    np.testing.assert_allclose(safe.values, delta / 2, rtol=1e-4, atol=1e-9)
    assert safe.reason == GateReason.SINGULARITY
    assert not rig.check(*-action).changed


def test_gate_lets_the_delta_alone_below_the_first_condition(stretching):
    rig, action, _ = stretching(0.1, 2.0)
    assert not rig.check(*action).changed


def test_arm_is_braked_and_not_cut_where_nothing_inward_is_left(stretching):
    # 0.1 m/s^2 is 0.001 m less in each period.
    rig, action, delta = stretching(-2.0, -1.0, max_tcp_acceleration_m_s2=0.1)
    away = -delta[:3] / np.linalg.norm(delta[:3])
    for _ in range(3):
        rig.check(*(0.003 * away / 0.1), 0, 0, 0)
    steps = [rig.check(*action[:3], 0, 0, 0).values[:3] @ away for _ in range(4)]
    np.testing.assert_allclose(steps, [0.002, 0.001, 0.0, 0.0], atol=1e-6)
