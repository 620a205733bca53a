"""Decides close, hold or open: a double DQN beside an actor that drives the other elements."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from copy import deepcopy

import torch
from pydantic import Field
from torch import Tensor

from robot_rl.config.model import Config
from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import GRIPPER
from robot_rl.data.replay.batch import Batch
from robot_rl.learning.contract import Foundation
from robot_rl.learning.critic_step import Encoded
from robot_rl.learning.optimiser import GuardedAdam, prefixed, under
from robot_rl.networks.ema import Polyak
from robot_rl.networks.grasp_q import CLOSE, HOLD, OPEN, GraspQ


class GraspCriticConfig(Config):
    """Settings of `GraspCritic`.

    Args:
        open_m: the gripper is open where its measured opening is above this [m].
        threshold: an executed gripper element below -threshold counts as close, above threshold
            as open, and as hold between them. Set it to what the robot takes for a command.
        penalty: reward of a command that toggles the gripper.
        epsilon: probability of a random command while exploring.
        learning_rate: step size of Adam.
        tau: Polyak rate of the target, after each step.
    """

    open_m: float = Field(gt=0)
    threshold: float = Field(default=0.5, ge=0, lt=1)
    penalty: float = Field(default=-0.02, le=0)
    epsilon: float = Field(default=0.05, ge=0, le=1)
    learning_rate: float = Field(default=3e-4, gt=0)
    tau: float = Field(default=0.005, gt=0, le=1)

    def network(self, base: Foundation, features: int, hidden: Sequence[int]) -> GraspQ:
        """Return the network for a robot with a gripper.

        Raises:
            ConfigError: if there is no gripper to command, or no opening to see.
        """
        names, observed = base.action.names, base.observation.vectors
        if names[-1] != "gripper":
            raise ConfigError(
                f"grasp: the last action element is {names[-1]!r}, expected 'gripper'; remove "
                "learner.grasp for this task"
            )
        if GRIPPER not in observed or observed[GRIPPER].size != 1:
            raise ConfigError(
                f"grasp: expected the vector {GRIPPER!r} with the opening alone, got "
                f"{', '.join(observed)}; without it nobody can tell what toggles the gripper"
            )
        return GraspQ(features, hidden)


class GraspCritic:
    """Double DQN over three commands (HIL-SERL, Luo et al. 2024, arXiv 2410.21845, section III).

    `y = r + p + discount * Q'(o', argmax Q(o'))` (van Hasselt et al. 2016, arXiv 1509.06461,
    eq. 4), where `p` is the penalty if the command toggles the gripper: it closes an open one or
    opens a closed one. That is judged before the step, by the opening measured in the batch's
    observation, since a batch holds no earlier command. So while the fingers are on their way a
    repeated command costs again, and a hold, which lets them go on, does not.

    It is fed the features that the critics of the other elements train. The penalty is of the
    first step alone, so windows must be of one step.

    Metrics: `grasp_loss`; `grasp_q_mean` of the commands given; `grasp_toggled`, the share of
    rows whose command toggles.

    Args:
        config: settings.
        live: the network that acts and is trained, in place.
        opening: column of the gripper's opening in a packed observation.
        max_grad_norm: gradients are clipped to this norm.
        ceiling: no return is larger, if known; penalties can only lower it.
    """

    def __init__(
        self,
        config: GraspCriticConfig,
        live: GraspQ,
        *,
        opening: int,
        max_grad_norm: float,
        ceiling: float | None,
    ) -> None:
        self._config = config
        self._opening = opening
        self._ceiling = ceiling
        self.live = live
        self.target = deepcopy(live).requires_grad_(False)
        self.adam = GuardedAdam(live.parameters(), config.learning_rate, max_grad_norm)
        self._polyak = Polyak(self.target, live, config.tau)

    def commands(self, action: Tensor) -> Tensor:
        """Return the classes int64[b] of executed actions float32[b, d]."""
        value, threshold = action[:, -1], self._config.threshold
        held = torch.full_like(value, HOLD, dtype=torch.int64)
        held[value < -threshold] = CLOSE
        held[value > threshold] = OPEN
        return held

    def toggles(self, commands: Tensor, observation: Tensor) -> Tensor:
        """Return bool[b]: whether commands int64[b] toggle the gripper as it was seen before."""
        is_open = observation[:, self._opening] > self._config.open_m
        return torch.where(is_open, commands == CLOSE, commands == OPEN)

    @torch.no_grad()
    def td_target(self, seen: Encoded, batch: Batch, toggled: Tensor) -> Tensor:
        """Return y float32[b]: the live network chooses what the target network values."""
        best = self.live(seen.next_target).argmax(-1, keepdim=True)
        value = self.target(seen.next_target).gather(-1, best).squeeze(-1)
        y = batch.reward + self._config.penalty * toggled + batch.discount * value
        return y if self._ceiling is None else y.clamp(max=self._ceiling)

    def step(self, seen: Encoded, batch: Batch) -> dict[str, float]:
        """Regress the commands given on the target and move the target copy; return metrics.

        A step that is not finite changes neither of the two.
        """
        commands = self.commands(batch.action)
        toggled = self.toggles(commands, batch.observation)
        y = self.td_target(seen, batch, toggled)
        q = self.live(seen.now.detach()).gather(-1, commands[:, None]).squeeze(-1)
        loss = (q - y).square().mean()
        skipped = self.adam.skipped
        self.adam.step(loss)
        if self.adam.skipped == skipped:
            self._polyak.update()
        return {
            "grasp_loss": loss.item(),
            "grasp_q_mean": q.detach().mean().item(),
            "grasp_toggled": toggled.float().mean().item(),
        }

    def state_dict(self) -> dict[str, Tensor]:
        """Return a flat copy of the target and the optimiser; the live network is the actor's."""
        return {
            **prefixed("target", self.target.state_dict()),
            **prefixed("adam", self.adam.state_dict()),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up where `state` was taken."""
        self.target.load_state_dict(under("target", state))
        self.adam.load_state_dict(under("adam", state))


def without_gripper(batch: Batch) -> Batch:
    """Return the batch with the executed actions float32[b, d - 1] of the other elements."""
    return dataclasses.replace(batch, action=batch.action[:, :-1])
