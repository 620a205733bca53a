"""What a verb needs to be told, as a person writes it in one line."""

from __future__ import annotations

from robot_rl.session.mode import Verb
from robot_rl.session.terminal.dialog import Question
from robot_rl.session.view import View

ASKING = frozenset({Verb.CLEAR, Verb.NOTE, Verb.RELABEL, Verb.TRIM, Verb.DELETE})
"""Verbs that need to be told something."""


def question_for(verb: Verb, view: View) -> Question:
    """Return what is asked for a verb of `ASKING`."""
    newest = f"{view.rows[0].episode_id} " if view.rows else ""
    title, words, value = {
        Verb.CLEAR: ("Clear the stop", f"Cause: {view.why}\nYour name, once it is safe:", ""),
        Verb.NOTE: ("Note", "To the episode that runs, or ran last:", ""),
        Verb.RELABEL: ("Relabel", "Episode, and success, failure or unknown:", newest),
        Verb.TRIM: ("Trim", "Episode, first step, step after the last:", newest),
        Verb.DELETE: ("Delete", "Episode; undo takes it back:", newest),
    }[verb]
    return Question(verb, title, words, value)


def arguments_of(verb: Verb, text: str, cause: str) -> dict[str, str | int] | None:
    """Return a verb's arguments as they were written; None if they are not what is asked for.

    Args:
        verb: one of `ASKING`.
        text: what was written.
        cause: of the stop, as the person saw it.
    """
    match verb, text.split():
        case Verb.CLEAR, _:
            return {"by": text, "cause": cause}
        case Verb.NOTE, _:
            return {"text": text}
        case Verb.DELETE, [episode]:
            return {"episode_id": episode}
        case Verb.RELABEL, [episode, outcome]:
            return {"episode_id": episode, "outcome": outcome}
        case Verb.TRIM, [episode, begin, end] if begin.isdecimal() and end.isdecimal():
            return {"episode_id": episode, "begin": int(begin), "end": int(end)}
        case _:
            return None
