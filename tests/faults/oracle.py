"""What a store holds, seen from outside, to be compared before and after a fault."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import contents

from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.data.store.episode_store import EpisodeStore


@dataclass(frozen=True, slots=True)
class State:
    """What everybody was told, or found.

    Args:
        episodes: id, steps and whether it was interrupted, in order.
        deleted: ids, sorted.
        labels: id, name, version and first value, sorted; of the episodes not deleted.
    """

    episodes: tuple[tuple[str, int, bool], ...] = ()
    deleted: tuple[str, ...] = ()
    labels: tuple[tuple[str, str, int, float], ...] = ()

    def with_episode(self, name: str, steps: int, *, interrupted: bool = False) -> State:
        return replace(self, episodes=(*self.episodes, (name, steps, interrupted)))


def look(reader: EpisodeReader) -> State:
    """Read everything that is listed; every frame is what was recorded, or this is a failure."""
    episodes, labels = [], []
    for name in reader.ids():
        entry = reader.entry(name)
        episode = reader.read(name)
        assert len(episode) == entry.steps
        assert episode.metadata.interrupted == entry.interrupted
        assert not contents.wrong(episode), contents.wrong(episode)
        assert reader.verify(name)
        episodes.append((name, entry.steps, entry.interrupted))
        for of, versions in reader.labels(name).items():
            for version in versions:
                value = float(reader.label(name, of, version).values[0])
                labels.append((name, of, version, value))
    return State(tuple(episodes), tuple(sorted(reader.deleted())), tuple(sorted(labels)))


def reopened(path: Path) -> State:
    """Open a store after a fault, let it recover, and look twice: as its owner and beside it."""
    with EpisodeStore(path, contents.SPEC) as store:
        state = look(store)
    assert look(EpisodeReader(path)) == state
    return state


def without_recovered(found: State, name: str, at_least: int = 1) -> State:
    """The state less the recording that was open, which has at least so many steps."""
    rest = tuple(e for e in found.episodes if e[0] != name)
    for _, steps, interrupted in (e for e in found.episodes if e[0] == name):
        assert interrupted, f"{name} was not finished, and says nothing of it"
        assert steps >= at_least, f"{name} has {steps} steps, {at_least} were on the medium"
    assert at_least <= 1 or rest != found.episodes, f"{name} was not recovered"
    return replace(found, episodes=rest)
