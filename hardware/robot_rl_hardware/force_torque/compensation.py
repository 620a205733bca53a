r"""From what a force-torque sensor says to what the environment does to the tool.

With R the rotation from the sensor's frame to the base's, m the mass of all that hangs on the
sensor and c its centre of mass in the sensor's frame:

    gravity  f_g = R^T (0, 0, -m g),   t_g = c x f_g
    external w   = said - bias - (f_g, t_g),   then a low-pass

and the same wrench about the tcp, in the tcp's frame, is what is asked for. Not here: forces of
acceleration, which a fast arm adds.
"""

from __future__ import annotations

import math
import threading
from collections import deque

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from robot_rl.config.model import Config
from robot_rl.core.clock import NS_PER_S
from robot_rl.core.errors import ContractError
from robot_rl.core.geometry import matrix_from_quat, quat_multiply
from robot_rl.core.types import Vector

Array = NDArray[np.float64]

G_M_S2 = 9.80665
_UPRIGHT = np.array([0.0, 0.0, 0.0, 1.0])


class CompensationConfig(Config):
    """What hangs on the sensor, and where the sensor sits.

    Args:
        mass_kg: of all that hangs on the sensor; 0 if the sensor is not turned against gravity,
            or takes it off by itself.
        centre_of_mass_m: of it, in the sensor's frame.
        tcp_from_sensor: pose of the sensor in the tcp's frame: position [m], quaternion xyzw.
        cutoff_hz: of the low-pass.
        bias: what the sensor says while nothing touches the tool and nothing hangs on it [N, N m],
            where it is known; otherwise the sensor must be zeroed before it says anything.
        still_n, still_nm: spread of forces and torques above which it is not zeroed.
        window_s: that is averaged over for zeroing.
    """

    mass_kg: float = Field(ge=0)
    centre_of_mass_m: tuple[float, float, float]
    tcp_from_sensor: tuple[float, float, float, float, float, float, float]
    cutoff_hz: float = Field(gt=0)
    bias: tuple[float, float, float, float, float, float] | None = None
    still_n: float = Field(default=1.0, gt=0)
    still_nm: float = Field(default=0.1, gt=0)
    window_s: float = Field(default=0.25, gt=0, le=5)

    @field_validator("tcp_from_sensor")
    @classmethod
    def _is_pose(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        norm = float(np.linalg.norm(value[3:]))
        if abs(norm - 1.0) > 1e-3:
            raise ValueError(f"its quaternion {value[3:]} has norm {norm:.4g}, expected 1")
        return value

    def build(self) -> Compensation:
        """Return the compensation, zeroed if the bias is known."""
        return Compensation(self)


class Compensation:
    """Takes bias and gravity off one sensor; one thread puts wrenches in, another takes them out.

    Attributes:
        needs_orientation: whether gravity must be taken off, so that `turn` has to be called.
        zeroed: whether the bias is known.
    """

    def __init__(self, config: CompensationConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        mounting = np.array(config.tcp_from_sensor)
        self._mounting = mounting[3:] / np.linalg.norm(mounting[3:])
        rotation = matrix_from_quat(self._mounting)
        # Acts on force and torque at once: this is done a thousand times a second.
        self._to_tcp = np.block(
            [[rotation, np.zeros((3, 3))], [_cross(mounting[:3]) @ rotation, rotation]]
        )
        self._of_force = np.vstack([np.eye(3), _cross(np.array(config.centre_of_mass_m))])
        self._gravity = self._pull(_UPRIGHT)
        self._bias = np.zeros(6) if config.bias is None else np.array(config.bias)
        self._said: deque[tuple[int, Array]] = deque()
        self._smooth: Array | None = None
        self.needs_orientation = config.mass_kg > 0
        self.zeroed = config.bias is not None

    def turn(self, base_from_tcp: Vector) -> None:
        """The tool is turned to this quaternion xyzw in the base frame now."""
        turned = quat_multiply(base_from_tcp.astype(np.float64), self._mounting)
        gravity = self._pull(turned)
        with self._lock:
            self._gravity = gravity

    def put(self, said: Vector, stamp_ns: int) -> None:
        """Take in what the sensor says, float32[6] in its own frame, at `stamp_ns`."""
        with self._lock:
            before_ns = self._said[-1][0] if self._said else stamp_ns
            self._said.append((stamp_ns, said.astype(np.float64)))
            while stamp_ns - self._said[0][0] > self._config.window_s * NS_PER_S:
                self._said.popleft()
            external = self._said[-1][1] - self._bias - self._gravity
            dt_s = (stamp_ns - before_ns) / NS_PER_S
            share = 1.0 - math.exp(-2 * math.pi * self._config.cutoff_hz * dt_s)
            smooth = external if self._smooth is None else self._smooth
            self._smooth = smooth + share * (external - smooth)

    def zero(self) -> Vector:
        """Take what was said just now for the bias, gravity apart; return the bias float32[6].

        Nothing may touch the tool.

        Raises:
            ContractError: if too little was said, or the tool is not still.
        """
        c = self._config
        with self._lock:
            if not self._said or self._said[-1][0] - self._said[0][0] < c.window_s * NS_PER_S / 2:
                raise ContractError(
                    f"not zeroed: less than {c.window_s / 2:g} s of samples; wait, and ask again"
                )
            said = np.array([wrench for _, wrench in self._said])
            spread = np.ptp(said, axis=0)
            if (spread[:3] > c.still_n).any() or (spread[3:] > c.still_nm).any():
                raise ContractError(
                    f"not zeroed: the wrench moved by {np.round(spread, 3).tolist()}, at most "
                    f"{c.still_n:g} N and {c.still_nm:g} N m are borne: let nothing touch the "
                    "tool, and let the arm rest"
                )
            bias = said.mean(axis=0) - self._gravity
            if self._smooth is not None:
                self._smooth = self._smooth + self._bias - bias
            self._bias, self.zeroed = bias, True
            return bias.astype(np.float32)

    def wrench(self) -> Vector | None:
        """Return what the environment does to the tool, float32[6] in the tcp's frame.

        None before the first sample, and until the bias is known.
        """
        with self._lock:
            if self._smooth is None or not self.zeroed:
                return None
            return (self._to_tcp @ self._smooth).astype(np.float32)

    def _pull(self, base_from_sensor: Array) -> Array:
        """What the tool's weight does to the sensor, float64[6] in its frame."""
        weight = np.array([0.0, 0.0, -self._config.mass_kg * G_M_S2])
        return self._of_force @ (matrix_from_quat(base_from_sensor).T @ weight)


def _cross(v: Array) -> Array:
    """The matrix float64[3, 3] whose product with a vector is its cross product with `v`."""
    x, y, z = v.tolist()
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
