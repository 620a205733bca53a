"""Simulated people who watch: one who judges what the policy does, and one who steps in at random.

For reinforcement learning from interventions (RLIF, Luo et al. 2023, arXiv 2311.12996, section 5):
there the judgement is all that the learner gets, and a person who steps in at random as often as
the judge, but without judgement, is the control. Who reacts to stalling only is in `person.py`.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from robot_rl.config.model import Config
from robot_rl.core.protocol import OperatorInput
from robot_rl.core.types import Observation
from robot_rl_sim.bench import SimBench
from robot_rl_sim.person import DemonstratorConfig, Hand

_HAND = DemonstratorConfig(gain=0.8, speed=0.6, noise=0.05, wander=0.05)


class ValueJudgeConfig(Config):
    """A person who compares each step of the policy with what they would have done instead.

    Args:
        hand: how the person drives, and the expert that the policy is compared with.
        margin_m: takes over if the policy's step ended farther from the goal than the expert's
            would have, by more than this [m].
        attention: probability of taking over then.
        correction_steps: how long one correction lasts before the person lets go.
    """

    hand: DemonstratorConfig = _HAND
    margin_m: float = Field(default=0.003, ge=0)
    attention: float = Field(default=0.95, gt=0, le=1)
    correction_steps: int = Field(default=10, ge=1)

    def build(self, bench: SimBench) -> ValueJudge:
        """Seat the person at a bench."""
        return ValueJudge(self, bench)


class ValueJudge:
    """Takes over when the policy's last step made less of its state than the expert would have.

    The value of a state is minus the task's distance; what the expert would have made of the state
    before is found by stepping a copy of the physics.
    """

    name = "simulated judge"

    def __init__(self, config: ValueJudgeConfig, bench: SimBench) -> None:
        self._config = config
        self._bench = bench
        self._hand = Hand(config.hand, bench)
        self._correction = Correction(self._hand, config.correction_steps)
        task = bench.sim_task
        self._substeps = round(task.spec.action.period_s / bench.backend.timestep_s)
        self.reset(0)

    def reset(self, seed: int) -> None:
        """A new episode: nothing seen yet."""
        self._rng = np.random.default_rng([seed, 3])
        self._hand.reset(seed)
        self._correction.reset()
        self._expected_m = np.inf

    def poll(self, observation: Observation) -> OperatorInput:
        """Judge the step that the policy has just made; drive while a correction lasts."""
        # Drawn in every step, so that what a person notices does not depend on what was before.
        notices = self._rng.random() < self._config.attention
        if self._distance_m() > self._expected_m + self._config.margin_m and notices:
            self._correction.begin()
        decision = self._correction.poll()
        self._expected_m = np.inf if decision.active else self._foreseen_m()
        return decision

    def _distance_m(self) -> float:
        return float(self._bench.sim_task.distance(self._bench.backend.state())[0])

    def _foreseen_m(self) -> float:
        """The distance to the goal after one period of what the expert would do now [m]."""
        backend, task = self._bench.backend, self._bench.sim_task
        values = (self._hand.ideal() * np.asarray(task.spec.action.scale))[None]
        ctrl = backend.ctrl[:1].copy()
        task.drive.obey(ctrl, backend.state(), values)
        return float(task.distance(backend.foresee(0, ctrl[0], self._substeps))[0])


class RandomHelperConfig(Config):
    """A person who steps in without looking.

    Args:
        rate: probability per step of the policy; as the judge's, measured, for a fair control.
        hand: how the person drives.
        correction_steps: how long one correction lasts before the person lets go.
    """

    rate: float = Field(ge=0, le=1)
    hand: DemonstratorConfig = _HAND
    correction_steps: int = Field(default=10, ge=1)

    def build(self, bench: SimBench) -> RandomHelper:
        """Seat the person at a bench."""
        return RandomHelper(self, bench)


class RandomHelper:
    """Takes over after any step of the policy with the same probability."""

    name = "simulated random helper"

    def __init__(self, config: RandomHelperConfig, bench: SimBench) -> None:
        self._config = config
        self._hand = Hand(config.hand, bench)
        self._correction = Correction(self._hand, config.correction_steps)
        self.reset(0)

    def reset(self, seed: int) -> None:
        """A new episode."""
        self._rng = np.random.default_rng([seed, 4])
        self._hand.reset(seed)
        self._correction.reset()
        self._policy_acted = False

    def poll(self, observation: Observation) -> OperatorInput:
        """Step in or not; drive while a correction lasts."""
        if self._rng.random() < self._config.rate and self._policy_acted:
            self._correction.begin()
        decision = self._correction.poll()
        self._policy_acted = not decision.active
        return decision


class Correction:
    """A hand on the device for so many steps, then off it."""

    def __init__(self, hand: Hand, steps: int) -> None:
        self._hand = hand
        self._steps = steps
        self._left = 0

    def reset(self) -> None:
        """Nobody drives."""
        self._left = 0

    def begin(self) -> None:
        """Take hold of the device, from the next poll on."""
        self._left = self._steps

    def poll(self) -> OperatorInput:
        """What the hand does in this step."""
        if self._left == 0:
            return OperatorInput(active=False, action=self._hand.idle())
        self._left -= 1
        return OperatorInput(active=True, action=self._hand.action())
