"""What comes from a person's page, terminal, device or script, and what is answered."""

from __future__ import annotations

from typing import Any

import msgspec

from robot_rl.session.mode import Verb


class Command(msgspec.Struct, frozen=True, kw_only=True, tag="command"):
    """A person asks for something.

    Args:
        client: who asks: `page-3`, `terminal`, `device`, ...; nobody says that of themselves.
        number: of the command, by whoever asks; in the answer.
        arguments: what the verb takes, see `Verb`.
    """

    client: str
    number: int
    verb: Verb
    arguments: dict[str, Any] = msgspec.field(default_factory=lambda: dict[str, Any]())


class Motion(msgspec.Struct, frozen=True, kw_only=True, tag="motion"):
    """What a person's keys or stick want now; heard again and again while the page is alive.

    Args:
        client: whose; only that of the person who drives counts.
        number: grows with each; an older one that comes late is nothing.
        heard_ns: machine's monotonic clock [ns], when it was received.
        active: a key is held, a finger on the stick: the dead-man.
        action: normalised, in [-1, 1], as long as the task's actions; zeros unless active.
    """

    client: str
    number: int
    heard_ns: int
    active: bool
    action: tuple[float, ...]


class Gone(msgspec.Struct, frozen=True, kw_only=True, tag="gone"):
    """Somebody's page was closed or hidden, or nothing is heard of it: their lease has ended."""

    client: str
    why: str


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag="answer"):
    """What became of a command: done, or refused and why."""

    client: str
    number: int
    done: bool
    words: str = ""
