from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_rl.control.limits import SafetyLimits
from robot_rl.control.tightening import TIGHTER, LimitsInForce, stopping_way, tightened
from robot_rl.core.errors import ConfigError

CELL = SafetyLimits.model_validate(
    {
        "workspace_min_m": (-1.0, -1.0, 0.0),
        "workspace_max_m": (1.0, 1.0, 1.0),
        "joint_lower_rad": (-2.0, -2.0),
        "joint_upper_rad": (2.0, 2.0),
        "workspace_planes": [{"normal": (0.0, 0.0, 1.0), "offset_m": 0.05}],
        "max_joint_velocity_rad_s": (2.0, 2.0),
        "max_joint_acceleration_rad_s2": (10.0, 10.0),
        "max_joint_jerk_rad_s3": (100.0, 100.0),
        "max_tcp_speed_m_s": 0.25,
        "max_tcp_angular_speed_rad_s": 1.5,
        "max_tcp_acceleration_m_s2": 2.5,
        "max_tcp_angular_acceleration_rad_s2": 15.0,
        "max_tcp_jerk_m_s3": 50.0,
        "max_tcp_angular_jerk_rad_s3": 300.0,
        "slow_at_condition": 17.0,
        "hold_at_condition": 30.0,
        "min_distance_m": 0.01,
        "max_force_n": 30.0,
        "max_torque_n_m": 8.0,
        "max_observation_age_s": 0.2,
        "max_command_age_s": 0.1,
        "max_late_ticks": 3,
        "fresh_samples_to_resume": 3,
    }
)

TIGHT: dict[str, Any] = {
    "workspace_min_m": (-1.0, -0.5, 0.1),
    "workspace_max_m": (0.5, 1.0, 1.0),
    "joint_lower_rad": (-1.0, -2.0),
    "joint_upper_rad": (2.0, 1.5),
    "workspace_planes": [{"normal": (1.0, 0.0, 0.0), "offset_m": -0.3}],
    "max_joint_velocity_rad_s": (1.0, 2.0),
    "max_tcp_speed_m_s": 0.1,
    "max_tcp_angular_speed_rad_s": 1.0,
    "slow_at_condition": 10.0,
    "hold_at_condition": 20.0,
    "min_distance_m": 0.02,
    "max_force_n": 10.0,
    "max_torque_n_m": 4.0,
    "max_observation_age_s": 0.1,
    "max_command_age_s": 0.05,
    "max_late_ticks": 1,
    "fresh_samples_to_resume": 9,
}
"""A tighter value for each field that can be tightened on its own."""

LOOSE: dict[str, Any] = {
    "workspace_min_m": (-1.0, -1.0, -0.01),
    "workspace_max_m": (0.5, 1.01, 1.0),
    "joint_lower_rad": (-2.1, -1.0),
    "joint_upper_rad": (1.0, 2.1),
    "max_joint_velocity_rad_s": (1.0, 2.5),
    "max_joint_acceleration_rad_s2": (11.0, 9.0),
    "max_joint_jerk_rad_s3": (100.0, 101.0),
    "max_tcp_speed_m_s": 0.26,
    "max_tcp_angular_speed_rad_s": 1.6,
    "max_tcp_acceleration_m_s2": 2.6,
    "max_tcp_angular_acceleration_rad_s2": 16.0,
    "max_tcp_jerk_m_s3": 51.0,
    "max_tcp_angular_jerk_rad_s3": 301.0,
    "slow_at_condition": 18.0,
    "hold_at_condition": 31.0,
    "min_distance_m": 0.0,
    "max_force_n": 31.0,
    "max_torque_n_m": 9.0,
    "max_observation_age_s": 0.3,
    "max_command_age_s": 0.2,
    "max_late_ticks": 4,
    "fresh_samples_to_resume": 2,
}
"""A looser value for each field that can be loosened: planes are only ever added."""


def allows_more(one: Any, other: Any, direction: str) -> bool:
    """Whether any element of `one` allows what `other` does not."""
    if direction == "more":
        return any(plane not in one for plane in other)
    ones, others = (v if isinstance(v, tuple) else (v,) for v in (one, other))
    assert len(ones) == len(others)
    if direction == "lower":
        return any(a > b for a, b in zip(ones, others, strict=True))
    return any(a < b for a, b in zip(ones, others, strict=True))


def test_every_limit_has_a_direction():
    # A field that is added to the limits needs a row in `TIGHTER`, and an example here.
    assert [*TIGHTER] == [*SafetyLimits.model_fields]
    brakes = {n for n in TIGHTER if "acceleration" in n or "jerk" in n}
    assert {*TIGHT} | brakes == {*TIGHTER}
    assert {*LOOSE} | {"workspace_planes"} == {*TIGHTER}


def test_a_run_that_says_nothing_has_the_limits_of_its_cell():
    in_force = tightened(CELL, {})
    assert in_force == LimitsInForce(limits=CELL, cell=CELL)
    assert in_force.to_json() == CELL.model_dump(mode="json")


@pytest.mark.parametrize("name", TIGHT)
def test_a_tighter_value_is_in_force(name):
    in_force = tightened(CELL, {name: TIGHT[name]})
    assert in_force.looser == ()
    changed = {n for n in TIGHTER if getattr(in_force.limits, n) != getattr(CELL, n)}
    assert changed == {name}
    if name != "workspace_planes":
        assert getattr(in_force.limits, name) == TIGHT[name]


@pytest.mark.parametrize("name", LOOSE)
def test_a_looser_value_is_refused_with_both_values_and_the_flag(name):
    with pytest.raises(ConfigError) as error:
        tightened(CELL, {name: LOOSE[name]})
    text = str(error.value)
    assert f"{name}: the cell has {getattr(CELL, name)}, the run {LOOSE[name]}" in text
    assert "allow_looser_limits: true" in text


@pytest.mark.parametrize("name", LOOSE)
def test_a_looser_value_that_is_meant_is_in_force_and_recorded(name):
    in_force = tightened(CELL, {name: LOOSE[name]}, allow_looser=True)
    assert getattr(in_force.limits, name) == LOOSE[name]
    assert name in in_force.looser
    recorded = in_force.to_json()
    own = CELL.model_dump(mode="json")[name]
    assert recorded["cell"] == {name: own}
    assert recorded["looser_than_cell"] == [name]
    assert recorded[name] == in_force.limits.model_dump(mode="json")[name]


def test_what_is_tighter_and_what_is_looser_are_told_apart():
    in_force = tightened(CELL, {"max_tcp_speed_m_s": 0.1, "max_force_n": 40.0}, allow_looser=True)
    assert in_force.looser == ("max_force_n",)
    assert in_force.to_json()["cell"] == {"max_tcp_speed_m_s": 0.25, "max_force_n": 30.0}


def test_every_looser_field_is_named_at_once():
    with pytest.raises(ConfigError, match=r"max_force_n.*max_late_ticks"):
        tightened(CELL, {"max_force_n": 31.0, "max_late_ticks": 4})


def test_planes_are_added_to_those_of_the_cell():
    added = {"normal": (0.0, 1.0, 0.0), "offset_m": -0.2}
    limits = tightened(CELL, {"workspace_planes": [added]}).limits
    assert [p.normal for p in limits.workspace_planes] == [(0.0, 0.0, 1.0), (0.0, 1.0, 0.0)]
    again = tightened(limits, {"workspace_planes": [added]}).limits
    assert again == limits
    assert tightened(CELL, {"workspace_planes": []}).limits == CELL


def test_braking_later_from_the_same_speed_is_looser():
    # 0.25 m/s: 0.25/2.5 + 2.5/50 = 0.15 s, so 18.75 mm; with 1 m/s^2 0.27 s, so 33.75 mm.
    with pytest.raises(ConfigError, match=r"takes 0.03375 instead of 0.01875.*lower max_tcp_spe"):
        tightened(CELL, {"max_tcp_acceleration_m_s2": 1.0})
    # At 0.15 m/s: 0.15 + 0.02 = 0.17 s, so 12.75 mm.
    limits = tightened(CELL, {"max_tcp_acceleration_m_s2": 1.0, "max_tcp_speed_m_s": 0.15}).limits
    assert (limits.max_tcp_acceleration_m_s2, limits.max_tcp_speed_m_s) == (1.0, 0.15)
    meant = tightened(CELL, {"max_joint_jerk_rad_s3": (1.0, 100.0)}, allow_looser=True)
    assert meant.looser == ("max_joint_jerk_rad_s3",)


def test_stopping_way_by_hand():
    # Jerk 0.05 s up to 2.5 m/s^2, 0.05 s at it, 0.05 s down: symmetric, 0.15 s at half the speed.
    assert stopping_way(0.25, 2.5, 50.0) == pytest.approx(0.25 * 0.15 / 2)
    # 0.04 m/s never reaches 2.5 m/s^2: twice sqrt(0.04 / 50) s.
    assert stopping_way(0.04, 2.5, 50.0) == pytest.approx(0.04 * (0.04 / 50) ** 0.5)


@pytest.mark.parametrize(
    ("run", "text"),
    [
        ({"max_tcp_sped_m_s": 0.1}, "unknown key 'max_tcp_sped_m_s'; did you mean 'max_tcp_spe"),
        ({"max_tcp_speed_m_s": -0.1}, "max_tcp_speed_m_s: got -0.1, expected positive"),
        ({"max_tcp_speed_m_s": float("nan")}, "max_tcp_speed_m_s"),
        ({"max_tcp_speed_m_s": "0.1"}, "max_tcp_speed_m_s: expected float"),
        ({"max_joint_velocity_rad_s": (1.0,)}, "1 elements, joint_lower_rad has 2"),
        ({"workspace_min_m": (2.0, -1.0, 0.0)}, "must be below workspace_max_m"),
        ({"slow_at_condition": 10.0, "hold_at_condition": 9.0}, "must be below hold_at_condition"),
        (
            {n: (1.0,) for n in TIGHTER if n.startswith("max_joint")}
            | {"joint_lower_rad": (-1.0,), "joint_upper_rad": (1.0,)},
            "got 1 joints, the cell has 2",
        ),
    ],
)
@pytest.mark.parametrize("allow_looser", [False, True])
def test_what_is_no_limit_is_refused_by_name(run, text, allow_looser):
    with pytest.raises(ConfigError) as error:
        tightened(CELL, run, allow_looser=allow_looser)
    assert text in str(error.value)


@st.composite
def runs(draw: st.DrawFn) -> dict[str, Any]:
    """Any fields at 0.5 to 1.5 times the cell's values, and any planes."""
    names = draw(st.lists(st.sampled_from([*TIGHTER]), unique=True))
    run: dict[str, Any] = {}
    for name in names:
        own = getattr(CELL, name)
        factor = st.sampled_from((0.5, 0.9, 1.0, 1.0, 1.1, 1.5))
        if name == "workspace_planes":
            offsets = draw(st.lists(st.sampled_from((0.05, 0.1, -1.0))))
            run[name] = [{"normal": (0.0, 0.0, 1.0), "offset_m": o} for o in offsets]
        elif isinstance(own, tuple):
            run[name] = tuple(v * draw(factor) for v in own)
        else:
            run[name] = type(own)(own * draw(factor))
    return run


@given(runs())
def test_no_field_and_no_way_to_a_stop_ever_becomes_looser(run):
    try:
        limits = tightened(CELL, run).limits
    except ConfigError:
        return
    for name, direction in TIGHTER.items():
        assert not allows_more(getattr(limits, name), getattr(CELL, name), direction), name
    way = stopping_way(
        limits.max_tcp_speed_m_s, limits.max_tcp_acceleration_m_s2, limits.max_tcp_jerk_m_s3
    )
    assert way <= 0.01875 * (1 + 1e-6)


@given(runs())
def test_with_the_flag_exactly_what_became_looser_is_recorded(run):
    try:
        in_force = tightened(CELL, run, allow_looser=True)
    except ConfigError:
        return
    wider = {
        name
        for name, direction in TIGHTER.items()
        if allows_more(getattr(in_force.limits, name), getattr(CELL, name), direction)
    }
    told = {*in_force.looser}
    assert wider <= told
    assert all("acceleration" in name or "jerk" in name for name in told - wider)
