"""A device behind a node: it lives in a thread of its own, and its samples are handed over.

Opening never blocks the node. A device that is gone deactivates the node; activating it again
opens the device anew. Not here: when to try again (whoever manages the nodes).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from robot_rl.core.clock import NS_PER_S
from robot_rl.core.errors import ConfigError, HardwareError
from robot_rl.core.types import Observation
from robot_rl.sensing.intake import Intake
from robot_rl_hardware.sampler import Sampler
from robot_rl_nodes.diagnostic import Level
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.parameter import Parameter

DEVICE = Parameter(
    name="device",
    default="",
    description="path of the YAML that names the driver and its settings",
    required=True,
)
_WATCH_S = 0.1
_LATE_AFTER_S = 0.1
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Device:
    """One sensor of a node.

    Args:
        node: that publishes it; made in its `setup`.
        name: of the stream.
        make: builds the sensor, which is not yet open, on an intake.
        seen: called with the newest sample by the node's executor while the node is active.
        heard: called with each sample in the device's thread.
    """

    def __init__(
        self,
        node: ManagedNode,
        name: str,
        make: Callable[[Intake], Sampler],
        *,
        seen: Callable[[Observation], None] | None = None,
        heard: Callable[[Observation], None] | None = None,
    ) -> None:
        self._node = node
        self._name = name
        self._make = make
        self._seen = seen
        self._heard = heard
        self._intake = self._new_intake()
        self._sampler = make(self._intake)
        self._arrived = node.create_guard_condition(self._hand_over)
        node.when_unmade(lambda: node.destroy_guard_condition(self._arrived))
        node.every(_WATCH_S, self._watch)
        self._enter()
        node.when_unmade(self._leave)

    def reopen(self) -> None:
        """Open the device anew if it is gone."""
        if self._sampler.failure is not None:
            self._leave()
            self._intake = self._new_intake()
            self._sampler = self._make(self._intake)
            self._enter()

    def latest(self) -> Observation | None:
        """Return the newest sample, or None before the first.

        Raises:
            HardwareError: if the device is gone.
        """
        return self._sampler.latest()

    def ros_ns(self, seen: Observation) -> int:
        """When a sample was taken, in ROS time [ns]."""
        return self._node.now_ns - (self._node.monotonic.now_ns() - seen.stamp_ns)

    def _new_intake(self) -> Intake:
        return Intake(self._name, self._node.monotonic, _LATE_AFTER_S)

    def _enter(self) -> None:
        self._node.diagnostics.set("device", Level.WARN, "opening")
        self._sampler.listener = self._listen
        self._sampler.__enter__()

    def _leave(self) -> None:
        self._sampler.__exit__(None, None, None)

    def _listen(self, newest: Observation) -> None:
        if self._heard is not None:
            self._heard(newest)
        if self._seen is not None:
            self._arrived.trigger()

    def _hand_over(self) -> None:
        if self._node.active and self._seen is not None:
            self._node.guard(self._show, f"a sample of {self._name}")

    def _show(self) -> None:
        newest = self.latest()
        if newest is not None and self._seen is not None:
            self._seen(newest)

    def _watch(self) -> None:
        try:
            newest = self.latest()
        except HardwareError as error:
            self._node.diagnostics.set("device", Level.ERROR, str(error))
            raise
        complaint, counts = self._sampler.complaint, self._intake.counts
        level, words = Level.OK, "delivers"
        if complaint:
            level, words = Level.ERROR, complaint
        elif newest is None:
            level, words = Level.WARN, "opening"
        self._node.diagnostics.set(
            "device",
            level,
            words,
            fresh=counts.fresh,
            late=counts.late,
            lost=counts.lost,
            refused=self._sampler.refused,
        )


class Decimation:
    """Lets samples through at no more than a rate.

    Args:
        rate_hz: at most.
    """

    def __init__(self, rate_hz: float) -> None:
        self._period_ns = NS_PER_S / rate_hz
        self._due_ns = 0.0

    def __call__(self, stamp_ns: int) -> bool:
        """Whether a sample of this instant is let through."""
        # A quarter of a period is borne as jitter, so that equal rates lose nothing.
        if stamp_ns < self._due_ns - self._period_ns / 4:
            return False
        self._due_ns = max(self._due_ns, stamp_ns - self._period_ns / 4) + self._period_ns
        return True


def topic_part(what: str, name: str) -> str:
    """Return a name that may be part of a topic's.

    Raises:
        ConfigError: if it may not.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{what} {name!r}: expected lower-case letters, digits and underscores, beginning "
            "with a letter; it becomes part of topics and of keys"
        )
    return name
