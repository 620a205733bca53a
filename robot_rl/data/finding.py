"""What an examination of stored data found wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong.

    Args:
        path: the file or folder.
        problem: what was found, and what was expected.
        remedy: the command or act that helps.
        episode: the episode that it concerns; empty if it concerns them all.
    """

    path: Path
    problem: str
    remedy: str
    episode: str = ""
