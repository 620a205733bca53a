"""A chunk policy whose next plan carries on with the one in play: real-time chunking."""

from __future__ import annotations

import torch

from robot_rl.control.chunking.planner import PlanContext
from robot_rl.core.types import ActionChunk, Observation
from robot_rl.policies.chunk_policy import ChunkPolicy
from robot_rl.policies.sampler.guidance import Guide, soft_mask


class RealtimePolicy:
    """Plans that begin as what is being played, a `ContinuingPolicy`.

    Black et al. 2025, arXiv 2506.07339; the equations are in `sampler.guidance`, the counting in
    `control.chunking`. Nothing is trained: it works with the weights as they are.

    Args:
        base: makes the plans.
        most: greatest guidance weight, the paper's beta.

    Raises:
        ConfigError: if the base policy's sampler cannot be guided.
    """

    def __init__(self, base: ChunkPolicy, most: float) -> None:
        base.sampler.guided()
        self._base = base
        self._most = most

    @property
    def fingerprint(self) -> str:
        """The base policy's."""
        return self._base.fingerprint

    def reset(self, seed: int) -> None:
        """Seed the noise of the next episode's plans."""
        self._base.reset(seed)

    def act(self, observation: Observation, context: PlanContext) -> ActionChunk:
        """Plan from fresh noise towards what is in play; if nothing is, as the base policy."""
        if not len(context.ahead):
            return self._base.act(observation)
        guide = Guide(
            ahead=torch.from_numpy(context.ahead),
            mask=soft_mask(len(context.ahead), context.frozen),
            most=self._most,
        )
        return self._base.act_guided(observation, guide)
