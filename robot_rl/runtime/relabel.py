"""Views of recorded episodes: what the base policy would have done at each recorded step."""

from __future__ import annotations

import dataclasses

import numpy as np

from robot_rl.control.chunk_player import ChunkPlayer
from robot_rl.core.episode import Episode


def relabel_base(episode: Episode, base: ChunkPlayer) -> Episode:
    """Return the episode with the base policy's actions at its T + 1 observations.

    The base runs over the recording with the queue that it has online, so that critic and actor
    see base actions of one distribution (ResFiT, arXiv 2509.19301, section 4). The recording
    itself stays as it is.
    """
    base.reset(episode.metadata.seed)
    actions = [base.next(episode.observation(t)) for t in range(len(episode) + 1)]
    return dataclasses.replace(episode, base_action=np.stack(actions))
