"""An arm that follows its commands exactly, behind arbiter and gate, and the people who drive it.

Time is a manual clock: one call of `Loop.tick` is one control period.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from robot_rl.control.arbiter import Arbiter, Decision, HandOver
from robot_rl.control.clutch import Clutch
from robot_rl.control.limits import SafetyLimits
from robot_rl.control.safety import SafetyGate
from robot_rl.core.clock import ManualClock
from robot_rl.core.geometry import pose_plus_delta
from robot_rl.core.protocol import OperatorInput
from robot_rl.core.spec import JOINT_POSITION, TCP_POSE, ActionSpec
from robot_rl.core.types import Command, Observation, SafeAction, Source

Array = NDArray[np.float64]

SPEED, TURNING = 0.25, 1.5
"""Of the tool [m/s], [rad/s]; what follows is of the same cell."""
ACCELERATION = {"tcp": 2.5, "turn": 15.0, "joint": 10.0}
JERK = {"tcp": 50.0, "turn": 300.0, "joint": 500.0}
JOINTS = 3

LIMITS = SafetyLimits.model_validate(
    {
        "workspace_min_m": (-1e3,) * 3,
        "workspace_max_m": (1e3,) * 3,
        "joint_lower_rad": (-1e3,) * JOINTS,
        "joint_upper_rad": (1e3,) * JOINTS,
        "max_joint_velocity_rad_s": (2.0,) * JOINTS,
        "max_joint_acceleration_rad_s2": (ACCELERATION["joint"],) * JOINTS,
        "max_joint_jerk_rad_s3": (JERK["joint"],) * JOINTS,
        "max_tcp_speed_m_s": SPEED,
        "max_tcp_angular_speed_rad_s": TURNING,
        "max_tcp_acceleration_m_s2": ACCELERATION["tcp"],
        "max_tcp_angular_acceleration_rad_s2": ACCELERATION["turn"],
        "max_tcp_jerk_m_s3": JERK["tcp"],
        "max_tcp_angular_jerk_rad_s3": JERK["turn"],
        "slow_at_condition": 1e6,
        "hold_at_condition": 1e7,
        "min_distance_m": 0.0,
        "max_force_n": 30.0,
        "max_torque_n_m": 8.0,
        "max_observation_age_s": 0.2,
        "max_command_age_s": 0.1,
        "max_late_ticks": 3,
        "fresh_samples_to_resume": 3,
    }
)

TCP_PARTS = (("tcp", slice(0, 3)), ("turn", slice(3, 6)))
JOINT_PARTS = tuple(("joint", slice(i, i + 1)) for i in range(JOINTS))


def tcp_action(period_s: float) -> ActionSpec:
    """A normalised 1 is the cell's speed."""
    names = ("x", "y", "z", "rx", "ry", "rz")
    scale = (SPEED * period_s,) * 3 + (TURNING * period_s,) * 3
    return ActionSpec(kind="tcp_delta", names=names, scale=scale, period_s=period_s)


def joint_action(period_s: float) -> ActionSpec:
    names = tuple(f"joint_{i}" for i in range(JOINTS))
    return ActionSpec(
        kind="joint_delta", names=names, scale=(2.0 * period_s,) * JOINTS, period_s=period_s
    )


@dataclass(kw_only=True)
class Loop:
    """One arm, and everything that was sent to it.

    Args:
        action: whose kind decides which arm it is.
        rule: what follows a release or a loss.
    """

    action: ActionSpec
    rule: HandOver = field(default_factory=lambda: HandOver(release_s=0.0))

    def __post_init__(self) -> None:
        self.clock = ManualClock(10**9)
        self.gate = SafetyGate(LIMITS, self.action, self.clock, None)
        self.arbiter = Arbiter(self.action, self.clock, self.rule, operator="a person")
        self.lease = self.gate.grant(Source.POLICY, Source.HUMAN, Source.HOLD)
        self.tcp = np.array([0.4, 0.0, 0.3, 1.0, 0.0, 0.0, 0.0])
        self.q = np.zeros(JOINTS)
        self.sent: list[SafeAction] = []
        self.decisions: list[Decision] = []

    @property
    def now_s(self) -> float:
        """Time of the coming tick, since the first."""
        return len(self.sent) * self.action.period_s

    @property
    def parts(self) -> tuple[tuple[str, slice], ...]:
        """Elements whose norm is limited together."""
        return TCP_PARTS if self.action.kind == "tcp_delta" else JOINT_PARTS

    def observe(self) -> Observation:
        vectors = {
            TCP_POSE: self.tcp.astype(np.float32),
            JOINT_POSITION: self.q.astype(np.float32),
        }
        return Observation(stamp_ns=self.clock.now_ns(), vectors=vectors)

    def tick(self, proposed: Array | None, said: OperatorInput | None) -> SafeAction:
        """One period: decide, check, move."""
        wish = None if proposed is None else proposed.astype(np.float32)
        decision = self.arbiter.decide(wish, said)
        safe = self.gate.check(
            Command(
                action=decision.action,
                issued_ns=self.clock.now_ns(),
                source=decision.source,
                epoch=self.lease.epoch,
                sequence=len(self.sent),
            ),
            self.observe(),
        )
        if self.action.kind == "tcp_delta":
            self.tcp = pose_plus_delta(self.tcp, safe.values.astype(np.float64))
        else:
            self.q = self.q + safe.values
        self.sent.append(safe)
        self.decisions.append(decision)
        self.clock.advance_s(self.action.period_s)
        return safe

    def excess(self) -> float:
        """The worst acceleration or jerk of all that was sent, as a part of its limit."""
        t = self.action.period_s
        step = np.array([safe.values for safe in self.sent], np.float64)
        step = np.concatenate([np.zeros((2, step.shape[1])), step])
        worst = 0.0
        for kind, span in self.parts:
            change = np.diff(step[:, span], axis=0)
            turn = np.diff(change, axis=0)
            worst = max(
                worst,
                np.linalg.norm(change, axis=1).max() / (ACCELERATION[kind] * t**2),
                np.linalg.norm(turn, axis=1).max() / (JERK[kind] * t**3),
            )
        return worst


class Swinging:
    """A policy that drives to and fro in the elements it is given, at random phase and pace."""

    def __init__(self, rng: np.random.Generator, size: int, elements: slice) -> None:
        self._size, self._elements = size, elements
        self._pace_hz = rng.uniform(0.1, 2.0)
        self._phase = rng.uniform(0, 2 * np.pi)
        self._amplitude = rng.uniform(0.2, 1.0)

    def action(self, time_s: float) -> Array:
        wish = np.zeros(self._size)
        angle = 2 * np.pi * self._pace_hz * time_s + self._phase
        wish[self._elements] = self._amplitude * np.sin(angle)
        return wish


class Phone:
    """Something held in the hand that is never still, whether it drives or not."""

    def __init__(self, rng: np.random.Generator, clutch: Clutch, action: ActionSpec) -> None:
        self._rng, self._clutch, self._action = rng, clutch, action
        self._pose = np.array([*rng.uniform(-3, 3, 3), *rng.normal(size=4)])
        self._pose[3:] /= np.linalg.norm(self._pose[3:])
        self.first: list[Array] = []

    def poll(self, tcp: Array, *, active: bool) -> OperatorInput:
        """What it says now; the first delta of each take-over is kept in `first`."""
        t = self._action.period_s
        self._pose = pose_plus_delta(self._pose, self._rng.normal(size=6) * 0.1 * t)
        if not active:
            self._clutch.open()
            return OperatorInput(active=False, action=np.zeros(6, np.float32))
        taken = not self._clutch.closed
        if taken:
            self._clutch.close(self._pose, tcp)
        delta = self._clutch.delta(self._pose, tcp)
        if taken:
            self.first.append(delta)
        action = np.clip(self._action.from_si(delta.astype(np.float32)), -1.0, 1.0)
        return OperatorInput(active=True, action=action)
