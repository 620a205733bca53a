"""A motion of the tool becomes one of the joints, within what the joints may do."""

import mink
import mujoco
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robot_rl.control.cartesian.arm_model import ArmModel
from robot_rl.control.cartesian.avoidance import keep_apart
from robot_rl.control.cartesian.differential_ik import DifferentialIkConfig
from robot_rl.control.cartesian.refusal import RefusalKind
from robot_rl.core.errors import ConfigError
from robot_rl.core.geometry import pose_minus_pose, pose_plus_delta
from robot_rl_sim import fr3

HOME = np.array(fr3.HOME_Q)
LOWER, UPPER = np.array(fr3.JOINT_LOWER), np.array(fr3.JOINT_UPPER)
FASTEST = np.array(fr3.JOINT_VELOCITY)
PERIOD_S = 0.002
FORWARD = np.array([0.0004, 0, 0, 0, 0, 0])


def follow(ik, q, targets):
    """Drive through targets and return the joints after each, float64[t, n]."""
    way = []
    for target in targets:
        step = ik.step_towards(q, target)
        assert step.refusal is None
        q = q + step.joint_delta
        way.append(q)
    return np.array(way)


def line(start, delta, periods):
    return [pose_plus_delta(start, delta * k / periods) for k in range(1, periods + 1)]


def test_the_tool_moves_by_the_delta_that_was_asked_for(make_ik):
    ik, delta = make_ik(), np.array([0.0002, -0.0003, 0.0001, 0.001, 0.0005, -0.002])
    step = ik.step(HOME, delta)
    moved = pose_minus_pose(ik.tcp_pose(HOME + step.joint_delta), ik.tcp_pose(HOME))
    np.testing.assert_allclose(moved, delta, atol=2e-6)
    assert step.refusal is None


def test_the_error_is_what_the_tool_lacks_of_the_step(make_ik):
    ik, delta = make_ik(), np.array([0.0002, -0.0003, 0.0001, 0.001, 0.0005, -0.002])
    step = ik.step(HOME, delta)
    moved = pose_minus_pose(ik.tcp_pose(HOME + step.joint_delta), ik.tcp_pose(HOME))
    np.testing.assert_allclose(step.error, delta - moved, atol=1e-9)


def test_a_line_and_a_turn_are_followed_to_their_end(make_ik):
    ik = make_ik()
    start, delta = ik.tcp_pose(HOME), np.array([0.1, 0.15, -0.1, 0.3, -0.2, 0.5])
    targets = line(start, delta, 600)
    off = [
        pose_minus_pose(t, ik.tcp_pose(q))
        for t, q in zip(targets, follow(ik, HOME, targets), strict=True)
    ]
    assert np.abs(off).max() < 1e-5


def test_tool_speed_is_limited_along_its_direction(make_ik):
    # 0.25 m/s and 1.5 rad/s for 2 ms: 0.5 mm, 3 mrad; asked are 1 m along (3, 4) and 2 rad.
    ik = make_ik()
    step = ik.step(HOME, np.array([0.6, 0.8, 0, 0, 0, 2.0]))
    moved = pose_minus_pose(ik.tcp_pose(HOME + step.joint_delta), ik.tcp_pose(HOME))
    np.testing.assert_allclose(moved, [0.0003, 0.0004, 0, 0, 0, 0.003], atol=1e-5)
    np.testing.assert_allclose(step.error, 0.0, atol=1e-5)


def test_joint_speed_is_limited(make_ik):
    most = (0.05,) * 7
    step = make_ik(max_joint_velocity_rad_s=most).step(HOME, FORWARD)
    assert np.abs(step.joint_delta).max() == pytest.approx(0.05 * PERIOD_S)
    assert np.abs(step.error).max() > 1e-4


def test_a_joint_stops_at_its_end_no_harder_than_it_may_brake(make_ik):
    # The elbow is stretched by pulling the tool away; its end is near.
    ik = make_ik(joint_upper_rad=(*UPPER[:3], -2.3, *UPPER[4:]))
    away = ik.tcp_pose(HOME) + np.array([0.3, 0, 0.3, 0, 0, 0, 0])
    elbow = follow(ik, HOME, [away] * 1000)[:, 3]
    speed = np.diff(elbow, prepend=HOME[3]) / PERIOD_S
    assert elbow.max() <= -2.3
    assert elbow[-1] == pytest.approx(-2.3, abs=1e-4)
    # 10 rad/s^2 from the cell, down to where one period's step is left.
    assert (np.diff(speed) / PERIOD_S).min() >= -10.0 - 1e-6


def test_a_joint_beyond_its_end_may_come_back_and_not_go_on(make_ik):
    ik, q = make_ik(joint_upper_rad=(*UPPER[:3], -2.4, *UPPER[4:])), HOME
    pose = ik.tcp_pose(q)
    stretch = np.array([0.3, 0, 0.3, 0, 0, 0, 0])
    assert ik.step_towards(q, pose + stretch).joint_delta[3] <= 0.0
    assert ik.step_towards(q, pose - stretch).joint_delta[3] < -1e-4


def test_redundant_joints_drift_to_the_posture_and_the_tool_stays(make_ik):
    ik = make_ik(period_s=0.02)
    # The elbow swung aside about the line from shoulder to wrist, at the same tool pose.
    target = ik.tcp_pose(HOME)
    aside = HOME + np.array([0.3, 0, 0, 0, 0, 0, 0])
    aside = follow(ik, aside, [target] * 100)[-1]
    way = follow(ik, aside, [target] * 400)
    off = np.abs([pose_minus_pose(target, ik.tcp_pose(q)) for q in way])
    np.testing.assert_allclose(way[-1], HOME, atol=5e-3)
    # After a second, its time constant, about 1 / e of the way is left.
    left = np.linalg.norm(way[49] - HOME) / np.linalg.norm(aside - HOME)
    assert left == pytest.approx(np.exp(-1), abs=0.1)
    assert off.max() < 1e-3


def test_equal_calls_give_equal_answers_whatever_came_before(make_ik):
    one, other = make_ik(), make_ik()
    rng = np.random.default_rng(0)
    for _ in range(20):
        other.step(rng.uniform(LOWER, UPPER), rng.normal(size=6))
    np.testing.assert_array_equal(
        one.step(HOME, FORWARD).joint_delta, other.step(HOME, FORWARD).joint_delta
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_and_named(make_ik, bad):
    ik = make_ik()
    pose = ik.tcp_pose(HOME)
    sick_q, sick_delta, sick_pose = HOME.copy(), FORWARD.copy(), pose.copy()
    sick_q[2] = sick_delta[4] = sick_pose[0] = bad
    for step, name in (
        (ik.step(sick_q, FORWARD), "q"),
        (ik.step_towards(sick_q, pose), "q"),
        (ik.step(HOME, sick_delta), "tcp_delta"),
        (ik.step_towards(HOME, sick_pose), "tcp_target"),
    ):
        assert step.refusal is not None
        assert step.refusal.kind == RefusalKind.NON_FINITE
        assert step.refusal.detail.startswith(f"{name} is not finite")
        assert not step.joint_delta.any()


def test_what_is_malformed_is_refused(make_ik):
    ik = make_ik()
    no_rotation = np.zeros(7)
    for step in (
        ik.step(HOME[:6], FORWARD),
        ik.step(HOME, FORWARD[:3]),
        ik.step_towards(HOME, no_rotation),
    ):
        assert step.refusal is not None
        assert step.refusal.kind == RefusalKind.MALFORMED
        assert not step.joint_delta.any()


class Impossible(mink.Limit):
    """Every joint is to move backwards by a radian."""

    def compute_qp_inequalities(self, configuration, dt):
        return mink.Constraint(G=np.eye(7), h=np.full(7, -1.0))


def test_what_no_motion_can_keep_is_refused(make_ik):
    step = make_ik(extra=[Impossible()]).step(HOME, FORWARD)
    assert step.refusal is not None
    assert step.refusal.kind == RefusalKind.INFEASIBLE
    assert not step.joint_delta.any()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_comes_the_answer_is_finite_and_within_the_joints(shared_ik, data):
    anything = st.floats(allow_nan=True, allow_infinity=True, width=64)
    q = data.draw(arrays(np.float64, 7, elements=anything | st.floats(-3, 3)))
    delta = data.draw(arrays(np.float64, 6, elements=anything | st.floats(-1, 1)))
    step = shared_ik.step(q, delta)
    assert np.isfinite(step.joint_delta).all()
    assert (np.abs(step.joint_delta) <= FASTEST * PERIOD_S).all()


@pytest.fixture(scope="module")
def shared_ik(make_limits, make_model):
    arm = ArmModel(make_model(), "tcp", "base")
    return DifferentialIkConfig(posture_rad=fr3.HOME_Q).build(arm, make_limits(), PERIOD_S)


def singular_starts():
    """Elbow as straight as it may be, wrist folded, shoulder over the base, and all at once."""
    straight, folded, above = HOME.copy(), HOME.copy(), HOME.copy()
    straight[3], folded[5], above[[1, 3]] = UPPER[3], LOWER[5], (0.0, -3.0)
    both = straight.copy()
    both[5] = LOWER[5]
    return {"straight": straight, "folded": folded, "above": above, "both": both}


@pytest.mark.parametrize("name", singular_starts())
def test_out_of_singular_places_the_joints_keep_their_speed(make_ik, name):
    ik, q = make_ik(period_s=0.01), singular_starts()[name]
    rng = np.random.default_rng(1)
    start = ik.tcp_pose(q)
    for _ in range(6):
        delta = np.concatenate([rng.uniform(-0.3, 0.3, 3), rng.uniform(-1, 1, 3)])
        way = follow(ik, q, line(start, delta, 60))
        speed = np.diff(way, axis=0, prepend=q[None]) / 0.01
        assert (np.abs(speed) <= FASTEST + 1e-9).all()
        assert ((way >= LOWER - 1e-9) & (way <= UPPER + 1e-9)).all()


def test_a_target_out_of_reach_is_held_without_trembling(make_ik):
    ik = make_ik(period_s=0.01)
    start = ik.tcp_pose(HOME)
    way = follow(ik, HOME, [start + np.array([0.7, 0, 0.3, 0, 0, 0, 0])] * 600)
    speed = np.diff(way, axis=0) / 0.01
    assert np.abs(speed[-50:]).max() < 0.02


def wall(spec, arm):
    spec.worldbody.add_geom(
        name="wall",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[0.01, 1.0, 1.0],
        pos=[0.5, 0.0, 0.5],
        contype=1,
        conaffinity=0,
    )
    arm.hand.add_geom(
        name="tip", size=[0.01, 0, 0], pos=[0, 0, fr3.HAND_TCP_M], contype=0, conaffinity=1
    )


@pytest.mark.parametrize("period_s", [0.002, 0.02])
def test_geoms_that_are_kept_apart_come_no_closer_than_they_may(make_ik, make_model, period_s):
    model = make_model(dress=wall)
    limit = keep_apart(ArmModel(model, "tcp", "base"), [(["tip"], ["wall"])], 0.02, period_s)
    ik = make_ik(period_s=period_s, model=model, extra=[limit])
    beyond = ik.tcp_pose(HOME) + np.array([0.3, 0, 0, 0, 0, 0, 0])
    way = follow(ik, HOME, [beyond] * round(1.2 / period_s))
    # The wall's face is at 0.49 m; the tip reaches 1 cm before the tcp.
    gaps = [0.49 - 0.01 - ik.tcp_pose(q)[0] for q in way]
    assert min(gaps) >= 0.02 - 1e-4
    assert gaps[-1] == pytest.approx(0.02, abs=2e-3)


def test_a_posture_of_another_arm_is_refused(make_model, make_limits):
    arm = ArmModel(make_model(), "tcp", "base")
    with pytest.raises(ConfigError, match="posture_rad has 6 joints, the model has 7"):
        DifferentialIkConfig(posture_rad=(0.0,) * 6).build(arm, make_limits(), 0.01)
