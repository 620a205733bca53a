from __future__ import annotations

import math
import sys
import threading
from typing import Any, Self

import numpy as np
import pytest
from pydantic import ValidationError

from robot_rl.core.clock import ManualClock
from robot_rl.core.errors import ConfigError, ContractError, DependencyError, HardwareError
from robot_rl.core.protocol import OperatorEvent, OperatorInput
from robot_rl.core.spec import GRIPPER, JOINT_POSITION, TCP_POSE
from robot_rl.core.types import Observation
from robot_rl_hardware.operators.fake import FakeOperatorConfig
from robot_rl_hardware.operators.follow import (
    JointConfig,
    JointFollowConfig,
    LinkConfig,
    TcpFollowConfig,
)
from robot_rl_hardware.operators.leader_arm import (
    LeaderArm,
    LeaderArmConfig,
    LeaderGripperConfig,
)
from robot_rl_hardware.operators.lerobot_leader import LerobotLeader, maker

JOINTS = JointFollowConfig(
    joints=(JointConfig(motor="a"), JointConfig(motor="b", ratio=-2.0)), scale_rad=(0.1, 0.2)
)
GRIP = LeaderGripperConfig(motor="grip", closed=0.0, open=100.0, open_above_m=0.05)


class Arm:
    """Has what a lerobot Teleoperator has."""

    is_calibrated = True
    action_features = {"a.pos": float, "b.pos": float, "grip.pos": float, "enabled": bool}  # noqa: RUF012

    def __init__(self, **degrees: float) -> None:
        self.says = {"a": 0.0, "b": 0.0, "grip": 100.0} | degrees
        self.error: Exception | None = None
        self.connect_error: Exception | None = None
        self.connected = self.disconnected = self._reads = 0
        self._changed = threading.Condition()

    def move(self, **says: float) -> None:
        """Returns once it was heard."""
        with self._changed:
            self.says = self.says | says
            reads = self._reads
            assert self._changed.wait_for(lambda: self._reads >= reads + 2, 20)

    def fail(self, error: Exception, *, until_back: bool = True) -> None:
        """Returns once it was let go, or was connected again."""
        with self._changed:
            self.error, connected, let_go = error, self.connected, self.disconnected
            self.until(lambda: self.disconnected > let_go)
            self.until(lambda: self.connected > connected or not until_back)

    def until(self, true: Any) -> None:
        with self._changed:
            assert self._changed.wait_for(true, 20)

    def connect(self, calibrate: bool = True) -> None:
        assert not calibrate
        if self.connect_error:
            raise self.connect_error
        with self._changed:
            self.connected, self.error = self.connected + 1, None
            self._changed.notify_all()

    def get_action(self) -> dict[str, Any]:
        with self._changed:
            if self.error:
                raise self.error
            self._reads += 1
            self._changed.notify_all()
            return {f"{name}.pos": value for name, value in self.says.items()} | {"enabled": 1}

    def disconnect(self) -> None:
        with self._changed:
            self.disconnected += 1
            self._changed.notify_all()


class Pedal:
    """The other device in the person's hand."""

    name = "pedal"

    def __init__(self) -> None:
        self.says = OperatorInput(active=False, action=np.zeros(1, np.float32), heard_ns=None)
        self.entered = self.episodes = 0
        self.error: HardwareError | None = None

    def press(self, active: bool = True, **said: Any) -> None:
        self.says = OperatorInput(active=active, action=np.zeros(1, np.float32), **said)

    def __enter__(self) -> Self:
        self.entered += 1
        return self

    def __exit__(self, *of: object) -> None:
        self.entered -= 1

    def reset(self, seed: int) -> None:
        self.episodes += 1

    def poll(self, observation: Observation) -> OperatorInput:
        if self.error:
            raise self.error
        return self.says


def config(**changes: Any) -> LeaderArmConfig:
    fields: dict[str, Any] = {
        "teleoperator": "any:Any",
        "settings": {},
        "unit": "deg",
        "follow": JOINTS,
        "dead_man": FakeOperatorConfig(parts=(), size=1),
        "retry_s": 0.001,
    }
    return LeaderArmConfig(**(fields | changes))


def leader(arm: Arm, other: Any, clock: ManualClock, **changes: Any) -> LeaderArm:
    return LeaderArm(config(**changes), LerobotLeader(lambda: arm), other, clock)


def at(*joints: float, opening_m: float = 0.08) -> Observation:
    vectors = {
        JOINT_POSITION: np.array(joints, np.float32),
        GRIPPER: np.array([opening_m], np.float32),
    }
    return Observation(stamp_ns=0, vectors=vectors)


def test_the_robot_stays_where_it_is_when_the_clutch_closes_and_follows_from_there() -> None:
    arm, pedal, clock = Arm(a=170.0, b=-90.0), Pedal(), ManualClock(9)
    with leader(arm, pedal, clock) as operator:
        arm.move()
        assert not operator.poll(at(1.0, 2.0)).active
        pedal.press()
        said = operator.poll(at(1.0, 2.0))
        assert said.active
        assert said.heard_ns == 9
        assert said.action.dtype == np.float32
        assert said.action.tolist() == pytest.approx([0, 0], abs=1e-5)
        # 1.8 degrees are 0.0314 rad: 0.314 of the first joint's scale; the other turns back twice.
        arm.move(a=171.8, b=-88.2)
        assert operator.poll(at(1.0, 2.0)).action.tolist() == pytest.approx(
            [0.31416, -0.31416], abs=1e-4
        )
        # The first has arrived, the other has gone too far.
        said = operator.poll(at(1.0 + math.radians(1.8), 2.0 - 0.1628))
        assert said.action.tolist() == pytest.approx([0, 0.5], abs=1e-3)


def test_who_lets_go_may_move_the_leader_without_the_robot() -> None:
    arm, pedal = Arm(), Pedal()
    with leader(arm, pedal, ManualClock()) as operator:
        arm.move()
        pedal.press()
        operator.poll(at(0.0, 0.0))
        pedal.press(active=False)
        assert not operator.poll(at(0.0, 0.0)).action.any()
        arm.move(a=50.0)
        pedal.press()
        assert operator.poll(at(0.0, 0.0)).action.tolist() == pytest.approx([0, 0], abs=1e-6)
        # So does a new episode.
        arm.move(a=0.0)
        operator.reset(1)
        assert pedal.episodes == 1
        assert operator.poll(at(0.0, 0.0)).action.tolist() == pytest.approx([0, 0], abs=1e-6)


def test_what_is_far_away_is_asked_for_no_faster_than_the_action_space_has_it() -> None:
    arm, pedal = Arm(), Pedal()
    with leader(arm, pedal, ManualClock()) as operator:
        arm.move()
        pedal.press()
        operator.poll(at(0.0, 0.0))
        arm.move(a=90.0, b=90.0)
        assert operator.poll(at(0.0, 0.0)).action.tolist() == [1.0, -1.0]


def test_the_other_device_speaks_for_the_person() -> None:
    arm, pedal = Arm(), Pedal()
    with leader(arm, pedal, ManualClock(50)) as operator:
        assert pedal.entered == 1
        arm.move()
        pedal.press(
            active=False, heard_ns=7, events=(OperatorEvent.SUCCESS,), hold=True, give_back=True
        )
        said = operator.poll(at(0.0, 0.0))
        assert (said.heard_ns, said.hold, said.give_back) == (7, True, True)
        assert said.events == (OperatorEvent.SUCCESS,)
        pedal.error = HardwareError("pedal gone")
        with pytest.raises(HardwareError, match="pedal gone"):
            operator.poll(at(0.0, 0.0))
    assert pedal.entered == 0


def test_without_a_dead_man_moving_the_leader_drives() -> None:
    arm, clock = Arm(), ManualClock()
    with leader(arm, None, clock, dead_man=None, band_rad=0.1, still_s=0.3) as operator:
        arm.move()
        assert not operator.poll(at(0.0, 0.0)).active
        arm.move(a=5.0)
        assert not operator.poll(at(0.0, 0.0)).active
        arm.move(a=6.0)
        assert operator.poll(at(0.0, 0.0)).active
        clock.advance_s(0.29)
        assert operator.poll(at(0.0, 0.0)).active
        clock.advance_s(0.02)
        assert not operator.poll(at(0.0, 0.0)).active


def test_the_gripper_stays_as_it_is_until_the_leaders_has_been_there() -> None:
    arm, pedal = Arm(grip=100.0), Pedal()
    with leader(arm, pedal, ManualClock(), gripper=GRIP) as operator:
        arm.move()
        pedal.press()
        holds = at(0.0, 0.0, opening_m=0.03)
        assert operator.poll(holds).action[-1] == -1
        arm.move(grip=70.0)
        assert operator.poll(holds).action[-1] == -1
        arm.move(grip=20.0)
        assert operator.poll(holds).action[-1] == -1
        # Between the two nothing changes.
        arm.move(grip=55.0)
        assert operator.poll(holds).action[-1] == -1
        arm.move(grip=80.0)
        assert operator.poll(holds).action[-1] == 1


def test_an_arm_that_is_lost_is_told_once_and_is_found_again() -> None:
    arm, pedal = Arm(), Pedal()
    with leader(arm, pedal, ManualClock()) as operator:
        arm.move()
        pedal.press(events=(OperatorEvent.STOP,))
        arm.fail(ConnectionError("no answer"))
        with pytest.raises(HardwareError, match=r"the leader arm is gone \(no answer\)"):
            operator.poll(at(0.0, 0.0))
        arm.move(a=30.0)
        said = operator.poll(at(0.0, 0.0))
        assert said.action.tolist() == pytest.approx([0, 0], abs=1e-6)
        # What the other device said meanwhile is not lost.
        assert said.events == (OperatorEvent.STOP,)


def test_while_it_is_gone_nobody_drives() -> None:
    arm, pedal, clock = Arm(), Pedal(), ManualClock()
    with leader(arm, pedal, clock, retry_s=1000.0) as operator:
        arm.move()
        pedal.press()
        arm.fail(OSError("pulled out"), until_back=False)
        with pytest.raises(HardwareError, match="pulled out"):
            operator.poll(at(0.0, 0.0))
        clock.advance_s(1.0)
        said = operator.poll(at(0.0, 0.0))
        assert (said.active, said.heard_ns) == (False, 0)


def refusal(arm: Any) -> str:
    reader = LerobotLeader(arm if callable(arm) else lambda: arm)
    with pytest.raises((HardwareError, ConfigError, DependencyError)) as caught:
        reader.open()
    reader.close()
    return str(caught.value)


def test_what_cannot_be_opened_says_what_to_do() -> None:
    arm = Arm()
    arm.is_calibrated = False
    assert "not calibrated: run `lerobot-calibrate`" in refusal(arm)
    assert arm.disconnected == 1
    arm.connect_error = ConnectionError("no port")
    assert "does not answer (no port): is it plugged in" in refusal(arm)


def test_an_arm_that_says_nonsense_is_gone() -> None:
    reader = LerobotLeader(lambda: Arm(a=math.nan))
    reader.open()
    with pytest.raises(HardwareError, match="expected finite numbers"):
        reader.read()


# Importing it takes 6 s, and more on a busy machine.
@pytest.mark.slow
def test_lerobots_own_classes_are_found_and_wrong_settings_told() -> None:
    pytest.importorskip("lerobot")
    so101 = "lerobot.teleoperators.so_leader:SO101Leader"
    assert "settings of lerobot" in refusal(maker(so101, {"prot": "x"}))
    assert "is no Teleoperator" in refusal(maker("lerobot.teleoperators.so_leader:Nobody", {}))
    assert "cannot be imported" in refusal(maker("lerobot.no_such_module:Any", {}))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lerobot.teleoperators.teleoperator", None)
    assert "pip install 'robot_rl[lerobot]'" in refusal(maker("any:Any", {}))


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(ValidationError, match="closed and open are both 1"):
        LeaderGripperConfig(motor="grip", closed=1.0, open=1.0, open_above_m=0.05)
    with pytest.raises(ContractError, match="scale_rad has 1 elements, joints has 2"):
        JointFollowConfig(joints=JOINTS.joints, scale_rad=(0.1,)).build()
    follow = JOINTS.build()
    with pytest.raises(ContractError, match="has no motor 'b'; it has: a"):
        follow.close({"a": 0.0}, at(0.0, 0.0))
    with pytest.raises(ContractError, match=r"observation\.state, 2 elements; got 3 elements"):
        follow.close({"a": 0.0, "b": 0.0}, at(0.0, 0.0, 0.0))


CHAIN = TcpFollowConfig(
    chain=(
        LinkConfig(motor="yaw", xyz=(0.0, 0.0, 0.1)),
        LinkConfig(motor="lift", xyz=(0.0, 0.0, 0.0), rpy=(-math.pi / 2, 0.0, 0.0)),
        LinkConfig(xyz=(0.2, 0.0, 0.0)),
    ),
    scale_m=0.01,
    scale_rad=0.1,
)


def tcp(position: Any = (0.4, 0.0, 0.3), quat: Any = (1.0, 0.0, 0.0, 0.0)) -> Observation:
    pose = np.array([*position, *quat], np.float32)
    return Observation(stamp_ns=0, vectors={TCP_POSE: pose})


def test_the_tool_follows_the_handle() -> None:
    follow = CHAIN.build()
    follow.close({"yaw": 0.0, "lift": 0.0}, tcp())
    assert follow.action({"yaw": 0.0, "lift": 0.0}, tcp()) == pytest.approx([0] * 6, abs=1e-6)
    # The handle is 0.2 m in front of the axis: 0.02 rad move it 4 mm to the left and turn it.
    action = follow.action({"yaw": 0.02, "lift": 0.0}, tcp())
    assert action == pytest.approx([-0.004, 0.4, 0, 0, 0, 0.2], abs=1e-3)
    # Turned by -90 degrees about x, the other axis points along y: positive is down.
    action = follow.action({"yaw": 0.0, "lift": 0.02}, tcp())
    assert action == pytest.approx([-0.004, 0, -0.4, 0, 0.2, 0], abs=1e-3)


def test_a_leader_that_stands_sideways_says_so() -> None:
    follow = CHAIN.model_copy(update={"yaw_rad": math.pi / 2, "gain": 0.5}).build()
    follow.close({"yaw": 0.0, "lift": 0.0}, tcp())
    action = follow.action({"yaw": 0.02, "lift": 0.0}, tcp())
    assert action == pytest.approx([-0.2, 0, 0, 0, 0, 0.2], abs=3e-3)
