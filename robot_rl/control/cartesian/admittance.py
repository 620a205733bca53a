"""Giving way on an arm that obeys positions: forces in, motion of the tool out.

On each axis of a named frame a virtual mass, damper and spring answer the measured force:

    M x'' + D x' + K x = f_ext - f_des

x is the tool's offset from wherever else it is led. f_ext is what the environment exerts on the
tool, f_des what it shall exert: with K = 0 the axis presses until both agree. In free space such
an axis moves at -f_des / D.

**Discretisation** is exact for a force that is constant over a period T (matrix exponential), so
the free law is stable at every period. In contact with a stiffness k the sampled loop is not: on
an arm that obeys at once, and with K = 0 and T < t = M / D, it is stable up to
k = D (1 - e) / (t (1 - e) - e T) with e = exp(-T / t) (Jury's criterion), a little above 2 D / T.
An arm that follows late by a time L takes away far more.

**Passivity** therefore asks for damping that dominates: with k the stiffest contact to come, every
axis must have

    D >= 2 sqrt(M (K + k))          no ringing in contact, and
    D >= 2 (K + k) (T / 2 + L)      twice what sampling and the arm's lag feed back
                                    (Colgate and Schenkel 1997 ask for once that)

or the config is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from pydantic import model_validator

from robot_rl.config.model import Config
from robot_rl.control.cartesian.frame import PerAxis, base_from_tcp, turned
from robot_rl.control.cartesian.refusal import Array, Refusal, refuse_pose, refuse_vector
from robot_rl.control.clearance import factor_within
from robot_rl.control.limits import SafetyLimits

_AXES = ("x", "y", "z", "rx", "ry", "rz")
_PARTS = slice(3), slice(3, 6)
_MOST = 1e9
"""No force [N] or torque [N m] is more: what is finite stays so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmittanceStep:
    """What the tool is to do in one period, on top of how it is led.

    Args:
        tcp_delta: float64[6], translation [m] and rotation vector [rad] in the base frame, no
            faster than the cell allows; zeros if refused.
        refusal: why there is no motion; None if there is one.
    """

    tcp_delta: Array
    refusal: Refusal | None = None


class AdmittanceConfig(Config):
    """The virtual mass, damper and spring of one tool in one kind of contact.

    Args:
        frame: whose axes these are: of the tool (`tcp`) or of the robot (`base`).
        mass: [kg, kg m^2].
        damping: [N s/m, N m s/rad].
        stiffness: [N/m, N m/rad]; 0 lets an axis be led by the force alone.
        dead_band: of f_ext - f_des [N, N m]: noise and drift of the sensor below it move nothing;
            beyond it only what is beyond counts. One beyond every force keeps an axis still.
        contact_stiffness: of the stiffest contact to come, the arm's own compliance in series
            [N/m, N m/rad].
        lag_s: how much later than asked the arm is where it was asked to be.
        period_s: control period.
    """

    frame: Literal["tcp", "base"]
    mass: PerAxis
    damping: PerAxis
    stiffness: PerAxis
    dead_band: PerAxis
    contact_stiffness: PerAxis
    lag_s: float
    period_s: float

    @model_validator(mode="after")
    def _check_signs(self) -> Self:
        for name in ("mass", "damping", "period_s"):
            if not np.all(np.array(getattr(self, name)) > 0.0):
                raise ValueError(f"{name}: got {getattr(self, name)}, expected positive")
        for name in ("stiffness", "dead_band", "contact_stiffness", "lag_s"):
            if not np.all(np.array(getattr(self, name)) >= 0.0):
                raise ValueError(f"{name}: got {getattr(self, name)}, expected 0 or more")
        return self

    @model_validator(mode="after")
    def _check_passive(self) -> Self:
        for axis, got, ringing, late in zip(_AXES, self.damping, *self._needed(), strict=True):
            if got < max(ringing, late):
                why = (
                    "in contact it would ring: 2 sqrt(mass * (stiffness + contact_stiffness))"
                    if ringing > late
                    else "sampling and lag would feed the contact: 2 * (stiffness + "
                    "contact_stiffness) * (period_s / 2 + lag_s)"
                )
                raise ValueError(
                    f"damping of {axis} is {got:g}, expected {max(ringing, late):.4g} or more: "
                    f"{why}; raise it, or lower mass, stiffness, lag or period"
                )
        return self

    def build(self, limits: SafetyLimits) -> Admittance:
        """Return the law, at rest and without offset; `limits` are the cell's."""
        return Admittance(self, limits)

    def _needed(self) -> tuple[list[float], list[float]]:
        """The two least dampings of every axis."""
        late_s = 0.5 * self.period_s + self.lag_s
        stiff = [k + c for k, c in zip(self.stiffness, self.contact_stiffness, strict=True)]
        ringing = [2.0 * math.sqrt(m * k) for m, k in zip(self.mass, stiff, strict=True)]
        return ringing, [2.0 * k * late_s for k in stiff]


class Admittance:
    """See the module's text. One `step` per period; nothing moves in between.

    The offset is kept in the axes of the frame: in the tcp frame it turns with the tool.

    Args:
        config: the law.
        limits: of the cell: the offset moves no faster than the tool may.
    """

    def __init__(self, config: AdmittanceConfig, limits: SafetyLimits) -> None:
        self._in_tcp = config.frame == "tcp"
        self._dead_band = np.array(config.dead_band)
        parts = [
            _discrete(m, d, k, config.period_s)
            for m, d, k in zip(config.mass, config.damping, config.stiffness, strict=True)
        ]
        self._law = np.stack(parts, axis=-1)
        speeds = limits.max_tcp_speed_m_s, limits.max_tcp_angular_speed_rad_s
        self._speeds = speeds
        self._steps = speeds[0] * config.period_s, speeds[1] * config.period_s
        self.reset()

    @property
    def offset(self) -> Array:
        """Where the law has moved the tool since `reset`, float64[6] [m, rad], in its frame."""
        return self._offset.copy()

    def reset(self) -> None:
        """Begin anew: at rest, without offset."""
        self._offset, self._speed = np.zeros(6), np.zeros(6)

    def step(self, wrench: Array, tcp_pose: Array, desired: Array) -> AdmittanceStep:
        """Answer the force of one period.

        Args:
            wrench: float64[6], force [N] and torque [N m] of the environment on the tool, tcp
                frame (`spec.WRENCH`).
            tcp_pose: float64[7], the tcp in the base frame.
            desired: float64[6], what the environment shall exert on the tool, in the axes of the
                config's frame. A tool that presses along its own z with 10 N has -10 there.
        """
        refusal = refuse_vector("wrench", wrench, 6) or refuse_pose("tcp_pose", tcp_pose)
        refusal = refusal or refuse_vector("desired", desired, 6)
        if refusal:
            self._speed = np.zeros(6)
            return AdmittanceStep(tcp_delta=np.zeros(6), refusal=refusal)
        rotation = base_from_tcp(tcp_pose)
        wrench, desired = (np.clip(w, -_MOST, _MOST) for w in (wrench, desired))
        measured = wrench if self._in_tcp else turned(rotation, wrench)
        step = self._advance(self._beyond_dead_band(measured - desired))
        return AdmittanceStep(tcp_delta=turned(rotation, step) if self._in_tcp else step)

    def _beyond_dead_band(self, force: Array) -> Array:
        return np.sign(force) * np.maximum(np.abs(force) - self._dead_band, 0.0)

    def _advance(self, force: Array) -> Array:
        """One period of the law on all axes; return the change of the offset, float64[6]."""
        offset, speed = self._offset, self._speed
        (a, b, e), (c, d, f) = self._law
        step = (a - 1.0) * offset + b * speed + e * force
        speed = c * offset + d * speed + f * force
        for part, most_m, most_m_s in zip(_PARTS, self._steps, self._speeds, strict=True):
            step[part] *= factor_within(math.hypot(*step[part]), most_m)
            speed[part] *= factor_within(math.hypot(*speed[part]), most_m_s)
        self._offset, self._speed = offset + step, speed
        return step


def _discrete(mass: float, damping: float, stiffness: float, period_s: float) -> Array:
    """What a period does to (x, x') and what a constant force adds, float64[2, 3]."""
    law = np.array([[0.0, 1.0, 0.0], [-stiffness, -damping, 1.0], [0.0, 0.0, 0.0]])
    law[1] /= mass
    # Scaling and squaring of exp(law T), the series cut far below rounding.
    squarings = max(0, math.ceil(math.log2(max(np.abs(law).sum(1).max() * period_s, 1e-9))) + 1)
    small = law * period_s / 2.0**squarings
    term = power = np.eye(3)
    for n in range(1, 16):
        term = term @ small / n
        power = power + term
    return np.linalg.matrix_power(power, 2**squarings)[:2]
