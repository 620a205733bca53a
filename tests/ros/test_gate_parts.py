"""The gate's parts without a graph, in the time of a clock that only the tests advance."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from robot_rl_msgs.msg import ActionStamped, NamedVector, RobotState

from robot_rl.core.clock import NS_PER_S, ManualClock
from robot_rl.core.errors import ConfigError, ContractError, HardwareError
from robot_rl.core.spec import TCP_POSE, ActionSpec
from robot_rl.core.types import GateState, SafeAction, Source
from robot_rl_nodes.conversion import float32s, pose_from, stamp_from_ns, twist_from, write_vectors
from robot_rl_nodes.gate.desk import FIRST_WORD_S, TopicDesk
from robot_rl_nodes.gate.link import SILENCE_S, TopicLink, Ways
from robot_rl_nodes.gate.schedule import Schedule
from robot_rl_nodes.gate.watch import ControllerWatch
from robot_rl_nodes.gate.writer import Gripper, controller_topic, writer
from robot_rl_nodes.source import HeaderTime

pytestmark = pytest.mark.ros

NAMES = ("x", "y", "z", "rx", "ry", "rz", "gripper")
ACTION = ActionSpec(kind="tcp_delta", names=NAMES, scale=(0.02,) * 6 + (1.0,), period_s=0.1)
PERIOD_S = 0.01
POSE = np.array([0.5, 0.0, 0.2, 1.0, 0.0, 0.0, 0.0], np.float32)
LEFT = np.array([0.0, 0.001, 0.0, 0.0, 0.0, 0.0], np.float32)
STILL = np.zeros(6, np.float32)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(start_ns=10 * NS_PER_S)


def no_stamp(header: Any) -> None:
    header.frame_id = "base"


# What controllers hear.


def test_a_twist_is_the_motion_of_a_period_as_a_velocity() -> None:
    message = writer("twist", PERIOD_S, (0, 0), no_stamp).write(LEFT, None)
    np.testing.assert_allclose(twist_from(message.twist), LEFT / PERIOD_S)
    assert message.header.frame_id == "base"


def test_a_target_pose_begins_where_the_arm_is_and_is_moved_by_the_motions() -> None:
    poses = writer("pose", PERIOD_S, (0.02, 0.2), no_stamp)
    assert poses.write(LEFT, None) is None
    for _ in range(3):
        message = poses.write(LEFT, POSE)
    assert message.pose.position.y == pytest.approx(0.003)


def test_a_hold_in_position_mode_is_the_measured_pose_once_and_never_zeros() -> None:
    poses = writer("pose", PERIOD_S, (0.02, 0.2), no_stamp)
    for _ in range(5):
        poses.write(LEFT, POSE)
    np.testing.assert_allclose(pose_from(poses.write(STILL, POSE).pose), POSE, atol=1e-7)
    sagged = POSE - np.float32(0.001) * np.eye(7, dtype=np.float32)[2]
    np.testing.assert_allclose(pose_from(poses.write(STILL, sagged).pose), POSE, atol=1e-7)
    np.testing.assert_allclose(pose_from(poses.write(STILL, None).pose), POSE, atol=1e-7)


def test_a_target_pose_cannot_run_away_from_an_arm_that_is_held_back() -> None:
    poses = writer("pose", PERIOD_S, (0.005, 0.1), no_stamp)
    turning = np.array([0.0, 0.001, 0.0, 0.0, 0.0, 0.02], np.float32)
    for _ in range(50):
        message = poses.write(turning, POSE)
    assert message.pose.position.y == pytest.approx(0.005, rel=1e-5)
    cosine = abs(pose_from(message.pose)[3:] @ POSE[3:])
    assert 2.0 * np.arccos(cosine) == pytest.approx(0.1, rel=1e-3)


def test_a_gripper_hears_what_changes_at_once_the_same_ten_times_a_second_and_never_nothing(
    clock: ManualClock,
) -> None:
    gripper = Gripper(1.0, clock)
    assert gripper.write(0.0) is None
    heard = []
    for tick in range(30):
        message = gripper.write(1.0 if tick < 20 else -1.0)
        heard.append(None if message is None else message.data[0])
        clock.advance_s(0.0101)
    assert [n for n, value in enumerate(heard) if value is not None] == [0, 10, 20]
    assert (heard[0], heard[20]) == (1.0, -1.0)


def test_a_controller_that_cannot_carry_out_the_actions_is_refused() -> None:
    assert controller_topic("pose", ACTION).name == "target_pose"
    with pytest.raises(ConfigError, match="one of: twist, pose"):
        controller_topic("joint_velocity", ACTION)


# When it ticks.


def ticking(clock: ManualClock, schedule: Schedule, late_s: float = 0.0) -> Any:
    clock.advance_s(schedule.wait_ns / NS_PER_S + late_s)
    return schedule.wake()


def test_a_schedule_skips_what_it_has_missed_and_counts_it(clock: ManualClock) -> None:
    schedule = Schedule(clock, PERIOD_S)
    assert ticking(clock, schedule).missed == 0
    assert ticking(clock, schedule, late_s=0.032).missed == 3
    assert schedule.wait_ns == pytest.approx(8e6, abs=1e3)
    assert ticking(clock, schedule, late_s=0.008) is None
    tick = ticking(clock, schedule)
    assert (tick.missed, tick.lateness_s) == (1, pytest.approx(0.01))


def test_ticks_come_to_lie_just_after_what_arrives(clock: ManualClock) -> None:
    schedule = Schedule(clock, PERIOD_S, lead_s=0.001)
    arrivals_ns, gaps, before = clock.now_ns() + 4_000_000, [], 0
    for _ in range(200):
        while clock.now_ns() + schedule.wait_ns > arrivals_ns:
            clock.sleep_until_ns(arrivals_ns)
            schedule.arrived()
            arrivals_ns += 10_000_000
        assert ticking(clock, schedule).missed == 0
        gaps.append(clock.now_ns() - before)
        before = clock.now_ns()
    assert arrivals_ns - 10_000_000 + 1_000_000 == pytest.approx(clock.now_ns(), abs=100_000)
    assert max(abs(gap - 10_000_000) for gap in gaps[1:]) <= 200_001


# Who may command.


class Desk:
    """A desk, and an actor at it."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.wall_ns = 10**18
        time_of = HeaderTime(lambda: self.wall_ns, clock)
        self.desk = TopicDesk(ACTION, PERIOD_S, 0.1, time_of, clock, 41, lambda report: None)
        self.door = self.desk.actors

    def ask(self, name: str = "policy", source: int = 0) -> int:
        return self.desk.ask(self.door, source, name, "/a and /b")

    def say(self, epoch: int, number: int, value: float = 0.5, **fields: Any) -> None:
        of = {"active": True, "kind": 0, "data": float32s([value] * 7)} | fields
        ahead_s = of.pop("ahead_s", 0.0)
        message = ActionStamped(seq=(epoch << 32) | number, **of)
        stamp_from_ns(self.wall_ns + round(ahead_s * 1e9), message.header.stamp)
        self.desk.put(self.door, message)

    def pass_s(self, seconds: float) -> None:
        self.clock.advance_s(seconds)
        self.wall_ns += round(seconds * 1e9)
        self.desk.hear()


@pytest.fixture
def desk(clock: ManualClock) -> Desk:
    return Desk(clock)


def test_a_seat_is_given_under_an_epoch_and_its_commands_are_taken_in_order(desk: Desk) -> None:
    epoch = desk.ask()
    assert epoch == 42
    desk.say(epoch, 1, 0.25)
    desk.say(epoch, 2, 0.5)
    np.testing.assert_array_equal(desk.desk.actor.action, np.full(7, 0.5, np.float32))
    assert desk.desk.actor.heard == (42, 2)
    desk.say(epoch, 3, active=False)
    assert desk.desk.actor.action is None


def test_commands_of_another_epoch_disturb_nobody(desk: Desk) -> None:
    epoch = desk.ask()
    desk.say(epoch, 1, 0.25)
    desk.say(epoch - 1, 9, 1.0)
    assert desk.desk.actor.action is not None
    assert desk.desk.actor.action[0] == 0.25
    assert desk.desk.actor.loss == ""
    assert "epoch 41 has no seat" in desk.door.complaint


def test_the_same_seq_is_a_sign_of_life_and_no_new_action(desk: Desk) -> None:
    epoch = desk.ask()
    desk.say(epoch, 1, 0.25)
    for _ in range(30):
        desk.pass_s(0.01)
        desk.say(epoch, 1, 1.0)
    assert desk.desk.actor.loss == ""
    assert desk.desk.actor.action is not None
    assert desk.desk.actor.action[0] == 0.25
    assert desk.clock.now_ns() - desk.desk.actor.issued_ns == pytest.approx(0.2 * NS_PER_S)


def test_a_seq_that_goes_back_shows_two_senders_and_ends_the_lease(desk: Desk) -> None:
    epoch = desk.ask()
    desk.say(epoch, 1000)
    desk.say(epoch, 5)
    assert "two publishers, one lease" in desk.door.complaint
    assert desk.desk.actor.loss


def test_whoever_has_a_seat_has_half_a_second_for_the_first_word_and_is_then_lost_by_silence(
    desk: Desk,
) -> None:
    epoch = desk.ask()
    for _ in range(round(FIRST_WORD_S / 0.01)):
        desk.pass_s(0.01)
        assert desk.desk.actor.loss == ""
    desk.pass_s(0.09)
    assert "silent" in desk.desk.actor.loss
    epoch = desk.ask()
    desk.say(epoch, 1)
    desk.pass_s(0.09)
    assert "silent" in desk.desk.actor.loss


def test_a_person_at_a_page_is_heard_less_often_than_one_with_a_device(desk: Desk) -> None:
    desk.door = desk.desk.persons

    def borne_s(means: int) -> float:
        epoch = desk.desk.ask(desk.door, int(Source.HUMAN), "anna", "/run", means)
        desk.say(epoch, 1)
        silent_s = 0.0
        while not desk.desk.person.loss:
            desk.pass_s(0.01)
            silent_s += 0.01
        return silent_s

    assert borne_s(0) == pytest.approx(0.08, abs=0.015)
    assert borne_s(1) == pytest.approx(0.27, abs=0.015)
    with pytest.raises(ContractError, match="means 2: expected one of 0, 1"):
        desk.desk.ask(desk.door, int(Source.HUMAN), "anna", "/run", 2)


def test_a_publisher_that_has_gone_is_lost_before_its_time(desk: Desk) -> None:
    epoch = desk.ask()
    desk.desk.noticed(desk.door, 0)
    desk.pass_s(0.03)
    assert desk.desk.actor.loss == ""
    desk.say(epoch, 1)
    desk.pass_s(0.02)
    assert desk.desk.actor.loss == ""
    desk.pass_s(0.01)
    assert "the connection of actor 'policy' has ended" in desk.desk.actor.loss


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"ahead_s": 1.0}, "in the future: another clock"),
        ({"ahead_s": -0.5}, "0.500 s after it was decided"),
    ],
)
def test_a_command_with_a_wrong_stamp_is_not_obeyed(
    desk: Desk, fields: dict[str, Any], words: str
) -> None:
    epoch = desk.ask()
    desk.say(epoch, 1, **fields)
    assert words in desk.door.complaint
    assert desk.desk.actor.action is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": 1}, "kind 1: expected 0, tcp_delta"),
        ({"data": float32s([0.0] * 6)}, "6 elements: expected x, y"),
    ],
)
def test_an_action_of_another_space_has_no_elements_which_the_gate_refuses(
    desk: Desk, fields: dict[str, Any], words: str
) -> None:
    epoch = desk.ask()
    desk.say(epoch, 1, **fields)
    assert words in desk.door.complaint
    assert desk.desk.actor.action is not None
    assert len(desk.desk.actor.action) == 0


def test_a_seat_is_refused_by_name(desk: Desk) -> None:
    desk.ask()
    with pytest.raises(ContractError, match="'policy' commands"):
        desk.ask("second")
    with pytest.raises(ContractError, match="'policy' sits there, not 'second'"):
        desk.desk.leave(desk.door, "second")
    with pytest.raises(ContractError, match="source 1"):
        desk.ask(source=1)
    desk.desk.leave(desk.door, "policy")
    desk.desk.noticed(desk.door, 2)
    with pytest.raises(ContractError, match=r"2 publishers speak on policy/action: /a and /b"):
        desk.ask("second")


# What is known of the robot.


class Link:
    """A link, and a robot that says what it is told to."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.wall_ns = 10**18
        self.out: list[Any] = []
        self.asked = 0
        self.intruder = ""
        ways = Ways(
            command=self.out.append,
            gripper=self.out.append,
            recover=self._count,
            intruded=lambda: self.intruder,
        )
        made = writer("twist", PERIOD_S, (0, 0), no_stamp)
        time_of = HeaderTime(lambda: self.wall_ns, clock)
        self.link = TopicLink(ACTION, made, ways, time_of, 0.2, clock)

    def _count(self) -> None:
        self.asked += 1

    def say(self, ahead_s: float = 0.0, fault: str = "") -> None:
        message = RobotState(vectors=write_vectors(NamedVector, {TCP_POSE: POSE}), fault=fault)
        stamp_from_ns(self.wall_ns + round(ahead_s * 1e9), message.header.stamp)
        message.header.frame_id = "base"
        self.link.put(message)

    def pass_s(self, seconds: float) -> None:
        self.clock.advance_s(seconds)
        self.wall_ns += round(seconds * 1e9)


@pytest.fixture
def link(clock: ManualClock) -> Link:
    return Link(clock)


def test_a_state_is_known_by_the_monotonic_clock(link: Link) -> None:
    link.say(ahead_s=-0.03)
    assert link.link.sample.stamp_ns == link.clock.now_ns() - 30_000_000
    link.link.check()
    assert link.link.frame == "base"


def test_an_arm_of_which_nothing_is_known_is_not_taken(link: Link) -> None:
    with pytest.raises(HardwareError, match="robot/state is silent"):
        link.link.check()
    link.say(ahead_s=3.0)
    with pytest.raises(HardwareError, match=r"3\.000 s in the future"):
        link.link.check()
    link.say()
    link.intruder = "target_pose is published by /a and /b"
    with pytest.raises(HardwareError, match="published by /a"):
        link.link.check()


def test_stamps_that_stand_still_make_the_state_old_and_are_named(link: Link) -> None:
    link.say()
    first_ns = link.link.sample.stamp_ns
    for n in range(30):
        link.pass_s(0.01)
        # The clock of the robot stands still.
        link.say(ahead_s=-0.01 * (n + 1))
    assert link.link.sample.stamp_ns == first_ns
    assert "stamps have stood still" in link.link.trouble


def test_after_a_jump_of_the_clock_nothing_is_believed_for_as_long_as_a_state_may_be_old(
    link: Link,
) -> None:
    link.say()
    link.wall_ns -= 5 * NS_PER_S
    link.say()
    assert "went back by 5.000 s" in link.link.trouble
    for _ in range(19):
        link.pass_s(0.01)
        link.say()
        assert link.link.trouble
    link.pass_s(0.02)
    link.say()
    assert link.link.trouble == ""
    assert link.link.sample.stamp_ns == link.clock.now_ns()


def test_a_robot_that_is_silent_for_a_second_was_lost_until_it_speaks_again(link: Link) -> None:
    link.say()
    link.pass_s(SILENCE_S + 0.01)
    link.link.poll()
    assert "silent for more than 1 s" in link.link.sample.fault
    link.link.clear("Ada")
    assert link.asked == 0
    link.say()
    link.link.poll()
    assert link.link.sample.fault == ""


def test_a_fault_of_the_robot_is_heard_whatever_its_stamp_and_recovered_on_a_persons_word(
    link: Link,
) -> None:
    link.say()
    link.say(ahead_s=9.0, fault="a reflex")
    assert link.link.sample.fault == "a reflex"
    link.link.clear("Ada")
    assert link.asked == 1


def test_arm_and_gripper_are_told_apart_and_the_last_word_is_a_hold(link: Link) -> None:
    link.say()
    values = np.array([*LEFT, 1.0], np.float32)
    move = SafeAction(values=values, state=GateState.RUN, reason=0, changed=False)  # pyright: ignore[reportArgumentType]
    link.link.move(move)
    assert twist_from(link.out[0].twist)[1] == pytest.approx(0.1)
    assert list(link.out[1].data) == [1.0]
    link.link.hold()
    assert not twist_from(link.out[2].twist).any()


def test_who_else_publishes_is_named_and_so_is_a_controller_that_is_not_there() -> None:
    names = [SimpleNamespace(node_namespace="/fr3", node_name=n) for n in ("gate", "rogue")]
    counts = {"publishers": 1, "subscribers": 1}
    graph: Any = SimpleNamespace(
        count_publishers=lambda name: counts["publishers"],
        count_subscribers=lambda name: counts["subscribers"],
        get_publishers_info_by_topic=lambda name: names,
        resolve_topic_name=lambda name: f"/fr3/{name}",
    )
    watch = ControllerWatch(graph, ["target_pose"])
    assert watch.intruded() == ""
    counts["subscribers"] = 0
    assert "nobody listens to /fr3/target_pose" in watch.intruded()
    counts["publishers"] = 2
    assert "/fr3/target_pose is published by /fr3/gate and /fr3/rogue" in watch.intruded()


def test_a_message_without_a_stamp_is_of_no_time(clock: ManualClock) -> None:
    with pytest.raises(ContractError, match="is zero"):
        HeaderTime(lambda: 10**18, clock)(Time())
