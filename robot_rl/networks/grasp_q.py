"""The value of each command that a gripper can get. Learning: `learning.grasp_critic`."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from robot_rl.networks.mlp import Mlp

CLOSE, HOLD, OPEN = range(3)
COMMANDS = (-1.0, 0.0, 1.0)
"""What the gripper element of an action is for the classes close, hold and open."""


class GraspQ(nn.Module):
    """`features -> hidden (LayerNorm, ReLU) -> 3`, one Q for each of close, hold and open.

    Args:
        inputs: length of the features.
        hidden: sizes of the hidden layers.
    """

    def __init__(self, inputs: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.mlp = Mlp(inputs, hidden, len(COMMANDS), layer_norm=True)

    def forward(self, features: Tensor) -> Tensor:
        """Return Q float32[b, 3] of features float32[b, m]."""
        return self.mlp(features)
