from __future__ import annotations

from math import pi, sqrt

import numpy as np
import pytest

from robot_rl.core.geometry import (
    matrix_from_quat,
    pose_minus_pose,
    pose_plus_delta,
    quat_conjugate,
    quat_from_matrix,
    quat_from_rotvec,
    quat_multiply,
    quat_rotate,
    rotvec_from_quat,
)

HALF = sqrt(0.5)
X90 = np.array([HALF, 0, 0, HALF])
Z90 = np.array([0, 0, HALF, HALF])
IDENTITY = np.array([0.0, 0, 0, 1])


def random_quats(n):
    q = np.random.default_rng(0).normal(size=(n, 4))
    return q / np.linalg.norm(q, axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("quat", "vector", "turned"),
    [
        (Z90, [1, 0, 0], [0, 1, 0]),
        (Z90, [0, 1, 0], [-1, 0, 0]),
        (X90, [0, 1, 0], [0, 0, 1]),
        (np.array([1.0, 0, 0, 0]), [1, 2, 3], [1, -2, -3]),
    ],
)
def test_quarter_and_half_turns_go_the_right_way(quat, vector, turned):
    np.testing.assert_allclose(quat_rotate(quat, np.array(vector, float)), turned, atol=1e-15)


def test_product_applies_the_right_factor_first():
    # About x by 90 degrees takes y to z; then about z leaves z where it is.
    both = quat_multiply(Z90, X90)
    np.testing.assert_allclose(quat_rotate(both, np.array([0.0, 1, 0])), [0, 0, 1], atol=1e-15)
    np.testing.assert_allclose(both, [0.5, 0.5, 0.5, 0.5], atol=1e-15)


def test_conjugate_undoes_a_rotation():
    np.testing.assert_allclose(quat_multiply(X90, quat_conjugate(X90)), IDENTITY, atol=1e-15)


def test_rotation_vector_is_axis_times_angle():
    np.testing.assert_allclose(quat_from_rotvec(np.array([0, 0, pi / 2])), Z90, atol=1e-15)
    np.testing.assert_allclose(rotvec_from_quat(Z90), [0, 0, pi / 2], atol=1e-15)


def test_no_rotation_is_exact():
    np.testing.assert_array_equal(quat_from_rotvec(np.zeros(3)), IDENTITY)
    np.testing.assert_array_equal(rotvec_from_quat(IDENTITY), np.zeros(3))


@pytest.mark.parametrize("angle", [1e-12, 1e-8, 1e-3, 1.0, 3.0, pi - 1e-6])
def test_rotation_vectors_survive_the_way_there_and_back(angle):
    rotvec = angle * np.array([2.0, -1.0, 2.0]) / 3.0
    np.testing.assert_allclose(
        rotvec_from_quat(quat_from_rotvec(rotvec)), rotvec, rtol=1e-7, atol=1e-20
    )


def test_both_signs_of_a_quaternion_are_the_same_short_rotation():
    np.testing.assert_allclose(rotvec_from_quat(-Z90), [0, 0, pi / 2], atol=1e-15)


def test_matrix_of_a_quarter_turn_about_z():
    expected = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    np.testing.assert_allclose(matrix_from_quat(Z90), expected, atol=1e-15)


@pytest.mark.parametrize(
    "quat", [IDENTITY, [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], *random_quats(20)]
)
def test_quaternion_comes_back_from_its_matrix_up_to_sign(quat):
    # The half turns are where the trace is -1 and each of the other branches is taken.
    back = quat_from_matrix(matrix_from_quat(np.asarray(quat, float)))
    assert abs(back @ quat) == pytest.approx(1.0, abs=1e-12)


def test_delta_turns_in_the_base_frame_and_not_in_the_tools():
    # A tool turned about x by 90 degrees; then 90 degrees about the base's z.
    pose = np.concatenate([[1.0, 2, 3], X90])
    moved = pose_plus_delta(pose, np.array([0.1, -0.2, 0.3, 0, 0, pi / 2]))
    np.testing.assert_allclose(moved[:3], [1.1, 1.8, 3.3])
    np.testing.assert_allclose(moved[3:], [0.5, 0.5, 0.5, 0.5], atol=1e-15)


def test_difference_of_poses_is_the_delta_between_them():
    pose, target = (np.concatenate([np.arange(3) * k, q]) for k, q in enumerate(random_quats(2)))
    delta = pose_minus_pose(target, pose)
    back = pose_plus_delta(pose, delta)
    np.testing.assert_allclose(back[:3], target[:3], atol=1e-12)
    assert abs(back[3:] @ target[3:]) == pytest.approx(1.0)


def test_batches_are_rotated_row_by_row():
    quats = random_quats(5)
    vectors = np.random.default_rng(1).normal(size=(5, 3))
    rows = [quat_rotate(q, v) for q, v in zip(quats, vectors, strict=True)]
    np.testing.assert_allclose(quat_rotate(quats, vectors), rows)
