"""The first lines: what the session is in, why, for how long, and who has the arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from robot_rl.session.client.line import Status
from robot_rl.session.mode import Mode
from robot_rl.session.terminal.clock_text import clock_text
from robot_rl.session.view import View

LOST = "lost"
WORDS: Mapping[Mode, tuple[str, str]] = {
    Mode.PREFLIGHT: ("Checking", "Nothing moves until everything below is good."),
    Mode.READY: ("Ready", "Nothing moves until you begin."),
    Mode.RESETTING: ("Resetting", "The arm moves to a start by itself."),
    Mode.AUTO: ("Policy drives", "Press an arrow key to take over."),
    Mode.HUMAN: ("You drive", "Let go and the arm rests."),
    Mode.HOLD: ("Hold", "Nobody drives: the arm rests until it is given back."),
    Mode.STOP: ("Stopped", "The arm stays where it is until somebody clears the stop."),
    Mode.REVIEW: ("Review", "The episode has ended. How did it go?"),
    Mode.PAUSED: ("Paused", "No next episode begins until you resume."),
    Mode.LEARNING: ("Learning", "The base policy learns from the demonstrations."),
}
"""In words, per mode, and what it means if the session gives no reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Banner:
    """What the first lines say.

    Args:
        mode: a mode's value, or `LOST`; decides the colour.
        head: the mode in large letters, and in words; `age`: for how long.
        why: its reason; `holder`: who drives, and who has the arm.
    """

    mode: str
    head: str
    age: str
    why: str
    holder: str


def banner(view: View | None, status: Status, client: str) -> Banner:
    """Return what the first lines say; `client` is this terminal's own name."""
    if view is None or not status.is_live:
        return _lost(view, status)
    word, meaning = WORDS[view.mode]
    why = view.why or meaning
    if view.mode == Mode.HUMAN and view.holder == client:
        why = meaning
    elif view.mode == Mode.HUMAN:
        word, why = f"{view.driver} drives", view.why
    return Banner(
        mode=view.mode.value,
        head=f"{_large(view.mode.value)}   {word}",
        age=clock_text(view.mode_s + status.silent_s),
        why=why,
        holder=f"driver: {view.driver} | {_holder(view.holder, client)}",
    )


def _lost(view: View | None, status: Status) -> Banner:
    if view is None and not status.words:
        head, why = "Connecting", "The session has not shown anything yet."
    else:
        head = "No contact"
        silence = f"nothing heard from the session for {status.silent_s:.0f} s"
        why = f"{silence}; the keys do nothing. {status.words}".strip()
    return Banner(
        mode=LOST,
        head=f"{_large(LOST)}   {head}",
        age=clock_text(status.silent_s),
        why=why,
        holder="Esc still tries to stop; q leaves",
    )


def _large(word: str) -> str:
    return " ".join(word.upper())


def _holder(holder: str, client: str) -> str:
    if holder == "":
        return "nobody holds the arm"
    return "this terminal holds the arm" if holder == client else f"{holder} holds the arm"
