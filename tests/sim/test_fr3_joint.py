"""The FR3 whose joints obey positions or torques."""

import mujoco
import numpy as np
import pytest

from robot_rl.core.spec import JOINT_POSITION, TCP_POSE, WRENCH
from robot_rl_sim import fr3, fr3_joint
from robot_rl_sim.arm import add_sensors
from robot_rl_sim.backend import MujocoBackend, Start
from robot_rl_sim.fr3_joint import ServoDrive

pytestmark = pytest.mark.sim
TIMESTEP_S = 0.002
HOME = np.array(fr3.HOME_Q)


def build(change, timestep_s=TIMESTEP_S):
    spec = mujoco.MjSpec()
    spec.option.timestep = timestep_s
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    fr3.add_fr3(spec, gripper=False, stiffness=(800.0, 30.0))
    change(spec)
    add_sensors(spec, ())
    model = spec.compile()
    data = mujoco.MjData(model)
    data.qpos[:] = HOME
    mujoco.mj_forward(model, data)
    return model, data


def test_servos_hold_the_arm_where_they_are_told_against_gravity():
    model, data = build(fr3_joint.servo_joints)
    data.ctrl[:] = HOME
    mujoco.mj_step(model, data, nstep=500)
    np.testing.assert_allclose(data.qpos, HOME, atol=1e-6)


def test_servos_follow_a_ramp_two_over_their_rate_behind():
    model, data = build(fr3_joint.servo_joints)
    speed = 0.2
    for k in range(400):
        data.ctrl[:] = HOME + speed * k * TIMESTEP_S
        mujoco.mj_step(model, data)
    behind = data.ctrl - data.qpos
    # 2 / 60 s of 0.2 rad/s; a joint that carries less than the most is a little nearer.
    np.testing.assert_allclose(behind, 2 / 60 * speed, rtol=0.35)
    np.testing.assert_allclose(data.qvel, speed, rtol=0.05)


def test_servos_push_no_harder_than_the_real_joints():
    model, data = build(fr3_joint.servo_joints)
    data.ctrl[:] = HOME + 1.0
    mujoco.mj_step(model, data)
    torque = np.abs(data.qfrc_actuator)
    assert (torque <= np.array(fr3.JOINT_TORQUE) + 1e-9).all()
    assert (torque > 0.99 * np.array(fr3.JOINT_TORQUE)).any()


def test_an_arm_without_torque_floats_and_a_torque_turns_its_joint():
    model, data = build(fr3_joint.motor_joints)
    mujoco.mj_step(model, data, nstep=200)
    np.testing.assert_allclose(data.qpos, HOME, atol=1e-6)
    data.ctrl[0] = 1.0
    mujoco.mj_step(model, data, nstep=50)
    assert data.qvel[0] > 0.05


def test_the_drive_moves_from_what_is_measured():
    model, _ = build(fr3_joint.servo_joints)
    backend = MujocoBackend(model, ())
    start = Start(qpos=HOME, ctrl=HOME, mocap={}, model={}, estimate_error=np.zeros(0))
    backend.reset(0, start)
    drive, delta = ServoDrive(), np.full((1, 7), 0.01)
    drive.obey(backend.ctrl, backend.state(), delta)
    np.testing.assert_allclose(backend.ctrl, backend.state().joint_position + delta)
    backend.step(200)
    np.testing.assert_allclose(backend.qpos[0], HOME + 0.01, atol=1e-4)
    drive.hold(backend.ctrl, backend.state())
    np.testing.assert_array_equal(backend.ctrl, backend.state().joint_position)
    vectors = drive.vectors(backend.state(), np.zeros((1, 6)), np.zeros((1, 6)))
    assert {JOINT_POSITION, TCP_POSE, WRENCH} <= set(vectors)
