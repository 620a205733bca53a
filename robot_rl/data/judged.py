"""Episodes as a person has judged them: what is to be learned from, and counted.

A judgement is a label beside the recording (`labelling.SUCCESS`), which itself never changes.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from robot_rl.core.episode import Episode
from robot_rl.core.errors import ContractError
from robot_rl.core.types import Outcome
from robot_rl.data.labelling import SUCCESS, human_outcome
from robot_rl.data.store.episode_reader import EpisodeReader, outcome_value
from robot_rl.data.store.label import Label


def judgement(outcome: Outcome, by: str) -> Label:
    """Return the label of what `by` says; UNKNOWN says that nobody can tell, as uint8[1].

    Raises:
        ContractError: if nobody is named.
    """
    if outcome != Outcome.UNKNOWN:
        return human_outcome(outcome, by)
    if not by.strip():
        raise ContractError("a person's label needs a name: who says so?")
    return Label(name=SUCCESS, values=np.array([outcome], np.uint8), made_by=by.strip())


def as_judged(reader: EpisodeReader, episode_id: str) -> Episode:
    """Read an episode as the newest judgement of a person has it, or else as it was recorded.

    Raises:
        StorageError: as `EpisodeReader.read`.
    """
    return ended_in(reader.read(episode_id), _outcome(reader, episode_id))


def successes(reader: EpisodeReader) -> list[str]:
    """Return the ids of the episodes that ended in success, as judged, in the order of saving."""
    return [name for name in reader.ids() if _outcome(reader, name) == Outcome.SUCCESS]


def ended_in(episode: Episode, outcome: Outcome) -> Episode:
    """Return the episode as if it had been judged so when it ended.

    The last step's reward is 1 for a success, else 0. A success has ended the task; what else
    ended it, time or a person, stays as it was. Without a difference nothing changes.
    """
    if outcome == episode.outcome:
        return episode
    succeeded = outcome == Outcome.SUCCESS
    reward = episode.reward.copy()
    reward[-1] = float(succeeded)
    return dataclasses.replace(
        episode,
        outcome=outcome,
        reward=reward,
        terminated=episode.terminated or succeeded,
        truncated=episode.truncated and not succeeded,
    )


def _outcome(reader: EpisodeReader, episode_id: str) -> Outcome:
    if SUCCESS not in reader.labels(episode_id):
        return reader.entry(episode_id).outcome
    return outcome_value(reader.label(episode_id, SUCCESS))
