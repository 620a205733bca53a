"""The motors of a leader arm, by LeRobot's drivers (its `Teleoperator` classes)."""

from __future__ import annotations

import contextlib
import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from robot_rl.core.errors import ConfigError, DependencyError, HardwareError
from robot_rl_hardware.operators.listener import Held
from robot_rl_hardware.pace import Pace

Setting = str | int | float | bool | None
_PERIOD_S = 0.01
_POSITION = ".pos"
_FAILURES = (OSError, RuntimeError, ValueError)


class LerobotLeader:
    """Implements `Reader`. Each motor's angle is an element of `Held.axes`, in order of `motors`.

    Args:
        make: makes the teleoperator, without touching it.

    Attributes:
        motors: names, known once it was open.
    """

    name = "leader_arm"
    repeats = True

    def __init__(self, make: Callable[[], Any]) -> None:
        self.motors: tuple[str, ...] = ()
        self._make = make
        self._arm: Any = None
        self._pace = Pace(_PERIOD_S)

    def open(self) -> None:
        """Connect.

        Raises:
            DependencyError: naming the package that is missing.
            ConfigError: if there is no such teleoperator, or it does not take these settings.
            HardwareError: if it does not answer or was never calibrated.
        """
        arm = self._make()
        try:
            # To calibrate asks at the terminal, and waits for an answer.
            arm.connect(calibrate=False)
        except _FAILURES as error:
            raise HardwareError(
                f"the leader arm does not answer ({error}): is it plugged in, its power on, and "
                "the port that of `lerobot-find-port`?"
            ) from error
        except ImportError as error:
            raise DependencyError(str(error)) from error
        self._arm = arm
        if not arm.is_calibrated:
            raise HardwareError(
                "the leader arm is not calibrated: run `lerobot-calibrate` for it, with the same "
                "id as in the settings"
            )
        names = [name for name in arm.action_features if name.endswith(_POSITION)]
        self.motors = tuple(name.removesuffix(_POSITION) for name in names)
        self._pace.begin()

    def read(self) -> Sequence[Held]:
        """Ask the motors."""
        self._pace.wait()
        try:
            said: Mapping[str, float] = self._arm.get_action()
        except _FAILURES as error:
            raise HardwareError(
                f"the leader arm is gone ({error}): is it still plugged in?"
            ) from error
        values = tuple(float(said[motor + _POSITION]) for motor in self.motors)
        if not all(math.isfinite(value) for value in values):
            raise HardwareError(f"the leader arm says {values}, expected finite numbers")
        return (Held(values),)

    def close(self) -> None:
        """Let go of it."""
        arm, self._arm = self._arm, None
        if arm is not None:
            with contextlib.suppress(*_FAILURES):
                arm.disconnect()


def maker(path: str, settings: Mapping[str, Setting]) -> Callable[[], Any]:
    """Return what makes the teleoperator of class `path`, `package.module:Class`."""

    def make() -> Any:
        try:
            base = importlib.import_module("lerobot.teleoperators.teleoperator").Teleoperator
        except ImportError as error:
            raise DependencyError(
                f"a leader arm needs lerobot, which does not load ({error}): "
                "pip install 'robot_rl[lerobot]'"
            ) from error
        module, _, name = path.partition(":")
        try:
            cls = getattr(importlib.import_module(module), name, None)
        except ImportError as error:
            raise ConfigError(f"teleoperator {path!r} cannot be imported: {error}") from error
        if not (isinstance(cls, type) and issubclass(cls, base)):
            raise ConfigError(f"{path!r} is no Teleoperator; expected `package.module:Class`")
        teleoperator: Any = cls
        try:
            return teleoperator(teleoperator.config_class(**settings))
        except TypeError as error:
            raise ConfigError(f"settings of {path}: {error}") from error
        except ImportError as error:
            raise DependencyError(str(error)) from error

    return make
