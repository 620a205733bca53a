"""Success while measured numbers have stayed within bounds: for what a robot can feel or measure.

For example a peg is in once the tcp has been below the rim of the hole for half a second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from robot_rl.config.model import Config
from robot_rl.core.clock import NS_PER_S
from robot_rl.core.errors import ConfigError, did_you_mean
from robot_rl.core.protocol import Judgement
from robot_rl.core.spec import ObservationSpec, TaskSpec
from robot_rl.core.types import Observation, Outcome, Vector


class RegionRewardConfig(Config):
    """Bounds that mean success.

    Args:
        name: told with every judgement.
        bounds: `{key: {element: [low, high]}}`, both included, in the units of the task's vectors.
        hold_s: all of them must have been kept for so long.
        gap_s: instants further apart than this do not say what was in between; holding begins
            anew.
        reward: of a success.
    """

    name: str = Field(default="region", min_length=1, max_length=64)
    bounds: Mapping[str, Mapping[str, tuple[float, float]]] = Field(min_length=1)
    hold_s: float = Field(ge=0)
    gap_s: float = Field(default=0.5, gt=0)
    reward: float = Field(default=1.0)

    @model_validator(mode="after")
    def _bounds_bound(self) -> Self:
        for key, elements in self.bounds.items():
            if not elements:
                raise ValueError(f"bounds: {key} has no elements, expected at least one")
            for element, (low, high) in elements.items():
                if low > high:
                    raise ValueError(
                        f"bounds: {key}.{element}: got [{low}, {high}], expected the lower first"
                    )
        return self

    def build(self, task: TaskSpec) -> RegionReward:
        """Return the model for a task.

        Raises:
            ConfigError: naming a key or element that the task does not observe.
        """
        vectors = task.observation.vectors
        for key, elements in self.bounds.items():
            if key not in vectors:
                raise ConfigError(
                    f"bounds: the task {task.name!r} has no {key!r}{did_you_mean(key, vectors)}"
                )
            for element in elements:
                if element not in vectors[key].names:
                    raise ConfigError(
                        f"bounds: {key} has no element {element!r}"
                        f"{did_you_mean(element, vectors[key].names)}"
                    )
        return RegionReward(self, task)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bound:
    """Of some elements of one vector."""

    key: str
    columns: list[int]
    low: Vector
    high: Vector

    def holds(self, observation: Observation) -> bool:
        """Whether all are within; NaN never is."""
        values = observation.vectors[self.key][self.columns]
        return bool(((values >= self.low) & (values <= self.high)).all())


class RegionReward:
    """See `RegionRewardConfig` (implements `RewardModel`).

    Args:
        config: settings that fit the task.
        task: whose vectors are looked at.
    """

    def __init__(self, config: RegionRewardConfig, task: TaskSpec) -> None:
        self.name = config.name
        vectors = {key: task.observation.vectors[key] for key in config.bounds}
        self.observation = ObservationSpec(vectors=vectors)
        self.probability = math.nan
        self._config = config
        self._bounds = [
            _Bound(
                key=key,
                columns=[vectors[key].names.index(element) for element in elements],
                low=np.array([low for low, _ in elements.values()], np.float32),
                high=np.array([high for _, high in elements.values()], np.float32),
            )
            for key, elements in config.bounds.items()
        ]
        self.reset()

    def reset(self) -> None:
        """See `RewardModel.reset`."""
        self._since_ns: int | None = None
        self._last_ns: int | None = None

    def score(self, observation: Observation) -> Judgement:
        """See `RewardModel.score`."""
        now_ns, last_ns = observation.stamp_ns, self._last_ns
        self._last_ns = now_ns
        if last_ns is not None and now_ns - last_ns > self._config.gap_s * NS_PER_S:
            self._since_ns = None
        if not all(bound.holds(observation) for bound in self._bounds):
            self._since_ns = None
        elif self._since_ns is None:
            self._since_ns = now_ns
        held = self._since_ns is not None and (
            now_ns - self._since_ns >= round(self._config.hold_s * NS_PER_S)
        )
        return Judgement(
            reward=self._config.reward if held else 0.0,
            outcome=Outcome.SUCCESS if held else Outcome.UNKNOWN,
        )
