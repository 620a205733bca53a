"""Back to the start, one action per period, judged by what is measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from robot_rl.control.kinematics import SerialChain, SerialChainConfig
from robot_rl.control.limits import Plane, SafetyLimits
from robot_rl.control.reset_motion import ResetMotion, ResetMotionConfig
from robot_rl.control.safety import SafetyGate
from robot_rl.core.clock import ManualClock
from robot_rl.core.errors import ConfigError, ContractError, HardwareError
from robot_rl.core.geometry import pose_minus_pose, pose_plus_delta
from robot_rl.core.spec import JOINT_POSITION, JOINT_VELOCITY, TCP_POSE, TCP_TWIST, ActionSpec
from robot_rl.core.types import Command, GateReason, GateState, Observation, Source

CELL = yaml.safe_load(
    (Path(__file__).parents[2] / "configs" / "cells" / "sim_fr3.yaml").read_text()
)
PERIOD_S = 0.02
HOME = np.array([0.0, -0.7854, 0.0, -2.3562, 0.0, 1.5708, 0.7854])
AWAY = HOME + np.array([0.25, 0.2, -0.1, -0.2, 0.15, 0.1, -0.4])
SHARE = 0.5


def build_limits(**changes: object) -> SafetyLimits:
    """The cell's, with more room about the home position."""
    room = {"workspace_min_m": (0.2, -0.3, 0.03), "workspace_max_m": (0.7, 0.3, 0.65)}
    return SafetyLimits.model_validate(CELL["limits"] | room | changes)


def build_chain() -> SerialChain:
    return SerialChainConfig.model_validate(CELL["chain"]).build()


def build_action(kind: str = "joint_delta", *, gripper: bool = False) -> ActionSpec:
    """A normalised 1 is faster than the cell allows, so that its limits count."""
    if kind == "tcp_delta":
        names = ("x", "y", "z", "rx", "ry", "rz")
        scale = (0.5 * PERIOD_S,) * 3 + (3.0 * PERIOD_S,) * 3
    else:
        names = tuple(f"joint{i}" for i in range(1, 8))
        scale = (6.0 * PERIOD_S,) * 7
    if gripper:
        names, scale = (*names, "gripper"), (*scale, 1.0)
    return ActionSpec(kind=kind, names=names, scale=scale, period_s=PERIOD_S)


def build_config(**changes: object) -> ResetMotionConfig:
    plain = {
        "share": SHARE,
        "tolerance_rad": 1e-3,
        "tolerance_m": 1e-3,
        "max_error_rad": 0.1,
        "max_error_m": 0.03,
        "settle_s": 1.0,
        "plans": 3,
    }
    return ResetMotionConfig.model_validate(plain | changes)


@dataclass
class Arm:
    """Obeys what it is asked by a factor; `place` is joints or a pose."""

    action: ActionSpec
    place: np.ndarray
    follows: float = 1.0
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(7))

    def observe(self, stamp_ns: int = 0) -> Observation:
        keys = (
            (TCP_POSE, TCP_TWIST)
            if self.action.kind == "tcp_delta"
            else (JOINT_POSITION, JOINT_VELOCITY)
        )
        size = 6 if self.action.kind == "tcp_delta" else 7
        chain = build_chain()
        vectors = dict(zip(keys, (self.place, self.velocity[:size]), strict=True))
        if self.action.kind == "joint_delta":
            vectors[TCP_POSE] = chain.forward(self.place)
        return Observation(
            stamp_ns=stamp_ns,
            vectors={key: v.astype(np.float32) for key, v in vectors.items()},
        )

    def obey(self, values: np.ndarray) -> None:
        if self.action.kind == "tcp_delta":
            delta = self.follows * values[:6].astype(np.float64)
            self.place = pose_plus_delta(self.place, delta)
            self.velocity = delta / PERIOD_S
        else:
            delta = self.follows * values[:7].astype(np.float64)
            self.place = self.place + delta
            self.velocity = delta / PERIOD_S


def drive(motion: ResetMotion, arm: Arm, most: int = 1000) -> np.ndarray:
    """Until done; return what was asked for in SI units, float64[t, d]."""
    asked = []
    while True:
        action = motion.next(arm.observe())
        if motion.done:
            return np.array(asked)
        asked.append(arm.action.to_si(action))
        arm.obey(asked[-1])
        assert len(asked) < most, "it never arrives"


def joint_motion(chain: SerialChain | None = None, limits=None, **changes: object) -> ResetMotion:
    return build_config(**changes).build(limits or build_limits(), build_action(), chain)


def pose_motion(limits=None, **changes: object) -> ResetMotion:
    return build_config(**changes).build(limits or build_limits(), build_action("tcp_delta"), None)


def pose_at_home() -> np.ndarray:
    return build_chain().forward(HOME)


def moved(x_m: float = 0.0, y_m: float = 0.0) -> np.ndarray:
    """The pose at home, so far aside."""
    return pose_plus_delta(pose_at_home(), np.array([x_m, y_m, 0, 0, 0, 0]))


def test_an_arm_that_obeys_arrives_by_one_plan():
    arm, motion = Arm(build_action(), HOME), joint_motion()
    motion.begin(AWAY, arm.observe())
    drive(motion, arm)
    np.testing.assert_allclose(arm.place, AWAY, atol=1e-3)
    assert motion.plans == 1


def test_it_uses_its_share_of_speed_acceleration_and_jerk_and_no_more():
    arm, motion, limits = Arm(build_action(), HOME), joint_motion(), build_limits()
    motion.begin(HOME + np.array([2.0, 1.0, -1.5, -0.5, 2.0, 1.0, -1.0]), arm.observe())
    asked = drive(motion, arm)
    speed = np.abs(asked).max(0) / PERIOD_S
    change = np.abs(np.diff(asked, axis=0, prepend=0.0)).max(0) / PERIOD_S**2
    jerk = np.abs(np.diff(asked, n=2, axis=0, prepend=np.zeros((2, 7)))).max(0) / PERIOD_S**3
    np.testing.assert_array_less(speed, SHARE * np.array(limits.max_joint_velocity_rad_s) + 1e-3)
    np.testing.assert_array_less(
        change, SHARE * np.array(limits.max_joint_acceleration_rad_s2) + 0.05
    )
    np.testing.assert_array_less(jerk, SHARE * np.array(limits.max_joint_jerk_rad_s3) + 5.0)
    # The slowest joint of all, the first, is what takes the time: it is at its share.
    assert speed[0] == pytest.approx(SHARE * 2.62, rel=1e-2)


def test_all_joints_arrive_together():
    arm, motion = Arm(build_action(), HOME), joint_motion()
    motion.begin(AWAY, arm.observe())
    asked = drive(motion, arm)
    assert (np.abs(asked[-4:]).max(0) > 1e-6).all()


def test_it_takes_over_the_measured_speed():
    arm, motion = Arm(build_action(), HOME), joint_motion()
    arm.velocity = np.array([0.2, 0, 0, 0, 0, 0, -0.3])
    motion.begin(AWAY, arm.observe())
    first = arm.action.to_si(motion.next(arm.observe()))
    np.testing.assert_allclose(first[[0, 6]] / PERIOD_S, [0.2, -0.3], atol=0.06)


def test_a_tool_takes_over_the_measured_speed_along_its_way():
    arm, motion = Arm(build_action("tcp_delta"), pose_at_home()), pose_motion()
    # Half of it is along the way, half across; 0.03 m/s more are possible in a period.
    arm.velocity = np.array([0.08, 0.08, 0, 0, 0, 0])
    motion.begin(moved(0.1), arm.observe())
    first = arm.action.to_si(motion.next(arm.observe())) / PERIOD_S
    np.testing.assert_allclose(first, [0.095, 0, 0, 0, 0, 0], atol=0.015)


def test_it_starts_and_ends_at_rest_without_a_jump():
    arm, motion = Arm(build_action(), HOME), joint_motion()
    motion.begin(AWAY, arm.observe())
    asked = drive(motion, arm)
    most = SHARE * 10.0 * PERIOD_S**2 + 1e-6
    assert np.abs(asked[0]).max() <= most
    assert np.abs(asked[-1]).max() <= most


def test_what_an_arm_stays_behind_is_asked_for_again():
    arm, motion = Arm(build_action(), HOME, follows=0.5), joint_motion(share=0.3)
    motion.begin(AWAY, arm.observe())
    drive(motion, arm)
    np.testing.assert_allclose(arm.place, AWAY, atol=1e-3)
    assert motion.plans == 1


def test_an_arm_that_is_taken_aside_is_planned_for_anew_from_where_it_is():
    arm, motion = Arm(build_action(), HOME), joint_motion()
    motion.begin(AWAY, arm.observe())
    for _ in range(5):
        arm.obey(arm.action.to_si(motion.next(arm.observe())))
    arm.place = arm.place + 0.15
    arm.velocity = np.zeros(7)
    asked = arm.action.to_si(motion.next(arm.observe()))
    assert motion.plans == 2
    assert np.abs(asked).max() <= SHARE * 10.0 * PERIOD_S**2 + 1e-6
    drive(motion, arm)
    np.testing.assert_allclose(arm.place, AWAY, atol=1e-3)


def test_an_arm_that_is_held_is_given_up():
    arm, motion = Arm(build_action(), HOME, follows=0.0), joint_motion(plans=3)
    motion.begin(AWAY, arm.observe())
    with pytest.raises(HardwareError, match=r"does not follow: after 3 plans it is 0\.0000 m and"):
        drive(motion, arm)


def test_an_arm_that_stops_short_of_the_target_is_given_up_after_its_time():
    # 0.05 rad off is no reason to plan, and yet it never arrives.
    arm, motion = Arm(build_action(), AWAY + 0.05, follows=0.0), joint_motion(plans=1)
    motion.begin(AWAY, arm.observe())
    with pytest.raises(HardwareError, match="does not follow"):
        drive(motion, arm)


def test_commanded_is_not_taken_for_measured():
    # It was led to the very end; the arm stands 2 mrad short, then creeps there.
    arm, motion = Arm(build_action(), HOME), joint_motion()
    motion.begin(AWAY, arm.observe())
    for _ in range(300):
        motion.next(arm.observe())
        arm.place = arm.place + 0.1 * (AWAY + 0.002 - arm.place)
        if np.abs(arm.place - AWAY - 0.002).max() < 1e-5:
            break
    assert not motion.done
    arm.place = AWAY
    motion.next(arm.observe())
    assert motion.done


def test_at_the_target_already_it_holds():
    arm, motion = Arm(build_action(), HOME), joint_motion()
    motion.begin(HOME, arm.observe())
    asked = drive(motion, arm)
    assert np.abs(asked).sum() < 1e-5
    assert not motion.next(arm.observe()).any()


def test_a_target_beyond_a_joints_end_is_refused_by_its_name():
    arm, motion = Arm(build_action(), HOME), joint_motion()
    beyond = HOME.copy()
    beyond[3] = 0.3
    with pytest.raises(
        ContractError, match=r"target brings joint4 to 0\.3000 rad, expected -3\.0421 to -0\.1518"
    ):
        motion.begin(beyond, arm.observe())


def test_a_way_that_overshoots_a_joints_end_is_refused_by_its_name():
    # 1.2 rad/s towards an end 5 cm ahead cannot be braked with half of 10 rad/s^2.
    arm, motion = Arm(build_action(), HOME), joint_motion()
    arm.place = HOME.copy()
    arm.place[0] = 2.7437 - 0.05
    arm.velocity = np.array([1.2, 0, 0, 0, 0, 0, 0])
    with pytest.raises(ContractError, match=r"the way brings joint1 to 2\.8"):
        motion.begin(HOME, arm.observe())


def test_who_starts_beyond_an_end_may_come_back():
    arm, motion = Arm(build_action(), HOME.copy()), joint_motion()
    arm.place[0] = 2.7437 + 0.02
    motion.begin(HOME, arm.observe())
    drive(motion, arm)
    np.testing.assert_allclose(arm.place, HOME, atol=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(bad):
    arm, motion = Arm(build_action(), HOME), joint_motion()
    with pytest.raises(ContractError, match=r"target: got .* expected 7 finite positions"):
        motion.begin(AWAY + bad, arm.observe())
    arm.velocity = np.full(7, bad)
    with pytest.raises(ContractError, match=r"observation\.velocity: got"):
        motion.begin(AWAY, arm.observe())


def test_an_observation_without_the_arm_is_refused():
    motion, empty = joint_motion(), Observation(stamp_ns=0, vectors={})
    with pytest.raises(ContractError, match=r"observation\.state: got nothing, a reset needs 7"):
        motion.begin(AWAY, empty)


def test_next_needs_a_target():
    arm, motion = Arm(build_action(), HOME), joint_motion()
    with pytest.raises(ContractError, match="next before begin"):
        motion.next(arm.observe())
    motion.begin(AWAY, arm.observe())
    with pytest.raises(ContractError, match="target: got"):
        motion.begin(AWAY[:3], arm.observe())
    with pytest.raises(ContractError, match="next before begin"):
        motion.next(arm.observe())


@settings(max_examples=15, deadline=None)
@given(share=st.floats(0.1, 1.0), ends=st.lists(st.floats(0.02, 0.98), min_size=14, max_size=14))
def test_from_anywhere_to_anywhere_it_arrives_within_its_share(share, ends):
    limits = build_limits()
    lower, upper = np.array(limits.joint_lower_rad), np.array(limits.joint_upper_rad)
    start, target = (lower + np.array(part) * (upper - lower) for part in (ends[:7], ends[7:]))
    arm, motion = Arm(build_action(), start), joint_motion(share=share)
    motion.begin(target, arm.observe())
    asked = drive(motion, arm, most=5000) / PERIOD_S
    change = np.abs(np.diff(asked, axis=0, prepend=0.0)).max() / PERIOD_S
    assert (np.abs(asked) <= share * np.array(limits.max_joint_velocity_rad_s) + 1e-3).all()
    assert change <= share * 10.0 + 0.05
    assert motion.plans == 1
    np.testing.assert_allclose(arm.place, target, atol=1e-3)


def test_with_a_chain_the_tool_keeps_its_speed():
    chain, arm = build_chain(), Arm(build_action(), HOME)
    motion = joint_motion(
        chain, build_limits(workspace_min_m=(-1, -1, 0), workspace_max_m=(1, 1, 1))
    )
    motion.begin(HOME + np.array([1.2, 0, 0, 0, 0, 0, 0]), arm.observe())
    places = [chain.forward(HOME)]
    while not motion.done:
        arm.obey(arm.action.to_si(motion.next(arm.observe())))
        places.append(chain.forward(arm.place))
    speeds = np.linalg.norm(np.diff(np.array(places)[:, :3], axis=0), axis=1) / PERIOD_S
    assert 0.9 * SHARE * 0.25 < speeds.max() <= SHARE * 0.25 + 1e-4
    np.testing.assert_allclose(arm.place[0], 1.2, atol=1e-3)


def test_with_a_chain_a_target_outside_the_workspace_is_refused_by_its_axis():
    motion = joint_motion(build_chain(), build_limits(workspace_max_m=(0.7, 0.3, 0.5)))
    high = HOME - np.array([0, 0.2, 0, 0, 0, 0, 0])
    with pytest.raises(ContractError, match=r"the target brings the tool to .* z is outside"):
        motion.begin(high, Arm(build_action(), HOME).observe())


def test_with_a_chain_a_way_that_leaves_the_workspace_is_refused():
    # From one side to the other the tool bulges out in x.
    turn, reach = np.array([0.5, 0, 0, 0, 0, 0, 0]), pose_at_home()[0]
    most_m = reach * np.cos(0.5) + 0.02
    motion = joint_motion(build_chain(), build_limits(workspace_max_m=(most_m, 0.3, 0.65)))
    with pytest.raises(ContractError, match=r"the way brings the tool to .* x is outside"):
        motion.begin(HOME + turn, Arm(build_action(), HOME - turn).observe())


def test_a_tool_goes_straight_and_turns_about_one_axis():
    arm, motion = Arm(build_action("tcp_delta"), pose_at_home()), pose_motion()
    start, delta = pose_at_home(), np.array([0.1, 0.15, -0.2, 0.3, -0.2, 0.6])
    motion.begin(pose_plus_delta(start, delta), arm.observe())
    shares = []
    while not motion.done:
        arm.obey(arm.action.to_si(motion.next(arm.observe())))
        gone = pose_minus_pose(arm.place, start)
        shares.append(gone @ delta / (delta @ delta))
        np.testing.assert_allclose(gone, shares[-1] * delta, atol=1e-4)
    assert shares[-1] == pytest.approx(1.0, abs=1e-3)
    assert np.diff(shares).min() >= -1e-4


@pytest.mark.parametrize(
    ("delta", "part", "speed"),
    [((0.3, 0, 0, 0, 0, 0), slice(3), 0.25), ((0, 0, 0, 0, 0, 1.5), slice(3, 6), 1.5)],
)
def test_a_tool_uses_its_share_and_no_more(delta, part, speed):
    limits = build_limits(workspace_max_m=(1, 1, 1))
    arm, motion = Arm(build_action("tcp_delta"), pose_at_home()), pose_motion(limits)
    motion.begin(pose_plus_delta(pose_at_home(), np.array(delta)), arm.observe())
    asked = drive(motion, arm)[:, part]
    fastest = np.linalg.norm(asked, axis=1).max() / PERIOD_S
    change = np.linalg.norm(np.diff(asked, axis=0, prepend=0.0), axis=1).max() / PERIOD_S**2
    assert fastest == pytest.approx(SHARE * speed, rel=1e-2)
    # 2.5 m/s^2 and 15 rad/s^2: ten times the speed, both.
    assert change <= SHARE * 10 * speed * 1.01


def test_an_action_whose_range_is_smaller_than_the_limits_sets_the_pace():
    action = ActionSpec(
        kind="tcp_delta",
        names=("x", "y", "z", "rx", "ry", "rz"),
        scale=(0.0005,) * 3 + (0.01,) * 3,
        period_s=PERIOD_S,
    )
    arm = Arm(action, pose_at_home())
    motion = build_config().build(build_limits(), action, None)
    motion.begin(
        pose_plus_delta(pose_at_home(), np.array([0.02, 0.01, 0, 0, 0, 0])), arm.observe()
    )
    asked = drive(motion, arm)
    assert np.abs(asked[:, 0]).max() == pytest.approx(SHARE * 0.0005, rel=0.02)


def test_a_pose_outside_the_workspace_is_refused_by_its_axis():
    motion, arm = pose_motion(), Arm(build_action("tcp_delta"), pose_at_home())
    below = pose_at_home()
    below[2] = -0.1
    with pytest.raises(ContractError, match=r"z is outside the workspace, .* at least 0\.03"):
        motion.begin(below, arm.observe())
    plane = Plane(normal=(0.0, -0.6, 0.8), offset_m=0.4)
    motion = pose_motion(build_limits(workspace_planes=(plane,)))
    with pytest.raises(ContractError, match=r"workspace_planes\[0\] is outside"):
        motion.begin(
            pose_plus_delta(pose_at_home(), np.array([0, 0.2, 0, 0, 0, 0])), arm.observe()
        )


def test_a_pose_without_rotation_is_refused():
    motion, arm = pose_motion(), Arm(build_action("tcp_delta"), pose_at_home())
    with pytest.raises(ContractError, match="target has a quaternion"):
        motion.begin(np.array([0.5, 0, 0.3, 0, 0, 0, 0]), arm.observe())


def test_a_gripper_is_left_as_it_is():
    action = build_action("tcp_delta", gripper=True)
    arm, motion = Arm(action, pose_at_home()), build_config().build(build_limits(), action, None)
    motion.begin(moved(0.05), arm.observe())
    asked = drive(motion, arm)
    assert asked.shape[1] == 7
    assert not asked[:, 6].any()


def test_actions_of_which_nothing_is_known_are_refused():
    opaque = ActionSpec(kind="opaque", names=("a",), scale=(1.0,), period_s=PERIOD_S)
    with pytest.raises(ConfigError, match="no reset by actions of kind 'opaque'"):
        build_config().build(build_limits(), opaque, None)


def test_a_tolerance_wider_than_what_is_planned_for_anew_is_refused():
    with pytest.raises(
        ValidationError, match=r"tolerance_rad 0\.2 must be below max_error_rad 0\.1"
    ):
        build_config(tolerance_rad=0.2)


@pytest.mark.parametrize("kind", ["joint_delta", "tcp_delta"])
def test_the_gate_lets_every_action_through_as_it_is(kind):
    clock, chain, action = ManualClock(start_ns=10**9), build_chain(), build_action(kind)
    limits = build_limits()
    gate = SafetyGate(limits, action, clock, chain)
    lease = gate.grant(Source.RESET)
    arm = Arm(action, HOME if kind == "joint_delta" else pose_at_home())
    target = AWAY if kind == "joint_delta" else chain.forward(AWAY)
    motion = build_config(share=0.4).build(limits, action, chain)
    motion.begin(target, arm.observe(clock.now_ns()))
    reasons = []
    for sequence in range(2000):
        observation = arm.observe(clock.now_ns())
        if kind == "tcp_delta":
            observation.vectors[JOINT_POSITION] = HOME.astype(np.float32)
        command = Command(
            action=motion.next(observation),
            issued_ns=clock.now_ns(),
            source=Source.RESET,
            epoch=lease.epoch,
            sequence=sequence,
        )
        if motion.done:
            break
        safe = gate.check(command, observation)
        reasons.append(safe.reason)
        arm.obey(safe.values)
        clock.advance_s(PERIOD_S)
    assert motion.done
    assert set(reasons) == {GateReason.PASSED}
    assert gate.state == GateState.RUN
