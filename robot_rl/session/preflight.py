"""Whether a session may start: what is checked, and what a person says that they tried.

Not here: the checks themselves (`checks`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from robot_rl.core.errors import ConfigError, ContractError, did_you_mean
from robot_rl.session.view import CheckView

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a check has come to.

    Args:
        good: nothing hinders the start.
        words: what was found, with its numbers.
        remedy: what to do about it.
    """

    good: bool
    words: str
    remedy: str = ""


class Check(Protocol):
    """Looks at one thing that a session needs."""

    @property
    def name(self) -> str:
        """What it looks at, in words for a person."""
        ...

    def run(self) -> Finding:
        """Look at it now; takes some seconds at most, and moves nothing."""
        ...


def _nobody() -> None:
    """Hears nothing."""


class Preflight:
    """Runs the checks, and remembers who has confirmed what.

    Args:
        checks: in the order in which they are run and shown.
        confirmations: what a person has to say that they tried; once is enough for a session.

    Raises:
        ConfigError: if two of all these have one name.
    """

    def __init__(self, checks: Sequence[Check], confirmations: Sequence[str]) -> None:
        self._checks = _distinct(checks, confirmations)
        self._findings: dict[str, Finding] = {}
        self._confirmed_by = dict.fromkeys(confirmations, "")

    def add(self, check: Check) -> None:
        """Look at one thing more from now on.

        Raises:
            ConfigError: if something of its name is looked at already.
        """
        self._checks = _distinct((*self._checks, check), tuple(self._confirmed_by))

    @property
    def good(self) -> bool:
        """Whether nothing is left that hinders the start."""
        return all(view.state == "good" for view in self.views())

    def run(self, told: Callable[[], None] = _nobody) -> None:
        """Check everything anew; `told` is called after each check.

        One that fails, however it does, leaves the others alone.
        """
        self._findings = {}
        for check in self._checks:
            self._findings = {**self._findings, check.name: _found(check)}
            told()

    def confirm(self, name: str, by: str) -> None:
        """A person says that they tried something.

        Raises:
            ContractError: if nothing of that name is to be tried, or nobody is named.
        """
        if name not in self._confirmed_by:
            hint = did_you_mean(name, self._confirmed_by)
            raise ContractError(f"nothing to confirm is called {name!r}{hint}")
        if not by.strip():
            raise ContractError(f"{name!r} is confirmed by a named person; got no name")
        self._confirmed_by[name] = by.strip()
        _LOG.info("%s confirms: %s", by.strip(), name)

    def views(self) -> tuple[CheckView, ...]:
        """How each check stands, then each confirmation; from any thread."""
        findings = self._findings
        checked = [_view(check.name, findings.get(check.name)) for check in self._checks]
        asked = [
            CheckView(name=name, state="good", words=f"confirmed by {by}")
            if by
            else CheckView(name=name, state="ask", words="try it, then say so")
            for name, by in self._confirmed_by.items()
        ]
        return (*checked, *asked)


def _distinct(checks: Sequence[Check], confirmations: Sequence[str]) -> tuple[Check, ...]:
    names = [*(check.name for check in checks), *confirmations]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{', '.join(twice)}: checked twice; expected names that differ")
    return tuple(checks)


def _found(check: Check) -> Finding:
    try:
        return check.run()
    except Exception as error:  # noqa: BLE001 - the person is told of it
        _LOG.exception("check %s", check.name)
        return Finding(
            good=False,
            words=f"the check has failed: {type(error).__name__}: {error}",
            remedy="see the log, then check again",
        )


def _view(name: str, finding: Finding | None) -> CheckView:
    if finding is None:
        return CheckView(name=name, state="waiting", words="not checked yet")
    state = "good" if finding.good else "bad"
    return CheckView(name=name, state=state, words=finding.words, remedy=finding.remedy)
