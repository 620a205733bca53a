"""The keyboard: which key asks for what, as on the page; what has a button there has a key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from robot_rl.session.mode import Verb

MOVES: Mapping[str, tuple[str, float]] = {
    "up": ("x", 1.0),
    "down": ("x", -1.0),
    "left": ("y", 1.0),
    "right": ("y", -1.0),
    "pageup": ("z", 1.0),
    "pagedown": ("z", -1.0),
    "[": ("yaw", 1.0),
    "]": ("yaw", -1.0),
}
"""Held keys that move the arm."""

PAGE_ASKS: Mapping[str, tuple[Verb, ...]] = {
    "space": (Verb.TAKE_OVER,),
    "enter": (Verb.GIVE_BACK,),
    "s": (Verb.SUCCESS,),
    "f": (Verb.FAILURE,),
    "x": (Verb.RE_RECORD,),
    "p": (Verb.PAUSE, Verb.RESUME),
    "u": (Verb.UNDO,),
    "n": (Verb.NEXT,),
}
"""Keys that ask, on the page too: for the first verb that is legal."""

ASKS: Mapping[str, tuple[Verb, ...]] = {
    **PAGE_ASKS,
    "b": (Verb.START,),
    "k": (Verb.CHECK,),
    "r": (Verb.RESUME,),
    "C": (Verb.CLEAR,),
    "w": (Verb.NOTE,),
    "l": (Verb.RELABEL,),
    "t": (Verb.TRIM,),
    "d": (Verb.DELETE,),
    "q": (Verb.END,),
}

GRIPPER = "g"
HELP = "?"
STOP_KEY = "Esc"
CONFIRMS = "123456789"
"""Say that a check that asks was tried (see `confirmation`)."""

WORDS: Mapping[Verb, str] = {
    Verb.CHECK: "check again",
    Verb.CONFIRM: "confirm",
    Verb.START: "begin",
    Verb.TAKE_OVER: "take over",
    Verb.GIVE_BACK: "give back",
    Verb.PAUSE: "pause",
    Verb.RESUME: "resume",
    Verb.SUCCESS: "success",
    Verb.FAILURE: "failure",
    Verb.RE_RECORD: "again",
    Verb.NEXT: "next",
    Verb.UNDO: "undo",
    Verb.NOTE: "write a note",
    Verb.RELABEL: "relabel",
    Verb.TRIM: "trim",
    Verb.DELETE: "delete",
    Verb.STOP: "STOP",
    Verb.CLEAR: "clear the stop",
    Verb.END: "end",
}
_NAMES = {"space": "Space", "enter": "Enter"}


def key_of(name: str, character: str | None) -> str:
    """Return a key as the tables above have it; letters are small, but for the large C."""
    if character is None or not character.isprintable() or character == " ":
        return name
    return character if character == "C" else character.lower()


def verb_of(key: str, legal: Sequence[Verb]) -> Verb | None:
    """Return what a key asks for now; None for nothing."""
    return next((verb for verb in ASKS.get(key, ()) if verb in legal), None)


def legal_keys(legal: Sequence[Verb]) -> list[tuple[str, str]]:
    """Return key and words for each verb that is legal, the stop first."""
    keys = [(_key_for(verb, legal), WORDS[verb]) for verb in Verb if verb in legal]
    return sorted(keys, key=lambda pair: pair[0] != STOP_KEY)


def _key_for(verb: Verb, legal: Sequence[Verb]) -> str:
    if verb == Verb.STOP:
        return STOP_KEY
    if verb == Verb.CONFIRM:
        return "1-9"
    key = next(key for key in ASKS if verb_of(key, legal) == verb)
    return _NAMES.get(key, key.upper())
