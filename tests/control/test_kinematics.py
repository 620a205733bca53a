from __future__ import annotations

from math import pi

import numpy as np
import pytest
from pydantic import ValidationError

from robot_rl.control.kinematics import SerialChainConfig
from robot_rl.core.geometry import pose_minus_pose

READY = np.array([0.1, -0.8, 0.2, -2.3, -0.1, 1.6, 0.7])


def test_stretched_fr3_is_where_its_drawing_puts_it(fr3):
    # At zero the arm stands upright and the hand hangs down at the wrist's offset:
    # x = 0.088, z = 0.333 + 0.316 + 0.384 - 0.107 - 0.1 = 0.826, tool axis down.
    np.testing.assert_allclose(fr3.forward(np.zeros(7)), [0.088, 0, 0.826, 1, 0, 0, 0], atol=1e-12)


def test_one_joint_turns_the_tcp_about_its_axis(one_joint):
    half = np.sqrt(0.5)
    expected = [0, 1, 0, 0, 0, half, half]
    np.testing.assert_allclose(one_joint.forward(np.array([pi / 2])), expected, atol=1e-12)


def test_one_joint_has_the_jacobian_of_a_lever(one_joint):
    jacobian = one_joint.jacobian(np.array([0.0]))
    np.testing.assert_allclose(jacobian[:, 0], [0, 1, 0, 0, 0, 1], atol=1e-12)


def test_tcp_pose_counts_in_the_flange_frame(fr3_rows):
    # The flange turned by 90 degrees about z puts the tool's x along its parent's y.
    half = np.sqrt(0.5)
    rows = fr3_rows | {
        "flange_pose": (0, 0, 0.107, 0, 0, half, half),
        "tcp_pose": (0.05, 0, 0, 0, 0, 0, 1),
    }
    position = SerialChainConfig.model_validate(rows).build().forward(np.zeros(7))[:3]
    # The last joint's frame looks down: its y is the base's -y.
    np.testing.assert_allclose(position, [0.088, -0.05, 0.926], atol=1e-12)


@pytest.mark.parametrize("q", [np.zeros(7), READY, -READY])
def test_jacobian_is_the_derivative_of_forward(fr3, q):
    step = 1e-6
    columns = [
        pose_minus_pose(fr3.forward(q + step * e), fr3.forward(q - step * e)) / (2 * step)
        for e in np.eye(7)
    ]
    np.testing.assert_allclose(fr3.jacobian(q), np.stack(columns, axis=1), atol=1e-8)


def test_rows_of_different_length_are_refused(fr3_rows):
    with pytest.raises(ValidationError, match="7 a_m, 6 d_m"):
        SerialChainConfig.model_validate(fr3_rows | {"d_m": fr3_rows["d_m"][:6]})


def test_quaternion_that_is_no_rotation_is_refused(fr3_rows):
    with pytest.raises(ValidationError, match="tcp_pose: quaternion xyzw has norm 0"):
        SerialChainConfig.model_validate(fr3_rows | {"tcp_pose": (0,) * 7})
