"""An episode of which others recorded only observations, actions and rewards.

What they do not know is filled as if the action had passed every station unchanged: no base
policy, no gate, no lateness.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.types import GateReason, Image, Outcome, Source, Vector


def imported_episode(
    *,
    episode_id: str,
    metadata: EpisodeMetadata,
    outcome: Outcome,
    stamps_ns: NDArray[np.int64],
    ages_s: Vector,
    vectors: Mapping[str, Vector],
    images: Mapping[str, Image],
    action: Vector,
    reward: Vector,
    source: Source,
) -> Episode:
    """Return the episode; a success terminated it, everything else truncated it.

    Args:
        episode_id: as all that follow, see `Episode`.
        metadata: what must be known of it.
        outcome: how it was judged.
        stamps_ns: int64[T + 1].
        ages_s: float32[T + 1].
        vectors: `{key: float32[T + 1, d]}`.
        images: `{key: uint8[T + 1, h, w, 3]}`.
        action: float32[T, d], in [-1, 1].
        reward: float32[T].
        source: who decided all of its actions.

    Raises:
        ContractError: if the columns disagree in length.
    """
    steps = len(action)
    return Episode(
        episode_id=episode_id,
        metadata=metadata,
        outcome=outcome,
        terminated=outcome == Outcome.SUCCESS,
        truncated=outcome != Outcome.SUCCESS,
        stamps_ns=stamps_ns,
        ages_s=ages_s,
        vectors=vectors,
        images=images,
        action=action,
        base_action=np.zeros((steps + 1, action.shape[1]), np.float32),
        proposed_action=action.copy(),
        reward=reward,
        source=np.full(steps, source, np.uint8),
        intervention_start=np.zeros(steps, np.bool_),
        gate_reason=np.full(steps, GateReason.PASSED, np.uint8),
        inference_s=np.zeros(steps, np.float32),
        lateness_s=np.zeros(steps, np.float32),
        policy_version=np.zeros(steps, np.int64),
    )
