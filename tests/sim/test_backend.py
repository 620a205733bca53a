import numpy as np
import pytest

from robot_rl_sim.backend import WRENCH_WINDOW, MujocoBackend
from robot_rl_sim.tasks.peg_insert import PegInsertConfig
from robot_rl_sim.tasks.point_reach import PointReachConfig

pytestmark = pytest.mark.sim


def build(task, nsim):
    backend = MujocoBackend(task.model, task.frames, nsim, joints=task.drive.joints)
    for index in range(nsim):
        backend.reset(index, task.start(np.random.default_rng(index)))
    return backend


def same(a, b, rows):
    for name in ("joint_position", "tcp_pose", "force_torque"):
        np.testing.assert_array_equal(getattr(a, name)[rows], getattr(b, name)[rows])
    for frame in a.frames:
        np.testing.assert_array_equal(a.frames[frame][rows], b.frames[frame][rows])


@pytest.fixture(scope="module")
def peg():
    return PegInsertConfig().build()


def test_simulations_in_a_batch_run_as_they_do_alone(peg):
    together = build(peg, 3)
    together.step(30)
    for index in range(3):
        alone = MujocoBackend(peg.model, peg.frames)
        alone.reset(0, peg.start(np.random.default_rng(index)))
        alone.step(30)
        np.testing.assert_array_equal(alone.state().tcp_pose[0], together.state().tcp_pose[index])


def test_stepping_some_leaves_the_others_and_their_sensors_as_they_were(peg):
    backend = build(peg, 3)
    backend.step(20)
    before = backend.state()
    backend.ctrl[:, 2] += 0.02
    backend.step(50, [1])
    same(before, backend.state(), [0, 2])
    assert np.abs(backend.state().tcp_pose[1] - before.tcp_pose[1]).max() > 1e-3


def test_resetting_one_leaves_the_others_as_they_were(peg):
    backend = build(peg, 2)
    backend.step(40)
    before = backend.state()
    backend.reset(0, peg.start(np.random.default_rng(9)))
    same(before, backend.state(), [1])


def test_wrench_is_the_mean_of_the_last_twenty_milliseconds(peg):
    backend = build(peg, 2)
    backend.ctrl[:, 2] += 0.02
    backend.step(50)
    history = backend.force_history()
    assert history.shape == (2, 50, 3)
    assert WRENCH_WINDOW * backend.timestep_s == pytest.approx(0.02)
    np.testing.assert_allclose(backend.state().force_torque[:, :3], history[:, -10:].mean(1))


def test_an_arm_without_force_sensor_and_gripper_reads_zeros():
    state = build(PointReachConfig().build(), 2).state()
    np.testing.assert_array_equal(state.force_torque, np.zeros((2, 6)))
    np.testing.assert_array_equal(state.gripper, np.zeros(2))
    assert state.joint_position.shape == (2, 2)


def test_quaternions_leave_as_xyzw(peg):
    # The tool points down with x forward: half a turn about x.
    down = build(peg, 4).state().tcp_pose[:, 3:]
    np.testing.assert_allclose(np.abs(down), [[1, 0, 0, 0]] * 4, atol=0.06)
