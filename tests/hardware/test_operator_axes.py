from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robot_rl.core.errors import ContractError
from robot_rl.core.spec import TCP_POSE
from robot_rl.core.types import Observation
from robot_rl_hardware.operators.axes import Axes, AxesConfig
from robot_rl_hardware.operators.buttons import Edges

NOTHING = Observation(stamp_ns=0, vectors={})
LOADED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""The machine may be busy with something else."""
MASKS = st.tuples(*[st.booleans()] * 6)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
PUSHES = st.tuples(*[FINITE] * 6).map(np.array)
CONFIGS = st.builds(
    AxesConfig,
    mask=MASKS,
    sign=st.tuples(*[st.sampled_from((1, -1))] * 6),
    dead_band=st.floats(0, 0.99),
    exponent=st.floats(1, 5),
    scale=st.tuples(*[st.floats(1e-3, 1)] * 6),
    frame=st.sampled_from(("base", "tool")),
)
QUATS = (
    st.tuples(*[st.floats(-1, 1)] * 4)
    .map(np.array)
    .filter(lambda q: np.linalg.norm(q) > 0.1)
    .map(lambda q: q / np.linalg.norm(q))
)


def seen(quat: Any) -> Observation:
    pose = np.concatenate([[0.4, 0.0, 0.2], quat]).astype(np.float32)
    return Observation(stamp_ns=0, vectors={TCP_POSE: pose})


@LOADED
@given(CONFIGS, PUSHES, QUATS)
def test_motion_is_finite_and_bounded(config: AxesConfig, pushed: Any, quat: Any) -> None:
    motion = Axes(config).motion(pushed, seen(quat))
    assert np.isfinite(motion).all()
    assert np.abs(motion).max() <= 1.0 + 1e-12


@LOADED
@given(CONFIGS, MASKS, PUSHES)
def test_what_is_masked_is_exactly_nothing(config: AxesConfig, used: Any, pushed: Any) -> None:
    shaped = Axes(config, used).shaped(pushed)
    assert not shaped[~np.logical_and(config.mask, used)].any()


@LOADED
@given(CONFIGS, st.integers(0, 5), st.sampled_from((1.0, -1.0)))
def test_there_is_no_step_at_the_edge_of_the_dead_band(
    config: AxesConfig, element: int, way: float
) -> None:
    axes, pushed = Axes(config), np.zeros(6)
    pushed[element] = way * config.dead_band
    assert not axes.shaped(pushed).any()
    pushed[element] = way * (config.dead_band + 1e-9)
    assert np.abs(axes.shaped(pushed)).max() <= 1.1e-9 / (1 - config.dead_band)


@LOADED
@given(CONFIGS, FINITE, FINITE, st.integers(0, 5))
def test_who_pushes_more_never_moves_less(
    config: AxesConfig, one: float, other: float, element: int
) -> None:
    axes, near, far = Axes(config), np.zeros(6), np.zeros(6)
    near[element], far[element] = sorted((abs(one), abs(other)))
    assert abs(axes.shaped(near)[element]) <= abs(axes.shaped(far)[element])


def test_band_exponent_scale_and_sign_act_in_this_order() -> None:
    config = AxesConfig(
        dead_band=0.2, exponent=2.0, scale=(0.5, 1, 1, 1, 1, 1), sign=(-1, 1, 1, 1, 1, 1)
    )
    # ((0.6 - 0.2) / 0.8)^2 = 0.25, halved and turned round.
    shaped = Axes(config).shaped(np.array([0.6, -1.7, 0, 0, 0, 0.19]))
    assert shaped == pytest.approx([-0.125, -1, 0, 0, 0, 0])


def test_the_tool_moves_along_its_own_axes() -> None:
    axes = Axes(AxesConfig(frame="tool", dead_band=0.0))
    quarter = [0.0, 0.0, math.sin(math.pi / 4), math.cos(math.pi / 4)]
    motion = axes.motion(np.array([1.0, 0, 0.5, 0, 1.0, 0]), seen(quarter))
    assert motion == pytest.approx([0, 1, 0.5, -1, 0, 0], abs=1e-6)


def test_what_would_leave_the_range_is_shortened_and_keeps_its_direction() -> None:
    axes = Axes(AxesConfig(frame="tool", dead_band=0.0))
    eighth = [0.0, 0.0, math.sin(math.pi / 8), math.cos(math.pi / 8)]
    motion = axes.motion(np.array([1.0, 1.0, 1.0, 0, 0, 0]), seen(eighth))
    assert motion[:3] == pytest.approx([0, 1, 1 / math.sqrt(2)], abs=1e-6)


def test_a_tool_that_is_nowhere_known_does_not_move() -> None:
    axes = Axes(AxesConfig(frame="tool"))
    assert not axes.motion(np.ones(6), seen([math.nan] * 4)).any()
    assert not axes.motion(np.ones(6), seen([0.0] * 4)).any()
    with pytest.raises(ContractError, match=r"needs observation\.tcp_pose.*expected frame 'base'"):
        axes.motion(np.zeros(6), NOTHING)


def test_a_button_that_stays_down_was_pressed_once() -> None:
    edges = Edges()
    assert edges(frozenset({"b", "a"})) == ("a", "b")
    assert edges(frozenset({"a", "b", "c"})) == ("c",)
    assert edges(frozenset({"a"})) == ()
    assert edges(frozenset({"a", "b"})) == ("b",)
    edges.forget()
    assert edges(frozenset({"a"})) == ("a",)
