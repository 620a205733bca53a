"""Simulated people: one who demonstrates, one who watches and takes over when it is stuck.

They see what a person at the bench sees (the true positions), which the policy does not. Others
who watch: `person_judging.py`.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from robot_rl.config.model import Config
from robot_rl.core.protocol import OperatorInput
from robot_rl.core.types import Observation, Vector
from robot_rl_sim.backend import Array
from robot_rl_sim.bench import SimBench


class DemonstratorConfig(Config):
    """A person who demonstrates, imperfectly.

    Args:
        gain: part of the remaining way that a hand covers in one period.
        speed: largest normalised action element that the person uses.
        noise: standard deviation of white noise on each normalised element.
        wander: standard deviation of slow noise (correlation 0.8 from step to step).
    """

    gain: float = Field(default=0.8, gt=0, le=1)
    speed: float = Field(default=0.6, gt=0, le=1)
    noise: float = Field(default=0.1, ge=0)
    wander: float = Field(default=0.1, ge=0)

    def build(self, bench: SimBench) -> Demonstrator:
        """Seat the person at a bench."""
        return Demonstrator(self, bench)


class Demonstrator:
    """Drives all the time."""

    name = "simulated demonstrator"

    def __init__(self, config: DemonstratorConfig, bench: SimBench) -> None:
        self._config = config
        self._hand = Hand(config, bench)

    def reset(self, seed: int) -> None:
        """A new episode: draw the hand's noise from `seed`."""
        self._hand.reset(seed)

    def poll(self, observation: Observation) -> OperatorInput:
        """Drive towards the goal."""
        return OperatorInput(active=True, action=self._hand.action())


class SupervisorConfig(Config):
    """A person who watches and corrects (HIL-SERL's role; arXiv 2410.21845).

    Args:
        hand: how the person drives.
        patience_steps: takes over when the goal has not come `progress_m` nearer for so long.
        progress_m: what counts as progress [m].
        attention: probability per step of noticing that it is stuck.
        correction_steps: how long one correction lasts before the person lets go.
    """

    hand: DemonstratorConfig = DemonstratorConfig(gain=0.8, speed=0.6, noise=0.05, wander=0.05)
    patience_steps: int = Field(default=15, ge=1)
    progress_m: float = Field(default=1.0e-3, gt=0)
    attention: float = Field(default=0.3, gt=0, le=1)
    correction_steps: int = Field(default=10, ge=1)

    def build(self, bench: SimBench) -> Supervisor:
        """Seat the person at a bench."""
        return Supervisor(self, bench)


class Supervisor:
    """Takes over when the policy has made no progress for a while, then lets go again."""

    name = "simulated supervisor"

    def __init__(self, config: SupervisorConfig, bench: SimBench) -> None:
        self._config = config
        self._bench = bench
        self._hand = Hand(config.hand, bench)
        self._rng = np.random.default_rng(0)
        self.reset(0)

    def reset(self, seed: int) -> None:
        """A new episode: nothing seen yet."""
        self._rng = np.random.default_rng([seed, 1])
        self._hand.reset(seed)
        self._best = np.inf
        self._stuck = 0
        self._left = 0

    def poll(self, observation: Observation) -> OperatorInput:
        """Watch the true distance; drive while a correction lasts."""
        distance = float(self._bench.sim_task.distance(self._bench.backend.state())[0])
        if distance < self._best - self._config.progress_m:
            self._best, self._stuck = distance, 0
        else:
            self._stuck += 1
        noticed = self._rng.random() < self._config.attention
        if self._left == 0 and self._stuck >= self._config.patience_steps and noticed:
            self._left = self._config.correction_steps
        if self._left == 0:
            return OperatorInput(active=False, action=self._hand.idle())
        self._left -= 1
        if self._left == 0:
            self._best, self._stuck = distance, 0
        return OperatorInput(active=True, action=self._hand.action())


class Hand:
    """Turns the ideal correction into what a hand does: slow, noisy, within the device's range.

    Actions are normalised.
    """

    def __init__(self, config: DemonstratorConfig, bench: SimBench) -> None:
        self._config = config
        self._bench = bench
        self._size = bench.task.action.size
        self._rng = np.random.default_rng(0)
        self._wander = np.zeros(self._size)

    def reset(self, seed: int) -> None:
        """A new episode: draw the noise from `seed`."""
        self._rng = np.random.default_rng([seed, 2])
        self._wander = np.zeros(self._size)

    def idle(self) -> Vector:
        """Nothing, float32[d]."""
        return np.zeros(self._size, np.float32)

    def ideal(self) -> Array:
        """What it would do without noise, float64[d]."""
        c, task = self._config, self._bench.sim_task
        correction = task.correction(self._bench.backend.state(), 0)
        wanted = c.gain * correction / np.asarray(task.spec.action.scale)
        return np.clip(wanted, -c.speed, c.speed)

    def action(self) -> Vector:
        """What it does, float32[d]."""
        c = self._config
        white = self._rng.normal(size=self._size)
        self._wander = 0.8 * self._wander + 0.6 * self._rng.normal(size=self._size)
        hand = self.ideal() + c.noise * white + c.wander * self._wander
        return np.clip(hand, -1, 1).astype(np.float32)
