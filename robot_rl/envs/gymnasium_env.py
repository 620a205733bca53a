"""The gymnasium face of a bench, for algorithms and tools from elsewhere."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from robot_rl.control.safety import SafetyGate
from robot_rl.core.errors import ConfigError
from robot_rl.core.protocol import Bench
from robot_rl.core.spec import ObservationSpec
from robot_rl.core.types import Image, Observation, Outcome, Vector
from robot_rl.envs.robot_env import RobotEnv

_PICTURE = (480, 640)
_SEEDS = 2**31

GymObservation = dict[str, Any]


class GymnasiumEnv(gymnasium.Env[GymObservation, Vector]):
    """`RobotEnv` as a `gymnasium.Env`; every action still passes the gate.

    Observations are a Dict with the keys of the task's spec; actions float32[d] in [-1, 1].
    `info` holds `is_success` and `gate_reason`, nothing that learning depends on.

    Args:
        bench: connected and ready; closed by `close`.
        gate: for the bench's action space, on the bench's clock.
        render_mode: None, or `rgb_array` for `render` to return uint8[480, 640, 3].
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, bench: Bench, gate: SafetyGate, render_mode: str | None = None) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ConfigError(f"render_mode: got {render_mode!r}, expected None or 'rgb_array'")
        self.env = RobotEnv(bench, gate)
        self.render_mode = render_mode
        self._bench = bench
        self.metadata = {**self.metadata, "render_fps": round(1 / self.env.action_spec.period_s)}
        self.observation_space = _space(self.env.observation_spec)
        self.action_space = spaces.Box(-1.0, 1.0, (self.env.action_spec.size,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[GymObservation, dict[str, Any]]:
        """Start the episode that `seed` stands for; without one, the next of the last seed's row.

        Raises:
            GateStopError: if the gate has latched STOP.
        """
        super().reset(seed=seed)
        if seed is None:
            seed = int(self.np_random.integers(_SEEDS))
        observation = self.env.reset(seed)
        return _plain(observation), {"is_success": False, "gate_reason": "PASSED"}

    def step(self, action: Vector) -> tuple[GymObservation, float, bool, bool, dict[str, Any]]:
        """Execute one action; see `RobotEnv.step`."""
        # A number too large for float32 becomes infinite, which the gate refuses and counts.
        with np.errstate(over="ignore"):
            result = self.env.step(np.asarray(action, np.float32))
        info = {
            "is_success": result.outcome == Outcome.SUCCESS,
            "gate_reason": result.gate_reason.name,
        }
        observation = _plain(result.observation)
        return observation, float(result.reward), result.terminated, result.truncated, info

    def render(self) -> Image | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return a picture of the bench, or None without a render mode."""
        if self.render_mode is None:
            return None
        height, width = _PICTURE
        return self._bench.render(width, height)

    def close(self) -> None:
        """Close the bench."""
        self._bench.close()


def _space(spec: ObservationSpec) -> spaces.Dict:
    vectors = {
        key: spaces.Box(-np.inf, np.inf, (vector.size,), np.float32)
        for key, vector in spec.vectors.items()
    }
    images = {
        key: spaces.Box(0, 255, (image.height, image.width, 3), np.uint8)
        for key, image in spec.images.items()
    }
    return spaces.Dict({**vectors, **images})


def _plain(observation: Observation) -> GymObservation:
    return {k: a.copy() for k, a in {**observation.vectors, **observation.images}.items()}
