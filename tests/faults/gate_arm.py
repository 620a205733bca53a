"""Arms that go exactly where they are told.

An arm is a list of numbers that a command moves. What the gate sees of it may be falsified by
whoever tests; where it really is, only the oracle of `gate_oracle.py` knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import Any

import numpy as np

from robot_rl.control.clearance import Clearance
from robot_rl.control.kinematics import SerialChain, SerialChainConfig
from robot_rl.control.limits import SafetyLimits
from robot_rl.control.safety import SafetyGate
from robot_rl.core.clock import ManualClock
from robot_rl.core.geometry import quat_from_rotvec, quat_multiply
from robot_rl.core.spec import JOINT_POSITION, TCP_POSE, WRENCH, ActionSpec
from robot_rl.core.types import Command, Observation, Source

FR3 = {
    "a_m": (0.0, 0.0, 0.0, 0.0825, -0.0825, 0.0, 0.088),
    "d_m": (0.333, 0.0, 0.316, 0.0, 0.384, 0.0, 0.0),
    "alpha_rad": (0.0, -pi / 2, pi / 2, pi / 2, -pi / 2, pi / 2, pi / 2),
    "flange_pose": (0.0, 0.0, 0.107, 0.0, 0.0, 0.0, 1.0),
    "tcp_pose": (0.0, 0.0, 0.1, 0.0, 0.0, 0.0, 1.0),
}
ELBOW = {
    "a_m": (0.0, 0.25),
    "d_m": (0.05, 0.0),
    "alpha_rad": (0.0, 0.0),
    "flange_pose": (0.25, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
    "tcp_pose": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
}
READY = (0.1, -0.8, 0.2, -2.3, -0.1, 1.6, 0.7)
DAMPING = 0.005
ANYTHING = {
    "workspace_min_m": (-9.0,) * 3,
    "workspace_max_m": (9.0,) * 3,
    "max_tcp_speed_m_s": 0.25,
    "max_tcp_angular_speed_rad_s": 1.5,
    "max_tcp_acceleration_m_s2": 2.5,
    "max_tcp_angular_acceleration_rad_s2": 15.0,
    "max_tcp_jerk_m_s3": 50.0,
    "max_tcp_angular_jerk_rad_s3": 300.0,
    "slow_at_condition": 1e6,
    "hold_at_condition": 1e7,
    "min_distance_m": 0.01,
    "max_force_n": 30.0,
    "max_torque_n_m": 5.0,
    "max_observation_age_s": 0.2,
    "max_command_age_s": 0.1,
    "max_late_ticks": 3,
    "fresh_samples_to_resume": 3,
}
PLANE = {"normal": (-0.6, 0.0, 0.8), "offset_m": -0.2}


def joints(count: int, **changes: Any) -> dict[str, Any]:
    """Limits of so many equal joints."""
    return {
        "joint_lower_rad": (-0.6,) * count,
        "joint_upper_rad": (0.4,) * count,
        "max_joint_velocity_rad_s": (1.0,) * count,
        "max_joint_acceleration_rad_s2": (5.0,) * count,
        "max_joint_jerk_rad_s3": (200.0,) * count,
    } | changes


class Ball:
    """A ball in the way of the tcp; implements `Clearances`."""

    def __init__(self, chain: SerialChain, centre_m: tuple[float, ...], radius_m: float) -> None:
        self._chain = chain
        self._centre = np.array(centre_m)
        self._radius_m = radius_m

    def distance_m(self, q: Any) -> float:
        return float(np.linalg.norm(self._chain.forward(q)[:3] - self._centre)) - self._radius_m

    def near(self, q: Any, within_m: float) -> list[Clearance]:
        away = self._chain.forward(q)[:3] - self._centre
        distance_m = float(np.linalg.norm(away))
        if distance_m - self._radius_m >= within_m:
            return []
        gradient = tuple((away / distance_m) @ self._chain.jacobian(q)[:3])
        return [Clearance(pair="tool and ball", distance_m=self.distance_m(q), gradient=gradient)]


@dataclass(frozen=True)
class Cell:
    """One kind of arm with its limits.

    Args:
        chain: rows of the arm's kinematics; None if the gate does not know them.
        start: joint positions, or for an arm of which none are known the tcp's.
        ball: centre and radius of what stands in the way of the tcp.
    """

    kind: str
    limits: dict[str, Any]
    start: tuple[float, ...]
    chain: dict[str, Any] | None = None
    ball: tuple[tuple[float, ...], float] | None = None

    @property
    def size(self) -> int:
        """Elements of a command."""
        return 6 if self.kind == "tcp_delta" else len(self.start)

    def action(self, period_s: float) -> ActionSpec:
        """A normalised 1 is somewhat more than every limit of speed."""
        scale = (0.3, 0.3, 0.3, 1.8, 1.8, 1.8) if self.kind == "tcp_delta" else (1.2,) * self.size
        return ActionSpec(
            kind=self.kind,  # pyright: ignore[reportArgumentType]
            names=tuple(f"a{i}" for i in range(self.size)),
            scale=tuple(s * period_s for s in scale),
            period_s=period_s,
        )


CELLS = {
    "point": Cell(
        kind="tcp_delta",
        start=(0.0, 0.0, 0.0),
        limits=ANYTHING
        | joints(0)
        | {
            "workspace_min_m": (-0.1, -0.15, -0.1),
            "workspace_max_m": (0.15, 0.1, 0.3),
            "workspace_planes": (PLANE,),
        },
    ),
    "joints": Cell(
        kind="joint_delta",
        start=(0.0, 0.0, 0.0),
        limits=ANYTHING
        | joints(
            3,
            max_joint_velocity_rad_s=(1.0, 0.7, 2.0),
            max_joint_acceleration_rad_s2=(5.0, 3.0, 20.0),
            max_joint_jerk_rad_s3=(200.0, 50.0, 3000.0),
        ),
    ),
    "fr3": Cell(
        kind="tcp_delta",
        start=READY,
        chain=FR3,
        limits=ANYTHING
        | joints(
            7,
            joint_lower_rad=(-2.8, -1.7, -2.8, -3.0, -2.8, 0.0, -2.8),
            joint_upper_rad=(2.8, 1.7, 2.8, -0.1, 2.8, 3.7, 2.8),
            max_joint_velocity_rad_s=(2.6,) * 4 + (4.0,) * 3,
            max_joint_acceleration_rad_s2=(10.0,) * 7,
            max_joint_jerk_rad_s3=(5000.0,) * 7,
            workspace_min_m=(0.3, -0.25, 0.05),
            workspace_max_m=(0.65, 0.25, 0.5),
            slow_at_condition=17.0,
            hold_at_condition=30.0,
        ),
    ),
    "elbow": Cell(
        kind="joint_delta",
        start=(0.0, 1.2),
        chain=ELBOW,
        ball=((0.45, 0.2, 0.05), 0.05),
        limits=ANYTHING
        | joints(
            2,
            joint_lower_rad=(-1.0, 0.1),
            joint_upper_rad=(1.0, 2.5),
            workspace_min_m=(0.0, -0.4, -1.0),
            workspace_max_m=(0.45, 0.4, 1.0),
        ),
    ),
}


class Arm:
    """Goes where it is told, and can be read."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.chain = SerialChainConfig.model_validate(cell.chain).build() if cell.chain else None
        self.ball = Ball(self.chain, *cell.ball) if cell.ball and self.chain else None
        self.position = np.zeros(3)
        self.rotation = np.array([1.0, 0.0, 0.0, 0.0])
        self.q = np.zeros(0)
        self.force_n = 0.0
        self.home()

    def home(self) -> None:
        """Be put where one begins."""
        start = np.array(self.cell.start)
        self.rotation = np.array([1.0, 0.0, 0.0, 0.0])
        if self.chain is None and self.cell.kind == "tcp_delta":
            self.position = start
        else:
            self.q = start
            self._follow()

    def joint_step(self, values: Any) -> Any:
        """What a command changes the joints by; empty if there are none."""
        if self.cell.kind == "joint_delta":
            return values
        if self.chain is None:
            return np.zeros(0)
        jacobian = self.chain.jacobian(self.q)
        return jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + DAMPING**2 * np.eye(6), values)

    def move(self, values: Any) -> None:
        """Obey."""
        if self.q.size:
            self.q = self.q + self.joint_step(values)
            self._follow()
        else:
            self.position = self.position + values[:3]
            turned = quat_multiply(quat_from_rotvec(values[3:]), self.rotation)
            self.rotation = turned / np.linalg.norm(turned)

    def vectors(self) -> dict[str, Any]:
        """What is measured of it, in float32."""
        pose = np.concatenate([self.position, self.rotation])
        wrench = np.array([0.0, 0.0, -self.force_n, 0.0, 0.0, 0.0])
        vectors = {TCP_POSE: pose, JOINT_POSITION: self.q, WRENCH: wrench}
        return {key: vector.astype(np.float32) for key, vector in vectors.items()}

    def _follow(self) -> None:
        if self.chain is not None:
            pose = self.chain.forward(self.q)
            self.position, self.rotation = pose[:3], pose[3:]


class Station:
    """An arm behind its gate, and who commands it."""

    def __init__(self, cell: Cell, period_s: float) -> None:
        self.arm = Arm(cell)
        self.period_s = period_s
        self.limits = SafetyLimits.model_validate(cell.limits)
        self.clock = ManualClock(10**9)
        self.gate = SafetyGate(
            self.limits, cell.action(period_s), self.clock, self.arm.chain, self.arm.ball
        )
        self.sequence = 0
        self.grant(Source.POLICY)

    def grant(self, *sources: Source) -> None:
        """Begin a new lease, under which no number has been used."""
        self.sources = sources
        self.lease = self.gate.grant(*sources)
        self.used = -1

    def command(self, action: Any, **changes: Any) -> Command:
        """The next command of the lease."""
        self.sequence += 1
        fields = {
            "action": action,
            "issued_ns": self.clock.now_ns(),
            "source": self.sources[0],
            "epoch": self.lease.epoch,
            "sequence": self.sequence,
        }
        return Command(**(fields | changes))

    def observe(self, **changes: Any) -> Observation:
        """What there is to see now."""
        fields = {"stamp_ns": self.clock.now_ns(), "vectors": self.arm.vectors()}
        return Observation(**(fields | changes))
