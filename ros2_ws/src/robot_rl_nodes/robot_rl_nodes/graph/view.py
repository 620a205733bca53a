"""What the loop over a live graph sees: streams joined to observations. No rclpy.

The samples of an observation are remembered by the stamps of their messages, so that a recorder
finds again what the policy saw.
"""

from __future__ import annotations

from collections import deque

from robot_rl.core.spec import TaskSpec
from robot_rl.core.types import Observation
from robot_rl.sensing.monitor import StreamMonitor
from robot_rl.sensing.synchroniser import Synchroniser
from robot_rl_nodes.graph.contract import GraphPort, Moment


class GraphView:
    """Joins the newest samples of a graph's streams, once in each control period.

    Args:
        task: what is observed.
        port: to the graph.
        monitor: watches the streams for faults that their ages do not show.
        max_age_s: older samples are told as trouble.

    Attributes:
        trouble: why nobody should act on the newest observation, in words; empty if all is well.
    """

    def __init__(
        self, task: TaskSpec, port: GraphPort, monitor: StreamMonitor | None, max_age_s: float
    ) -> None:
        self.trouble = ""
        self._port = port
        self._monitor = monitor
        self._max_age_s = max_age_s
        self._synchroniser = Synchroniser(task.observation, task.instruction)
        self._moments = deque[Moment](maxlen=2)
        self._used: dict[str, int] = {}

    def reset(self) -> None:
        """An episode begins: nothing that was seen before counts."""
        self.trouble = ""
        self._used.clear()
        self._moments.clear()
        if self._monitor:
            self._monitor.reset()

    def absent(self, since_ns: int) -> list[str]:
        """Streams without a sample since then [ns], by this machine's monotonic clock."""
        return [
            name
            for name, sample in self._port.samples().items()
            if sample is None or sample.observation.stamp_ns < since_ns
        ]

    @property
    def newest(self) -> Moment:
        """The observation that was made last."""
        return self._moments[-1]

    def moment(self, observation: Observation) -> Moment:
        """Where one of the last two observations comes from."""
        return next(m for m in self._moments if m.observation is observation)

    def observe(self) -> Observation:
        """Return the observation of this instant.

        Raises:
            HardwareError: if a stream has no sample, or nobody delivers a key of the task.
            ContractError: if two streams deliver one key, or shape or dtype are wrong.
        """
        now_ns, ros_now_ns = self._port.clock.now_ns(), self._port.ros_now_ns()
        heard = self._port.samples()
        samples = {name: s.observation if s else None for name, s in heard.items()}
        refusal = ""
        if self._monitor:
            watched = self._monitor.watch(samples, now_ns)
            samples = watched.samples
            refusal = watched.refusal[1] if watched.refusal else ""
        for name, sample in samples.items():
            # The monitor may go on with an earlier sample than the newest.
            newest = heard[name]
            if sample and newest and sample.stamp_ns == newest.observation.stamp_ns:
                self._used[name] = newest.stamp_ns
        observation = self._synchroniser.align(samples, now_ns)
        self.trouble = self._trouble(observation, refusal)
        self._moments.append(
            Moment(observation=observation, stamp_ns=ros_now_ns, streams=dict(self._used))
        )
        return observation

    def _trouble(self, observation: Observation, refusal: str) -> str:
        words = [refusal] if refusal else []
        words += [
            f"stream {name!r}: its newest sample is {age_s:.2f} s old, at most "
            f"{self._max_age_s:g} s are borne"
            for name, age_s in observation.ages_s.items()
            if age_s > self._max_age_s
        ]
        if words:
            words += [complaint for complaint in self._port.complaints().values() if complaint]
        return "; ".join(words)
