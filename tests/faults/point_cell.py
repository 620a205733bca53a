"""A point robot with two cameras, a wrist sensor and joints, whose streams can be made to freeze.

Time passes only by sleeping on its clock, and the robot moves meanwhile. Every stream has new
stamps in every period; what they say may be faulty (`frozen`, `blank`, `spiked`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import numpy as np

from robot_rl.control.limits import SafetyLimits
from robot_rl.control.safety import SafetyGate
from robot_rl.core.clock import NS_PER_S, ManualClock
from robot_rl.core.protocol import Judgement
from robot_rl.core.spec import (
    JOINT_POSITION,
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
from robot_rl.sensing.monitor import StreamMonitor, StreamMonitorConfig

WRIST, FRONT = "observation.images.wrist", "observation.images.front"
STREAM_OF = {
    JOINT_POSITION: "arm",
    TCP_POSE: "arm",
    WRENCH: "arm",
    WRIST: "wrist",
    FRONT: "front",
}
SHAPE = (16, 16, 3)
OBSERVATION = ObservationSpec(
    vectors={
        JOINT_POSITION: VectorSpec(names=("a", "b", "c"), unit="rad"),
        TCP_POSE: VectorSpec(names=("x", "y", "z", "qx", "qy", "qz", "qw"), unit="m"),
        WRENCH: VectorSpec(names=("fx", "fy", "fz", "tx", "ty", "tz"), unit="N"),
    },
    images={key: ImageSpec(height=16, width=16) for key in (WRIST, FRONT)},
)
SPEED_M_S = 0.25
RAD_PER_M = 2.0
"""A joint turns by this much for every metre along its axis."""
LIMITS = {
    "workspace_min_m": (-1.0,) * 3,
    "workspace_max_m": (1.0,) * 3,
    "joint_lower_rad": (),
    "joint_upper_rad": (),
    "max_joint_velocity_rad_s": (),
    "max_joint_acceleration_rad_s2": (),
    "max_joint_jerk_rad_s3": (),
    "max_tcp_speed_m_s": SPEED_M_S,
    "max_tcp_angular_speed_rad_s": 1.5,
    "max_tcp_acceleration_m_s2": 2.5,
    "max_tcp_angular_acceleration_rad_s2": 15.0,
    "max_tcp_jerk_m_s3": 100.0,
    "max_tcp_angular_jerk_rad_s3": 600.0,
    "slow_at_condition": 50.0,
    "hold_at_condition": 100.0,
    "min_distance_m": 0.0,
    "max_force_n": 30.0,
    "max_torque_n_m": 8.0,
    "max_observation_age_s": 0.2,
    "max_command_age_s": 0.1,
    "max_late_ticks": 3,
    "fresh_samples_to_resume": 2,
}


class PointCell:
    """Robot, scene and clock in one, which no real bench is; the cameras are apart.

    Args:
        period_s: control period.
        noise: whether cameras, wrench and joints are noisy; without it a still arm repeats
            every sample bit by bit.
    """

    def __init__(self, period_s: float = 0.05, *, noise: bool = True) -> None:
        scale = (SPEED_M_S * period_s,) * 3 + (1.5 * period_s,) * 3
        names = ("x", "y", "z", "rx", "ry", "rz")
        action = ActionSpec(kind="tcp_delta", names=names, scale=scale, period_s=period_s)
        self.task = TaskSpec(name="wander", horizon=10**9, observation=OBSERVATION, action=action)
        self.spec = RobotSpec(name="arm", observation=OBSERVATION, action=action)
        self.robot = self.scene = self
        self.clock = CellClock(self)
        self.sensors = (CellCamera(self, WRIST), CellCamera(self, FRONT))
        self.rng = np.random.default_rng(0)
        self.noise = noise
        self.position = np.zeros(3)
        self.frozen: dict[str, np.ndarray | None] = {}
        self.blank: dict[str, int] = {}
        self.spiked: dict[str, np.ndarray] = {}
        self.commands: list[tuple[int, SafeAction]] = []
        self.stops = 0
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

    def content(self, key: str, true: np.ndarray) -> np.ndarray:
        """What the stream says of `true`: the same as when it froze, if it is frozen."""
        if key in self.frozen:
            if self.frozen[key] is None:
                self.frozen[key] = true
            return self.frozen[key].copy()
        return self.spiked.get(key, true)

    def read(self) -> Observation:
        quiet = 0.0 if not self.noise else 1.0
        joints = RAD_PER_M * self.position + quiet * self.rng.normal(0, 1e-5, 3)
        tcp = np.array([*(self.position + quiet * self.rng.normal(0, 1e-6, 3)), 0, 0, 0, 1])
        true = {JOINT_POSITION: joints, TCP_POSE: tcp, WRENCH: quiet * self.rng.normal(0, 0.1, 6)}
        vectors = {key: self.content(key, v.astype(np.float32)) for key, v in true.items()}
        return Observation(stamp_ns=self.clock.now_ns(), vectors=vectors)

    def picture(self, key: str) -> np.ndarray:
        """Stripes that go by as the arm moves, one colour for each axis, with some noise."""
        if key in self.blank:
            level = self.blank[key]
            return np.clip(level + self.rng.integers(-2, 3, SHAPE), 0, 255).astype(np.uint8)
        columns = np.arange(SHAPE[1])[:, None] / SHAPE[1] + 40.0 * self.position
        stripes = np.broadcast_to(128 + 60 * np.sin(2 * np.pi * columns), SHAPE)
        if self.noise:
            stripes = stripes + self.rng.integers(-4, 5, SHAPE)
        return self.content(key, stripes.astype(np.uint8))

    def command(self, action: SafeAction) -> None:
        self.commands.append((self.clock.now_ns(), action))
        period_s = self.task.action.period_s
        self._velocity = action.values[:3].astype(np.float64) / period_s
        self._left_s = period_s

    def stop(self) -> None:
        self.stops += 1
        self._left_s = 0.0

    def move(self, seconds: float) -> None:
        moved_s = min(max(seconds, 0.0), self._left_s)
        self.position = self.position + self._velocity * moved_s
        self._left_s -= moved_s

    def reset(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.position = np.zeros(3)
        self._left_s = 0.0

    def judge(self) -> Judgement:
        return Judgement(reward=0.0, outcome=Outcome.UNKNOWN)

    def render(self, width: int, height: int) -> np.ndarray:
        return np.zeros((height, width, 3), np.uint8)

    def close(self) -> None:
        pass


class CellClock(ManualClock):
    """The point moves while it is slept on, and while time is lost; it may wake late."""

    def __init__(self, cell: PointCell) -> None:
        super().__init__(start_ns=NS_PER_S)
        self._cell = cell
        self.late_s = 0.0

    def advance_s(self, seconds: float) -> None:
        self._cell.move(seconds)
        super().advance_s(seconds)

    def sleep_until_ns(self, deadline_ns: int) -> None:
        late_s, self.late_s = self.late_s, 0.0
        until_ns = deadline_ns + round(late_s * NS_PER_S)
        self._cell.move((until_ns - self.now_ns()) / NS_PER_S)
        super().sleep_until_ns(until_ns)


class CellCamera:
    """One of the cell's cameras."""

    def __init__(self, cell: PointCell, key: str) -> None:
        self.name = STREAM_OF[key]
        self._cell = cell
        self._key = key

    def latest(self) -> Observation:
        image = self._cell.picture(self._key)
        return Observation(
            stamp_ns=self._cell.clock.now_ns(), vectors={}, images={self._key: image}
        )


def build_env(
    cell: PointCell, watch: Mapping[str, Any] | None = None, **limits: object
) -> tuple[RobotEnv, StreamMonitor | None]:
    """The closed loop around the cell; `watch` says how each key is watched, if any is."""
    action = cell.task.action
    gate = SafetyGate(SafetyLimits.model_validate(LIMITS | limits), action, cell.clock, None)
    monitor = None
    if watch is not None:
        config = {"keys": watch, "fault_after_s": 0.5, "motion_m": 0.01, "motion_rad": 0.02}
        monitor = StreamMonitorConfig.model_validate(config).build(OBSERVATION, action.period_s)
    return RobotEnv(cell, gate, monitor), monitor


class Wanderer:
    """Goes from one random place to the next, as a policy would: by what it observes.

    It stays a little below the limits, so that the gate has nothing to bend.
    """

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._goal = np.zeros(3)

    def act(self, observation: Observation) -> np.ndarray:
        """Return a normalised action float32[6] towards the goal."""
        way = self._goal - observation.vectors[TCP_POSE][:3]
        far_m = float(np.linalg.norm(way))
        if far_m < 0.02:
            self._goal = self._rng.uniform(-0.3, 0.3, 3)
        return np.array([*(0.9 * way / max(far_m, 0.02)), 0, 0, 0], np.float32)
