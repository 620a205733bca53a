"""A point robot: a bench small enough to work out by hand, whose clock moves the robot."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

import numpy as np
import pytest

from robot_rl.control.limits import SafetyLimits
from robot_rl.control.safety import SafetyGate
from robot_rl.core.clock import ManualClock
from robot_rl.core.errors import HardwareError
from robot_rl.core.protocol import Judgement, Sensor
from robot_rl.core.spec import (
    TCP_POSE,
    WRENCH,
    ActionSpec,
    ImageSpec,
    ObservationSpec,
    RobotSpec,
    TaskSpec,
    VectorSpec,
)
from robot_rl.core.types import Observation, Outcome, SafeAction
from robot_rl.envs.robot_env import RobotEnv

CAMERA = "observation.images.front"
PERIOD_S = 0.1
ACTION = ActionSpec(
    kind="tcp_delta",
    names=("x", "y", "z", "rx", "ry", "rz"),
    scale=(0.1,) * 3 + (0.5,) * 3,
    period_s=PERIOD_S,
)
OBSERVATION = ObservationSpec(
    vectors={
        TCP_POSE: VectorSpec(
            names=("x", "y", "z", "qx", "qy", "qz", "qw"), unit="m", frame="base"
        ),
        WRENCH: VectorSpec(names=("fx", "fy", "fz", "tx", "ty", "tz"), unit="N", frame="tcp"),
    },
    images={CAMERA: ImageSpec(height=4, width=6)},
)


class PointBench:
    """A free point that reaches its command's target evenly over one period; goal at x = 0.3 m.

    It is robot, scene, camera and clock in one, which no real bench is.
    """

    name = "camera"

    def __init__(self, horizon: int = 10) -> None:
        self.task = TaskSpec(
            name="reach",
            horizon=horizon,
            observation=OBSERVATION,
            action=ACTION,
            instruction="go to the right",
        )
        self.spec = RobotSpec(name="point", observation=OBSERVATION, action=ACTION)
        self.robot = self.scene = self
        self.sensors: tuple[Sensor, ...] = (self,)
        self.clock = PointClock(self)
        self.position = np.zeros(3)
        self.force_n = 0.0
        self.commands: list[SafeAction] = []
        self.events: list[str] = []
        self.stops = 0
        self.broken = False
        self.closed = False
        self.during_period: Callable[[], None] = lambda: None
        self._velocity = np.zeros(3)
        self._left_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def read(self) -> Observation:
        if self.broken:
            raise HardwareError("the point robot is silent")
        self.events.append("read")
        pose = np.array([*self.position, 0, 0, 0, 1], np.float32)
        wrench = np.array([self.force_n, 0, 0, 0, 0, 0], np.float32)
        return Observation(stamp_ns=self.clock.now_ns(), vectors={TCP_POSE: pose, WRENCH: wrench})

    def latest(self) -> Observation | None:
        image = np.full((4, 6, 3), round(100 * self.position[0]) % 256, np.uint8)
        return Observation(stamp_ns=self.clock.now_ns(), vectors={}, images={CAMERA: image})

    def command(self, action: SafeAction) -> None:
        self.events.append("command")
        self.commands.append(action)
        self._velocity = action.values[:3] / PERIOD_S
        self._left_s = PERIOD_S

    def stop(self) -> None:
        self.stops += 1
        self._left_s = 0.0

    def move(self, seconds: float) -> None:
        self.during_period()
        moved_s = min(seconds, self._left_s)
        self.position = self.position + self._velocity * moved_s
        self._left_s -= moved_s

    def reset(self, seed: int) -> None:
        self.events.append("reset")
        self.position = np.random.default_rng(seed).uniform(-0.01, 0.01, 3)
        self._left_s = 0.0

    def judge(self) -> Judgement:
        self.events.append("judge")
        reached = self.position[0] >= 0.3
        outcome = Outcome.SUCCESS if reached else Outcome.UNKNOWN
        if self.position[0] <= -0.3:
            outcome = Outcome.FAILURE
        return Judgement(reward=float(reached), outcome=outcome)

    def render(self, width: int, height: int) -> np.ndarray:
        return np.zeros((height, width, 3), np.uint8)

    def close(self) -> None:
        self.closed = True


class PointClock(ManualClock):
    """Time passes only by sleeping, and the point moves meanwhile."""

    def __init__(self, bench: PointBench) -> None:
        super().__init__(start_ns=10**9)
        self._bench = bench

    def sleep_until_ns(self, deadline_ns: int) -> None:
        self._bench.move((deadline_ns - self.now_ns()) / 1e9)
        super().sleep_until_ns(deadline_ns)


LIMITS = {
    "workspace_min_m": (-9.0,) * 3,
    "workspace_max_m": (9.0,) * 3,
    "joint_lower_rad": (),
    "joint_upper_rad": (),
    "max_joint_velocity_rad_s": (),
    "max_joint_acceleration_rad_s2": (),
    "max_joint_jerk_rad_s3": (),
    "max_tcp_speed_m_s": 9.0,
    "max_tcp_angular_speed_rad_s": 99.0,
    "max_tcp_acceleration_m_s2": 999.0,
    "max_tcp_angular_acceleration_rad_s2": 999.0,
    "max_tcp_jerk_m_s3": 99999.0,
    "max_tcp_angular_jerk_rad_s3": 99999.0,
    "slow_at_condition": 1e6,
    "hold_at_condition": 1e7,
    "min_distance_m": 0.0,
    "max_force_n": 30.0,
    "max_torque_n_m": 5.0,
    "max_observation_age_s": 0.15,
    "max_command_age_s": 0.05,
    "max_late_ticks": 9,
    "fresh_samples_to_resume": 1,
}


def build_gate(bench: PointBench, **tighter: object) -> SafetyGate:
    limits = SafetyLimits.model_validate(LIMITS | tighter)
    return SafetyGate(limits, ACTION, bench.clock, None)


@pytest.fixture
def make_env() -> Callable[..., tuple[RobotEnv, PointBench]]:
    def make(horizon: int = 10, **tighter: object) -> tuple[RobotEnv, PointBench]:
        bench = PointBench(horizon)
        return RobotEnv(bench, build_gate(bench, **tighter)), bench

    return make


@pytest.fixture
def make_bench_and_gate() -> Callable[[], tuple[PointBench, SafetyGate]]:
    def make() -> tuple[PointBench, SafetyGate]:
        bench = PointBench()
        return bench, build_gate(bench)

    return make
