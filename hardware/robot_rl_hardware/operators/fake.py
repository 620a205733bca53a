"""A person who is not there: drives by a script."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from robot_rl.config.model import Config
from robot_rl.core.clock import NS_PER_S, Clock, MonotonicClock
from robot_rl.core.errors import HardwareError
from robot_rl.core.protocol import Clocked, OperatorInput
from robot_rl.core.types import Observation


class Part(Config):
    """One part of the script.

    Args:
        lasts_s: how long.
        action: float[d], normalised, while the dead-man is held; None while it is let go.
    """

    lasts_s: float = Field(gt=0)
    action: tuple[float, ...] | None = None


class FakeOperatorConfig(Config):
    """What the person does, part by part, from the first time that it is asked for.

    Args:
        parts: of the script; at its end the person lets go.
        loops: begins anew instead.
        size: elements of an action.
        gone_after_s: the device is pulled out then; None if it never is.
        silent_after_s: nothing new is heard of the device from then on.
    """

    parts: tuple[Part, ...]
    loops: bool = False
    size: int = Field(ge=1, le=64)
    gone_after_s: float | None = Field(default=None, ge=0)
    silent_after_s: float | None = Field(default=None, ge=0)

    def build(self, at: Clocked | None = None) -> FakeOperator:
        """Return the person.

        Args:
            at: the bench, whose clock the script goes by; this machine's without it.
        """
        return FakeOperator(self, at.clock if at else MonotonicClock())


class FakeOperator:
    """Implements `core.protocol.Operator`."""

    name = "fake"

    def __init__(self, config: FakeOperatorConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._began_ns: int | None = None

    def reset(self, seed: int) -> None:
        """The script goes on: the device is not plugged in anew with each episode."""

    def poll(self, observation: Observation) -> OperatorInput:
        """Return what the script says.

        Raises:
            HardwareError: once the device is gone.
        """
        c, now_ns = self._config, self._clock.now_ns()
        self._began_ns = now_ns if self._began_ns is None else self._began_ns
        at_s = (now_ns - self._began_ns) / NS_PER_S
        if c.gone_after_s is not None and at_s >= c.gone_after_s:
            raise HardwareError(f"the fake device is gone after {c.gone_after_s:g} s")
        if c.silent_after_s is not None and at_s >= c.silent_after_s:
            now_ns = self._began_ns + round(c.silent_after_s * NS_PER_S)
        action = self._wanted(at_s)
        return OperatorInput(
            active=action is not None,
            action=np.array(action or (0.0,) * c.size, np.float32),
            heard_ns=now_ns,
        )

    def _wanted(self, at_s: float) -> tuple[float, ...] | None:
        whole_s = sum(part.lasts_s for part in self._config.parts)
        if self._config.loops and whole_s > 0:
            at_s %= whole_s
        for part in self._config.parts:
            if at_s < part.lasts_s:
                return part.action
            at_s -= part.lasts_s
        return None
