from __future__ import annotations

from itertools import pairwise

import cartesian
import numpy as np
import pytest
from cartesian_rig import HOME, ServoArm, new_ik, servo_model

from robot_rl.core.geometry import pose_minus_pose, pose_plus_delta


def rows(**changes: object) -> list[dict]:
    """All good, unless changed by `<row>: {key: value}`."""
    good = {
        "call, CPU time": {"p50": 0.2, "p99": 0.4},
        "regular: off the path": {"held": 1.0},
        "regular: joint speed": {"max": 0.5},
        "singular: joint speed": {"max": 1.0},
        "servo arm: off the line": {"p99": 0.1},
        "contact, 2000 N/m: force": {"over": 0.1, "error_n": 0.2},
        "contact, rigid: force": {"over": 0.0, "error_n": 0.1},
    }
    return [{"name": name} | row | changes.get(name, {}) for name, row in good.items()]


def test_all_claims_hold_of_good_figures_and_one_falls_with_each_bad_one():
    assert all(claim.holds for claim in cartesian.claims(rows()))
    for name, key, value in (
        ("call, CPU time", "p50", 0.51),
        ("call, CPU time", "p99", 0.51),
        ("regular: off the path", "held", 0.98),
        ("singular: joint speed", "max", 1.001),
        ("servo arm: off the line", "p99", 1.1),
        ("contact, rigid: force", "over", 0.21),
        ("contact, 2000 N/m: force", "error_n", 0.6),
    ):
        found = cartesian.claims(rows(**{name: {key: value}}))
        assert [claim.holds for claim in found].count(False) == 1


def test_a_line_goes_by_its_corners_no_faster_than_asked():
    start = np.array([0.4, 0, 0.4, 1, 0, 0, 0])
    corners = [
        pose_plus_delta(start, np.array([0.05, 0, 0, 0, 0, 0.4])),
        pose_plus_delta(start, np.array([0.05, 0.1, 0, 0, 0, 0])),
    ]
    targets = [start, *cartesian.line(start, corners)]
    steps = np.array([pose_minus_pose(b, a) for a, b in pairwise(targets)])
    # 0.8 of 0.25 m/s and of 1.5 rad/s, for 20 ms.
    assert np.linalg.norm(steps[:, :3], axis=1).max() <= 0.004 + 1e-9
    assert np.linalg.norm(steps[:, 3:], axis=1).max() <= 0.024 + 1e-9
    assert min(np.abs(pose_minus_pose(corners[0], t)).max() for t in targets) < 1e-9
    np.testing.assert_allclose(targets[-1], corners[1], atol=1e-9)


def test_singular_configurations_are_worse_than_regular_ones():
    rng = np.random.default_rng(0)
    arm = ServoArm(servo_model())

    def worst(**kind: bool) -> float:
        values = []
        for q in cartesian.draw_configurations(rng, count=5, **kind):
            arm.data.qpos[:7] = q
            values.append(cartesian.singular_value(arm.jacobian()))
        return max(values) if kind["singular"] else min(values)

    assert worst(singular=True) < 0.5 * worst(singular=False)


def test_a_walk_on_a_short_line_is_held():
    ik = new_ik(cartesian.PATH_PERIOD_S)
    corner = pose_plus_delta(ik.tcp_pose(HOME), np.array([0.02, 0.01, 0, 0, 0, 0.1]))
    found = cartesian.walk(ik, HOME, [corner])
    assert found.off_m.max() < 1e-3
    assert found.share_of_speed < 1.0


@pytest.mark.sim
def test_a_soft_plate_is_pressed_with_the_force_asked_for():
    row = cartesian.measure_contact("soft", 2e3, seconds=2.5)
    assert row["p50"] == pytest.approx(cartesian.PRESS_N, abs=0.5)
    assert row["over"] < 0.2


@pytest.mark.sim
def test_the_tool_of_a_servo_arm_stays_on_its_line():
    off, behind = cartesian.measure_servo_arm(1)
    assert off["max"] < 1.0
    assert 0.0 < behind["max"] < 10.0
