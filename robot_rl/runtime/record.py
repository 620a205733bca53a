"""An episode that is run and kept: every step is in the log while it runs, the whole in the store.

Used wherever episodes are learned from. Judging and evaluation, whose episodes only count, do not.
"""

from __future__ import annotations

import re

from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.types import Transition
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.data.store.journal import Journal
from robot_rl.runtime.rollout import OnStep, Rollout

DEMONSTRATION, ONLINE = "demo", "online"
"""Kinds of recordings."""


def record_episode(
    rollout: Rollout,
    store: EpisodeStore,
    episode_id: str,
    seed: int,
    metadata: EpisodeMetadata,
    on_step: OnStep = lambda _: None,
) -> Episode:
    """Run one episode and save it; when this returns it survives a kill and a loss of power.

    If it does not return, the steps so far are in the log, and the next one to open the store
    finds them there as an interrupted episode. `on_step` is called with every transition after
    it was handed to the log.

    Raises:
        StorageError: if the disk is too full for an episode, or fails while it runs.
        GateStopError, HardwareError: as `Rollout.run`.
    """
    with store.record(episode_id, metadata) as recording:

        def record(transition: Transition) -> None:
            recording.add(transition)
            on_step(transition)

        episode = rollout.run(episode_id, seed, metadata, record)
        recording.seal(episode)
    return episode


def name_of(kind: str, seed: int) -> str:
    """The id of the recording of a kind that begins where the seed says."""
    return f"{kind}-{seed}"


def seed_of(kind: str, episode_id: str) -> int:
    """The seed in the id of a recording of a kind; -1 if it is made of one, or imported."""
    match = re.fullmatch(rf"{re.escape(kind)}-(0|[1-9][0-9]*)", episode_id)
    return int(match[1]) if match else -1


def next_seed(store: EpisodeStore, kind: str, first: int) -> int:
    """The seed of the next recording of a kind, `first` for the very first.

    The ids of deleted and purged episodes stay taken.
    """
    manifest = Journal(store.path).manifest
    names = (*manifest.entries, *manifest.purged)
    return max([first, *(seed_of(kind, name) + 1 for name in names)])
