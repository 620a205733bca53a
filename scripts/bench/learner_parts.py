"""How fast a learner updates and where that time goes."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from timing import repeated, seconds
from workload import Workload

from robot_rl.data.replay.replay_buffer import ReplayBuffer
from robot_rl.data.replay.sampling import Sampler
from robot_rl.networks.ema import Polyak


class LearnerBench:
    """A learner with full buffers, as it stands in the middle of a run.

    Args:
        work: gives task, schedule, demonstrations and normaliser.
        config: the learner's.
        steps: how many the online buffer holds.
    """

    def __init__(self, work: Workload, config: Any, steps: int) -> None:
        task, schedule = work.station.bench.task, work.config.schedule
        self.learner = config.build(work.base, 0)
        self.cycle = schedule.batches_per_cycle
        # Episodes this short leave room for fewer steps than the capacity says.
        online = ReplayBuffer(2 * steps, task.observation, task.action.size)
        offline = ReplayBuffer(steps, task.observation, task.action.size, offline=True)
        for demo in work.demos:
            offline.add_episode(demo)
        while len(online) < steps:
            for demo in work.demos:
                online.add_episode(demo)
        self.sampler = Sampler(
            [online, offline],
            [1 - schedule.offline_share, schedule.offline_share],
            batch_size=schedule.batch_size,
            n_step=schedule.n_step,
            gamma=schedule.gamma,
            seed=0,
        )

    def updates_per_s(self, repeats: int, calls: int) -> list[float]:
        """Critic updates per second, with sampling and the actor update of each cycle."""

        def cycle() -> None:
            self.learner.update([self.sampler.sample() for _ in range(self.cycle)])

        return [self.cycle / spent_s for spent_s in repeated(cycle, repeats, calls)]

    def parts(self, repeats: int, calls: int) -> dict[str, list[float]]:
        """Time of one critic update by part [s].

        `critic` is the regression without target and Polyak, which stand by themselves. `actor` is
        its step spread over the cycle, `rest` encoding, next actions and metrics. These three are
        differences, and carry the noise of what they are differences of.
        """
        batch, critics = self.sampler.sample(), self.learner.critics
        batches = [batch] * self.cycle
        seen = critics.encode(batch)
        noise = torch.Generator().manual_seed(0)
        polyak = Polyak(deepcopy(critics.critic), critics.critic, 0.005)
        work = {
            "sampling": self.sampler.sample,
            "target": lambda: critics.td_target(seen.next_target, batch.action, batch, noise),
            "polyak": polyak.update,
            "step": lambda: critics.step(seen, batch, batch.action, noise),
            "critics": lambda: self.learner.update(batches, train_actor=False),
            "cycle": lambda: self.learner.update(batches),
        }
        for call in work.values():
            call()
        # In turn, so that the differences are of numbers from the same moment.
        rounds = [
            {name: seconds(call, calls) for name, call in work.items()} for _ in range(repeats)
        ]
        spent = {name: np.array([one[name] for one in rounds]) for name in work}
        critics_s, cycle_s = spent.pop("critics") / self.cycle, spent.pop("cycle") / self.cycle
        step_s = spent.pop("step")
        spent["critic"] = step_s - spent["target"] - spent["polyak"]
        spent["actor"] = cycle_s - critics_s
        spent["rest"] = critics_s - step_s
        return {name: values.tolist() for name, values in spent.items()}
