"""The one exception tree. Every message says what was wrong, what was got, what was expected."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RobotRlError(Exception):
    """Root of every error that robot_rl raises on purpose."""


class ConfigError(RobotRlError):
    """A configuration file or override is wrong; the message names file, key and remedy."""


class ContractError(RobotRlError):
    """Data does not match the spec it travels under: shape, dtype, key or range."""


class FingerprintError(RobotRlError):
    """Weights, data and base policy do not belong together."""


class StorageError(RobotRlError):
    """Something could not be stored or read back; what was stored before is intact."""


class HardwareError(RobotRlError):
    """A device or simulator is absent, silent or failed."""


class DependencyError(RobotRlError):
    """A system or Python package is missing; the message names the package to install."""


class GateStopError(RobotRlError):
    """The safety gate has latched STOP; only a person may clear it."""


class LearningError(RobotRlError):
    """Learning has diverged and was stopped; the last good checkpoint stays."""


class LearnerLostError(RobotRlError):
    """The learner has died, fallen silent or fallen too far behind; nobody improves the policy."""


def did_you_mean(word: str, valid: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the nearest valid word, else the list of valid words."""
    names = sorted(valid)
    close = difflib.get_close_matches(word, names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; valid: {', '.join(names)}" if names else ""
