"""What a joint delta [rad] may be, joint by joint."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robot_rl.control.clearance import (
    Clearances,
    factor_within,
    joint_room,
    workspace_room,
)
from robot_rl.control.kinematics import SerialChain
from robot_rl.control.limits import SafetyLimits
from robot_rl.control.motion.bend import Bent, graver
from robot_rl.control.motion.bound import Ball, Bounds
from robot_rl.control.motion.contact import presses, unit
from robot_rl.control.motion.distance import Distance
from robot_rl.control.motion.plane import Planes
from robot_rl.control.motion.reading import Reading, in_base
from robot_rl.core.types import GateReason

Array = NDArray[np.float64]


class JointSpace:
    """Limits of joint deltas.

    With a chain the tcp's workspace, speed and contact are kept as well, by slowing the whole
    delta. Without one a force beyond its limit stops the arm, for nobody knows which way is out.
    """

    def __init__(
        self,
        limits: SafetyLimits,
        period_s: float,
        chain: SerialChain | None,
        clearances: Clearances | None,
    ) -> None:
        self.chain = chain
        self.box = workspace_room(limits, period_s)
        self.planes = Planes(limits, period_s)
        self.joints = joint_room(limits, period_s)
        self.distance = Distance(clearances, limits, period_s) if clearances else None
        self.unit = np.eye(len(limits.joint_lower_rad))
        self.speeds = (
            Ball(start=0, end=3, most=limits.max_tcp_speed_m_s * period_s),
            Ball(start=3, end=6, most=limits.max_tcp_angular_speed_rad_s * period_s),
        )

    def look(self, reading: Reading) -> JointView:
        """What a delta may be now."""
        return JointView(self, reading)


class JointView:
    """Limits of joint deltas where the arm is.

    Args:
        space: the limits.
        reading: with the joint positions.
    """

    def __init__(self, space: JointSpace, reading: Reading) -> None:
        self._space = space
        self._q = reading.q
        self._near = space.distance.near(reading.q) if space.distance else []
        self._pushed = reading.force is not None
        self._force: list[float] | None = None
        if space.chain is not None:
            tcp: list[float] = space.chain.forward(reading.q).tolist()
            self._position = tcp[:3]
            self._jacobian = space.chain.jacobian(reading.q)
            self._force = None if reading.force is None else in_base(reading.force, tcp)

    def cut(self, step: list[float]) -> Bent:
        """Cut a delta to what the arm's position allows; it rests where it would press."""
        inside = self._space.joints.clip(step, self._q)
        reason = GateReason.PASSED if inside == step else GateReason.JOINT_LIMIT
        factor, why = self._factor(inside)
        if factor == 1.0:
            return inside, reason
        return [factor * x for x in inside], graver(reason, why)

    def shape(self, step: list[float]) -> Bent:
        """Likewise: where joints are commanded there is no singularity."""
        return self.cut(step)

    def bounds(self) -> Bounds:
        """What a plan must keep to."""
        space, q = self._space, self._q
        rows: list[Array] = [space.unit]
        ahead, behind = space.joints.ahead(q), space.joints.behind(q)
        why = [GateReason.JOINT_LIMIT] * len(q)
        balls: list[Ball] = []
        if space.chain is not None:
            rows.append(self._jacobian)
            ahead += space.box.ahead(self._position) + [math.inf] * 3
            behind += space.box.behind(self._position) + [math.inf] * 3
            why += [GateReason.WORKSPACE] * 6
            balls = [
                Ball(start=len(q) + b.start, end=len(q) + b.end, most=b.most) for b in space.speeds
            ]
        for row, room, reason in self._walls():
            rows.append(row[None])
            ahead.append(math.inf)
            behind.append(room)
            why.append(reason)
        return Bounds(
            rows=np.concatenate(rows),
            ahead=ahead,
            behind=behind,
            most=[math.inf] * len(ahead),
            why=why,
            free=space.unit,
            owners=range(len(q)),
            balls=balls,
        )

    def _walls(self) -> list[tuple[Array, float, GateReason]]:
        """Directions against which there is only some room: faces, contacts, other bodies."""
        walls: list[tuple[Array, float, GateReason]] = []
        space = self._space
        if space.chain is not None:
            for normal, room in zip(
                space.planes.normals, space.planes.behind(self._position), strict=True
            ):
                walls.append((normal @ self._jacobian[:3], room, GateReason.WORKSPACE))
        if self._force is not None:
            for start in (0, 3):
                push = np.array(unit(self._force[start : start + 3]))
                row = push @ self._jacobian[start : start + 3]
                walls.append((row, 0.0, GateReason.FORCE))
        if space.distance:
            for clearance in self._near:
                room = space.distance.room(clearance)
                walls.append((np.array(clearance.gradient), room, GateReason.COLLISION))
        return walls

    def _factor(self, step: Sequence[float]) -> tuple[float, GateReason]:
        space = self._space
        factors = [(1.0, GateReason.PASSED)]
        if space.distance:
            factors.append((space.distance.factor(self._near, step), GateReason.COLLISION))
        if space.chain is None:
            return (0.0, GateReason.FORCE) if self._pushed else min(factors)
        motion: list[float] = (self._jacobian @ step).tolist()
        move, turn = motion[:3], motion[3:]
        force = self._force
        if force is not None and (presses(move, force[:3]) or presses(turn, force[3:])):
            return 0.0, GateReason.FORCE
        for ball in space.speeds:
            size = math.hypot(*motion[ball.start : ball.end])
            factors.append((factor_within(size, ball.most), GateReason.VELOCITY))
        box = min(
            space.box.factor(move, self._position), space.planes.factor(move, self._position)
        )
        factors.append((box, GateReason.WORKSPACE))
        return min(factors)
