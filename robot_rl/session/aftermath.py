"""What follows an episode that was recorded: it is told, discarded or counted, and reviewed."""

from __future__ import annotations

from pathlib import Path

from robot_rl.core.clock import Clock
from robot_rl.core.errors import RobotRlError
from robot_rl.runtime.events import EpisodeEnded
from robot_rl.session.argument import OUTCOMES
from robot_rl.session.course import Course
from robot_rl.session.hints import hints_of
from robot_rl.session.history import History
from robot_rl.session.legality import Legality
from robot_rl.session.needs import Reviewing
from robot_rl.session.rates import rates_of
from robot_rl.session.showing import Showing
from robot_rl.session.tally import Tally
from robot_rl.session.teller import Teller
from robot_rl.session.verbs import Verbs


class Aftermath:
    """Looks after recorded episodes between two of them.

    Args:
        period_s: of a step.
        target: episodes wanted, beside demonstrations; 0 for no target.
    """

    def __init__(
        self,
        *,
        course: Course,
        verbs: Verbs,
        legality: Legality,
        showing: Showing,
        teller: Teller,
        clock: Clock,
        period_s: float,
        target: int,
    ) -> None:
        self._course = course
        self._verbs = verbs
        self._legality = legality
        self._showing = showing
        self._teller = teller
        self._clock = clock
        self._period_s = period_s
        self._target = target
        self._folder = Path()
        self._history = History()

    def turn_over(self) -> None:
        """What is recorded from now on goes into another store; nothing is undone across them."""
        self._history = History()
        self._course.newest, self._course.changes = None, 0

    def ended(self, event: EpisodeEnded) -> None:
        """The run tells that an episode has ended; by then it is in the store."""
        newest = self._course.newest
        if newest is None or not self._course.unsettled or newest.seed != event.seed:
            return
        newest.episode_id = event.episode_id
        self._tell_saved(newest)

    def settle(self, review: Reviewing, folder: Path) -> None:
        """Do what was asked for while the episode ran, now that it is in the store."""
        course = self._course
        self._verbs.review, self._folder = review, folder
        self._legality.has_store = True
        if course.unsettled and course.newest:
            if course.discards:
                self._discard(course.newest, review)
            else:
                self._tell_saved(course.newest)
                course.unreviewed = True
            course.changes = int(course.newest.is_discarded)
            course.touched_ns = self._clock.now_ns()
        course.unsettled = course.discards = False
        self._write_down(review)
        self.refresh()

    def refresh(self) -> None:
        """Show the store as it is now."""
        self._course.changed = False
        review = self._verbs.review
        if review is None:
            return
        try:
            self._showing.rows = review.rows()
            self._showing.data = review.data(self._folder, self._wanted)
        except RobotRlError as error:
            self._teller.tell("bad", f"The store cannot be shown: {error}", "error", "Error")
            return
        self._history.reconcile(self._showing.rows)
        newest = self._course.newest
        for row in self._showing.rows:
            if newest is not None and row.episode_id == newest.episode_id:
                newest.outcome, newest.is_discarded = OUTCOMES[row.outcome], row.discarded
        self._judge_anew()

    @property
    def _wanted(self) -> int:
        return self._course.progress[1] if self._course.demonstrates else self._target

    def _tell_saved(self, newest: Tally) -> None:
        if self._course.is_saved or self._course.discards:
            return
        self._course.is_saved = True
        self._history.add(newest.trial())
        self._judge_anew()
        words = f"Saved {newest.episode_id}: {newest.outcome.name.lower()}"
        self._teller.tell("good", words, "saved", "Saved")

    def _discard(self, newest: Tally, review: Reviewing) -> None:
        try:
            words = review.delete(newest.episode_id)
        except RobotRlError as error:
            words = f"{newest.episode_id} was not discarded: {error}"
            self._teller.tell("bad", words, "error", "Error")
            self._course.unreviewed = True
            return
        newest.is_discarded = True
        self._teller.tell("info", words)

    def _write_down(self, review: Reviewing) -> None:
        notes, self._course.notes = self._course.notes, []
        for episode_id, text in notes:
            try:
                review.note(episode_id, text)
            except RobotRlError as error:
                words = f"The note on {episode_id} was not written down ({error}): {text}"
                self._teller.tell("bad", words, "error")

    def _judge_anew(self) -> None:
        # Rates and hints are about a policy.
        trials = () if self._course.demonstrates else self._history.trials
        self._showing.rates = rates_of(trials)
        self._showing.hints = hints_of(trials, self._period_s)
