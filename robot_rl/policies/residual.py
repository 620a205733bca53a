"""Acts with a base action plus a residual, learned by `robot_rl.learning.residual_td3`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from robot_rl.core.spec import ObservationSpec
from robot_rl.core.types import NO_LATENT, Observation, Vector
from robot_rl.networks.mlp import NumpyMlp
from robot_rl.networks.residual_actor import ResidualActor
from robot_rl.policies.weights import load_checked


class ResidualPolicy:
    """`clip(base + residual + noise)`: an `OnlinePolicy` (arXiv 2509.19301).

    Runs in numpy, which at one observation a call is several times faster than torch.

    Args:
        actor: its weights are copied in by `load_weights`; pass one of its own.
        observation: the spec of what `propose` gets.
        exploration_std: of the Gaussian noise on every exploring step, normalised.
        ramp_updates: actor updates over which the residual comes in: with version v of the
            weights it is used on an exploring step with probability min(v / ramp_updates, 1), the
            progressive schedule of Policy Decorator (arXiv 2412.13630); 0 for at once.
    """

    def __init__(
        self,
        actor: ResidualActor,
        observation: ObservationSpec,
        *,
        exploration_std: float,
        ramp_updates: int = 0,
    ) -> None:
        self.version = 0
        self.latent: Vector = NO_LATENT
        self.exploration_std = exploration_std
        self._ramp_updates = ramp_updates
        self._actor = actor
        self._observation = observation
        self._refresh()
        self.reset(0)

    def reset(self, seed: int) -> None:
        """A new episode begins; seed the exploration noise."""
        self._rng = np.random.default_rng(seed)

    def replan(self) -> None:
        """Nothing to forget: every action is made anew."""

    def propose(self, observation: Observation, base_action: Vector, *, explore: bool) -> Vector:
        """Return the combined action float32[d], clipped to [-1, 1]."""
        if not explore:
            return _clip(base_action + self.residual(observation, base_action), 1.0)
        noise = self._rng.standard_normal(len(base_action), np.float32)
        action = base_action + noise * np.float32(self.exploration_std)
        # The draw comes first, so that changing the share does not change the noise.
        if self._rng.random() * self._ramp_updates < self.version or not self._ramp_updates:
            action = action + self.residual(observation, base_action)
        return _clip(action, 1.0)

    def residual(self, observation: Observation, base_action: Vector) -> Vector:
        """Return the residual alone, float32[d] within the actor's scale."""
        features = self._look(observation)
        return self._scale * np.tanh(self._mlp(np.concatenate([features, base_action])))

    def load_weights(self, weights: Mapping[str, Tensor], version: int) -> None:
        """Act with the weights of a learner from the next call on.

        Raises:
            ContractError: if they do not fit, are not finite or are not newer; the old ones stay.
        """
        load_checked(self._actor, weights, version, self.version)
        self.version = version
        self._refresh()

    def _refresh(self) -> None:
        self._look = self._actor.encoder.look(self._observation)
        self._mlp = NumpyMlp(self._actor.state_dict(), "mlp.", layer_norm=True)
        self._scale = self._actor.scale.numpy().copy()


def _clip(x: NDArray[Any], bound: float) -> Vector:
    # np.clip costs several times as much on a handful of numbers; NaN stays NaN for the gate.
    return np.minimum(np.maximum(x, -bound), bound)
