"""The streams of a live graph that a node looks at: sources by name, the newest sample of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import IMAGE_PREFIX, ObservationSpec
from robot_rl_nodes.conversion import ns_from_stamp
from robot_rl_nodes.graph.contract import Sample
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.source import HeaderTime, TopicSensor, source


class _Stream:
    """Keeps the newest sample together with the stamp of its own message."""

    def __init__(self, sensor: TopicSensor) -> None:
        self.sensor = sensor
        self.newest: Sample | None = None

    def put(self, message: Any) -> None:
        self.sensor.put(message)
        observation = self.sensor.latest()
        if observation is not None and not self.sensor.complaint:
            # One assignment: another thread reads sample and stamp of the same message.
            self.newest = Sample(
                observation=observation, stamp_ns=ns_from_stamp(self.sensor.stamp)
            )


class GraphStreams:
    """Listens to sources; messages come in on the node's thread, anybody may look.

    Args:
        node: that listens, while it is being set up.
        names: of the sources, see `robot_rl_nodes.source`; cameras that the task does not observe
            are left alone.
        spec: what the task observes.
        max_age_s: a longer silence of a stream is told on /diagnostics.

    Raises:
        ConfigError: if there is no such source, one is named twice, or none is named.
    """

    def __init__(
        self, node: ManagedNode, names: Sequence[str], spec: ObservationSpec, max_age_s: float
    ) -> None:
        if not names or len(set(names)) != len(names):
            raise ConfigError(
                f"sources: got {list(names)}, expected at least one and each once, e.g. robot"
            )
        time_of = HeaderTime(lambda: node.now_ns, node.monotonic)
        self._streams: dict[str, _Stream] = {}
        for name in names:
            kind, _, camera = name.partition(":")
            if camera and kind == "camera" and f"{IMAGE_PREFIX}{camera}" not in spec.images:
                continue
            found = source(name, spec)
            stream = _Stream(TopicSensor(found, time_of))
            node.listen_to(found.topic, stream.put, max_age_s=max_age_s)
            self._streams[name] = stream

    @property
    def sensors(self) -> Mapping[str, TopicSensor]:
        """What listens, by the name of its source."""
        return {name: stream.sensor for name, stream in self._streams.items()}

    def samples(self) -> Mapping[str, Sample | None]:
        """The newest of each stream; None where nothing was heard."""
        return {name: stream.newest for name, stream in self._streams.items()}

    def complaints(self) -> Mapping[str, str]:
        """Why the newest message of a stream was not taken, by stream; empty if it was."""
        return {name: stream.sensor.complaint for name, stream in self._streams.items()}
