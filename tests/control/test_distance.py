"""How bodies are kept apart: an arm of one joint, 1 m long, that turns towards a wall."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from robot_rl.control.clearance import Clearance
from robot_rl.core.types import GateReason

LEFT = (0, 1, 0, 0, 0, 0.2)
"""0.1 rad of the joint, and 0.1 m of the tool along y."""


class Wall:
    """Stands `away_m` from the tool at q = 0, measured along the tool's way."""

    def __init__(self, away_m):
        self.away_m = away_m
        self.asked_m = -inf

    def near(self, q, within_m):
        self.asked_m = within_m
        distance_m = self.away_m - q[0]
        if distance_m >= within_m:
            return []
        return [Clearance(pair="tool and wall", distance_m=distance_m, gradient=(-1.0,))]


@pytest.fixture
def rig_at(make_rig, one_joint):
    def make(away_m, kind="tcp_delta", **limits):
        wall = Wall(away_m)
        return make_rig(
            kind, chain=one_joint, collision=wall, min_distance_m=0.02, joints=1, **limits
        )

    return make


def test_wall_is_approached_down_to_the_least_distance(rig_at):
    rig = rig_at(0.05)
    safe = rig.check(*LEFT)
    np.testing.assert_allclose(safe.values, [0, 0.03, 0, 0, 0, 0.03], rtol=1e-3, atol=1e-9)
    assert safe.reason == GateReason.COLLISION


def test_wall_is_approached_at_braking_speed_with_some_room_for_curvature(rig_at):
    # 0.03 m of room and 1 m/s^2 to brake with: x now and x - 0.01 next, a quarter of which is
    # left over: x + 1.25 (x - 0.01) = 0.03.
    rig = rig_at(0.05, max_tcp_acceleration_m_s2=1.0, max_tcp_angular_acceleration_rad_s2=1.0)
    steps = [rig.check(*LEFT).values[1] for _ in range(4)]
    np.testing.assert_allclose(steps, [0.01, 0.0425 / 2.25] + [0.0425 / 2.25] * 2, rtol=1e-3)


@pytest.mark.parametrize("away_m", [0.02, 0.01, -0.01])
def test_only_motion_that_opens_is_let_through_at_the_least_distance(rig_at, away_m):
    rig = rig_at(away_m)
    np.testing.assert_allclose(rig.check(*LEFT).values, np.zeros(6), atol=1e-9)
    assert not rig.check(*(-x for x in LEFT)).changed


def test_wall_far_away_changes_nothing(rig_at):
    assert not rig_at(5.0).check(*LEFT).changed


def test_joint_deltas_are_kept_off_the_wall_as_well(rig_at):
    rig = rig_at(0.05, kind="joint_delta")
    safe = rig.check(1)
    np.testing.assert_allclose(safe.values, [0.03], rtol=1e-5)
    assert safe.reason == GateReason.COLLISION


def test_what_is_asked_for_is_as_far_as_a_link_could_get(make_rig, one_joint):
    # At rest after (0.1 + 0.08 + ... + 0.02) m; a link may be four times as fast as the tool.
    wall = Wall(9.0)
    limits = {"max_tcp_speed_m_s": 1.0, "max_tcp_acceleration_m_s2": 2.0}
    make_rig(chain=one_joint, collision=wall, min_distance_m=0.02, **limits).check(*LEFT)
    assert wall.asked_m == pytest.approx(0.02 + 4 * 0.3)
