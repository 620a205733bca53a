"""Arms that go exactly where they are told, and an oracle that knows the limits and not the gate.

An arm is a list of numbers that a command moves. What the gate sees of it may be falsified by
whoever tests; where it really is, only the oracle knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
from robot_rl.core.types import Command, Observation, SafeAction, Source

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


@dataclass
class Oracle:
    """Judges what leaves a gate, from the limits alone.

    Args:
        relative: share of the greatest command that is rounding of float32.
        blind_slack: [m or rad] for what depends on where an unseen arm is.

    Attributes:
        broken: what was found, in words.
    """

    station: Station
    relative: float = 1e-6
    blind_slack: float = 1e-6
    broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        limits, t = self.station.limits, self.station.period_s
        if self.station.arm.cell.kind == "tcp_delta":
            self._parts = [
                (
                    slice(0, 3),
                    limits.max_tcp_speed_m_s * t,
                    limits.max_tcp_acceleration_m_s2 * t**2,
                    limits.max_tcp_jerk_m_s3 * t**3,
                ),
                (
                    slice(3, 6),
                    limits.max_tcp_angular_speed_rad_s * t,
                    limits.max_tcp_angular_acceleration_rad_s2 * t**2,
                    limits.max_tcp_angular_jerk_rad_s3 * t**3,
                ),
            ]
        else:
            rows = zip(
                limits.max_joint_velocity_rad_s,
                limits.max_joint_acceleration_rad_s2,
                limits.max_joint_jerk_rad_s3,
                strict=True,
            )
            self._parts = [
                (slice(i, i + 1), v * t, a * t**2, j * t**3) for i, (v, a, j) in enumerate(rows)
            ]
        self.forget()

    def forget(self) -> None:
        """The arm rests."""
        self.last = np.zeros(self.station.arm.cell.size)
        self.change: Any = np.zeros(self.station.arm.cell.size)

    def judge(
        self, safe: SafeAction, *, periods: int = 1, smooth: bool = True, blind: bool = False
    ) -> None:
        """Judge a command before the arm obeys it.

        Args:
            periods: since the last command; the arm has braked by itself in all but one of them,
                and how is not known, so that this change says nothing of jerk.
            smooth: whether acceleration and jerk are judged.
            blind: the gate has not seen where the arm is, and what follows from that is judged
                with some slack.
        """
        values = np.array(safe.values, float)
        arm = self.station.arm
        if safe.values.dtype != np.float32 or values.shape != (arm.cell.size,):
            self.broken.append(f"shape {safe.values.dtype}{values.shape}")
            return
        if not np.isfinite(values).all():
            self.broken.append("not finite")
            return
        change = values - self.last
        for span, speed, acceleration, jerk in self._parts:
            rounding = self.relative * speed
            self._most("speed", values[span], speed + rounding)
            if smooth:
                self._most("acceleration", change[span], periods * acceleration + 2 * rounding)
            if smooth and periods == 1 and self.change is not None:
                self._most("jerk", (change - self.change)[span], jerk + 4 * rounding)
        slack = self.blind_slack if blind else 1e-6
        self._judge_tcp(values, slack)
        self._judge_joints(values, slack)
        self.last, self.change = values, change if periods == 1 else None

    def only(self, *kinds: str) -> bool:
        """Whether something was found, and all of it is of these kinds."""
        return bool(self.broken) and all(words.startswith(kinds) for words in self.broken)

    def _most(self, what: str, vector: Any, most: float) -> None:
        size = float(np.linalg.norm(vector))
        if not size <= most:
            self.broken.append(f"{what} {size:.9g} > {most:.9g}")

    def _judge_tcp(self, values: Any, slack: float) -> None:
        arm, limits = self.station.arm, self.station.limits
        if arm.cell.kind == "joint_delta":
            if arm.chain is None:
                return
            motion = arm.chain.jacobian(arm.q) @ values
            t = self.station.period_s
            self._most("tcp speed", motion[:3], limits.max_tcp_speed_m_s * t + slack)
            self._most("tcp turn", motion[3:], limits.max_tcp_angular_speed_rad_s * t + slack)
            step = motion[:3]
        else:
            step = values[:3]
        before = arm.position
        # Where the arm stands outside already, it must not go on outwards.
        lower = np.minimum(limits.workspace_min_m, before) - slack
        upper = np.maximum(limits.workspace_max_m, before) + slack
        if (before + step < lower).any() or (before + step > upper).any():
            self.broken.append(f"box {before} + {step}")
        for plane in limits.workspace_planes:
            normal = np.array(plane.normal)
            if normal @ (before + step) < min(plane.offset_m, normal @ before) - slack:
                self.broken.append(f"plane {before} + {step}")

    def _judge_joints(self, values: Any, slack: float) -> None:
        arm, limits = self.station.arm, self.station.limits
        step = arm.joint_step(values)
        if not step.size:
            return
        most = np.array(limits.max_joint_velocity_rad_s) * self.station.period_s
        if (np.abs(step) > most + slack).any():
            self.broken.append(f"joint speed {np.abs(step).max():.9g}")
        lower = np.minimum(limits.joint_lower_rad, arm.q) - slack
        upper = np.maximum(limits.joint_upper_rad, arm.q) + slack
        if (arm.q + step < lower).any() or (arm.q + step > upper).any():
            self.broken.append(f"joint limit {arm.q} + {step}")
        if arm.ball is not None:
            before, after = arm.ball.distance_m(arm.q), arm.ball.distance_m(arm.q + step)
            # A ball is not as flat as its tangent: one step leaves it by less than this.
            if after < min(before, limits.min_distance_m) - 1e-4:
                self.broken.append(f"distance {before:.6f} -> {after:.6f}")
