"""Builders: an arm whose limits are all out of reach, so that a test tightens only its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import pi

import numpy as np
import pytest

from robot_rl.control.clearance import Clearances
from robot_rl.control.kinematics import SerialChain, SerialChainConfig
from robot_rl.control.limits import SafetyLimits
from robot_rl.control.safety import SafetyGate
from robot_rl.core.clock import ManualClock
from robot_rl.core.spec import JOINT_POSITION, TCP_POSE, WRENCH, ActionSpec
from robot_rl.core.types import Command, Observation, SafeAction, Source

FAR = 1e6
TOOL_DOWN = (1.0, 0.0, 0.0, 0.0)


def build_limits(joints: int = 1, **tighter: object) -> SafetyLimits:
    loose = {
        "workspace_min_m": (-FAR,) * 3,
        "workspace_max_m": (FAR,) * 3,
        "joint_lower_rad": (-FAR,) * joints,
        "joint_upper_rad": (FAR,) * joints,
        "max_joint_velocity_rad_s": (FAR,) * joints,
        "max_joint_acceleration_rad_s2": (FAR,) * joints,
        "max_joint_jerk_rad_s3": (FAR,) * joints,
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
        "max_observation_age_s": FAR,
        "max_command_age_s": FAR,
        "max_late_ticks": 9,
        "fresh_samples_to_resume": 1,
    }
    return SafetyLimits.model_validate(loose | tighter)


def build_action(
    kind: str = "tcp_delta", joints: int = 6, *, gripper: bool = False, period_s: float = 0.1
) -> ActionSpec:
    if kind == "tcp_delta":
        names, scale = ("x", "y", "z", "rx", "ry", "rz"), (0.1,) * 3 + (0.5,) * 3
    else:
        names, scale = tuple(f"joint_{i}" for i in range(joints)), (0.1,) * joints
    if gripper:
        names, scale = (*names, "gripper"), (*scale, 1.0)
    return ActionSpec(kind=kind, names=names, scale=scale, period_s=period_s)


class Rig:
    """A gate, its clock, its lease, and the observation that the next `check` sees."""

    def __init__(
        self,
        limits: SafetyLimits,
        action: ActionSpec,
        chain: SerialChain | None = None,
        collision: Clearances | None = None,
    ) -> None:
        self.clock = ManualClock(start_ns=5_000_000_000)
        self.gate = SafetyGate(limits, action, self.clock, chain, collision)
        self.lease = self.gate.grant(Source.POLICY)
        self.commands = 0
        self.tcp = np.array([0.0, 0.0, 0.0, *TOOL_DOWN], np.float32)
        self.q = np.zeros(len(limits.joint_lower_rad), np.float32)
        self.wrench = np.zeros(6, np.float32)

    def observe(self, **changes: object) -> Observation:
        vectors = {JOINT_POSITION: self.q, TCP_POSE: self.tcp, WRENCH: self.wrench}
        fields = {"stamp_ns": self.clock.now_ns(), "vectors": vectors}
        return Observation(**(fields | changes))

    def command(self, action: object, **changes: object) -> Command:
        self.commands += 1
        fields = {
            "action": action,
            "issued_ns": self.clock.now_ns(),
            "source": Source.POLICY,
            "epoch": self.lease.epoch,
            "sequence": self.commands,
        }
        return Command(**(fields | changes))

    def check(self, *action: float, observation: Observation | None = None) -> SafeAction:
        command = self.command(np.array(action, np.float32))
        return self.gate.check(command, observation or self.observe())

    def tick(self, *action: float) -> SafeAction:
        """Check, let the tcp go where it was told, and wait for a period."""
        safe = self.check(*action)
        self.tcp[:3] += safe.values[:3]
        self.clock.advance_s(self.gate.action.period_s)
        return safe


@pytest.fixture
def make_rig() -> Callable[..., Rig]:
    def make(
        kind: str = "tcp_delta",
        joints: int = 1,
        chain: SerialChain | None = None,
        *,
        collision: Clearances | None = None,
        gripper: bool = False,
        period_s: float = 0.1,
        **tighter: object,
    ) -> Rig:
        action = build_action(kind, joints, gripper=gripper, period_s=period_s)
        return Rig(build_limits(joints, **tighter), action, chain, collision)

    return make


@pytest.fixture
def one_joint() -> SerialChain:
    """A joint about the base's z axis with the tcp 1 m away in x."""
    return SerialChainConfig(
        a_m=(0.0,),
        d_m=(0.0,),
        alpha_rad=(0.0,),
        flange_pose=(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
        tcp_pose=(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
    ).build()


@pytest.fixture
def fr3_rows() -> Mapping[str, tuple[float, ...]]:
    return {
        "a_m": (0.0, 0.0, 0.0, 0.0825, -0.0825, 0.0, 0.088),
        "d_m": (0.333, 0.0, 0.316, 0.0, 0.384, 0.0, 0.0),
        "alpha_rad": (0.0, -pi / 2, pi / 2, pi / 2, -pi / 2, pi / 2, pi / 2),
        "flange_pose": (0.0, 0.0, 0.107, 0.0, 0.0, 0.0, 1.0),
        "tcp_pose": (0.0, 0.0, 0.1, 0.0, 0.0, 0.0, 1.0),
    }


@pytest.fixture
def fr3(fr3_rows: Mapping[str, tuple[float, ...]]) -> SerialChain:
    return SerialChainConfig.model_validate(fr3_rows).build()
