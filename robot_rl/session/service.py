"""Serves the desk, shows the session, and waits where the person is to decide."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.errors import RobotRlError
from robot_rl.core.types import Outcome
from robot_rl.session.course import Course
from robot_rl.session.desk import FrontDesk
from robot_rl.session.devices import Devices
from robot_rl.session.emergency import EmergencyStop
from robot_rl.session.legality import Legality
from robot_rl.session.mode import Stage, Verb
from robot_rl.session.needs import Preflight, SessionGate
from robot_rl.session.person import SessionOperator
from robot_rl.session.pupil import Pupil
from robot_rl.session.reason import why
from robot_rl.session.seam import Outlet
from robot_rl.session.showing import Showing
from robot_rl.session.teller import Teller
from robot_rl.session.verbs import Verbs

_LOG = logging.getLogger(__name__)
_TURN_S = 0.02
_VIEW_NS = NS_PER_S // 10
_SLOW = frozenset({Verb.CHECK, Verb.CLEAR})
"""What may take seconds."""


class Service:
    """What the loop's thread does for the person, while an episode runs and in between.

    Args:
        review_s: an episode that was judged is reviewed for so long; None: until the person ends
            it.
        refresh: shows the store anew, after something in it was changed.
        wait: returns after so many seconds, or earlier.
    """

    def __init__(
        self,
        *,
        course: Course,
        desk: FrontDesk,
        verbs: Verbs,
        legality: Legality,
        gate: SessionGate,
        emergency: EmergencyStop,
        person: SessionOperator,
        devices: Devices,
        preflight: Preflight,
        teller: Teller,
        pupil: Pupil,
        showing: Showing,
        outlets: Sequence[Outlet],
        clock: Clock,
        review_s: float | None,
        refresh: Callable[[], None],
        wait: Callable[[float], None],
    ) -> None:
        self._course = course
        self._desk = desk
        self._verbs = verbs
        self._legality = legality
        self._gate = gate
        self._emergency = emergency
        self._person = person
        self._devices = devices
        self._preflight = preflight
        self._teller = teller
        self._pupil = pupil
        self._showing = showing
        self._outlets = tuple(outlets)
        self._clock = clock
        self._review_s = review_s
        self._refresh = refresh
        self._wait = wait
        self._next_view_ns = 0
        self._showing_now = threading.Lock()

    def serve(self) -> None:
        """Do what was asked for, as far as it is possible now, and answer."""
        for command in self._desk.take():
            try:
                with self.shown_meanwhile() if command.verb in _SLOW else nullcontext():
                    words = self._verbs.do(command)
            except RobotRlError as error:
                self._desk.answer(command, done=False, words=str(error))
            else:
                self._desk.answer(command, done=True, words=words)

    def show(self, *, at_once: bool = False) -> None:
        """Show the session if its mode has changed, it was not shown for long, or `at_once`.

        A learner that is lost is told of here, as this is called in every step and while waiting.
        """
        with self._showing_now:
            self._show(at_once=at_once)

    def _show(self, *, at_once: bool) -> None:
        at_once |= self._pupil.look()
        mode, now_ns = self._legality.mode, self._clock.now_ns()
        if mode == self._teller.mode and now_ns < self._next_view_ns and not at_once:
            return
        reason = why(
            mode, self._course, self._gate, self._person, self._preflight, self._review_left_s
        )
        self._teller.now_in(mode, reason)
        if now_ns >= self._next_view_ns:
            # On a grid, so that views do not fall behind by a tick each.
            on_grid_ns = self._next_view_ns + _VIEW_NS
            self._next_view_ns = on_grid_ns if on_grid_ns > now_ns else now_ns + _VIEW_NS
        view = self._showing.view(mode, reason, self._legality.legal())
        for outlet in self._outlets:
            try:
                outlet.show(view)
            except (OSError, RobotRlError):
                _LOG.exception("somebody cannot be shown the session")

    @contextmanager
    def shown_meanwhile(self) -> Iterator[None]:
        """Show the session while the loop's thread waits for robot or devices.

        Nothing else is done meanwhile: what is asked for waits, but a stop.
        """
        over = threading.Event()

        def show() -> None:
            while not over.wait(_TURN_S):
                self.show()

        thread = threading.Thread(target=show, name="session meanwhile", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def wait_for_person(self, *, reviewing: bool) -> bool:
        """Return True once nothing hinders the next episode, or False once all is to end.

        Args:
            reviewing: wait for the review of the newest episode too.
        """
        course = self._course
        while not course.ended:
            course.stage = self._hindrance(reviewing) or course.stage
            self._turn()
            hindrance = self._hindrance(reviewing)
            if self._emergency.latched:
                course.waits_for_start = True
            elif hindrance is None:
                return not course.ended
            course.stage = hindrance or course.stage
            self.show()
            if not course.ended:
                self._wait(_TURN_S)
        return False

    def _turn(self) -> None:
        if self._showing.observation is not None:
            self._devices.listen(self._showing.observation)
        self.serve()
        if self._course.changed:
            self._refresh()

    def _hindrance(self, reviewing: bool) -> Stage | None:
        course = self._course
        if reviewing and course.unreviewed:
            left_s = self._review_left_s
            if left_s is None or left_s > 0:
                return Stage.REVIEW
            course.unreviewed = False
        if course.paused:
            return Stage.PAUSED
        if course.waits_for_start:
            return Stage.READY if self._preflight.good else Stage.PREFLIGHT
        return None

    @property
    def _review_left_s(self) -> float | None:
        newest = self._course.newest
        if self._review_s is None or newest is None:
            return None
        if newest.outcome == Outcome.UNKNOWN and not newest.is_discarded:
            return None
        since_s = (self._clock.now_ns() - self._course.touched_ns) / NS_PER_S
        return max(0.0, self._review_s - since_s)
