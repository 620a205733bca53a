"""Poses and Jacobians come in the robot's base frame, wherever the model's world is."""

import mujoco
import numpy as np
import pytest

from robot_rl.control.cartesian.arm_model import ArmModel
from robot_rl.control.kinematics import SerialChainConfig
from robot_rl.core.errors import ConfigError
from robot_rl.core.geometry import pose_minus_pose, pose_plus_delta

READY = np.array([0.1, -0.8, 0.2, -2.3, -0.1, 1.6, 0.7])
HALF = np.sqrt(0.5)


def two_links(base: str = "", extra: str = "") -> mujoco.MjModel:
    """Two links of 0.5 m in the plane; the base frame may stand elsewhere than the world."""
    return mujoco.MjModel.from_xml_string(f"""
      <mujoco><compiler angle="radian"/><worldbody>
        <body name="base_link" {base}>
          <site name="base"/>
          <body><joint name="a" axis="0 0 1"/><geom size=".01" pos=".2 0 0"/>
            <body pos=".5 0 0"><joint name="b" axis="0 0 1"/><geom size=".01" pos=".2 0 0"/>
              <site name="tcp" pos=".5 0 0"/></body></body></body>
        {extra}
      </worldbody></mujoco>""")


def test_two_links_reach_where_a_drawing_puts_them():
    arm = ArmModel(two_links(), "tcp", "base")
    arm.update(np.array([0.0, np.pi / 2]))
    np.testing.assert_allclose(arm.tcp_pose(), [0.5, 0.5, 0, 0, 0, HALF, HALF], atol=1e-12)
    # z x (p - o): from the first joint (0.5, 0.5), from the second (0, 0.5).
    expected = [[-0.5, -0.5], [0.5, 0.0], [0, 0], [0, 0], [0, 0], [1, 1]]
    np.testing.assert_allclose(arm.jacobian(), expected, atol=1e-12)


def test_a_base_that_stands_elsewhere_changes_nothing():
    here = ArmModel(two_links(), "tcp", "base")
    there = ArmModel(two_links('pos="1 2 3" euler="0.3 -0.4 1.1"'), "tcp", "base")
    delta = np.array([0.01, -0.02, 0.03, 0.1, 0.2, -0.3])
    for arm in (here, there):
        arm.update(np.array([0.4, -1.2]))
    np.testing.assert_allclose(there.tcp_pose(), here.tcp_pose(), atol=1e-12)
    np.testing.assert_allclose(there.jacobian(), here.jacobian(), atol=1e-12)
    np.testing.assert_allclose(there.delta_to(there.target_after(delta)), delta, atol=1e-12)


def test_targets_mean_what_poses_and_deltas_mean(make_model):
    arm = ArmModel(make_model(), "tcp", "base")
    arm.update(READY)
    pose, delta = arm.tcp_pose(), np.array([0.05, -0.02, 0.03, 0.4, -0.7, 0.2])
    moved = pose_plus_delta(pose, delta)
    np.testing.assert_allclose(arm.delta_to(arm.target_at(moved)), delta, atol=1e-12)
    np.testing.assert_allclose(arm.delta_to(arm.target_after(delta)), delta, atol=1e-12)
    np.testing.assert_allclose(pose_minus_pose(moved, pose), delta, atol=1e-12)


def test_the_model_and_the_gates_chain_are_of_the_same_arm(make_model, cell_chain):
    arm, chain = ArmModel(make_model(), "tcp", "base"), SerialChainConfig(**cell_chain).build()
    for q in (READY, -0.5 * READY, np.zeros(7)):
        arm.update(q)
        np.testing.assert_allclose(
            pose_minus_pose(arm.tcp_pose(), chain.forward(q)), 0.0, atol=1e-9
        )
        np.testing.assert_allclose(arm.jacobian(), chain.jacobian(q), atol=1e-9)


def test_a_missing_site_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match="no site 'tpc'; did you mean 'tcp'"):
        ArmModel(two_links(), "tpc", "base")


def test_a_base_that_moves_is_refused():
    with pytest.raises(ConfigError, match="base site 'tcp' moves"):
        ArmModel(two_links(), "tcp", "tcp")


def test_a_model_with_loose_objects_is_refused():
    cube = '<body name="cube"><freejoint/><geom size=".02"/></body>'
    with pytest.raises(ConfigError, match="a model of the arm alone"):
        ArmModel(two_links(extra=cube), "tcp", "base")


def test_a_sliding_joint_is_refused():
    model = mujoco.MjModel.from_xml_string("""
      <mujoco><worldbody><site name="base"/>
        <body><joint type="slide"/><geom size=".1"/><site name="tcp"/></body>
      </worldbody></mujoco>""")
    with pytest.raises(ConfigError, match="revolute"):
        ArmModel(model, "tcp", "base")
