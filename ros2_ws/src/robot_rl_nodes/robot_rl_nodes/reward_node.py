"""Hosts a reward model: lets it judge the newest observation again and again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robot_rl_msgs.msg import EpisodeState, RewardStamped

from robot_rl.core.protocol import Judgement
from robot_rl.sensing.synchroniser import Synchroniser
from robot_rl_nodes.conversion import stamp_from_ns
from robot_rl_nodes.diagnostic import Level
from robot_rl_nodes.graph.stream import GraphStreams
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.parameter import Parameter
from robot_rl_nodes.process import main
from robot_rl_nodes.reward.model import reward_model
from robot_rl_nodes.reward.work import RewardWork, Seen
from robot_rl_nodes.task import task_spec
from robot_rl_nodes.topic import EPISODE_STATE, REWARD

_END_S = 2.0


class RewardNode(ManagedNode):
    """Judges while an episode runs, where there is a fresh sample of every source."""

    PARAMETERS = (
        Parameter(name="task", default="", description="YAML of configs/tasks", required=True),
        Parameter(
            name="reward",
            default="",
            description="YAML of configs/rewards/models: a component whose build(task) is a "
            "RewardModel",
            required=True,
        ),
        Parameter(
            name="sources",
            default=["robot"],
            description="streams that the model looks at, e.g. robot, camera:front",
        ),
        Parameter(name="rate_hz", default=10.0, description="[Hz]", minimum=0.1, maximum=100.0),
        Parameter(
            name="max_age_s",
            default=0.25,
            description="age of a sample, beyond which nothing is judged [s]",
            minimum=0.02,
            maximum=5.0,
        ),
    )

    def __init__(self, **of: Any) -> None:
        super().__init__("reward", **of)

    def setup(self, values: Mapping[str, Any]) -> None:
        """See `ManagedNode`."""
        task = task_spec(values["task"])
        self.model = reward_model(values["reward"], task)
        self.max_age_s = float(values["max_age_s"])
        self.episode_id = ""
        self.streams = GraphStreams(
            self, values["sources"], self.model.observation, self.max_age_s
        )
        self.synchroniser = Synchroniser(self.model.observation, task.instruction)
        self.rewards = self.publish_on(REWARD)
        self.work = RewardWork(self.model, self._judged)
        self.when_unmade(self._end_work)
        self.listen_to(EPISODE_STATE, self._hear)
        self.every(1.0 / values["rate_hz"], self._look)

    def _end_work(self) -> None:
        if not self.work.close(_END_S):
            self.get_logger().error(f"the model has not ended within {_END_S} s")

    def _hear(self, message: EpisodeState) -> None:
        runs = message.phase == EpisodeState.RUNNING
        before, self.episode_id = self.episode_id, str(message.episode_id) if runs else ""
        if runs and self.episode_id != before:
            self.work.begin()

    def _look(self) -> None:
        if self.work.error is not None:
            raise self.work.error
        if not self.episode_id:
            self.diagnostics.set("reward", Level.OK, "no episode runs")
            return
        now_ns, ros_now_ns = self.monotonic.now_ns(), self.now_ns
        heard = self.streams.samples()
        samples = {name: s.observation if s else None for name, s in heard.items()}
        old = [
            name
            for name, sample in samples.items()
            if sample is None or now_ns - sample.stamp_ns > self.max_age_s * 1e9
        ]
        if old:
            words = "; ".join(filter(None, self.streams.complaints().values()))
            self.diagnostics.set(
                "reward", Level.ERROR, f"no fresh sample of {', '.join(old)}; {words}"
            )
            return
        observation = self.synchroniser.align(samples, now_ns)
        self.diagnostics.set("reward", Level.OK, f"{self.model.name} judges")
        self.work.put(Seen(observation=observation, stamp_ns=ros_now_ns))

    def _judged(self, seen: Seen, judgement: Judgement, probability: float) -> None:
        message = RewardStamped(
            reward=float(judgement.reward),
            probability=float(probability),
            outcome=int(judgement.outcome),
            model_id=self.model.name[:64],
        )
        stamp_from_ns(seen.stamp_ns, message.header.stamp)
        self.rewards.publish(message)


if __name__ == "__main__":
    raise SystemExit(main(lambda context: RewardNode(context=context)))
