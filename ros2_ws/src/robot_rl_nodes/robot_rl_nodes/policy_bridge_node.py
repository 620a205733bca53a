"""Observes, asks the policy server, and offers its actions to the gate, one episode at a time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robot_rl_msgs.msg import EpisodeState
from robot_rl_msgs.srv import LoadPolicy

from robot_rl.core.types import Vector
from robot_rl_nodes.conversion import ns_from_stamp
from robot_rl_nodes.diagnostic import Level
from robot_rl_nodes.graph.cell import stream_monitor
from robot_rl_nodes.graph.env import GraphEnv
from robot_rl_nodes.graph.episode import GraphEpisodes
from robot_rl_nodes.graph.message import chunk_message
from robot_rl_nodes.graph.parameter import BRIDGE, chunking, patience, policy_uri
from robot_rl_nodes.graph.policy import ServedPolicy
from robot_rl_nodes.graph.port import RosPort
from robot_rl_nodes.graph.stream import GraphStreams
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.process import main
from robot_rl_nodes.task import task_spec
from robot_rl_nodes.topic import EPISODE_STATE, POLICY_CHUNK, POLICY_LOAD, POLICY_STEP

_LOOK_S = 0.02
_END_S = 2.0


class PolicyBridgeNode(ManagedNode):
    """Begins an episode when `episode/state` turns RUNNING, and ends it when that leaves RUNNING.

    Every control period is told on `policy/step`, every plan on `policy/chunk`. While there is no
    plan, or a stream is too old, nothing is offered and the gate holds.
    """

    PARAMETERS = BRIDGE

    def __init__(self, **of: Any) -> None:
        super().__init__("policy_bridge", **of)

    def setup(self, values: Mapping[str, Any]) -> None:
        """See `ManagedNode`."""
        self.task = task_spec(values["task"])
        self.chunking, self.plan_s = chunking(values), float(values["plan_s"])
        wait = patience(values)
        streams = GraphStreams(self, values["sources"], self.task.observation, wait.max_age_s)
        monitor = stream_monitor(Path(values["cell"]), self.task) if values["cell"] else None
        self.port = RosPort(self, self.task, streams)
        self.when_unmade(self.port.close)
        self.env = GraphEnv(self.task, self.port, monitor, wait)
        self.chunks = self.publish_on(POLICY_CHUNK)
        steps = self.publish_on(POLICY_STEP)
        self.episodes = GraphEpisodes(self.env, self.task, self.monotonic, steps.publish)
        self.policy = self._serve(policy_uri(values))
        self.when_unmade(lambda: self.policy.close())
        self.wanted: EpisodeState | None = None
        self.begun = ""
        self.listen_to(EPISODE_STATE, self._hear)
        self.serve(LoadPolicy, POLICY_LOAD, self._load)
        self.every(_LOOK_S, self._look)

    def begin(self) -> None:
        """Episodes that began before are not joined: their beginning was not seen."""
        self.since_ns, self.wanted = self.now_ns, None

    def rest(self) -> None:
        """End the episode; its last step still goes out."""
        self.port.ended = True
        if not self.episodes.join(_END_S):
            self.get_logger().error(f"the episode has not ended within {_END_S} s")

    def _serve(self, uri: str) -> ServedPolicy:
        return ServedPolicy(
            uri, self.task, self.chunking, self.monotonic, self._tell_plan, self.plan_s
        )

    def _tell_plan(self, plan: Vector, stamp_ns: int) -> None:
        ros_ns = self.now_ns - (self.monotonic.now_ns() - stamp_ns)
        message = chunk_message(plan, self.task.action.period_s, ros_ns)
        message.policy_id, message.policy_version = self.policy.name, self.policy.version
        self.port.policy_version = self.policy.version
        self.chunks.publish(message)

    def _hear(self, message: EpisodeState) -> None:
        runs = message.phase == EpisodeState.RUNNING
        if not runs:
            self.wanted, self.port.ended = None, True
        elif message.episode_id != self.begun and self._is_new(message):
            self.wanted, self.port.ended = message, self.episodes.running

    def _is_new(self, message: EpisodeState) -> bool:
        return message.step == 0 and ns_from_stamp(message.header.stamp) >= self.since_ns

    def _look(self) -> None:
        if self.wanted and not self.episodes.running:
            message, self.wanted = self.wanted, None
            self.begun, self.port.ended = str(message.episode_id), False
            self.port.policy_id, self.port.policy_version = self.policy.name, self.policy.version
            self.episodes.begin(self.begun, int(message.seed), self.policy)
        for part, words in (
            ("policy", self.policy.player.trouble),
            ("streams", self.env.trouble),
            ("episode", self.episodes.failure),
        ):
            self.diagnostics.set(part, Level.ERROR if words else Level.OK, words or "well")

    def _load(
        self, request: LoadPolicy.Request, response: LoadPolicy.Response
    ) -> LoadPolicy.Response:
        if self.wanted or self.episodes.running:
            response.message = f"{self.begun} runs; load a policy between two episodes"
            return response
        policy = self._serve(str(request.uri))
        before, self.policy = self.policy, policy
        before.close()
        response.success, response.message = True, f"{policy.name or 'no policy'} drives next"
        response.policy_id, response.fingerprint = policy.name[:64], policy.fingerprint[:64]
        return response


if __name__ == "__main__":
    raise SystemExit(main(lambda context: PolicyBridgeNode(context=context)))
