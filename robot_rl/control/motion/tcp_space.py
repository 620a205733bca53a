"""What a tcp delta may be: translation [m] and rotation vector [rad] in the base frame."""

from __future__ import annotations

import math

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
from robot_rl.control.motion.bound import Bounds
from robot_rl.control.motion.contact import give_way, presses, unit
from robot_rl.control.motion.distance import Distance
from robot_rl.control.motion.plane import Planes
from robot_rl.control.motion.reading import Reading, in_base
from robot_rl.control.motion.singularity import Singularity, ratio
from robot_rl.core.types import GateReason

Array = NDArray[np.float64]

_DAMPING = 0.005
"""Damping of the pseudo-inverse [m/rad]: bounds the predicted joint speed at singularities."""


class TcpSpace:
    """Limits of tcp deltas.

    With a chain joint motion is predicted by the damped pseudo-inverse (Nakamura and Hanafusa
    1986). What is too much for a joint, a singularity or a distance slows the whole delta, which
    keeps its direction.
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
        self.joint_steps = [v * period_s for v in limits.max_joint_velocity_rad_s]
        self.singularity = Singularity(limits, chain) if chain else None
        self.distance = Distance(clearances, limits, period_s) if clearances else None
        normals = np.array(self.planes.normals).reshape(-1, 3)
        self.owners = [0] * (3 + len(normals))
        self.faces = np.eye(3 + len(normals), 6)
        self.faces[3:] = np.pad(normals, ((0, 0), (0, 3)))

    def look(self, reading: Reading) -> TcpView:
        """What a delta may be now."""
        return TcpView(self, reading)


class TcpView:
    """Limits of tcp deltas where the arm is.

    Args:
        space: the limits.
        reading: with the tcp pose, and with a chain the joint positions.
    """

    def __init__(self, space: TcpSpace, reading: Reading) -> None:
        self._space = space
        self._position = reading.tcp[:3]
        self._q = reading.q
        self._force = None if reading.force is None else in_base(reading.force, reading.tcp)
        self._near = space.distance.near(reading.q) if space.distance else []
        if space.chain is not None:
            self._inverse, self._condition = _inverse(space.chain.jacobian(reading.q))

    def cut(self, step: list[float]) -> Bent:
        """Cut a delta to what the arm's position allows, and take out what presses."""
        step, reason, _ = self._cut(step)
        return step, reason

    def shape(self, step: list[float]) -> Bent:
        """Likewise, and slow it on its way into a singularity."""
        step, reason, joint_step = self._cut(step)
        singularity = self._space.singularity
        if singularity is None:
            return step, reason
        factor = singularity.factor(self._q, self._condition, joint_step)
        if factor == 1.0:
            return step, reason
        return [factor * x for x in step], graver(reason, GateReason.SINGULARITY)

    def bounds(self) -> Bounds:
        """What a plan must keep to."""
        space, position = self._space, self._position
        rows = [space.faces]
        ahead = space.box.ahead(position) + [math.inf] * (len(space.faces) - 3)
        behind = space.box.behind(position) + space.planes.behind(position)
        most = [math.inf] * len(ahead)
        why = [GateReason.WORKSPACE] * len(ahead)
        if space.chain is not None:
            rows.append(self._inverse)
            ahead += space.joints.ahead(self._q)
            behind += space.joints.behind(self._q)
            most += space.joint_steps
            why += [GateReason.JOINT_LIMIT] * len(self._q)
        for row, room, reason in self._walls():
            rows.append(row[None])
            ahead.append(math.inf)
            behind.append(room)
            most.append(math.inf)
            why.append(reason)
        return Bounds(
            rows=np.concatenate(rows),
            ahead=ahead,
            behind=behind,
            most=most,
            why=why,
            free=space.faces,
            owners=space.owners,
        )

    def _walls(self) -> list[tuple[Array, float, GateReason]]:
        """Directions against which there is only some room: contacts and other bodies."""
        walls: list[tuple[Array, float, GateReason]] = []
        if self._force is not None:
            for start in (0, 3):
                row = np.zeros(6)
                row[start : start + 3] = unit(self._force[start : start + 3])
                walls.append((row, 0.0, GateReason.FORCE))
        if self._space.distance:
            for clearance in self._near:
                row = np.array(clearance.gradient) @ self._inverse
                room = self._space.distance.room(clearance)
                walls.append((row, room, GateReason.COLLISION))
        return walls

    def _cut(self, step: list[float]) -> tuple[list[float], GateReason, list[float]]:
        step, reason = self._cut_at_tcp(step)
        if self._space.chain is None:
            return step, reason, []
        joint_step: list[float] = (self._inverse @ step).tolist()
        factor, why = self._factor(joint_step)
        if factor == 1.0:
            return step, reason, joint_step
        return (
            [factor * x for x in step],
            graver(reason, why),
            [factor * x for x in joint_step],
        )

    def _cut_at_tcp(self, step: list[float]) -> Bent:
        move, turn = step[:3], step[3:]
        reason = GateReason.PASSED
        force = self._force
        if force is not None:
            move, pressed = give_way(move, force[:3])
            turn, twisted = give_way(turn, force[3:])
            reason = GateReason.FORCE if pressed or twisted else reason
        inside = self._space.planes.clip(
            self._space.box.clip(move, self._position), self._position
        )
        if inside != move:
            reason = graver(reason, GateReason.WORKSPACE)
            # Cutting one axis may have turned a sliding motion into a pressing one.
            if force is not None and presses(inside, force[:3]):
                inside = [0.0, 0.0, 0.0]
        return inside + turn, reason

    def _factor(self, joint_step: list[float]) -> tuple[float, GateReason]:
        space = self._space
        fastest = min(
            factor_within(abs(s), most)
            for s, most in zip(joint_step, space.joint_steps, strict=True)
        )
        factor = min(fastest, space.joints.factor(joint_step, self._q))
        if space.distance:
            apart = space.distance.factor(self._near, joint_step)
            if apart < factor:
                return apart, GateReason.COLLISION
        return factor, GateReason.JOINT_LIMIT


def _inverse(jacobian: Array) -> tuple[Array, float]:
    """Return joint motion [rad] per tcp delta, float64[n, 6], and the Jacobian's condition."""
    left, values, right = np.linalg.svd(jacobian, full_matrices=False)
    damped = values / (values**2 + _DAMPING**2)
    return (right.T * damped) @ left.T, ratio(values.tolist())
