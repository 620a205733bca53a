"""Which key confirms which check."""

from __future__ import annotations

from collections.abc import Sequence

from robot_rl.session.terminal.key import CONFIRMS
from robot_rl.session.view import CheckView


class ConfirmKeys:
    """Gives each check that asks a key of its own, in order, and keeps it when others are done.

    There are nine keys; the checks beyond get theirs once those that have one ask no more.
    """

    def __init__(self) -> None:
        self._by_name: dict[str, str] = {}

    def update(self, checks: Sequence[CheckView]) -> None:
        """Give keys to those that ask and have none, as far as there are keys."""
        asking = [check.name for check in checks if check.state == "ask"]
        if asking and not any(name in self._by_name for name in asking):
            self._by_name.clear()
        new = [name for name in asking if name not in self._by_name]
        self._by_name |= dict(zip(new, CONFIRMS[len(self._by_name) :], strict=False))

    def of(self, check: CheckView) -> str:
        """Return the key of a check; empty if none confirms it now."""
        return self._by_name.get(check.name, "") if check.state == "ask" else ""
