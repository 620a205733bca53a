"""The tool as if held by springs: torques by hand, then in MuJoCo at 1 kHz."""

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from robot_rl.control.cartesian.arm_model import ArmModel
from robot_rl.control.cartesian.impedance import ArmState, ImpedanceConfig, impedance_torque
from robot_rl.control.cartesian.refusal import RefusalKind
from robot_rl.core.errors import ContractError
from robot_rl.core.geometry import pose_minus_pose, pose_plus_delta
from robot_rl_sim import fr3, fr3_joint

HALF = np.sqrt(0.5)
NO_FORCE = np.zeros(6)


def build_config(joints=1, **changes):
    """Springs, dampers and posture off; torques all but free."""
    plain = {
        "frame": "base",
        "stiffness": (0.0,) * 6,
        "damping": (0.0,) * 6,
        "posture_rad": (0.0,) * joints,
        "posture_stiffness": 0.0,
        "posture_damping": 0.0,
        "max_joint_torque_n_m": (1e3,) * joints,
        "max_joint_torque_rate_n_m_s": (1e9,) * joints,
        "period_s": 0.001,
    }
    return ImpedanceConfig.model_validate(plain | changes)


def lever(q=0.0, dq=0.0):
    """A joint about the base's z with the tool 1 m away in x."""
    x, y = np.cos(q), np.sin(q)
    return ArmState(
        q=np.array([q]),
        dq=np.array([dq]),
        tcp_pose=np.array([x, y, 0, 0, 0, np.sin(q / 2), np.cos(q / 2)]),
        jacobian=np.array([[-y], [x], [0], [0], [0], [1.0]]),
    )


def torque(config, state, target, force=NO_FORCE, last=None):
    last = np.zeros(len(state.q)) if last is None else last
    return impedance_torque(config, state, np.asarray(target, float), force, last)


def test_a_spring_pulls_by_stiffness_times_error():
    # 100 N/m times 1 cm, at a lever of 1 m.
    config = build_config(stiffness=(0, 100.0, 0, 0, 0, 0), damping=(0, 1.0, 0, 0, 0, 0))
    answer = torque(config, lever(), [1, 0.01, 0, 0, 0, 0, 1])
    assert answer.torque == pytest.approx([1.0])
    np.testing.assert_allclose(answer.error, [0, 0.01, 0, 0, 0, 0], atol=1e-12)


def test_a_damper_brakes_by_damping_times_speed():
    # 0.5 rad/s at 1 m is 0.5 m/s; against 10 N s/m.
    config = build_config(damping=(0, 10.0, 0, 0, 0, 0))
    assert torque(config, lever(dq=0.5), [1, 0, 0, 0, 0, 0, 1]).torque == pytest.approx([-5.0])


def test_a_turn_is_answered_by_its_rotation_vector():
    # A quarter of a turn about z: pi/2 rad at 20 N m/rad.
    config = build_config(stiffness=(0, 0, 0, 0, 0, 20.0), damping=(0, 0, 0, 0, 0, 1.0))
    answer = torque(config, lever(), [1, 0, 0, 0, 0, HALF, HALF])
    assert answer.torque == pytest.approx([10 * np.pi])


def test_gains_of_the_tool_are_along_its_axes():
    # The tool is turned by 90 degrees: its x is the base's y. 100 N/m along it, 1 cm off.
    gains = {"stiffness": (100.0, 0, 0, 0, 0, 0), "damping": (8.0, 0, 0, 0, 0, 0)}
    quarter = ArmState(
        q=np.zeros(1),
        dq=np.array([0.5]),
        tcp_pose=np.array([1, 0, 0, 0, 0, HALF, HALF]),
        jacobian=lever().jacobian,
    )
    target = [1, 0.01, 0, 0, 0, HALF, HALF]
    # 1 N of the spring, less 8 N s/m times 0.5 m/s.
    assert torque(build_config(frame="tcp", **gains), quarter, target).torque == pytest.approx(
        [-3.0]
    )
    assert torque(build_config(frame="base", **gains), quarter, target).torque == pytest.approx(
        [0.0]
    )


def test_a_force_is_exerted_beside_the_springs():
    force = np.array([0, 3.0, 0, 0, 0, 0.5])
    assert torque(build_config(), lever(), [1, 0, 0, 0, 0, 0, 1], force).torque == pytest.approx(
        [3.5]
    )


def test_only_what_the_tool_does_not_feel_of_the_posture_is_exerted():
    # Two joints on one axis: 2 N m on the first is 1 on both, which the tool feels, and 1 on the
    # first against 1 on the second, which it does not.
    twins = ArmState(
        q=np.zeros(2),
        dq=np.zeros(2),
        tcp_pose=lever().tcp_pose,
        jacobian=np.repeat(lever().jacobian, 2, axis=1),
    )
    config = build_config(2, posture_rad=(0.2, 0.0), posture_stiffness=10.0)
    answer = torque(config, twins, lever().tcp_pose)
    np.testing.assert_allclose(answer.torque, [1.0, -1.0], atol=1e-12)


def test_posture_damping_brakes_what_the_tool_does_not_feel():
    twins = ArmState(
        q=np.zeros(2),
        dq=np.array([0.3, -0.3]),
        tcp_pose=lever().tcp_pose,
        jacobian=np.repeat(lever().jacobian, 2, axis=1),
    )
    answer = torque(build_config(2, posture_damping=2.0), twins, lever().tcp_pose)
    np.testing.assert_allclose(answer.torque, [-0.6, 0.6], atol=1e-12)


def test_torque_and_its_rate_are_limited():
    config = build_config(max_joint_torque_n_m=(5.0,), max_joint_torque_rate_n_m_s=(1000.0,))
    last, seen = np.zeros(1), []
    for _ in range(8):
        last = torque(config, lever(), lever().tcp_pose, np.array([0, 9.0, 0, 0, 0, 0]), last)
        last = last.torque
        seen.append(last[0])
    # 1 N m a millisecond, and 5 N m at most.
    np.testing.assert_allclose(seen, [1, 2, 3, 4, 5, 5, 5, 5])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_takes_the_torque_down_as_fast_as_allowed(bad):
    config = build_config(max_joint_torque_rate_n_m_s=(1000.0,))
    sick = lever(dq=bad)
    answer = torque(config, sick, lever().tcp_pose, last=np.array([2.5]))
    assert answer.refusal is not None
    assert answer.refusal.kind == RefusalKind.NON_FINITE
    assert answer.refusal.detail.startswith("dq is not finite")
    np.testing.assert_allclose(answer.torque, [1.5])
    for target, force in (([bad, 0, 0, 0, 0, 0, 1], NO_FORCE), (lever().tcp_pose, NO_FORCE + bad)):
        answer = torque(config, lever(), target, force, last=np.array([0.4]))
        assert answer.refusal is not None
        np.testing.assert_allclose(answer.torque, [0.0])


def test_what_is_malformed_is_refused():
    state = lever()
    flat = ArmState(q=state.q, dq=state.dq, tcp_pose=state.tcp_pose, jacobian=state.jacobian.T)
    for answer in (
        torque(build_config(), state, np.zeros(7)),
        torque(build_config(), flat, state.tcp_pose),
    ):
        assert answer.refusal is not None
        assert answer.refusal.kind == RefusalKind.MALFORMED
        assert not answer.torque.any()


def test_the_last_torque_must_be_known():
    with pytest.raises(ContractError, match="last is not finite"):
        torque(build_config(), lever(), lever().tcp_pose, last=np.array([np.nan]))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_whatever_comes_the_torque_is_finite_and_within_its_limits(data):
    config = build_config(
        2,
        frame="tcp",
        stiffness=(500.0,) * 6,
        damping=(50.0,) * 6,
        posture_stiffness=5.0,
        max_joint_torque_n_m=(5.0, 3.0),
        max_joint_torque_rate_n_m_s=(1000.0,) * 2,
    )
    anything = st.floats(width=64)
    state = ArmState(
        q=data.draw(arrays(np.float64, 2, elements=anything)),
        dq=data.draw(arrays(np.float64, 2, elements=anything)),
        tcp_pose=np.array([*data.draw(arrays(np.float64, 3, elements=anything)), 0, 0, 0, 1]),
        jacobian=data.draw(arrays(np.float64, (6, 2), elements=anything | st.floats(-1, 1))),
    )
    force = data.draw(arrays(np.float64, 6, elements=anything))
    last = np.array([4.5, -3.0])
    answer = impedance_torque(config, state, lever().tcp_pose, force, last)
    assert np.isfinite(answer.torque).all()
    assert (np.abs(answer.torque) <= [5.0, 3.0]).all()
    assert (np.abs(answer.torque - last) <= 1.0 + 1e-12).all()


def test_a_spring_without_damper_is_refused():
    with pytest.raises(ValidationError, match=r"damping\[1\] is 0"):
        build_config(stiffness=(0, 100.0, 0, 0, 0, 0))


def test_torque_limits_of_another_arm_are_refused():
    with pytest.raises(ValidationError, match="max_joint_torque_n_m has 2 elements"):
        build_config(max_joint_torque_n_m=(1.0, 1.0))


class Held:
    """The FR3 with motors in MuJoCo at 1 kHz under the law."""

    CONFIG = ImpedanceConfig(
        frame="base",
        stiffness=(800.0, 800.0, 400.0, 40.0, 40.0, 40.0),
        damping=(120.0, 120.0, 90.0, 7.0, 7.0, 7.0),
        posture_rad=fr3.HOME_Q,
        posture_stiffness=8.0,
        posture_damping=4.0,
        max_joint_torque_n_m=fr3.JOINT_TORQUE,
        max_joint_torque_rate_n_m_s=(1000.0,) * 7,
        period_s=0.001,
    )

    def __init__(self, model):
        self.model, self.data = model, mujoco.MjData(model)
        self.data.qpos[:] = fr3.HOME_Q
        self.arm = ArmModel(model, "tcp", "base")
        self.torque = np.zeros(7)

    def pose(self):
        self.arm.update(self.data.qpos)
        return self.arm.tcp_pose()

    def run(self, target, seconds):
        for _ in range(round(seconds * 1000)):
            pose = self.pose()
            state = ArmState(
                q=self.data.qpos.copy(),
                dq=self.data.qvel.copy(),
                tcp_pose=pose,
                jacobian=self.arm.jacobian(),
            )
            answer = impedance_torque(self.CONFIG, state, target, NO_FORCE, self.torque)
            assert answer.refusal is None
            self.torque = self.data.ctrl[:] = answer.torque
            mujoco.mj_step(self.model, self.data)

    def push(self, force):
        """A force on the tcp, base frame, from now on."""
        hand = self.model.body("hand").id
        self.data.xfrc_applied[hand, :3] = force
        lever_arm = self.data.site("tcp").xpos - self.data.xipos[hand]
        self.data.xfrc_applied[hand, 3:] = np.cross(lever_arm, force)


@pytest.fixture
def held(make_model):
    return Held(make_model(drive=fr3_joint.motor_joints, timestep_s=0.001))


@pytest.mark.sim
def test_the_arm_reaches_a_pose_and_stays(held):
    target = pose_plus_delta(held.pose(), np.array([0.05, -0.08, 0.06, 0.2, -0.1, 0.3]))
    held.run(target, 3.0)
    np.testing.assert_allclose(pose_minus_pose(target, held.pose()), 0.0, atol=2e-4)
    assert np.abs(held.data.qvel).max() < 1e-3


@pytest.mark.sim
def test_pushed_the_arm_yields_the_stiffness_asked_for(held):
    home = held.pose()
    held.run(home, 0.2)
    held.push([4.0, -6.0, 3.0])
    held.run(home, 3.0)
    yielded = pose_minus_pose(held.pose(), home)
    np.testing.assert_allclose(yielded[:3], [4 / 800, -6 / 800, 3 / 400], rtol=0.03)
