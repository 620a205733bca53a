"""What may be asked for now: the table of the modes, less what this very moment rules out."""

from __future__ import annotations

from robot_rl.core.types import GateState
from robot_rl.session.course import Course
from robot_rl.session.mode import LEGAL, Mode, Standing, Verb
from robot_rl.session.needs import SessionGate

_OF_A_RECORDING = frozenset({Verb.SUCCESS, Verb.FAILURE, Verb.RE_RECORD, Verb.NOTE})
_OF_THE_STORE = frozenset({Verb.UNDO, Verb.RELABEL, Verb.TRIM, Verb.DELETE})


class Legality:
    """Derives mode and legal verbs from how the session stands.

    Args:
        course: of the session.
        gate: the safety gate.

    Attributes:
        has_store: there are recorded episodes that can be reviewed.
    """

    def __init__(self, course: Course, gate: SessionGate) -> None:
        self._course = course
        self._gate = gate
        self.has_store = False

    @property
    def mode(self) -> Mode:
        """What the session is in now."""
        course = self._course
        standing = Standing(stage=course.stage, gate=self._gate.state, source=course.source)
        return standing.mode

    def legal(self) -> tuple[Verb, ...]:
        """What may be asked for now."""
        legal = LEGAL[self.mode]
        if self._course.judges:
            legal -= {Verb.RE_RECORD}
        if self._course.runs:
            legal -= {Verb.CLEAR}
        if self._course.awaited:
            legal -= _OF_A_RECORDING
        if self._course.is_demonstration:
            legal -= {Verb.GIVE_BACK}
            if not self._course.paused and self._gate.state != GateState.HOLD:
                legal -= {Verb.RESUME}
        if not self.has_store:
            legal -= _OF_THE_STORE
        if not self.has_store and not self._course.runs:
            legal -= {Verb.NOTE}
        return tuple(verb for verb in Verb if verb in legal)

    def refuse(self, verb: Verb) -> str:
        """Why something may not be asked for now, in words for a person; empty if it may."""
        legal = self.legal()
        if verb in legal:
            return ""
        possible = f"possible now: {', '.join(_said(v) for v in legal)}"
        if verb == Verb.RE_RECORD and self._course.judges:
            return f"this episode only counts, it is not recorded; {possible}"
        if verb == Verb.GIVE_BACK and self._course.is_demonstration:
            return f"there is no policy yet that could have the arm; {possible}"
        if verb == Verb.CLEAR and self.mode == Mode.STOP:
            return f"the episode is about to end, then clear the stop; {possible}"
        return f"no {_said(verb)} in {self.mode.name}; {possible}"


def _said(verb: Verb) -> str:
    return verb.value.replace("_", " ")
