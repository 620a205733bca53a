"""Why a session is in its mode, and what it waits for, in words for a person."""

from __future__ import annotations

from robot_rl.core.types import GateState
from robot_rl.session.course import Course
from robot_rl.session.mode import Mode
from robot_rl.session.needs import Preflight, SessionGate
from robot_rl.session.person import SessionOperator


def why(
    mode: Mode,
    course: Course,
    gate: SessionGate,
    person: SessionOperator,
    preflight: Preflight,
    review_left_s: float | None,
) -> str:
    """Return the reason; that of a stop is its cause and nothing else, for it is said again.

    The review ends by itself in `review_left_s`, or never if that is None.
    """
    if mode == Mode.STOP:
        return gate.cause
    if mode == Mode.HOLD:
        return _held(course, gate, person)
    if mode == Mode.HUMAN:
        return f"{person.holder} drives" if person.holder else ""
    if mode == Mode.PREFLIGHT:
        bad = [f"{c.name}: {c.words}" for c in preflight.views() if c.state != "good"]
        return "; ".join(bad)
    if mode == Mode.LEARNING:
        done, total = course.progress
        return f"the base policy learns: {done} of {total} updates; then you start it"
    if mode == Mode.REVIEW:
        if review_left_s is None:
            return "judge the episode, or go on"
        return f"the next episode follows in {review_left_s:.0f} s"
    return {
        Mode.READY: "all is well: start when you are",
        Mode.RESETTING: "the arm goes to its start",
        Mode.PAUSED: f"paused {course.paused}: resume to go on",
    }.get(mode, "")


def _held(course: Course, gate: SessionGate, person: SessionOperator) -> str:
    todo = "give the arm back, or drive"
    if course.is_demonstration:
        todo = "drive on, or judge the demonstration"
    if person.lost:
        return f"{person.lost}; {todo}"
    if gate.state == GateState.HOLD:
        return gate.cause
    if course.paused:
        return f"paused {course.paused}: resume to go on"
    if course.awaited:
        done, total = course.progress
        return f"demonstration {done + 1} of {total}: drive, and it is recorded from there on"
    return f"nobody drives; {todo}"
