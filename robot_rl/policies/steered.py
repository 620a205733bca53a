"""Acts by choosing the noise that a frozen base policy plans from.

Learning which: `robot_rl.learning.dsrl_sac` and `robot_rl.learning.dsrl_na`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import ActionSpec, ObservationSpec
from robot_rl.core.types import Observation, Vector
from robot_rl.data.normaliser import Normaliser
from robot_rl.networks.encoder import NO_IMAGES
from robot_rl.networks.gaussian_actor import GaussianActor
from robot_rl.policies.weights import load_checked


class SteerableBase(Protocol):
    """A frozen policy whose plans are decided by the noise that they begin with."""

    observation: ObservationSpec
    action: ActionSpec
    normaliser: Normaliser

    @property
    def execute(self) -> int:
        """Actions of a plan that are played before the next one."""
        ...

    @property
    def noise_shape(self) -> tuple[int, int]:
        """Rows and width of the noise of one plan."""
        ...

    @property
    def sees_images(self) -> bool:
        """Whether it looks at the cameras."""
        ...

    @property
    def steerable(self) -> bool:
        """Whether the noise has a say at all."""
        ...

    def plan(self, observation: Tensor, images: Mapping[str, Tensor], noise: Tensor) -> Tensor:
        """Return chunks float32[b, h, d] in [-1, 1]; deterministic given the noise.

        Args:
            observation: float32[b, n], packed, raw units.
            images: as the encoders of `robot_rl.networks` take them.
            noise: float32[b, rows, width].
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentSpace:
    """Which noises can be chosen: `rows` rows of `width` elements, together `horizon` long.

    Each row stands for `horizon / rows` actions in a row. A latent is the rows, flattened. With
    one row it is the noise that DSRL steers a long chunk with (arXiv 2506.15799, on pi0).

    Args:
        rows: rows that are chosen.
        horizon: rows of the base policy's noise.
        width: elements of a row; of our own policies, of an action.
        bound: of each element that is chosen.

    Raises:
        ConfigError: if the rows do not divide the horizon.
    """

    rows: int
    horizon: int
    width: int
    bound: float

    def __post_init__(self) -> None:
        if self.rows < 1 or self.horizon % self.rows:
            raise ConfigError(
                f"noise_rows: got {self.rows}, expected a divisor of the base policy's horizon "
                f"of {self.horizon}"
            )

    @classmethod
    def of(cls, base: SteerableBase, rows: int | None, bound: float) -> LatentSpace:
        """Return the noises of a base policy; `rows` is its whole horizon if None.

        Raises:
            ConfigError: if the base policy cannot be steered, or the rows do not fit.
        """
        if not base.steerable:
            raise ConfigError(
                "base: got a policy whose plans do not depend on noise, expected one that can be "
                "steered; train it with a diffusion, flow or one-step sampler, or learn a "
                "residual on top of it"
            )
        horizon, width = base.noise_shape
        rows = horizon if rows is None else rows
        return cls(rows=rows, horizon=horizon, width=width, bound=bound)

    @property
    def size(self) -> int:
        """Elements of a latent."""
        return self.rows * self.width

    def noise(self, latent: Tensor) -> Tensor:
        """Return the noise float32[b, horizon, width] that latents float32[b, k] stand for."""
        rows = latent.view(len(latent), self.rows, self.width)
        return rows.repeat_interleave(self.horizon // self.rows, dim=1)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Return standard normal latents float32[count, k], as the base draws its noise."""
        return torch.randn(count, self.size, generator=generator, device=generator.device)


class SteeredPolicy:
    """Plays chunks of a frozen base policy from noise that an actor chose: an `OnlinePolicy`.

    DSRL, Wagenmaker et al. 2025, arXiv 2506.15799. It plans from the observation at which the
    chunk before was played out, and plays the base's `execute` actions of the plan; weights that
    arrive meanwhile act from the next plan on. Until the first weights arrive its noise is
    standard normal, so that with all rows chosen it acts exactly as the base does, seed by seed.

    Base actions are not used: what the base would do unsteered is its plan from another noise,
    which says nothing of this one's. So a run sets `use_base: false`, no second plan is made a
    chunk, and base actions are recorded as zeros.

    Args:
        actor: its weights are copied in by `load_weights`; pass one of its own.
        base: what it steers; shared, since planning changes nothing in it.
        space: the noises to choose from; the actor has one output for each element.
    """

    def __init__(self, actor: GaussianActor, base: SteerableBase, space: LatentSpace) -> None:
        self.version = 0
        self.latent: Vector = np.zeros(space.size, np.float32)
        self._actor = actor
        self._base = base
        self._space = space
        self._queue = deque[Vector]()
        self._generator = torch.Generator()
        self._look = actor.encoder.look(base.observation)
        self.reset(0)

    def reset(self, seed: int) -> None:
        """A new episode begins: drop what is left of the chunk, seed the noise."""
        self._queue.clear()
        self._generator.manual_seed(seed)

    def replan(self) -> None:
        """Drop the rest of the chunk: the arm was moved elsewhere."""
        self._queue.clear()

    def propose(self, observation: Observation, base_action: Vector, *, explore: bool) -> Vector:
        """Return the next action float32[d] of the chunk in play, planning anew if none is left.

        The noise of a plan is a sample of the actor's to explore, else the actor's mode.
        """
        if not self._queue:
            self._plan(observation, explore)
        return self._queue.popleft()

    def load_weights(self, weights: Mapping[str, Tensor], version: int) -> None:
        """Act with the weights of a learner from the next plan on.

        Raises:
            ContractError: if they do not fit, are not finite or are not newer; the old ones stay.
        """
        load_checked(self._actor, weights, version, self.version)
        self.version = version
        self._look = self._actor.encoder.look(self._base.observation)

    @torch.inference_mode()
    def _plan(self, observation: Observation, explore: bool) -> None:
        latent = self._choose(observation, explore)
        packed = torch.from_numpy(self._base.observation.pack(observation.vectors))[None]
        images = self._images(observation)
        chunk = self._base.plan(packed, images, self._space.noise(latent))[0].numpy()
        self.latent = latent[0].numpy().copy()
        self._queue.extend(chunk[: self._base.execute].copy())

    def _images(self, observation: Observation) -> Mapping[str, Tensor]:
        """The camera images as a batch of one, if the base looks at any."""
        if not self._base.sees_images:
            return NO_IMAGES
        return {key: torch.from_numpy(image)[None] for key, image in observation.images.items()}

    def _choose(self, observation: Observation, explore: bool) -> Tensor:
        """Return the next latent float32[1, k]."""
        if self.version == 0:
            return self._space.draw(1, self._generator)
        features = torch.from_numpy(self._look(observation))[None]
        if explore:
            action, _ = self._actor.sample(features, self._generator)
        else:
            action = torch.tanh(self._actor(features)[0])
        return self._space.bound * action
