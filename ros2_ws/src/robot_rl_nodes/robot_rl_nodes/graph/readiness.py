"""What an episode on a live graph waits for: the gate, fresh samples of all streams, the seats."""

from __future__ import annotations

from robot_rl.core.clock import NS_PER_S
from robot_rl.core.errors import HardwareError
from robot_rl_nodes.graph.contract import GraphPort, Patience, PersonPort
from robot_rl_nodes.graph.period import GateTick
from robot_rl_nodes.graph.view import GraphView

_LOOK_S = 0.005
"""How often is looked whether what is waited for is there."""
_ASK_S = 0.5
"""How often the seat is asked for anew."""


class Readiness:
    """Waits, and says in words for what.

    Args:
        port: to the graph.
        view: of its streams.
        patience: how long is waited.
        person: who sits at the run itself, if anybody does.
    """

    def __init__(
        self, port: GraphPort, view: GraphView, patience: Patience, person: PersonPort | None
    ) -> None:
        self._port = port
        self._view = view
        self._patience = patience
        self._person = person

    @property
    def lost_person(self) -> str:
        """Why whoever sits at the run cannot reach the gate; empty if they can, or nobody does."""
        if self._person is None or self._person.seated:
            return ""
        return f"the person's seat at the gate is lost{_because(self._person.refusal)}"

    @property
    def lost_seats(self) -> tuple[str, str]:
        """Of actor and person, in words; empty if they are taken."""
        actor = f"the seat at the gate is lost{_because(self._port.refusal)}"
        return "" if self._port.seated else actor, self.lost_person

    def await_graph(self, since_ns: int) -> GateTick:
        """Return the gate's newest tick, once every stream has been heard since then [ns].

        Raises:
            HardwareError: if something is missing for too long, or the episode was called off.
        """
        deadline_ns = since_ns + round(self._patience.ready_s * NS_PER_S)
        newest: GateTick | None = None
        while True:
            ticks = self._port.ticks()
            newest = ticks[-1] if ticks else newest
            absent = self._view.absent(since_ns)
            if newest is not None and not absent:
                return newest
            missing = [f"stream {name!r}" for name in absent]
            missing += [] if newest else ["the gate"]
            complaints = [words for words in self._port.complaints().values() if words]
            self._look_again(deadline_ns, "; ".join([", ".join(missing), *complaints]))

    def await_seats(self) -> None:
        """Return once the actor's seat is ours, and the person's where one sits at the run.

        Raises:
            HardwareError: if one is not for too long, or the episode was called off.
        """
        deadline_ns = self._port.clock.now_ns() + round(self._patience.ready_s * NS_PER_S)
        while lost := self.lost_person:
            self._look_again(deadline_ns, lost)
        asked_ns: int | None = None
        while not self._port.seated:
            now_ns = self._port.clock.now_ns()
            if asked_ns is None or now_ns - asked_ns > _ASK_S * NS_PER_S:
                asked_ns = now_ns
                self._port.ask_seat()
            self._look_again(deadline_ns, f"the actor's seat{_because(self._port.refusal)}")

    def _look_again(self, deadline_ns: int, what: str) -> None:
        now_ns = self._port.clock.now_ns()
        if self._port.ended:
            raise HardwareError(f"the episode was called off while waiting for {what}")
        if now_ns >= deadline_ns:
            raise HardwareError(
                f"not there within {self._patience.ready_s:g} s: {what}; are their nodes active?"
            )
        self._port.clock.sleep_until_ns(now_ns + round(_LOOK_S * NS_PER_S))


def _because(refusal: str) -> str:
    return f": {refusal}" if refusal else ""
