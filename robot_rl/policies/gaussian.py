"""Acts with a learned Gaussian alone. Learning it: `robot_rl.learning.rlpd`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from robot_rl.core.spec import ObservationSpec
from robot_rl.core.types import NO_LATENT, Observation, Vector
from robot_rl.networks.gaussian_actor import GaussianActor
from robot_rl.networks.grasp_q import COMMANDS
from robot_rl.networks.mlp import NumpyMlp
from robot_rl.networks.tanh_gaussian import STD_MAX, STD_MIN
from robot_rl.policies.weights import load_checked


class GaussianPolicy:
    """`tanh(mean + std * noise)`, an `OnlinePolicy` that ignores the base action.

    Where the actor has a network for the gripper, the last element of the action is the command
    of the largest Q: -1 closes, 0 leaves it as it is, 1 opens.

    Runs in numpy, which at one observation a call is several times faster than torch.

    Args:
        actor: its weights are copied in by `load_weights`; pass one of its own.
        observation: the spec of what `propose` gets.
        grasp_epsilon: probability of a random command to the gripper while exploring.
    """

    def __init__(
        self, actor: GaussianActor, observation: ObservationSpec, *, grasp_epsilon: float = 0.0
    ) -> None:
        self.version = 0
        self.latent: Vector = NO_LATENT
        self._actor = actor
        self._observation = observation
        self._grasp_epsilon = grasp_epsilon
        self._refresh()
        self.reset(0)

    def reset(self, seed: int) -> None:
        """A new episode begins; seed the exploration noise."""
        self._rng = np.random.default_rng(seed)

    def replan(self) -> None:
        """Nothing to forget: every action is made anew."""

    def propose(self, observation: Observation, base_action: Vector, *, explore: bool) -> Vector:
        """Return float32[d] in [-1, 1]: a sample to explore, else the tanh of the mean."""
        features = self._look(observation)
        raw = self._head(np.maximum(self._trunk(features), np.float32(0)))
        mean, log_std = np.split(raw, 2)
        if explore:
            std = np.clip(np.exp(log_std), STD_MIN, STD_MAX)
            mean = mean + std * self._rng.standard_normal(len(mean), np.float32)
        action = np.tanh(mean)
        if self._grasp is None:
            return action
        return np.append(action, self._command(self._grasp(features), explore=explore))

    def load_weights(self, weights: Mapping[str, Tensor], version: int) -> None:
        """Act with the weights of a learner from the next call on.

        Raises:
            ContractError: if they do not fit, are not finite or are not newer; the old ones stay.
        """
        load_checked(self._actor, weights, version, self.version)
        self.version = version
        self._refresh()

    def _command(self, q: Vector, *, explore: bool) -> np.float32:
        random = explore and self._rng.random() < self._grasp_epsilon
        chosen = self._rng.integers(len(COMMANDS)) if random else np.argmax(q)
        return np.float32(COMMANDS[chosen])

    def _refresh(self) -> None:
        weights = self._actor.state_dict()
        linear = {
            f"layers.0.{k.split('.')[-1]}": v for k, v in weights.items() if k.startswith("head.")
        }
        self._look = self._actor.encoder.look(self._observation)
        self._trunk = NumpyMlp(weights, "trunk.", layer_norm=False)
        self._head = NumpyMlp(linear, "", layer_norm=False)
        has_grasp = self._actor.grasp is not None
        self._grasp = NumpyMlp(weights, "grasp.mlp.", layer_norm=True) if has_grasp else None
