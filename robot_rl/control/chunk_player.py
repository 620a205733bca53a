"""Plays a policy's chunks one action at a time. No blending, no limits.

A player that does not wait for the policy: `robot_rl.control.chunking.async_player`.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.core.protocol import Policy
from robot_rl.core.types import Observation, Vector


class Player(Protocol):
    """Hands out one action for each observation, in the order of time."""

    @property
    def fingerprint(self) -> str:
        """Of the policy whose chunks are played."""
        ...

    def reset(self, seed: int) -> None:
        """Begin an episode: nothing of the one before is played any more. Does not wait."""
        ...

    def replan(self) -> None:
        """Drop what is planned: a person has moved the arm elsewhere."""
        ...

    def next(self, observation: Observation) -> Vector | None:
        """Return the action float32[d] of this instant; None if the arm is to rest."""
        ...


class ChunkPlayer:
    """Receding horizon: plan h actions, execute the first `execute`, plan anew.

    A `Player` that always has an action, for `next` returns when the plan is made.

    Attributes:
        plans: how often the policy was asked since it was made.
    """

    def __init__(self, policy: Policy, execute: int) -> None:
        if execute < 1:
            raise ConfigError(f"execute: got {execute}, expected at least 1")
        self._policy = policy
        self._execute = execute
        self._queue = deque[Vector]()
        self.plans = 0

    @property
    def fingerprint(self) -> str:
        """The policy's own."""
        return self._policy.fingerprint

    def reset(self, seed: int) -> None:
        """Begin an episode: drop what is left of the one before and seed the policy."""
        self._queue.clear()
        self._policy.reset(seed)

    def replan(self) -> None:
        """Drop the rest of the chunk, as when a person has moved the arm elsewhere."""
        self._queue.clear()

    def next(self, observation: Observation) -> Vector:
        """Return the next action float32[d], planning from `observation` if none is left.

        Raises:
            ContractError: if the policy's chunk is shorter than what is to be executed.
        """
        if not self._queue:
            values = self._policy.act(observation).values
            self.plans += 1
            if len(values) < self._execute:
                raise ContractError(
                    f"the policy planned {len(values)} actions, {self._execute} are to be "
                    "executed: lower `execute` or use a policy with a longer horizon"
                )
            self._queue.extend(values[: self._execute].copy())
        return self._queue.popleft()
