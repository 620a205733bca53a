from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_rl.control.clutch import Clutch, ClutchConfig
from robot_rl.core.errors import ContractError
from robot_rl.core.geometry import pose_plus_delta, quat_from_rotvec

TCP = np.array([0.5, 0.1, 0.2, 1.0, 0.0, 0.0, 0.0])
HALF = np.sqrt(0.5)
Z_TO_X = (0.0, HALF, 0.0, HALF)
"""A quarter turn about y: the device's z axis is the base's x axis."""


def device(x=0.0, y=0.0, z=0.0, turn=(0.0, 0.0, 0.0)):
    return np.array([x, y, z, *quat_from_rotvec(np.array(turn))])


def closed(at=None, **config) -> Clutch:
    clutch = ClutchConfig(**config).build()
    clutch.close(device() if at is None else at, TCP)
    return clutch


numbers = st.floats(-2.0, 2.0)
poses = st.builds(
    lambda p, r: np.array([*p, *quat_from_rotvec(np.array(r))]),
    st.tuples(numbers, numbers, numbers),
    st.tuples(numbers, numbers, numbers),
)


@given(poses, poses, st.floats(0.1, 3.0), st.floats(0.1, 3.0))
def test_the_first_target_is_the_measured_pose_wherever_the_hand_is(hand, tcp, scale, turning):
    clutch = ClutchConfig(scale=scale, rotation_scale=turning).build()
    clutch.close(hand, tcp)
    assert clutch.delta(hand, tcp) == pytest.approx(np.zeros(6), abs=1e-9)


def test_the_tool_follows_the_hand_by_the_scales():
    clutch = closed(scale=0.5, rotation_scale=2.0)
    delta = clutch.delta(device(0.1, -0.2, 0.3, turn=(0.0, 0.0, 0.25)), TCP)
    assert delta == pytest.approx([0.05, -0.1, 0.15, 0.0, 0.0, 0.5])


def test_what_the_tool_has_done_already_is_not_asked_for_again():
    clutch = closed()
    tcp = pose_plus_delta(TCP, np.array([0.06, 0.0, 0.0, 0.0, 0.0, 0.1]))
    delta = clutch.delta(device(0.1, turn=(0.0, 0.0, 0.3)), tcp)
    assert delta == pytest.approx([0.04, 0.0, 0.0, 0.0, 0.0, 0.2])


def test_the_devices_axes_are_turned_into_those_of_the_base():
    clutch = closed(base_from_device=Z_TO_X)
    delta = clutch.delta(device(z=0.1, turn=(0.0, 0.0, 0.2)), TCP)
    assert delta == pytest.approx([0.1, 0.0, 0.0, 0.2, 0.0, 0.0])


def test_the_hands_rotation_counts_in_the_devices_frame_however_it_was_held():
    # Held upside down, a turn about the device frame's z axis is still one about z.
    held = device(turn=(np.pi, 0.0, 0.0))
    turned = device(turn=(0.0, 0.0, 0.2))
    q = turned[3:]
    x, y, z, w = q[0], q[1], q[2], q[3]
    # (0, 0, z, w) * (1, 0, 0, 0) = (w, z, 0, 0): the turn after what was held.
    after = np.array([0.0, 0.0, 0.0, w, z, 0.0, 0.0])
    assert (x, y) == (0.0, 0.0)
    assert closed(held).delta(after, TCP) == pytest.approx([0, 0, 0, 0, 0, 0.2], abs=1e-12)


def test_axes_that_do_not_follow_stay_where_they_were():
    clutch = closed(axes=(True, False, True, False, False, True))
    delta = clutch.delta(device(0.1, 0.1, 0.1, turn=(0.0, 0.0, 0.2)), TCP)
    assert delta == pytest.approx([0.1, 0.0, 0.1, 0.0, 0.0, 0.2])
    drifted = pose_plus_delta(TCP, np.array([0.0, 0.01, 0.0, 0.0, 0.0, 0.0]))
    assert clutch.delta(device(), drifted)[1] == pytest.approx(-0.01)


def test_within_the_dead_band_nothing_moves_and_beyond_it_nothing_jumps():
    clutch = closed(dead_band_m=0.02, dead_band_rad=0.1)
    assert not clutch.delta(device(0.02, turn=(0.1, 0.0, 0.0)), TCP).any()
    delta = clutch.delta(device(0.021, turn=(0.0, 0.15, 0.0)), TCP)
    assert delta == pytest.approx([0.001, 0.0, 0.0, 0.0, 0.05, 0.0])


def test_each_take_over_refers_to_where_the_hand_is_then():
    clutch = closed()
    clutch.open()
    assert not clutch.closed
    moved = pose_plus_delta(TCP, np.array([0.0, 0.3, 0.0, 0.4, 0.0, 0.0]))
    clutch.close(device(1.0, turn=(0.5, 0.0, 0.0)), moved)
    assert clutch.closed
    assert clutch.delta(device(1.0, turn=(0.5, 0.0, 0.0)), moved) == pytest.approx(
        np.zeros(6), abs=1e-12
    )


def test_a_hand_that_turns_past_half_a_turn_does_not_turn_the_tool_back():
    clutch = closed(rotation_scale=0.5)
    tcp = TCP
    for degrees in range(0, 271, 5):
        delta = clutch.delta(device(turn=(0.0, 0.0, np.radians(degrees))), tcp)
        # 5 degrees of the hand are 2.5 of the tool, which gets there each time.
        assert np.abs(delta).max() <= np.radians(2.5) + 1e-9
        tcp = pose_plus_delta(tcp, delta)
    turned = clutch.delta(device(turn=(0.0, 0.0, np.radians(270))), TCP)
    assert turned == pytest.approx([0, 0, 0, 0, 0, np.radians(135)], abs=1e-9)


@given(poses, poses, st.lists(st.tuples(*[st.floats(-0.02, 0.02)] * 6), max_size=30))
def test_small_motions_of_the_hand_are_small_motions_of_the_target(hand, tcp, moves):
    clutch = ClutchConfig(scale=0.7, rotation_scale=0.7, dead_band_m=0.01).build()
    clutch.close(hand, tcp)
    for move in moves:
        hand = pose_plus_delta(hand, np.array(move))
        delta = clutch.delta(hand, tcp)
        # 0.02 sqrt(3) = 0.035 in space; turns about changing axes can add a little.
        assert np.linalg.norm(delta[:3]) <= 0.035
        assert np.linalg.norm(delta[3:]) <= 0.2
        tcp = pose_plus_delta(tcp, delta)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros(7),
        np.full(7, np.nan),
        np.array([0.0, 0, 0, 0, 0, 0, 2.0]),
        np.zeros(6),
        np.array([np.inf, 0, 0, 0, 0, 0, 1.0]),
    ],
)
def test_what_is_no_pose_is_refused(bad):
    clutch = closed()
    for ask in (lambda: clutch.delta(bad, TCP), lambda: clutch.delta(device(), bad)):
        with pytest.raises(ContractError, match=r"pose: (got|its quaternion)"):
            ask()
    with pytest.raises(ContractError, match="device pose"):
        clutch.close(bad, TCP)


def test_an_open_clutch_has_no_delta():
    with pytest.raises(ContractError, match="close it when the person takes over"):
        ClutchConfig().build().delta(device(), TCP)


def test_a_frame_that_is_no_rotation_is_refused():
    with pytest.raises(ValueError, match="norm 2, expected 1"):
        ClutchConfig(base_from_device=(0.0, 0.0, 0.0, 2.0))
