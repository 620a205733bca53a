"""Views of recorded episodes: what the base policy would have done at each recorded step."""

from __future__ import annotations

import dataclasses

import numpy as np

from robot_rl.control.chunk_player import Player
from robot_rl.core.episode import Episode
from robot_rl.core.errors import ContractError
from robot_rl.core.types import Vector


def relabel_base(episode: Episode, base: Player) -> Episode:
    """Return the episode with the base policy's actions at its T + 1 observations.

    The base runs over the recording with the queue that it has online, so that critic and actor
    see base actions of one distribution (ResFiT, arXiv 2509.19301, section 4). The recording
    itself stays as it is.

    Args:
        episode: any.
        base: has an action at every observation: it waits for each plan.

    Raises:
        ContractError: if it has none.
    """
    base.reset(episode.metadata.seed)
    actions: list[Vector] = []
    for t in range(len(episode) + 1):
        action = base.next(episode.observation(t))
        if action is None:
            raise ContractError(f"{episode.episode_id}: no base action at step {t}")
        actions.append(action)
    return dataclasses.replace(episode, base_action=np.stack(actions))
