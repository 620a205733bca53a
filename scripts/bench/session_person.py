"""The simulated person of a session: hands off where an episode only counts.

The page says so in its banner, and a start's seed says it here.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from robot_rl.app.run_config import JUDGING_SEEDS
from robot_rl.config.model import Component, Config
from robot_rl.core.protocol import Operator, OperatorInput
from robot_rl.core.types import Observation
from robot_rl_sim.bench import SimBench


class FairPersonConfig(Config):
    """A simulated person who helps while the policy learns, and not while it is judged.

    Args:
        person: who it is, a component whose `build(bench)` returns a `core.protocol.Operator`.
    """

    person: Component

    def build(self, bench: SimBench) -> FairPerson:
        """Seat the person at a bench."""
        return FairPerson(self.person.build(bench))


class FairPerson:
    """Lets go of the device in episodes whose seed is one of those for judging.

    Args:
        person: who drives otherwise.
    """

    def __init__(self, person: Operator) -> None:
        self.name = person.name
        self._person = person
        self._judges = False

    def reset(self, seed: int) -> None:
        """A new episode begins."""
        self._judges = seed >= JUDGING_SEEDS
        self._person.reset(seed)

    def poll(self, observation: Observation) -> OperatorInput:
        """Do as the person does, or nothing."""
        said = self._person.poll(observation)
        if not self._judges:
            return said
        return dataclasses.replace(said, active=False, action=np.zeros_like(said.action))
