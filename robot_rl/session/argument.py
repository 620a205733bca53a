"""What comes with a command, checked: it was made in a browser, or by a script."""

from __future__ import annotations

from collections.abc import Mapping

from robot_rl.core.errors import RobotRlError
from robot_rl.core.types import Outcome
from robot_rl.session.command import Command

_MOST_LETTERS = 2000
OUTCOMES: Mapping[str, Outcome] = {outcome.name.lower(): outcome for outcome in Outcome}


class Refused(RobotRlError):
    """A command cannot be done, in words for a person; nothing has changed."""


def words_of(command: Command, name: str) -> str:
    """Return an argument that is text, without the space around it.

    Raises:
        Refused: if there is none, or it is too long.
    """
    value = command.arguments.get(name)
    if not isinstance(value, str) or not 0 < len(value.strip()) <= _MOST_LETTERS:
        raise Refused(
            f"{command.verb} needs {name}: a text of at most {_MOST_LETTERS} letters, not empty"
        )
    return value.strip()


def number_of(command: Command, name: str) -> int:
    """Return an argument that counts something.

    Raises:
        Refused: if there is none, or it is negative.
    """
    value = command.arguments.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Refused(f"{command.verb} needs {name}: a whole number, not negative")
    return value


def outcome_of(command: Command) -> Outcome:
    """Return the argument `outcome`.

    Raises:
        Refused: if there is none of that name.
    """
    name = words_of(command, "outcome")
    if name not in OUTCOMES:
        raise Refused(f"no outcome {name!r}; expected {', '.join(OUTCOMES)}")
    return OUTCOMES[name]
