"""The names of what breaks in a LeRobot dataset, and the chart that collects them.

How each is found lives in the modules beside this one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from robot_rl.core.errors import StorageError
from robot_rl.data.finding import Finding


class Kind(StrEnum):
    """Every kind of damage; a finding's problem begins with the value."""

    NO_INFO = "info.json missing or unreadable"
    VERSION = "wrong codebase version"
    NO_FOOTER = "parquet without footer"
    BROKEN_PARQUET = "parquet empty or corrupt"
    NO_EPISODES = "episodes table missing"
    EPISODE_INDEX = "episode index gap or duplicate"
    COUNT = "count mismatch"
    INDEX_RANGE = "dataset index range wrong"
    FRAME_INDEX = "frame_index not consecutive"
    TIMESTAMP = "drifted timestamps"
    NO_VIDEO = "video file missing"
    VIDEO_SHORT = "video has too few frames"
    VIDEO_BROKEN = "video undecodable"
    VIDEO_FORMAT = "video of wrong size or frame rate"
    TASKS = "tasks missing"
    FEATURE = "feature mismatch"
    NOT_FINITE = "non-finite values"
    STATS = "statistics missing or impossible"
    UNSAFE_PATH = "path outside the dataset"
    WRONG_FILE = "episode points to a missing or wrong file"
    LEFTOVER = "leftovers of an unfinished recording"


_FETCH_AGAIN = "fetch or copy the file again from where it came"
_REMEDIES = {
    Kind.NO_INFO: "name the folder that holds meta/info.json, or fetch the dataset again",
    Kind.VERSION: "convert it (what converts what is said above), then examine it again",
    Kind.NO_FOOTER: (
        "nothing can be read from this file; fetch it again if it was copied, else record again"
    ),
    Kind.BROKEN_PARQUET: _FETCH_AGAIN,
    Kind.NO_EPISODES: f"{_FETCH_AGAIN}; a recording that was killed never wrote it",
    Kind.EPISODE_INDEX: "export again from the source, or keep what lies before the gap",
    Kind.COUNT: "export again from the source; a repaired copy has true counts",
    Kind.INDEX_RANGE: "export again from the source",
    Kind.FRAME_INDEX: "export again from the source",
    Kind.TIMESTAMP: "export again from the source; the frames would be paired with wrong images",
    Kind.NO_VIDEO: _FETCH_AGAIN,
    Kind.VIDEO_SHORT: _FETCH_AGAIN,
    Kind.VIDEO_BROKEN: _FETCH_AGAIN,
    Kind.VIDEO_FORMAT: "encode the video again as info.json says, or correct info.json",
    Kind.TASKS: f"{_FETCH_AGAIN}, or export again from the source",
    Kind.FEATURE: "correct the feature in meta/info.json, or export again from the source",
    Kind.NOT_FINITE: "find the sensor that gave them; export again without these episodes",
    Kind.STATS: "a repaired copy has them computed anew",
    Kind.UNSAFE_PATH: (
        "it was not opened; if you trust it, copy the dataset with its links resolved (`cp -rL`)"
    ),
    Kind.WRONG_FILE: _FETCH_AGAIN,
    Kind.LEFTOVER: "save or delete them by hand; a repaired copy is without them",
}


class DamageError(StorageError):
    """A part of the dataset cannot be used; the message says what was got and expected."""

    def __init__(self, kind: Kind, path: Path, text: str) -> None:
        super().__init__(f"{path}: {kind}: {text}")
        self.kind = kind
        self.path = path
        self.text = text


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One thing that is wrong.

    Args:
        kind: what it is called.
        path: the file or folder.
        text: what was found, and what was expected.
        breaks: the first episode that cannot be had because of it; None if none is lost.
        named: whether it concerns that one episode, and not all from there on.
    """

    kind: Kind
    path: Path
    text: str
    breaks: int | None = None
    named: bool = False


class Chart:
    """Collects damages; says how many episodes lie before the first that breaks one."""

    def __init__(self) -> None:
        self._damages: list[Damage] = []

    def note(self, kind: Kind, path: Path, text: str, *, breaks: int | None = None) -> None:
        """Take down a damage that loses all episodes from `breaks` on, or none."""
        self._damages.append(Damage(kind=kind, path=path, text=text, breaks=breaks))

    def note_episode(self, kind: Kind, path: Path, text: str, episode: int) -> None:
        """Take down a damage of one episode."""
        said = f"episode {episode}: {text}"
        self._damages.append(
            Damage(kind=kind, path=path, text=said, breaks=episode, named=True),
        )

    @contextlib.contextmanager
    def noting(self, *, breaks: int | None = None) -> Generator[None]:
        """Take down a `DamageError` of the block as a damage, and go on after the block."""
        try:
            yield
        except DamageError as error:
            self.note(error.kind, error.path, error.text, breaks=breaks)

    def prefix(self, episodes: int) -> int:
        """Return how many of `episodes` lie before the first broken one."""
        broken = [damage.breaks for damage in self._damages if damage.breaks is not None]
        return min([episodes, *broken])

    def findings(self, episodes: int, claimed: int) -> list[Finding]:
        """Return one finding per kind and file.

        Args:
            episodes: how many are readable at all.
            claimed: how many the dataset says it has.
        """
        grouped: dict[tuple[Kind, Path], list[Damage]] = {}
        for damage in self._damages:
            grouped.setdefault((damage.kind, damage.path), []).append(damage)
        rest = _what_is_left(self.prefix(episodes), max(episodes, claimed))
        return [_finding(group, rest) for group in grouped.values()]


def _what_is_left(whole: int, total: int) -> str:
    if not total:
        return "no episode can be had from it as it is"
    said = f"the first {whole} of {total} episodes are whole"
    if not whole:
        return said
    return f"{said}: repair writes them as a new dataset aside, then `robot-rl data import` it"


def _finding(group: list[Damage], rest: str) -> Finding:
    first = min(group, key=lambda damage: (damage.breaks is None, damage.breaks or 0))
    more = f" (and {len(group) - 1} more like it)" if len(group) > 1 else ""
    return Finding(
        path=first.path,
        problem=f"{first.kind}: {first.text}{more}",
        remedy=f"{_REMEDIES[first.kind]}; {rest}",
        episode=str(first.breaks) if first.named else "",
    )
