"""What each command does, once it is its turn: in the loop's thread, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from robot_rl.core.clock import Clock
from robot_rl.core.types import GateState, Outcome
from robot_rl.session.argument import Refused, number_of, outcome_of, words_of
from robot_rl.session.command import Command
from robot_rl.session.course import Course
from robot_rl.session.emergency import EmergencyStop
from robot_rl.session.legality import Legality
from robot_rl.session.mode import Stage, Verb
from robot_rl.session.needs import Preflight, Reviewing, SessionGate
from robot_rl.session.person import SessionOperator


class Verbs:
    """Does what is asked for, or refuses it; nothing in between.

    Args:
        course: of the session; `legality`: what may be asked for in it.
        gate: the safety gate; `emergency`: what stops it.
        person: in the supervisor's seat.
        preflight: what is checked before the start.
        clock: the control loop's own.
        by: name of the person.

    Attributes:
        review: of the recorded episodes; None until there is a store.
    """

    review: Reviewing | None = None

    def __init__(
        self,
        course: Course,
        legality: Legality,
        gate: SessionGate,
        emergency: EmergencyStop,
        person: SessionOperator,
        preflight: Preflight,
        clock: Clock,
        by: str,
    ) -> None:
        self._course = course
        self._legality = legality
        self._gate = gate
        self._emergency = emergency
        self._person = person
        self._preflight = preflight
        self._clock = clock
        self._by = by
        self._does: Mapping[Verb, Callable[[Command], str]] = {
            Verb.CHECK: self._check,
            Verb.CONFIRM: self._confirm,
            Verb.START: self._start,
            Verb.TAKE_OVER: self._take_over,
            Verb.GIVE_BACK: self._give_back,
            Verb.PAUSE: self._pause,
            Verb.RESUME: self._resume,
            Verb.SUCCESS: lambda _: self._judge(Outcome.SUCCESS),
            Verb.FAILURE: lambda _: self._judge(Outcome.FAILURE),
            Verb.RE_RECORD: self._re_record,
            Verb.NEXT: self._next,
            Verb.UNDO: self._undo,
            Verb.NOTE: self._note,
            Verb.RELABEL: self._relabel,
            Verb.TRIM: self._trim,
            Verb.DELETE: self._delete,
            Verb.CLEAR: self._clear,
            Verb.END: self._end,
        }

    def do(self, command: Command) -> str:
        """Do what is asked for and return words for the person.

        Raises:
            RobotRlError: if it cannot be done, with words for the person; nothing has changed.
        """
        if why_not := self._legality.refuse(command.verb):
            raise Refused(why_not)
        return self._does[command.verb](command)

    def _check(self, _: Command) -> str:
        self._preflight.run()
        return "all is well" if self._preflight.good else "something is left to do: see the checks"

    def _confirm(self, command: Command) -> str:
        name = words_of(command, "name")
        self._preflight.confirm(name, self._by)
        return f"{name}: noted"

    def _start(self, _: Command) -> str:
        self._course.waits_for_start = False
        return "it begins"

    def _take_over(self, command: Command) -> str:
        self._person.take(command.client)
        return "the arm is yours: drive, or give it back"

    def _give_back(self, command: Command) -> str:
        self._check_not_driven_by_another(command.client)
        if self._gate.state == GateState.HOLD:
            self._gate.resume(self._by)
        self._person.give_back()
        if self._course.paused:
            return "the policy goes on; no other episode begins before you resume"
        return "the policy goes on"

    def _check_not_driven_by_another(self, client: str) -> None:
        holder = self._person.holder
        if holder not in ("", client) and self._person.drives:
            raise Refused(f"{holder} drives; take over first, then give back")

    def _pause(self, command: Command) -> str:
        self._course.paused = f"by {command.client}"
        if self._course.stage in (Stage.RUNNING, Stage.RESETTING):
            self._person.rest()
        return "no other episode begins before you resume"

    def _resume(self, command: Command) -> str:
        if self._course.runs:
            self._check_not_driven_by_another(command.client)
            self._course.paused = ""
            words = self._give_back(command)
            return "drive on" if self._course.is_demonstration else words
        self._course.paused = ""
        self._course.waits_for_start = False
        return "it goes on"

    def _judge(self, outcome: Outcome) -> str:
        if self._course.runs:
            self._course.verdict = outcome
            return f"{outcome.name.lower()}: the episode ends"
        return self._changed(self._reviewing.relabel(self._newest_id, outcome))

    def _re_record(self, _: Command) -> str:
        if self._course.runs:
            self._course.discards = True
            return "the episode ends and is discarded; another one follows"
        words = self._changed(self._reviewing.delete(self._newest_id))
        self._course.unreviewed = False
        return words

    def _next(self, _: Command) -> str:
        self._course.unreviewed = False
        return "the next episode follows"

    def _undo(self, _: Command) -> str:
        course = self._course
        newest = course.newest
        if course.changes == 0 and newest is not None and not newest.is_discarded:
            return self._changed(self._reviewing.delete(newest.episode_id))
        words = self._touched(self._reviewing.undo())
        course.changes = max(0, course.changes - 1)
        return words

    def _note(self, command: Command) -> str:
        text = words_of(command, "text")
        named = words_of(command, "episode_id") if "episode_id" in command.arguments else ""
        course = self._course
        if course.runs or self.review is None:
            running = course.tally if course.tally and not course.tally.judging else course.newest
            if not named and running is None:
                raise Refused("there is no recorded episode to write something down about")
            course.notes.append((named or (running.episode_id if running else ""), text))
            return "written down once the episode is saved"
        return self._changed(self.review.note(named or self._newest_id, text))

    def _relabel(self, command: Command) -> str:
        episode_id, outcome = words_of(command, "episode_id"), outcome_of(command)
        return self._changed(self._reviewing.relabel(episode_id, outcome))

    def _trim(self, command: Command) -> str:
        episode_id = words_of(command, "episode_id")
        begin, end = number_of(command, "begin"), number_of(command, "end")
        if begin >= end:
            raise Refused(f"trim needs begin before end; got {begin} and {end}")
        return self._changed(self._reviewing.trim(episode_id, begin, end))

    def _delete(self, command: Command) -> str:
        return self._changed(self._reviewing.delete(words_of(command, "episode_id")))

    def _clear(self, command: Command) -> str:
        by, cause = words_of(command, "by"), words_of(command, "cause")
        self._emergency.clear(by, cause)
        self._course.waits_for_start = True
        return f"cleared by {by}"

    def _end(self, _: Command) -> str:
        self._course.ended = True
        return "the session ends; what it has is saved"

    @property
    def _reviewing(self) -> Reviewing:
        if self.review is None:
            raise Refused("there is no store of episodes yet")
        return self.review

    @property
    def _newest_id(self) -> str:
        if self._course.newest is None:
            raise Refused("no episode was recorded yet in this session")
        return self._course.newest.episode_id

    def _changed(self, words: str) -> str:
        self._course.changes += 1
        return self._touched(words)

    def _touched(self, words: str) -> str:
        self._course.changed = True
        self._course.touched_ns = self._clock.now_ns()
        return words
