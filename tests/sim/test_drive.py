import numpy as np
import pytest

from robot_rl.core.geometry import pose_plus_delta, quat_from_rotvec, quat_multiply
from robot_rl.core.spec import GRIPPER, JOINT_POSITION, JOINT_VELOCITY, WRENCH
from robot_rl_sim import fr3
from robot_rl_sim.backend import StateView
from robot_rl_sim.drive import WRENCH_NOISE, ImpedanceDrive, JointDrive

DOWN = np.array([1.0, 0.0, 0.0, 0.0])


def build_state(nsim=3, joints=7):
    rng = np.random.default_rng(0)
    quat = quat_multiply(quat_from_rotvec(rng.uniform(-0.3, 0.3, (nsim, 3))), DOWN)
    return StateView(
        joint_position=rng.normal(size=(nsim, joints)),
        joint_velocity=rng.normal(size=(nsim, joints)),
        tcp_pose=np.concatenate([rng.uniform(0, 0.5, (nsim, 3)), quat], 1),
        tcp_twist=rng.normal(size=(nsim, 6)),
        force_torque=rng.normal(size=(nsim, 6)),
        gripper=rng.uniform(0, 0.08, nsim),
        frames={},
    )


def test_each_arm_moves_from_its_own_measured_pose():
    state, ctrl = build_state(), np.zeros((3, 6))
    values = np.random.default_rng(1).uniform(-0.1, 0.1, (3, 6))
    ImpedanceDrive().obey(ctrl, state, values)
    for row, pose, delta in zip(ctrl, state.tcp_pose, values, strict=True):
        expected = fr3.ctrl_from_pose(pose_plus_delta(pose, delta))
        np.testing.assert_allclose(row, expected, atol=1e-12)


def test_hold_asks_for_the_measured_pose_and_leaves_the_gripper():
    state, ctrl = build_state(), np.full((3, 7), 0.03)
    ImpedanceDrive(gripper=True).hold(ctrl, state)
    np.testing.assert_allclose(ctrl[:, :6], fr3.ctrl_from_pose(state.tcp_pose))
    np.testing.assert_array_equal(ctrl[:, 6], 0.03)


def test_gripper_opens_above_zero_closes_below_and_stays_at_zero():
    ctrl, values = np.full((3, 7), 0.03), np.zeros((3, 7))
    values[:, 6] = 0.2, -0.2, 0.0
    ImpedanceDrive(gripper=True).obey(ctrl, build_state(), values)
    np.testing.assert_allclose(ctrl[:, 6], [0.08, 0.0, 0.03])


def test_wrench_is_what_differs_from_the_tare_moved_to_the_tcp_with_noise():
    state = build_state(nsim=2)
    tare = state.force_torque.copy()
    # What the arm exerts on the hand falls by 2 N along x where the environment adds 2 N.
    tare[0, 0] += 2.0
    noise = np.zeros((2, 6))
    noise[1] = 1.0
    wrench = ImpedanceDrive().vectors(state, tare, noise)[WRENCH]
    # Torque about the tcp: -(0, 0, 0.1034) x (2, 0, 0) = (0, -0.2068, 0).
    np.testing.assert_allclose(wrench[0], [2, 0, 0, 0, -0.2068, 0], atol=1e-12)
    np.testing.assert_allclose(wrench[1], WRENCH_NOISE)


@pytest.mark.parametrize("gripper", [False, True])
def test_only_an_arm_with_a_gripper_tells_of_one(gripper):
    state = build_state()
    vectors = ImpedanceDrive(gripper=gripper).vectors(state, np.zeros((3, 6)), np.zeros((3, 6)))
    assert (GRIPPER in vectors) == gripper
    if gripper:
        np.testing.assert_array_equal(vectors[GRIPPER][:, 0], state.gripper)


def test_joint_drive_adds_the_delta_to_the_measured_joints():
    drive, state, ctrl = JointDrive(name="two", joints=2), build_state(joints=2), np.zeros((3, 2))
    drive.obey(ctrl, state, np.full((3, 2), 0.1))
    np.testing.assert_allclose(ctrl, state.joint_position + 0.1)
    drive.hold(ctrl, state)
    np.testing.assert_array_equal(ctrl, state.joint_position)
    vectors = drive.vectors(state, np.zeros((3, 6)), np.zeros((3, 0)))
    assert list(vectors) == [JOINT_POSITION, JOINT_VELOCITY]
