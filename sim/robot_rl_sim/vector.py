"""Many simulations of one task as a gymnasium vector environment, for training in simulation only.

There is no safety gate and no clock in between: actions are clipped to [-1, 1] and obeyed. What is
to run on a robot later goes through `robot_rl.envs`. No images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.core.spec import ENVIRONMENT
from robot_rl_sim.backend import MujocoBackend
from robot_rl_sim.tasks.task import HeldGoal, SimTask

Observations = dict[str, NDArray[np.float32]]
Flags = NDArray[np.bool_]
StepReturn = tuple[Observations, NDArray[np.float64], Flags, Flags, dict[str, Any]]

_SEEDS = 2**31


class SimVectorEnv(VectorEnv[Observations, NDArray[np.float32], NDArray[Any]]):
    """`num_envs` copies of one task's simulation, stepped together.

    Observations are a Dict with the task's keys, float32[n, d]; actions float32[n, d]. Reward,
    success and horizon are those of the bench. Autoreset is "next step": the step after an
    episode's last ignores the action and returns the next episode's first observation, with
    reward 0. `info["is_success"]` is bool[n].

    Start states are those of the bench with the same seed; sensor noise comes from one generator
    for all simulations, so that noisy elements differ from the bench's.

    Raises:
        ConfigError: if the task observes cameras.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, task: SimTask, num_envs: int) -> None:
        if task.cameras:
            raise ConfigError(f"{task.spec.name}: a vector environment has no cameras; leave out")
        action = task.spec.action
        self.num_envs = num_envs
        self.single_observation_space = spaces.Dict(
            {
                key: spaces.Box(-np.inf, np.inf, (vector.size,), np.float32)
                for key, vector in task.spec.observation.vectors.items()
            }
        )
        self.single_action_space = spaces.Box(-1.0, 1.0, (action.size,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.task = task
        self.backend = MujocoBackend(task.model, task.frames, num_envs, joints=task.drive.joints)
        self._substeps = round(action.period_s / self.backend.timestep_s)
        self._goal = HeldGoal(task, num_envs)
        self._steps = np.zeros(num_envs, np.int64)
        self._ended = np.zeros(num_envs, np.bool_)
        self._tare = np.zeros((num_envs, 6))
        error = task.start(np.random.default_rng(0)).estimate_error
        self._error = np.zeros((num_envs, len(error)))
        self._episodes: list[np.random.Generator] = []
        self._noise = np.random.default_rng(0)

    def reset(
        self,
        *,
        seed: int | Sequence[int] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observations, dict[str, Any]]:
        """Start every simulation: with `seed`, `seed + 1`, ... or one given seed each.

        Without a seed the next episodes of the last seeds' rows begin.
        """
        self._begin(range(self.num_envs), self._seeds(seed))
        self._ended[:] = False
        return self._observe(), self._info(np.zeros(self.num_envs, np.bool_))

    def step(self, actions: NDArray[np.float32]) -> StepReturn:
        """Execute normalised actions float32[n, d] for one control period.

        Raises:
            ContractError: if the actions have the wrong shape, are not finite, or nothing was
                reset yet.
            HardwareError: if a simulation diverged.
        """
        self._check(actions)
        clipped = np.clip(actions, -1.0, 1.0).astype(np.float32)
        values = self.task.spec.action.to_si(clipped).astype(np.float64)
        self.task.drive.obey(self.backend.ctrl, self.backend.state(), values)
        begun: list[int] = np.flatnonzero(self._ended).tolist()
        self._begin(begun, [int(self._episodes[i].integers(_SEEDS)) for i in begun])
        self._advance(begun)
        success = self._goal.update(self.backend.state())
        self._steps += 1
        success[begun], self._steps[begun] = False, 0
        self._goal.reset(begun)
        timeout = (self._steps >= self.task.spec.horizon) & ~success
        self._ended = success | timeout
        return self._observe(), success.astype(np.float64), success, timeout, self._info(success)

    def _check(self, actions: NDArray[np.float32]) -> None:
        if not self._episodes:
            raise ContractError("step before the first reset: call reset first")
        shape = (self.num_envs, self.task.spec.action.size)
        if actions.shape != shape or not np.isfinite(actions).all():
            raise ContractError(
                f"actions: got {list(actions.shape)}, expected finite float32{list(shape)}"
            )

    def _seeds(self, seed: int | Sequence[int] | None) -> list[int]:
        if seed is None:
            if not self._episodes:
                self._episodes = [seeding.np_random()[0] for _ in range(self.num_envs)]
            return [int(rng.integers(_SEEDS)) for rng in self._episodes]
        if isinstance(seed, int | np.integer):
            seed = range(int(seed), int(seed) + self.num_envs)
        seeds = [int(s) for s in seed]
        if len(seeds) != self.num_envs:
            raise ContractError(f"got {len(seeds)} seeds for {self.num_envs} simulations")
        self._episodes = [seeding.np_random(s)[0] for s in seeds]
        self._noise = np.random.default_rng(seeds)
        return seeds

    def _begin(self, indices: Sequence[int], seeds: Sequence[int]) -> None:
        """Put simulations into the start states of their seeds and tare their wrenches."""
        for index, seed in zip(indices, seeds, strict=True):
            start = self.task.start(np.random.default_rng(seed))
            self.backend.reset(index, start)
            self._error[index] = start.estimate_error
        indices = list(indices)
        self._tare[indices] = self.backend.state().force_torque[indices]
        self._goal.reset(indices)
        self._steps[indices] = 0

    def _advance(self, begun: Sequence[int]) -> None:
        """Let a control period pass for all but the simulations that have just begun."""
        if not begun:
            self.backend.step(self._substeps)
        elif len(begun) < self.num_envs:
            self.backend.step(self._substeps, np.flatnonzero(~self._ended).tolist())

    def _observe(self) -> Observations:
        state = self.backend.state()
        noise = self._noise.normal(size=(self.num_envs, self.task.drive.noise_size))
        vectors = self.task.drive.vectors(state, self._tare, noise)
        known = {key: vector.astype(np.float32) for key, vector in vectors.items()}
        known[ENVIRONMENT] = self.task.estimate(state, self._error)
        return {key: known[key] for key in self.task.spec.observation.vectors}

    def _info(self, success: Flags) -> dict[str, Any]:
        return {"is_success": success, "_is_success": np.ones(self.num_envs, np.bool_)}
