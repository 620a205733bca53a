"""A base policy that was trained elsewhere, where a run has its own: learners cannot tell.

It is whatever an adapter builds (`robot_rl.policies.adapters`). What a run adds is the normaliser
of its demonstrations, for what is learned on top.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from robot_rl.config.model import Buildable
from robot_rl.core.errors import ConfigError, FingerprintError, StorageError
from robot_rl.core.spec import TaskSpec
from robot_rl.core.types import Observation
from robot_rl.data.normaliser import Normaliser
from robot_rl.policies.base import BasePolicy, PlanRequest, PolicySpec
from robot_rl.policies.chunk_policy import ChunkPolicy

_FILE = "ready.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPolicy:
    """What a run remembers of the policy: see `PolicySpec`.

    Args:
        sees_images: whether it looks at a camera.
    """

    fingerprint: str
    execute: int
    history: int
    noise: tuple[int, int] | None
    sees_images: bool

    @classmethod
    def of(cls, spec: PolicySpec) -> Self:
        """What is to be remembered of a spec."""
        return cls(
            fingerprint=spec.fingerprint,
            execute=spec.execute,
            history=spec.history,
            noise=spec.noise,
            sees_images=bool(spec.observation.images),
        )


class ReadyBase:
    """The specs and the normaliser of a run, and the plans of a policy that it did not train.

    The policy is loaded, or connected to, when it is first asked: a learner that only has to know
    what it looks at never does.

    Args:
        config: the adapter's, whose `build(task)` returns a `BasePolicy`.
        task: of the run.
        normaliser: of the run's packed observations.
        known: the policy that the run began with.
    """

    def __init__(
        self, config: Buildable, task: TaskSpec, normaliser: Normaliser, known: KnownPolicy
    ) -> None:
        self.observation = task.observation
        self.action = task.action
        self.contract = task.contract
        self.normaliser = normaliser
        self.fingerprint = known.fingerprint
        self._columns = {key: task.observation.columns((key,)) for key in task.observation.vectors}
        self._known = known
        self._config = config
        self._task = task
        self._policy: BasePolicy | None = None

    @classmethod
    def connect(cls, config: Buildable, task: TaskSpec, normaliser: Normaliser) -> Self:
        """Load the policy and take it as the one that the run begins with.

        Raises:
            ConfigError: if it does not fit the task.
        """
        policy: BasePolicy = config.build(task)
        ready = cls(config, task, normaliser, KnownPolicy.of(policy.spec))
        ready._policy = policy
        return ready

    @property
    def policy(self) -> BasePolicy:
        """The policy itself.

        Raises:
            FingerprintError: if it is not the one that the run began with.
        """
        if self._policy is None:
            policy: BasePolicy = self._config.build(self._task)
            if policy.spec.fingerprint != self.fingerprint:
                raise FingerprintError(
                    f"base: got policy {policy.spec.fingerprint[:12]}, the run began with "
                    f"{self.fingerprint[:12]}: give it that one back, or begin another run"
                )
            self._policy = policy
        return self._policy

    @property
    def execute(self) -> int:
        """How many actions of a plan are played before the next one."""
        return self._known.execute

    @property
    def history(self) -> int:
        """Observations of consecutive control periods that a plan is made from."""
        return self._known.history

    @property
    def steerable(self) -> bool:
        """Whether the noise decides which of several possible chunks is planned."""
        return self._known.noise is not None and self._known.history == 1

    @property
    def noise_shape(self) -> tuple[int, int]:
        """Rows and width of the noise of one plan.

        Raises:
            ConfigError: if nothing steers it.
        """
        if self._known.noise is None:
            raise ConfigError("base: this policy's plans do not depend on noise")
        return self._known.noise

    @property
    def sees_images(self) -> bool:
        """Whether it looks at the cameras."""
        return self._known.sees_images

    def plan(self, observation: Tensor, images: Mapping[str, Tensor], noise: Tensor) -> Tensor:
        """Return chunks float32[b, h, d] in [-1, 1]; deterministic given the noise.

        Args:
            observation: float32[b, n], packed, raw units.
            images: uint8[b, height, width, 3] by camera, if it looks at any.
            noise: float32[b, rows, width].
        """
        rows = observation.cpu().numpy()
        pictures = {key: image.cpu().numpy() for key, image in images.items()}
        requests = [
            PlanRequest(
                window=(
                    Observation(
                        stamp_ns=0,
                        vectors={key: rows[i, at] for key, at in self._columns.items()},
                        images={key: picture[i] for key, picture in pictures.items()},
                        instruction=self._task.instruction,
                    ),
                ),
                noise=noise[i].cpu().numpy(),
            )
            for i in range(len(rows))
        ]
        return torch.from_numpy(np.ascontiguousarray(self.policy.infer(requests)))

    def save(self, directory: Path) -> None:
        """Write what the run remembers; the policy stays where it is.

        Raises:
            StorageError: if the place cannot be written.
        """
        remembered = {"known": asdict(self._known), "normaliser": self.normaliser.state}
        try:
            directory.mkdir(parents=True, exist_ok=True)
            (directory / _FILE).write_text(json.dumps(remembered, indent=1) + "\n")
        except OSError as error:
            raise StorageError(f"{directory}: cannot be written: {error}") from error

    @classmethod
    def load(cls, directory: Path, config: Buildable, task: TaskSpec) -> Self:
        """Read what `save` wrote.

        Raises:
            StorageError: if it is missing or unreadable.
        """
        try:
            remembered = json.loads((directory / _FILE).read_text())
            known = dict(remembered["known"])
            shape = known.pop("noise")
            return cls(
                config,
                task,
                Normaliser.from_state(remembered["normaliser"]),
                KnownPolicy(noise=tuple(shape) if shape else None, **known),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StorageError(f"{directory}: no readable {_FILE}: {error}") from error


RunBase = ChunkPolicy | ReadyBase
"""The base policy of a run: one that it trains, or one that is ready."""
