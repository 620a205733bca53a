"""How far a session is: what its commands change and its loop reads, in the loop's thread."""

from __future__ import annotations

from dataclasses import dataclass, field

from robot_rl.core.types import Outcome, Source
from robot_rl.session.mode import Stage
from robot_rl.session.tally import Tally


@dataclass(slots=True, kw_only=True)
class Course:
    """The state of a session.

    Args:
        stage: how far it is.
        source: who decided the newest step.
        paused: who wants no other episode to begin; empty for nobody.
        waits_for_start: a person is to start, at first and after each stop.
        ended: the session is to end.
        verdict: what a person says of the episode that runs; UNKNOWN for nothing.
        discards: the episode that runs, or ran last, is to be discarded.
        tally: of the episode that runs, or ran last.
        newest: of the last episode that was recorded.
        is_saved: the newest is in the store, and that was told.
        unsettled: the newest has ended, and nothing was done about it yet.
        unreviewed: the newest waits for its judgement, or for the end of its review.
        changes: made to episodes since the newest was saved, and not taken back.
        touched_ns: when the person last did something about it.
        changed: something in the store is not as it was last shown.
        demonstrates: nobody learns yet: what is recorded is demonstrated from beginning to end.
        awaited: the arm is at a start; the demonstration begins once the person moves it.
        progress: of the phase of the run: what is done, and what it comes to.
        notes: on an episode that was running, by its id, until it is in the store.
    """

    stage: Stage = Stage.PREFLIGHT
    source: Source = Source.POLICY
    paused: str = ""
    waits_for_start: bool = True
    ended: bool = False
    verdict: Outcome = Outcome.UNKNOWN
    discards: bool = False
    tally: Tally | None = None
    newest: Tally | None = None
    is_saved: bool = False
    unsettled: bool = False
    unreviewed: bool = False
    changes: int = 0
    touched_ns: int = 0
    changed: bool = False
    demonstrates: bool = False
    awaited: bool = False
    progress: tuple[int, int] = (0, 0)
    notes: list[tuple[str, str]] = field(default_factory=lambda: list[tuple[str, str]]())

    @property
    def runs(self) -> bool:
        """Whether an episode runs."""
        return self.stage == Stage.RUNNING

    @property
    def is_demonstration(self) -> bool:
        """Whether the episode that runs is a person's alone: nobody else could drive."""
        recorded = self.tally is not None and not self.tally.judging
        return self.demonstrates and self.runs and recorded

    @property
    def judges(self) -> bool:
        """Whether the episode that runs only counts."""
        return self.runs and self.tally is not None and self.tally.judging
