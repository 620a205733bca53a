"""A bench of two joints, where they were sent at once, and a policy that never rests.

Its clock waits for a loaded machine: what that is late by is not what is tested with it.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

import numpy as np

from robot_rl.control.limits import SafetyLimits
from robot_rl.core.clock import NS_PER_S, ManualClock
from robot_rl.core.protocol import Judgement, Sensor
from robot_rl.core.spec import (
    JOINT_POSITION,
    ActionSpec,
    ObservationSpec,
    RobotSpec,
    TaskSpec,
    VectorSpec,
)
from robot_rl.core.types import Observation, Outcome, SafeAction

PERIOD_S = 0.02
ACCELERATION, JERK = 20.0, 1000.0
ACTION = ActionSpec(kind="joint_delta", names=("a", "b"), scale=(0.04, 0.04), period_s=PERIOD_S)
OBSERVATION = ObservationSpec(vectors={JOINT_POSITION: VectorSpec(names=("q0", "q1"), unit="rad")})
FAR = 1e6
LIMITS = SafetyLimits.model_validate(
    {
        "workspace_min_m": (-FAR,) * 3,
        "workspace_max_m": (FAR,) * 3,
        "joint_lower_rad": (-FAR,) * 2,
        "joint_upper_rad": (FAR,) * 2,
        "max_joint_velocity_rad_s": (2.0,) * 2,
        "max_joint_acceleration_rad_s2": (ACCELERATION,) * 2,
        "max_joint_jerk_rad_s3": (JERK,) * 2,
        "max_tcp_speed_m_s": FAR,
        "max_tcp_angular_speed_rad_s": FAR,
        "max_tcp_acceleration_m_s2": FAR,
        "max_tcp_angular_acceleration_rad_s2": FAR,
        "max_tcp_jerk_m_s3": FAR,
        "max_tcp_angular_jerk_rad_s3": FAR,
        "slow_at_condition": FAR,
        "hold_at_condition": 2 * FAR,
        "min_distance_m": 0.0,
        "max_force_n": FAR,
        "max_torque_n_m": FAR,
        "max_observation_age_s": 0.2,
        "max_command_age_s": 0.1,
        "max_late_ticks": 3,
        "fresh_samples_to_resume": 3,
    }
)


def task(horizon: int) -> TaskSpec:
    return TaskSpec(name="alone", horizon=horizon, observation=OBSERVATION, action=ACTION)


class PatientClock(ManualClock):
    """Lets time pass by sleeping, and no other time."""

    def sleep_until_ns(self, deadline_ns: int) -> None:
        time.sleep(max(0, deadline_ns - self.now_ns()) / NS_PER_S)
        super().sleep_until_ns(deadline_ns)


class PatientBench:
    """Two joints that are where they were sent; robot, scene and bench in one.

    Attributes:
        sent: what was commanded, with the machine's time of it [ns].
    """

    def __init__(self, horizon: int) -> None:
        self.task = task(horizon)
        self.spec = RobotSpec(name="alone", observation=OBSERVATION, action=ACTION)
        self.robot = self.scene = self
        self.sensors: tuple[Sensor, ...] = ()
        self.clock = PatientClock(10**9)
        self.q = np.zeros(2)
        self.sent: list[tuple[int, np.ndarray]] = []

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
        vectors = {JOINT_POSITION: self.q.astype(np.float32)}
        return Observation(stamp_ns=self.clock.now_ns(), vectors=vectors)

    def command(self, action: SafeAction) -> None:
        self.sent.append((time.monotonic_ns(), action.values))
        self.q = self.q + action.values

    def stop(self) -> None:
        pass

    def reset(self, seed: int) -> None:
        self.q = np.zeros(2)

    def judge(self) -> Judgement:
        return Judgement(reward=0.0, outcome=Outcome.UNKNOWN)

    def render(self, width: int, height: int) -> np.ndarray:
        return np.zeros((height, width, 3), np.uint8)

    def close(self) -> None:
        pass


class Restless:
    """A policy that drives to and fro near full speed; its weights change nothing of that."""

    def __init__(self) -> None:
        self.version = 0
        self.latent = np.zeros(0, np.float32)
        self._ticks = 0

    def reset(self, seed: int) -> None:
        self._ticks = 0

    def replan(self) -> None:
        pass

    def propose(self, observation: Observation, base_action: Any, *, explore: bool) -> Any:
        self._ticks += 1
        angle = 0.2 * self._ticks
        return np.array([np.cos(angle), 0.9], np.float32)

    def load_weights(self, weights: Any, version: int) -> None:
        self.version = version
