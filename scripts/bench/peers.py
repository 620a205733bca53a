"""What a learner's parts would cost in the plain form that published code usually gives them.

A replay that stacks one dict a row, and critics that are evaluated head by head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from learner_parts import LearnerBench
from timing import in_turn
from torch import Tensor, nn
from workload import Workload

from robot_rl.core.types import Transition
from robot_rl.data.replay.batch import Batch
from robot_rl.learning.optimiser import GuardedAdam
from robot_rl.networks.critic import CriticEnsemble
from robot_rl.networks.mlp import Mlp

InTurn = tuple[list[float], list[float], list[float]]


def sampling_against_rows(work: Workload, bench: LearnerBench, repeats: int, calls: int) -> InTurn:
    """Durations of one batch from our buffers and from rows, and their ratio."""
    schedule, observation = work.config.schedule, work.station.bench.task.observation
    transitions = [t for demo in work.demos for t in demo.transitions()]
    rows = RowReplay(transitions, observation.pack, schedule.n_step, schedule.gamma)
    return in_turn(bench.sampler.sample, lambda: rows.sample(schedule.batch_size), repeats, calls)


class RowReplay:
    """One dict a step in a list; windows are folded and stacked row by row."""

    def __init__(
        self, transitions: Sequence[Transition], pack: Any, n_step: int, gamma: float
    ) -> None:
        self._rows = [_row(t, pack) for t in transitions]
        self._n_step = n_step
        self._gamma = gamma
        self._rng = np.random.default_rng(0)

    def sample(self, size: int) -> dict[str, Tensor]:
        """Return a batch with the fields of `Batch`, images left out."""
        drawn = [self.window(int(i)) for i in self._rng.integers(0, len(self._rows), size)]
        return {key: torch.from_numpy(np.stack([row[key] for row in drawn])) for key in drawn[0]}

    def window(self, start: int) -> dict[str, Any]:
        """The n-step window from a row; demonstrations end in termination or truncation."""
        reward, discount, last = 0.0, 1.0, start
        for last in range(start, min(start + self._n_step, len(self._rows))):
            reward += discount * self._rows[last]["reward"]
            discount *= self._gamma
            if self._rows[last]["ended"]:
                break
        end = self._rows[last]
        return {
            **{key: value for key, value in self._rows[start].items() if key not in _FOLDED},
            "next_observation": end["next_observation"],
            "next_base_action": end["next_base_action"],
            "reward": np.float32(reward),
            "discount": np.float32(0.0 if end["terminated"] else discount),
        }


_FOLDED = ("ended", "terminated")


def _row(t: Transition, pack: Any) -> dict[str, Any]:
    return {
        "observation": pack(t.observation.vectors),
        "next_observation": pack(t.next_observation.vectors),
        "action": t.action,
        "base_action": t.base_action,
        "next_base_action": t.next_base_action,
        "proposed_action": t.proposed_action,
        "reward": t.reward,
        "human": np.bool_(False),
        "offline": np.bool_(True),
        "terminated": t.terminated,
        "ended": t.terminated or t.truncated,
    }


def critics_against_loop(bench: LearnerBench, repeats: int, calls: int) -> InTurn:
    """Durations of one regression step of all heads at once and head by head, and their ratio."""
    batch: Batch = bench.sampler.sample()
    x = torch.cat([bench.learner.actor.encoder(batch.observation), batch.action], dim=-1)
    critic: CriticEnsemble = bench.learner.critics.critic
    heads, inputs = critic.heads, x.shape[-1]
    hidden = [weight.shape[-1] for weight in critic.weights[:-1]]
    ensemble = CriticEnsemble(heads, inputs, hidden)
    loop = nn.ModuleList(Mlp(inputs, hidden, 1, layer_norm=True) for _ in range(heads))
    adams = [GuardedAdam(net.parameters(), 1e-3, 1.0) for net in (ensemble, loop)]

    def at_once() -> float:
        return adams[0].step((ensemble(x) - batch.reward).square().mean())

    def head_by_head() -> float:
        q = torch.stack([head(x).squeeze(-1) for head in loop])
        return adams[1].step((q - batch.reward).square().mean())

    return in_turn(at_once, head_by_head, repeats, calls)
