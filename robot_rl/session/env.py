"""The environment with a person at hand: the same loop, which they may judge, discard and stop."""

from __future__ import annotations

import numpy as np

from robot_rl.core.errors import GateStopError, RobotRlError
from robot_rl.core.protocol import Env
from robot_rl.core.types import Observation, Source, StepResult, Vector
from robot_rl.session.episodes import Episodes


class SessionEnv:
    """Wraps an environment for a session (implements `core.protocol.Env`).

    A demonstration begins when the person moves the arm, and its time stands still while nobody
    drives: who demonstrates may think.

    Args:
        env: the closed loop around robot, gate and task.
        episodes: of the session.
    """

    def __init__(self, env: Env, episodes: Episodes) -> None:
        self.observation_spec = env.observation_spec
        self.action_spec = env.action_spec
        self.horizon = env.horizon
        self._env = env
        self._episodes = episodes
        self._rest = np.zeros(env.action_spec.size, np.float32)

    def reset(self, seed: int) -> Observation:
        """Start the episode that `seed` stands for, as soon as nothing hinders it.

        A stop that comes before the arm is at its start is waited out too.

        Raises:
            SessionEnded: if the person ends the session instead.
        """
        while True:
            self._episodes.about_to_reset(seed)
            self._env.horizon = self.horizon
            try:
                with self._episodes.resetting():
                    observation: Observation | None = self._env.reset(seed)
            except GateStopError:
                if not self._episodes.stopped:
                    raise
            else:
                self._episodes.has_begun(observation)
                while observation is not None:
                    if self._episodes.may_run(observation):
                        return observation
                    observation = self._rested()

    def _rested(self) -> Observation | None:
        """Hold the arm for a period; None if it has to go to its start again after that."""
        result = self._step(self._rest, Source.HOLD)
        if self._episodes.waited(self._rest, result):
            return result.observation
        self._env.end()
        return None

    def step(self, action: Vector, source: Source = Source.POLICY) -> StepResult:
        """Execute one normalised action float32[d]; a person's judgement ends the episode."""
        result = self._step(action, source)
        judged = self._episodes.stepped(source, action, result)
        if _is_last(judged) and not _is_last(result):
            self._env.end()
        return judged

    def end(self) -> None:
        """See `Env.end`."""
        self._env.end()

    def _step(self, action: Vector, source: Source) -> StepResult:
        if self._episodes.stands_still(source):
            self._env.horizon += 1
        try:
            return self._env.step(action, source)
        except RobotRlError as error:
            self._episodes.failed(error)
            raise


def _is_last(result: StepResult) -> bool:
    return result.terminated or result.truncated
