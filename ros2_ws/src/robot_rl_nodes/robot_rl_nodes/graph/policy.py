"""A policy server as the policy of a live graph: its loss rests the arm, no more. No rclpy.

What plays its chunks is `policies.ready_player`; no torch is needed here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from robot_rl.control.chunk_player import Player
from robot_rl.control.chunking.async_player import ChunkingConfig
from robot_rl.control.chunking.planner import PlannerError
from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.spec import TaskSpec
from robot_rl.core.types import Observation, Vector
from robot_rl.policies.base import BasePolicy, PlanRequest, PolicySpec
from robot_rl.policies.ready_player import async_player
from robot_rl.policies.remote.remote_policy import RemotePolicy, RemotePolicyConfig

_LOG = logging.getLogger(__name__)

FIRST_WAIT_S = 0.25
"""After a plan that could not be made, the next one is asked for so much later."""
LONGEST_WAIT_S = 4.0
"""Each failure doubles the wait, up to here."""

OnPlan = Callable[[Vector, int], None]
"""Called in the planner's thread with a plan float32[h, d] and the stamp of its observation."""


class ToldPolicy:
    """A `BasePolicy` whose plans are told to somebody as well.

    Args:
        policy: makes the plans.
        on_plan: is told of each.
    """

    def __init__(self, policy: BasePolicy, on_plan: OnPlan) -> None:
        self._policy = policy
        self._on_plan = on_plan

    @property
    def spec(self) -> PolicySpec:
        """See `BasePolicy.spec`."""
        return self._policy.spec

    def infer(self, requests: Sequence[PlanRequest]) -> Vector:
        """See `BasePolicy.infer`."""
        plans = self._policy.infer(requests)
        for plan, request in zip(plans, requests, strict=True):
            self._on_plan(plan, request.window[-1].stamp_ns)
        return plans


class PatientPlayer:
    """A `Player` that has nothing to play while its policy cannot plan, and asks again later.

    What is in play when a plan fails is dropped: the policy that made it is gone.

    Args:
        player: plays the policy's chunks, without waiting.
        clock: by which is waited before the policy is asked again.

    Attributes:
        trouble: why there is no plan, in words; empty if there is one.
    """

    def __init__(self, player: Player, clock: Clock) -> None:
        self._player = player
        self._clock = clock
        self._again_ns = 0
        self._wait_s = FIRST_WAIT_S
        self.trouble = ""

    @property
    def fingerprint(self) -> str:
        """The policy's own."""
        return self._player.fingerprint

    def reset(self, seed: int) -> None:
        """See `Player.reset`; the policy is asked at once."""
        self._again_ns, self._wait_s = 0, FIRST_WAIT_S
        self._player.reset(seed)

    def replan(self) -> None:
        """See `Player.replan`."""
        self._player.replan()

    def next(self, observation: Observation) -> Vector | None:
        """See `Player.next`."""
        if self._clock.now_ns() < self._again_ns:
            return None
        try:
            action = self._player.next(observation)
        except PlannerError as error:
            self._again_ns = self._clock.now_ns() + round(self._wait_s * NS_PER_S)
            self.trouble = f"{error.__cause__ or error}; asked again in {self._wait_s:g} s"
            self._wait_s = min(2.0 * self._wait_s, LONGEST_WAIT_S)
            _LOG.warning("no plan: %s", self.trouble)
            self._player.replan()
            return None
        if action is not None:
            self.trouble, self._wait_s = "", FIRST_WAIT_S
        return action


class NobodyPlans:
    """A `Player` without a policy: only persons drive."""

    fingerprint = ""
    trouble = ""

    def reset(self, seed: int) -> None:
        """See `Player.reset`."""

    def replan(self) -> None:
        """See `Player.replan`."""

    def next(self, observation: Observation) -> Vector | None:
        """Nothing, ever."""
        return None


class ServedPolicy:
    """The policy of a server, or none.

    Args:
        uri: `ws://host:port`, `wss://host:port` or `unix:///path`; `#name` at its end names a
            policy there, the server's default without it. Empty for no policy at all.
        task: which it must fit.
        chunking: how its chunks are played.
        clock: the control loop's own.
        on_plan: is told of each plan.
        timeout_s: for connecting, and for each plan [s].

    Attributes:
        name: of the policy; empty if there is none.
        player: plays its chunks.

    Raises:
        ConfigError: if the address is wrong, or the policy cannot do what the chunking asks for.
        ContractError: if the server has no such policy, or it does not fit the task.
        HardwareError: if the server is not there.
    """

    def __init__(
        self,
        uri: str,
        task: TaskSpec,
        chunking: ChunkingConfig,
        clock: Clock,
        on_plan: OnPlan,
        timeout_s: float,
    ) -> None:
        self.uri = uri
        self.name = ""
        self.player: PatientPlayer | NobodyPlans = NobodyPlans()
        self._policy: RemotePolicy | None = None
        if not uri:
            return
        url, _, policy = uri.partition("#")
        config = RemotePolicyConfig(
            url=url, policy=policy or None, timeout_s=timeout_s, frozen=False
        )
        self._policy = config.build(task)
        try:
            told = ToldPolicy(self._policy, on_plan)
            player = async_player(told, clock, chunking, self._policy.spec.execute)
        except BaseException:
            self.close()
            raise
        self.name = self._policy.name
        self.player = PatientPlayer(player, clock)

    @property
    def fingerprint(self) -> str:
        """Of the weights that were served when it was connected to."""
        return self._policy.spec.fingerprint if self._policy else ""

    @property
    def version(self) -> int:
        """Of the weights that made the last plan."""
        return self._policy.version if self._policy else 0

    def close(self) -> None:
        """Hang up."""
        if self._policy:
            self._policy.close()
