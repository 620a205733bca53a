"""When a control loop woke and slept, and what its gate was given, without changing its code."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from robot_rl.core.types import Command, Observation, SafeAction, Source
from robot_rl.envs.robot_env import RobotEnv
from robot_rl.session.command import Motion
from robot_rl.session.page.picture import unix_ms_of


class Stamps:
    """When the loop woke and slept, what the gate and the desk were given since `begin`."""

    def __init__(self, env: RobotEnv, clock: Any) -> None:
        self._env = env
        self.begin()
        _before(env.gate, "check", self._checks)
        sleep = clock.sleep_until_ns

        @functools.wraps(sleep)
        def stamped(deadline_ns: int) -> None:
            self.slept_ns.append(time.monotonic_ns())
            sleep(deadline_ns)
            self.woke_ns.append(time.monotonic_ns())

        clock.sleep_until_ns = stamped

    def begin(self) -> None:
        """Forget what was before."""
        self.checked_ns: list[int] = []
        self.slept_ns: list[int] = []
        self.woke_ns: list[int] = []
        self.human_ms: list[float] = []
        self.motions_ms: list[tuple[float, float]] = []
        self._missed = self._env.missed

    def told(self) -> dict[str, Any]:
        """All of it since `begin`, as it goes through JSON."""
        return {
            "checked_ns": self.checked_ns,
            "slept_ns": self.slept_ns,
            "woke_ns": self.woke_ns,
            "human_ms": self.human_ms,
            "motions_ms": self.motions_ms,
            "missed": self._env.missed - self._missed,
        }

    def hears(self, motion: Motion) -> None:
        """A motion has arrived at the desk."""
        if motion.active:
            self.motions_ms.append((unix_ms_of(motion.heard_ns), time.time_ns() / 1e6))

    def _checks(self, wish: Command, observation: Observation) -> None:
        self.checked_ns.append(time.monotonic_ns())
        if wish.source == Source.HUMAN and bool(wish.action.any()):
            self.human_ms.append(time.time_ns() / 1e6)


def _before(owner: Any, method: str, told: Callable[..., None]) -> None:
    """Tell of each call of a living object's method, just before it."""
    original: Callable[..., SafeAction] = getattr(owner, method)

    @functools.wraps(original)
    def called(*words: Any) -> SafeAction:
        told(*words)
        return original(*words)

    setattr(owner, method, called)
