from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from robot_rl.core.errors import ContractError
from robot_rl_hardware.force_torque.compensation import Compensation, CompensationConfig

MS = 1_000_000
G = 9.80665
UPRIGHT = np.array([0, 0, 0, 1], np.float32)
TURNED = np.array([math.sqrt(0.5), 0, 0, math.sqrt(0.5)], np.float32)
"""By a quarter about x: what was y points up."""


def compensation(**changes: Any) -> Compensation:
    fields: dict[str, Any] = {
        "mass_kg": 1.0,
        "centre_of_mass_m": (0.0, 0.0, 0.1),
        "tcp_from_sensor": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
        "cutoff_hz": 1e6,
        "bias": (0.0,) * 6,
    }
    return CompensationConfig(**(fields | changes)).build()


def say(c: Compensation, wrench: Any, since_ms: int = 0, count: int = 300) -> None:
    for ms in range(count):
        c.put(np.array(wrench, np.float32), (since_ms + ms) * MS)


def test_the_tools_weight_is_taken_off_as_it_turns() -> None:
    c = compensation()
    c.turn(UPRIGHT)
    c.put(np.array([0, 0, -G, 0, 0, 0], np.float32), 0)
    assert c.wrench() == pytest.approx(np.zeros(6), abs=1e-5)
    c.turn(TURNED)
    # The weight now pulls along -y, with a lever of 0.1 m along z: 0.1 x 9.8 N m about x.
    c.put(np.array([0, -G, 0, 0.1 * G, 0, 0], np.float32), 1 * MS)
    assert c.wrench() == pytest.approx(np.zeros(6), abs=1e-5)


def test_a_force_at_the_tcp_makes_no_torque_there() -> None:
    c = compensation(mass_kg=0.0, tcp_from_sensor=(0, 0, -0.2, 0, 0, 0, 1))
    # 10 N along x at 0.2 m along z from the sensor: 2 N m about y.
    c.put(np.array([10, 0, 0, 0, 2, 0], np.float32), 0)
    assert c.wrench() == pytest.approx(np.array([10, 0, 0, 0, 0, 0]), abs=1e-5)


def test_a_sensor_mounted_askew_is_turned_into_the_tcps_frame() -> None:
    half = math.sqrt(0.5)
    c = compensation(mass_kg=0.0, tcp_from_sensor=(0, 0, 0, 0, 0, half, half))
    c.put(np.array([1, 0, 0, 0, 0.5, 0], np.float32), 0)
    # A quarter about z: x becomes y, y becomes -x.
    assert c.wrench() == pytest.approx(np.array([0, 1, 0, -0.5, 0, 0]), abs=1e-6)


def test_zeroing_takes_the_bias_and_not_the_weight() -> None:
    c = compensation(bias=None)
    c.turn(UPRIGHT)
    assert c.wrench() is None
    say(c, [1, 2, 3 - G, 0.1, 0.2, 0.3])
    assert c.wrench() is None
    assert c.zero() == pytest.approx([1, 2, 3, 0.1, 0.2, 0.3], abs=1e-5)
    assert c.wrench() == pytest.approx(np.zeros(6), abs=1e-5)
    c.turn(TURNED)
    c.put(np.array([1, 2 - G, 3, 0.1 + 0.1 * G, 0.2, 0.3], np.float32), 301 * MS)
    assert c.wrench() == pytest.approx(np.zeros(6), abs=1e-5)


def test_zeroing_makes_no_step_in_what_was_smoothed() -> None:
    c = compensation(mass_kg=0.0, cutoff_hz=1.0)
    say(c, [5, 0, 0, 0, 0, 0], count=1000)
    c.zero()
    assert c.wrench() == pytest.approx(np.zeros(6), abs=1e-4)


def test_a_tool_that_is_touched_is_not_zeroed() -> None:
    c = compensation()
    say(c, [0, 0, 0, 0, 0, 0], count=200)
    say(c, [0, 1.5, 0, 0, 0, 0], since_ms=200, count=100)
    with pytest.raises(ContractError, match="let nothing touch the tool"):
        c.zero()


def test_too_little_is_not_zeroed() -> None:
    c = compensation()
    with pytest.raises(ContractError, match="wait, and ask again"):
        c.zero()
    say(c, np.zeros(6), count=50)
    with pytest.raises(ContractError, match="wait, and ask again"):
        c.zero()


def test_the_low_pass_reaches_63_percent_after_its_time_constant() -> None:
    c = compensation(mass_kg=0.0, cutoff_hz=10.0)
    c.put(np.zeros(6, np.float32), 0)
    # 1 / (2 pi 10 Hz) = 15.915 ms; in 1000 steps.
    for step in range(1, 1001):
        c.put(np.array([1, 0, 0, 0, 0, 0], np.float32), step * 15_915)
    wrench = c.wrench()
    assert wrench is not None
    assert wrench[0] == pytest.approx(1 - math.exp(-1), abs=1e-3)


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4))
def test_a_tool_at_rest_feels_nothing_however_it_is_turned(numbers: list[float]) -> None:
    norm = float(np.linalg.norm(numbers))
    if norm < 0.1:
        return
    quaternion = np.array(numbers, np.float32) / np.float32(norm)
    c = compensation()
    c.turn(quaternion)
    x, y, z, w = (float(v) for v in quaternion)
    # The last row of the rotation matrix: where the base's z is, seen from the sensor.
    up = np.array([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)])
    force = -G * up
    torque = np.cross([0, 0, 0.1], force)
    c.put(np.concatenate([force, torque]).astype(np.float32), 0)
    assert c.wrench() == pytest.approx(np.zeros(6), abs=1e-4)


def test_a_mounting_without_a_unit_quaternion_is_refused() -> None:
    with pytest.raises(ValidationError, match="norm 2, expected 1"):
        compensation(tcp_from_sensor=(0, 0, 0, 0, 0, 0, 2))
