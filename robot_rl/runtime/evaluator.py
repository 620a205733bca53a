"""Is the improved policy better than its base? Both from the same starts, decided by a bound.

The deployed policy is the base until a candidate's lower confidence bound beats it; after that a
candidate must also do at least as well as what is deployed. So what is deployed is never worse
than the base, as far as the evaluation episodes can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.runtime.events import Evaluated
from robot_rl.runtime.rollout import Rollout
from robot_rl.runtime.statistics import paired_difference_bound

EpisodeSink = Callable[[Episode], None]


def evaluate(
    rollout: Rollout,
    seeds: Sequence[int],
    metadata: EpisodeMetadata,
    name: str,
    on_episode: EpisodeSink | None = None,
) -> list[Episode]:
    """Run one episode from each start state; nobody intervenes and nothing explores."""
    episodes: list[Episode] = []
    for seed in seeds:
        episode = rollout.run(f"{name}-{seed}", seed, metadata)
        episodes.append(episode)
        if on_episode:
            on_episode(episode)
    return episodes


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """The policy that may be used: version 0 is the base alone, without weights."""

    version: int
    success: float
    weights: Mapping[str, Tensor] | None


class NeverWorse:
    """Judges candidates against the base and keeps the best that is surely better.

    Args:
        rollout: a deterministic rollout of the agent whose online weights change.
        seeds: start states for judging; kept apart from training and held-out seeds.
        metadata: of the judging episodes.
        base_success: bool[n], the base's outcome from each of `seeds`.
        confidence: of the lower bound on the difference of success rates.
        deployed: what is deployed so far; the base at first.
    """

    def __init__(
        self,
        rollout: Rollout,
        seeds: Sequence[int],
        metadata: EpisodeMetadata,
        *,
        base_success: NDArray[np.bool_],
        confidence: float,
        deployed: Deployed | None = None,
    ) -> None:
        self._rollout = rollout
        self._seeds = tuple(seeds)
        self._metadata = metadata
        self.base_success = base_success
        self._confidence = confidence
        self.deployed = deployed or Deployed(
            version=0, success=float(base_success.mean()), weights=None
        )

    def consider(
        self, version: int, weights: Mapping[str, Tensor], env_steps_total: int
    ) -> Evaluated:
        """Evaluate the agent, which acts with `weights` now, and deploy it if surely better."""
        episodes = evaluate(self._rollout, self._seeds, self._metadata, f"judge-v{version}")
        candidate = np.array([e.success_autonomous for e in episodes])
        bound = paired_difference_bound(self.base_success, candidate, self._confidence)
        success = float(candidate.mean())
        if bound > 0 and success >= self.deployed.success:
            copied = {name: tensor.clone() for name, tensor in weights.items()}
            self.deployed = Deployed(version=version, success=success, weights=copied)
        return Evaluated(
            env_steps_total=env_steps_total,
            base_success=float(self.base_success.mean()),
            improved_success=success,
            episodes=len(self._seeds),
            lower_bound=bound,
            deployed="improved" if self.deployed.version else "base",
            deployed_version=self.deployed.version,
        )
