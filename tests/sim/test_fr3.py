import math

import mujoco
import numpy as np
import pytest

from robot_rl.core.errors import ConfigError
from robot_rl.core.geometry import pose_minus_pose, pose_plus_delta
from robot_rl_sim import fr3

TIMESTEP_S = 0.002
STIFFNESS = (1000.0, 40.0)


def scene(*, gripper=False, payload_kg=0.0, payload_gravcomp=0.0, table_z_m=None, cube=False):
    spec = mujoco.MjSpec()
    spec.option.timestep = TIMESTEP_S
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    arm = fr3.add_fr3(spec, gripper=gripper, stiffness=STIFFNESS)
    box = mujoco.mjtGeom.mjGEOM_BOX
    if payload_kg:
        tool = arm.hand.add_body(
            name="tool", pos=[0, 0, fr3.HAND_TCP_M], gravcomp=payload_gravcomp
        )
        tool.add_geom(type=box, size=[0.01] * 3, mass=payload_kg, contype=0, conaffinity=0)
    if table_z_m is not None:
        spec.worldbody.add_geom(type=box, size=[1, 1, 0.1], pos=[0.5, 0, table_z_m - 0.1])
    if cube:
        body = spec.worldbody.add_body(name="cube", pos=[0.307, 0, 0.4868])
        body.add_freejoint()
        body.add_geom(type=box, size=[0.02] * 3, mass=0.2, condim=4)
    model = spec.compile()
    data = mujoco.MjData(model)
    data.qpos[:7] = fr3.HOME_Q
    mujoco.mj_forward(model, data)
    data.ctrl[:6] = fr3.ctrl_from_pose(tcp_pose(data))
    mujoco.mj_forward(model, data)
    return model, data


def tcp_pose(data):
    quat = np.empty(4)
    mujoco.mju_mat2Quat(quat, data.site("tcp").xmat)
    return np.concatenate([data.site("tcp").xpos, quat[[1, 2, 3, 0]]])


def run(model, data, seconds):
    mujoco.mj_step(model, data, round(seconds / TIMESTEP_S))


def reading(data):
    return np.concatenate([data.sensor("ft_force").data, data.sensor("ft_torque").data])


def craig_step(a, d, alpha, theta):
    """The textbook matrix of one modified DH row (Craig, Introduction to Robotics, eq. 3.6)."""
    ca, sa, ct, st = math.cos(alpha), math.sin(alpha), math.cos(theta), math.sin(theta)
    return np.array(
        [
            [ct, -st, 0, a],
            [st * ca, ct * ca, -sa, -d * sa],
            [st * sa, ct * sa, ca, d * ca],
            [0, 0, 0, 1],
        ]
    )


def test_forward_kinematics_equal_the_dh_product():
    model, data = scene()
    rng = np.random.default_rng(0)
    h = math.pi / 2
    a = (0, 0, 0, 0.0825, -0.0825, 0, 0.088)
    d = (0.333, 0, 0.316, 0, 0.384, 0, 0)
    alpha = (0, -h, h, h, -h, h, h)
    for _ in range(50):
        q = rng.uniform(fr3.JOINT_LOWER, fr3.JOINT_UPPER)
        expected = np.eye(4)
        for row in zip(a, d, alpha, q, strict=True):
            expected = expected @ craig_step(*row)
        expected = expected @ craig_step(0, 0.107 + 0.1034, 0, -math.pi / 4)
        data.qpos[:7] = q
        mujoco.mj_kinematics(model, data)
        np.testing.assert_allclose(data.site("tcp").xpos, expected[:3, 3], atol=1e-6)
        np.testing.assert_allclose(
            data.site("tcp").xmat.reshape(3, 3), expected[:3, :3], atol=1e-6
        )


def test_home_points_the_tool_down_with_x_forward():
    _, data = scene()
    # By hand, s = sin 45 deg: the upper arm leans back, the forearm lies level 0.0825 above the
    # elbow, so x = (0.0825 - 0.316) s + 0.384 + 0.088
    # and z = 0.333 + (0.316 + 0.0825) s + 0.0825 - 0.107 - 0.1034.
    np.testing.assert_allclose(tcp_pose(data), [0.30689, 0, 0.48688, 1, 0, 0, 0], atol=1e-5)


@pytest.mark.parametrize("degrees", [True, False])
def test_model_carries_the_published_limits_in_either_unit_of_angle(degrees):
    spec = mujoco.MjSpec()
    spec.compiler.degree = degrees
    fr3.add_fr3(spec, gripper=False, stiffness=STIFFNESS)
    model = spec.compile()
    np.testing.assert_allclose(
        model.jnt_range[:, 0], [-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159]
    )
    np.testing.assert_allclose(
        model.jnt_range[:, 1], [2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159]
    )
    np.testing.assert_allclose(model.jnt_actfrcrange[:, 1], [87, 87, 87, 87, 12, 12, 12])
    assert model.jnt_limited.all()
    assert model.jnt_actfrclimited.all()


def test_mass_is_that_of_arm_and_hand():
    model, _ = scene(gripper=True)
    hand = model.body_subtreemass[model.body("hand").id]
    assert hand == pytest.approx(0.73)
    assert model.body_subtreemass[model.body("link0").id] - hand == pytest.approx(17.89, abs=0.01)


@pytest.mark.parametrize("pose_delta", [(0.1, -0.2, 0.3, 0.4, -0.5, 1.9), (0.0,) * 6])
def test_pose_survives_the_way_through_the_controls(pose_delta):
    pose = pose_plus_delta(np.array([0.4, 0.1, 0.2, 1.0, 0, 0, 0]), np.array(pose_delta))
    again = fr3.pose_from_ctrl(fr3.ctrl_from_pose(pose))
    np.testing.assert_allclose(pose_minus_pose(again, pose), 0, atol=1e-9)


def test_controls_are_the_actuator_lengths_at_that_pose():
    model, data = scene()
    for offset in ([0.4, 0.3, 0, 0.2, 0.1, 0.4, -0.6], [-0.3, 0.2, 0.1, -0.2, 0.2, -0.5, 0.9]):
        data.qpos[:7] = np.array(fr3.HOME_Q) + offset
        mujoco.mj_forward(model, data)
        np.testing.assert_allclose(
            fr3.ctrl_from_pose(tcp_pose(data)), data.actuator_length[:6], atol=1e-9
        )


@pytest.mark.parametrize(
    "delta",
    [
        (0.03, 0, 0, 0, 0, 0),
        (0, -0.03, 0, 0, 0, 0),
        (0, 0, -0.03, 0, 0, 0),
        (0, 0, 0, 0.1, 0, 0),
        (0, 0, 0, 0, -0.1, 0),
        (0, 0, 0, 0, 0, 0.8),
        (0.02, -0.02, -0.02, 0.05, 0.05, 0.2),
    ],
)
@pytest.mark.parametrize("gripper", [False, True])
def test_tcp_converges_on_a_commanded_pose_within_a_second(delta, gripper):
    model, data = scene(gripper=gripper)
    target = pose_plus_delta(tcp_pose(data), np.array(delta))
    data.ctrl[:6] = fr3.ctrl_from_pose(target)
    run(model, data, 1.0)
    error = pose_minus_pose(target, tcp_pose(data))
    assert np.linalg.norm(error[:3]) < 0.5e-3
    assert np.linalg.norm(error[3:]) < math.radians(0.2)


@pytest.mark.parametrize(("axis", "sign"), [(0, 1.0), (1, 1.0), (2, -1.0)])
def test_a_force_displaces_the_tcp_by_force_over_stiffness(axis, sign):
    model, data = scene()
    start = tcp_pose(data)
    body = model.body("hand").id
    force = np.zeros(3)
    force[axis] = sign * 10.0
    # Applied at the tcp, so that no torque turns the tool: 10 N over 1000 N/m is 10 mm.
    lever = data.site("tcp").xpos - data.xipos[body]
    data.xfrc_applied[body] = np.concatenate([force, np.cross(lever, force)])
    run(model, data, 4.0)
    moved = pose_minus_pose(tcp_pose(data), start)
    expected = np.zeros(6)
    expected[axis] = sign * 0.01
    np.testing.assert_allclose(moved, expected, atol=3e-4)


def test_elbow_returns_and_leaves_the_tcp_where_it_was():
    model, data = scene()
    data.qpos[2] = 0.4
    mujoco.mj_forward(model, data)
    pose = tcp_pose(data)
    data.ctrl[:6] = fr3.ctrl_from_pose(pose)
    errors_m = []
    for _ in range(60):
        run(model, data, 0.1)
        errors_m.append(np.linalg.norm(pose_minus_pose(pose, tcp_pose(data))[:3]))
    assert max(errors_m) < 4e-3
    assert max(errors_m[30:]) < 0.1e-3
    assert abs(data.qpos[2]) < 1e-3


def test_joint_torques_stay_within_the_published_limits():
    model, data = scene()
    data.ctrl[:6] = fr3.ctrl_from_pose(pose_plus_delta(tcp_pose(data), np.full(6, 0.8)))
    saturated = np.zeros(7, bool)
    for _ in range(200):
        mujoco.mj_step(model, data)
        torque = np.abs(data.qfrc_actuator[:7])
        assert (torque <= np.array(fr3.JOINT_TORQUE) + 1e-9).all()
        saturated |= torque > 0.999 * np.array(fr3.JOINT_TORQUE)
    assert saturated.any()


@pytest.mark.parametrize("gravcomp", [0.0, 1.0])
def test_sensor_carries_the_weight_of_all_that_is_distal_of_the_flange(gravcomp):
    model, data = scene(payload_kg=0.5, payload_gravcomp=gravcomp)
    run(model, data, 3.0)
    force = data.site("ft").xmat.reshape(3, 3) @ data.sensor("ft_force").data
    np.testing.assert_allclose(force, [0, 0, (0.73 + 0.5) * 9.81], atol=0.01)


def test_uncompensated_payload_sags_by_weight_over_stiffness():
    model, data = scene(payload_kg=0.5)
    height = tcp_pose(data)[2]
    run(model, data, 3.0)
    # 0.5 kg * 9.81 m/s^2 / 1000 N/m is 4.9 mm.
    assert height - tcp_pose(data)[2] == pytest.approx(0.0049, abs=2e-4)


def test_tared_wrench_is_that_of_the_environment_on_the_tool_at_the_tcp():
    model, data = scene()
    run(model, data, 0.5)
    tare = reading(data)
    body = model.body("hand").id
    applied = np.array([1.0, 2.0, 3.0, 0.1, 0.2, 0.3])  # base frame, at the tcp
    lever = data.site("tcp").xpos - data.xipos[body]
    data.xfrc_applied[body, :3] = applied[:3]
    data.xfrc_applied[body, 3:] = applied[3:] + np.cross(lever, applied[:3])
    run(model, data, 3.0)
    # The tcp's axes are the base's turned half a turn about x: y and z change sign.
    expected = applied * [1, -1, -1, 1, -1, -1]
    np.testing.assert_allclose(fr3.wrench_at_tcp(reading(data), tare), expected, atol=0.05)


def test_pressing_on_a_table_pushes_the_tool_back():
    model, data = scene(table_z_m=0.46)
    tare = reading(data)
    data.ctrl[:6] = fr3.ctrl_from_pose(
        pose_plus_delta(tcp_pose(data), np.array([0, 0, -0.03, 0, 0, 0]))
    )
    run(model, data, 2.0)
    assert data.ncon > 0
    # Finger tips reach 8 mm below the tcp, so the table stops the tcp at 0.468: 11 mm of stretch.
    assert fr3.wrench_at_tcp(reading(data), tare)[2] == pytest.approx(-11.1, abs=1.0)


def test_arm_in_free_space_touches_nothing():
    model, data = scene(gripper=True)
    rng = np.random.default_rng(1)
    for _ in range(30):
        data.qpos[:7] = rng.uniform(fr3.JOINT_LOWER, fr3.JOINT_UPPER)
        mujoco.mj_forward(model, data)
        assert data.ncon == 0


def test_fingers_open_symmetrically_to_the_commanded_width():
    model, data = scene(gripper=True)
    data.actuator("gripper").ctrl = 0.06
    run(model, data, 1.0)
    np.testing.assert_allclose(data.qpos[7:9], [0.03, 0.03], atol=2e-4)


def test_gripper_holds_a_cube_against_gravity():
    model, data = scene(gripper=True, cube=True)
    model.opt.gravity[:] = 0
    data.qpos[7:9] = 0.03
    run(model, data, 0.5)
    model.opt.gravity[2] = -9.81
    height = data.body("cube").xpos[2]
    run(model, data, 0.5)
    # 40 mm of cube stretch the 1000 N/m gripper to 40 N.
    assert data.actuator("gripper").force[0] == pytest.approx(-40.0, abs=2.0)
    assert data.body("cube").xpos[2] == pytest.approx(height, abs=0.01)


@pytest.mark.parametrize("bad", [(0.0, 30.0), (600.0, -1.0)])
def test_a_stiffness_that_is_not_positive_is_refused(bad):
    with pytest.raises(ConfigError, match="positive gains"):
        fr3.add_fr3(mujoco.MjSpec(), gripper=False, stiffness=bad)
