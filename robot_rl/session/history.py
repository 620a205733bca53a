"""The episodes so far, as far as rates and hints must know them; a label may still change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from robot_rl.session.view import EpisodeRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One recorded episode.

    Args:
        success: with or without help; `assisted`: a person drove at least one step.
        rescue_steps: the longest time that a person drove without a break; None if not known.
        first_human_step: None if there is none, or it is not known.
    """

    episode_id: str
    success: bool
    assisted: bool
    steps: int
    rescue_steps: int | None = None
    first_human_step: int | None = None
    discarded: bool = False


class History:
    """Remembers the trials in the order in which they were recorded."""

    def __init__(self) -> None:
        self._trials: dict[str, Trial] = {}

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Those that are not discarded, oldest first."""
        return tuple(trial for trial in self._trials.values() if not trial.discarded)

    def add(self, trial: Trial) -> None:
        """An episode has ended."""
        self._trials[trial.episode_id] = trial

    def reconcile(self, rows: Iterable[EpisodeRow]) -> None:
        """Learn what has become of the episodes, and of those from before this session.

        Args:
            rows: newest first.
        """
        for row in reversed(tuple(rows)):
            said = Trial(
                episode_id=row.episode_id,
                success=row.outcome == "success",
                assisted=row.assisted,
                steps=row.steps,
                discarded=row.discarded,
            )
            known = self._trials.get(row.episode_id)
            if known is not None:
                said = replace(
                    said,
                    rescue_steps=known.rescue_steps,
                    first_human_step=known.first_human_step,
                )
            self._trials[row.episode_id] = said
