"""The faces of the workspace that are not those of its box."""

from __future__ import annotations

from collections.abc import Sequence

from robot_rl.control.clearance import braking_speed, factor_within
from robot_rl.control.limits import SafetyLimits


class Planes:
    """Half-spaces in which the tcp must stay; what moves along a face stays free.

    Attributes:
        normals: unit vectors that point to the allowed side.
    """

    def __init__(self, limits: SafetyLimits, period_s: float) -> None:
        self.normals = tuple(_unit(plane.normal) for plane in limits.workspace_planes)
        self._offsets = tuple(plane.offset_m for plane in limits.workspace_planes)
        self._change = limits.max_tcp_acceleration_m_s2 * period_s**2

    def behind(self, position: Sequence[float]) -> list[float]:
        """How far it is to each face, against its normal [m]."""
        return [
            _dot(normal, position) - offset
            for normal, offset in zip(self.normals, self._offsets, strict=True)
        ]

    def clip(self, step: list[float], position: Sequence[float]) -> list[float]:
        """Take from a step what is too fast towards a face."""
        for normal, room in zip(self.normals, self.behind(position), strict=True):
            most = braking_speed(room, self._change, 1.0)
            excess = -_dot(normal, step) - most
            if excess > 0.0:
                step = [s + excess * n for s, n in zip(step, normal, strict=True)]
        return step

    def factor(self, step: Sequence[float], position: Sequence[float]) -> float:
        """Return what to multiply a step with, at most 1."""
        factor = 1.0
        for normal, room in zip(self.normals, self.behind(position), strict=True):
            most = braking_speed(room, self._change, 1.0)
            factor = min(factor, factor_within(-_dot(normal, step), most))
        return factor


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _unit(vector: tuple[float, float, float]) -> tuple[float, float, float]:
    norm = _dot(vector, vector) ** 0.5
    x, y, z = vector
    return x / norm, y / norm, z / norm
