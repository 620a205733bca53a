"""Forces in, motion of the tool out. Axis x is judged; the others get no force."""

from collections import deque
from math import exp, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from robot_rl.control.cartesian.admittance import AdmittanceConfig
from robot_rl.control.cartesian.refusal import RefusalKind

AT_HOME = np.array([0.5, 0.0, 0.4, 0.0, 0.0, 0.0, 1.0])
NOTHING = np.zeros(6)
PERIOD_S = 0.002


def build_config(**changes):
    """M = 2 kg, D = 100 N s/m: 20 ms, and free to be led by the force."""
    plain = {
        "frame": "base",
        "mass": (2.0,) * 3 + (0.1,) * 3,
        "damping": (100.0,) * 3 + (5.0,) * 3,
        "stiffness": (0.0,) * 6,
        "dead_band": (0.0,) * 6,
        "contact_stiffness": (0.0,) * 6,
        "lag_s": 0.0,
        "period_s": PERIOD_S,
    }
    return AdmittanceConfig.model_validate(plain | changes)


def on_x(value, rest=0.0):
    return (value, rest, rest, rest, rest, rest)


def force_x(newton):
    return np.array([newton, 0, 0, 0, 0, 0.0])


@pytest.fixture
def make_law(make_limits):
    def make(limits=None, **changes):
        return build_config(**changes).build(make_limits(**(limits or {})))

    return make


def press(law, stiffness, desired, periods, lag=0):
    """Against a spring at x = 0 that the arm reaches `lag` periods late; forces float64[t]."""
    late, forces = deque([0.0] * lag), []
    for _ in range(periods):
        late.append(law.offset[0])
        forces.append(-stiffness * max(late.popleft(), 0.0))
        law.step(force_x(forces[-1]), AT_HOME, force_x(desired))
    return np.array(forces)


def test_a_spring_gives_way_by_force_over_stiffness(make_law):
    # 5 N / 250 N/m is 2 cm.
    law = make_law(stiffness=on_x(250.0))
    for _ in range(3000):
        law.step(force_x(5.0), AT_HOME, NOTHING)
    assert law.offset == pytest.approx([0.02, 0, 0, 0, 0, 0], abs=1e-6)


@pytest.mark.parametrize("period_s", [0.001, 0.01, 0.05])
def test_a_free_axis_gains_speed_with_the_time_constant_at_every_period(make_law, period_s):
    # x = f/D (t - M/D (1 - exp(-t D/M))): 0.1 m/s in the end, with 20 ms.
    law = make_law(period_s=period_s)
    for k in range(1, 11):
        t = k * period_s
        law.step(force_x(10.0), AT_HOME, NOTHING)
        assert law.offset[0] == pytest.approx(0.1 * (t - 0.02 * (1 - exp(-t / 0.02))), abs=1e-12)


def test_a_spring_axis_moves_as_its_equation_says(make_law):
    # 2 x'' + 100 x' + 1200 x = 12: x = 0.01 (1 + (20 e^-30t - 30 e^-20t) / 10).
    law = make_law(stiffness=on_x(1200.0))
    for k in range(1, 101):
        t = k * PERIOD_S
        law.step(force_x(12.0), AT_HOME, NOTHING)
        expected = 0.01 * (1 + 2 * exp(-30 * t) - 3 * exp(-20 * t))
        assert law.offset[0] == pytest.approx(expected, abs=1e-12)


def test_the_delta_is_the_change_of_the_offset(make_law):
    law, moved = make_law(stiffness=on_x(250.0)), np.zeros(6)
    for _ in range(100):
        moved += law.step(force_x(5.0), AT_HOME, NOTHING).tcp_delta
    np.testing.assert_allclose(moved, law.offset, atol=1e-12)


@pytest.mark.parametrize("stiffness", [500.0, 5e3, 2e4])
def test_a_pressing_axis_comes_to_the_desired_force(make_law, stiffness):
    damping = max(2.0 * sqrt(2.0 * stiffness), stiffness * PERIOD_S) + 1.0
    law = make_law(damping=on_x(damping, 5.0), contact_stiffness=on_x(stiffness))
    forces = press(law, stiffness, desired=-10.0, periods=2500)
    assert forces[-1] == pytest.approx(-10.0, abs=0.01)
    assert forces.min() >= -10.5


def test_a_pressing_axis_is_off_by_no_more_than_the_dead_band(make_law):
    law = make_law(dead_band=on_x(0.5), contact_stiffness=on_x(1000.0))
    forces = press(law, 1000.0, desired=-10.0, periods=2500)
    assert -10.0 - 0.01 <= forces[-1] <= -9.5 + 0.01


def test_forces_within_the_dead_band_move_nothing(make_law):
    law = make_law(dead_band=on_x(0.5))
    assert not law.step(force_x(0.49), AT_HOME, NOTHING).tcp_delta.any()
    assert law.step(force_x(0.51), AT_HOME, NOTHING).tcp_delta[0] > 0.0


def stable_up_to(mass, damping, period_s):
    """The stiffest contact of the sampled loop, by Jury's criterion."""
    time_s = mass / damping
    e = exp(-period_s / time_s)
    return damping * (1 - e) / (time_s * (1 - e) - e * period_s)


def test_the_stiffest_contact_is_a_little_above_twice_damping_over_period():
    assert 1e5 < stable_up_to(2.0, 100.0, PERIOD_S) < 1.1e5


def rings(law, stiffness):
    """Amplitude late over amplitude early, glued to a spring that also pulls."""
    late = []
    for k in range(600):
        force = -stiffness * law.offset[0] + (1e-6 * stiffness if k == 0 else 0.0)
        law.step(force_x(force), AT_HOME, NOTHING)
        late.append(abs(law.offset[0]))
    return max(late[-100:]) / max(late[:100])


def test_the_sampled_contact_is_stable_up_to_there_and_not_beyond(make_law):
    limit = stable_up_to(2.0, 100.0, PERIOD_S)
    assert rings(make_law(), 0.95 * limit) < 1.0
    assert rings(make_law(), 1.05 * limit) > 1.0


@settings(max_examples=20, deadline=None)
@given(
    mass=st.floats(0.2, 5.0),
    stiffness=st.floats(1e3, 5e4),
    lag=st.integers(0, 10),
    period_s=st.sampled_from([0.002, 0.01]),
)
def test_what_the_config_lets_through_settles_in_the_stiffest_contact(
    wide_limits, mass, stiffness, lag, period_s
):
    late_s = period_s / 2 + lag * period_s
    damping = max(2 * sqrt(mass * stiffness), 2 * stiffness * late_s) * 1.001
    config = build_config(
        mass=on_x(mass, 0.1),
        damping=on_x(damping, 5.0),
        contact_stiffness=on_x(stiffness),
        lag_s=lag * period_s,
        period_s=period_s,
    )
    settle_s = 12 * (damping / stiffness + late_s)
    periods = round(settle_s / period_s)
    forces = press(config.build(wide_limits), stiffness, -10.0, periods, lag)
    assert forces[-1] == pytest.approx(-10.0, abs=0.2)
    assert forces.min() > -17.0


@pytest.fixture(scope="module")
def wide_limits(make_limits):
    return make_limits(max_tcp_speed_m_s=100.0)


def test_damping_that_does_not_dominate_is_refused_with_what_is_needed():
    # 2 sqrt(2 * 20000) is 400.
    with pytest.raises(ValidationError, match=r"damping of x is 100, expected 400 .* ring"):
        build_config(contact_stiffness=on_x(20e3))
    # 2 * 20000 * (0.001 + 0.03) is 1240.
    with pytest.raises(ValidationError, match=r"damping of x is 500, expected 1240 .* lag"):
        build_config(damping=on_x(500.0, 5.0), contact_stiffness=on_x(20e3), lag_s=0.03)
    with pytest.raises(ValidationError, match=r"damping of rz is 5, expected 6\.325"):
        build_config(stiffness=(0, 0, 0, 0, 0, 100.0))


@pytest.mark.parametrize("key", ["mass", "damping"])
def test_what_must_be_positive_is_checked(key):
    with pytest.raises(ValidationError, match=f"{key}: got .* expected positive"):
        build_config(**{key: on_x(0.0, 1.0)})


def test_what_may_not_be_negative_is_checked():
    with pytest.raises(ValidationError, match=r"dead_band: got .* expected 0 or more"):
        build_config(dead_band=on_x(-1.0))


def test_speed_is_limited_and_does_not_wind_up(make_law):
    # 500 N would be 5 m/s; the cell allows 0.25 m/s: 0.5 mm a period.
    law = make_law()
    for _ in range(100):
        step = law.step(force_x(500.0), AT_HOME, NOTHING)
    assert step.tcp_delta[0] == pytest.approx(0.0005, abs=1e-7)
    # 20 ms after the force is gone a third of the speed is left.
    for _ in range(10):
        step = law.step(force_x(0.0), AT_HOME, NOTHING)
    assert step.tcp_delta[0] == pytest.approx(0.0005 * exp(-1.0), rel=0.06)


def test_turning_is_limited_too(make_law):
    law = make_law()
    for _ in range(300):
        step = law.step(np.array([0, 0, 0, 0, 0, 50.0]), AT_HOME, NOTHING)
    np.testing.assert_allclose(step.tcp_delta, [0, 0, 0, 0, 0, 0.003], atol=1e-7)


# The tool points down: its x is the base's x, its y and z are the base's -y and -z.
DOWN = np.array([0.5, 0.0, 0.4, 1.0, 0.0, 0.0, 0.0])


def test_axes_of_the_tool_are_the_tools(make_law):
    law = make_law(frame="tcp", damping=(100.0, 100.0, 200.0, 5.0, 5.0, 5.0))
    law.step(np.array([0, 0, 8.0, 0, 0, 0]), DOWN, NOTHING)
    assert law.offset[2] > 0.0
    step = law.step(np.array([0, 0, 8.0, 0, 0, 0]), DOWN, NOTHING)
    assert step.tcp_delta[2] < 0.0
    assert step.tcp_delta[[0, 1]] == pytest.approx(0.0)


def test_axes_of_the_base_are_the_bases(make_law):
    law = make_law(frame="base")
    step = law.step(np.array([0, 3.0, 8.0, 0, 0, 0]), DOWN, NOTHING)
    assert law.offset[1] < 0.0
    assert law.offset[2] < 0.0
    np.testing.assert_allclose(step.tcp_delta, law.offset)


def test_a_tool_presses_along_its_own_z(make_law):
    # Nothing is touched yet: it sets out towards what shall push it back, downwards.
    law = make_law(frame="tcp")
    step = law.step(NOTHING, DOWN, np.array([0, 0, -10.0, 0, 0, 0]))
    assert law.offset[2] > 0.0
    assert step.tcp_delta[2] < 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stops_the_motion_and_harms_nothing(make_law, bad):
    law = make_law()
    for _ in range(50):
        law.step(force_x(5.0), AT_HOME, NOTHING)
    offset = law.offset
    step = law.step(force_x(bad), AT_HOME, NOTHING)
    assert step.refusal is not None
    assert step.refusal.kind == RefusalKind.NON_FINITE
    assert not step.tcp_delta.any()
    np.testing.assert_array_equal(law.offset, offset)
    # It goes on from rest.
    assert 0.0 < law.step(force_x(5.0), AT_HOME, NOTHING).tcp_delta[0] < 1e-5


def test_a_pose_without_rotation_is_refused(make_law):
    step = make_law().step(NOTHING, np.zeros(7), NOTHING)
    assert step.refusal is not None
    assert step.refusal.kind == RefusalKind.MALFORMED


def test_reset_forgets_offset_and_speed(make_law):
    law = make_law()
    for _ in range(10):
        law.step(force_x(5.0), AT_HOME, NOTHING)
    law.reset()
    assert not law.offset.any()
    assert not law.step(NOTHING, AT_HOME, NOTHING).tcp_delta.any()


@settings(max_examples=100, deadline=None)
@given(
    force=st.lists(st.floats(width=64), min_size=6, max_size=6),
    desired=st.lists(st.floats(width=64), min_size=6, max_size=6),
)
def test_whatever_comes_the_motion_is_finite_and_no_faster_than_allowed(
    wide_limits, force, desired
):
    law = build_config(frame="tcp").build(wide_limits)
    for _ in range(3):
        delta = law.step(np.array(force), DOWN, np.array(desired)).tcp_delta
        assert np.isfinite(delta).all()
        assert np.linalg.norm(delta[:3]) <= 100.0 * PERIOD_S + 1e-6
