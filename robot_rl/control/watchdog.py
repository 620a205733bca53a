"""Who watches whom, for how long silence is borne, and what follows. Judges; does not act.

A beat is stamped by the clock of whoever hears it: what a sender says of time counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.errors import ConfigError, did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Somebody who has to be heard again and again.

    Args:
        name: who is watched.
        watcher: who hears the beats and acts when they stay away.
        limit_s: silence of this length is borne, a longer one is a loss.
        reaction: what the watcher does then, in words for a person.
        grace_s: likewise for the silence before the first beat, if that may be longer.
    """

    name: str
    watcher: str
    limit_s: float
    reaction: str
    grace_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A peer that has been silent for too long.

    Args:
        peer: who, with the reaction.
        age_s: since the last beat, or since watching began if there was none.
        limit_s: what would have been borne.
    """

    peer: Peer
    age_s: float
    limit_s: float

    def __str__(self) -> str:
        return (
            f"{self.peer.name} silent for {self.age_s:.3f} s, at most {self.limit_s:g} s are "
            f"borne: {self.peer.reaction}"
        )


class Watchdog:
    """Remembers when each peer was last heard.

    A peer that is heard again is lost no more: whether motion goes on by itself then is for
    whoever acts on the loss. `beat` may be called from any thread.

    Args:
        peers: who is watched, from now on.
        clock: the watcher's own.
    """

    def __init__(self, peers: Iterable[Peer], clock: Clock) -> None:
        self._clock = clock
        self._peers = {peer.name: peer for peer in peers}
        self._start_ns = clock.now_ns()
        self._heard_ns: dict[str, int] = {}

    def beat(self, peer: str) -> None:
        """Note that the peer was heard just now.

        Raises:
            ConfigError: if nobody of that name is watched.
        """
        self._heard_ns[self._watched(peer).name] = self._clock.now_ns()

    def silence_s(self, peer: str) -> float:
        """Return how long ago the peer was heard, or watching began if it never was.

        Raises:
            ConfigError: if nobody of that name is watched.
        """
        return self._silence(self._watched(peer), self._clock.now_ns()).age_s

    def lost(self) -> list[Loss]:
        """Return who has been silent for too long by now, in the order of the peers."""
        now_ns = self._clock.now_ns()
        losses = (self._silence(peer, now_ns) for peer in self._peers.values())
        return [loss for loss in losses if loss.age_s > loss.limit_s]

    def _watched(self, name: str) -> Peer:
        if name not in self._peers:
            raise ConfigError(f"nobody watches {name!r}{did_you_mean(name, self._peers)}")
        return self._peers[name]

    def _silence(self, peer: Peer, now_ns: int) -> Loss:
        heard_ns = self._heard_ns.get(peer.name)
        if heard_ns is None:
            start_s = (now_ns - self._start_ns) / NS_PER_S
            return Loss(peer=peer, age_s=start_s, limit_s=max(peer.limit_s, peer.grace_s))
        return Loss(peer=peer, age_s=(now_ns - heard_ns) / NS_PER_S, limit_s=peer.limit_s)


def watched(name: str, watcher: str) -> Peer:
    """Return the row of `WATCHDOGS` in which `watcher` watches `name`.

    Raises:
        ConfigError: if there is none.
    """
    for peer in WATCHDOGS:
        if (peer.name, peer.watcher) == (name, watcher):
            return peer
    rows = ", ".join(f"{peer.name} by {peer.watcher}" for peer in WATCHDOGS)
    raise ConfigError(f"no watchdog: {name} by {watcher}; there are: {rows}")


WATCHDOGS = (
    Peer(
        name="actor",
        watcher="gate",
        limit_s=0.1,
        reaction="HOLD (PEER_LOST) until a person resumes",
        grace_s=10.0,
    ),
    Peer(
        name="gate",
        watcher="actor",
        limit_s=0.5,
        reaction="the episode ends, what it has is kept; nothing is commanded any more",
        grace_s=10.0,
    ),
    Peer(
        name="gate",
        watcher="driver",
        limit_s=0.1,
        reaction="the robot brakes to rest; it moves again only once a person says so",
        grace_s=10.0,
    ),
    Peer(
        name="learner",
        watcher="actor",
        limit_s=60.0,
        reaction="the running episode is finished with the weights of now and stored; then HOLD, "
        "and the run ends with what to do: resume",
        grace_s=600.0,
    ),
    Peer(
        name="device",
        watcher="gate",
        limit_s=0.09,
        reaction="the person's lease ends: HOLD; the policy does not go on by itself",
    ),
    Peer(
        name="page",
        watcher="gate",
        limit_s=0.28,
        reaction="the person's lease ends: HOLD; the policy does not go on by itself",
    ),
    Peer(
        name="gate",
        watcher="page",
        limit_s=1.0,
        reaction="the page says that it shows nothing new, and its controls do nothing",
        grace_s=10.0,
    ),
)
"""All of them, in one place: the tables in the documents are made from these.

A dead-man is judged in the next tick: with one every 10 ms, the arm is held within 0.1 s of the
last sign of a device, and within 0.3 s of that of a page.
"""
