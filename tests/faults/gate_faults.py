"""What can be wrong with a command or with an observation, and what a gate has to say to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from gate_arm import Station

from robot_rl.core.spec import JOINT_POSITION, TCP_POSE
from robot_rl.core.types import Command, GateReason, Observation, Source

Rng = np.random.Generator
NON_FINITE = (np.nan, np.inf, -np.inf)


def _with_number(vector: Any, rng: Rng, number: float) -> Any:
    changed = np.array(vector)
    changed[rng.integers(len(changed))] = number
    return changed


def _odd_action(station: Station, rng: Rng) -> Any:
    size = station.gate.action.size
    odd = (
        None,
        [0.0] * size,
        np.zeros(size + 1, np.float32),
        np.zeros((1, size), np.float32),
        np.zeros(0, np.float32),
        np.full(size, 1e308),
        np.zeros(size, np.int32),
        np.zeros(size, object),
    )
    return odd[rng.integers(len(odd))]


def _key(station: Station) -> str:
    return TCP_POSE if station.arm.cell.kind == "tcp_delta" else JOINT_POSITION


def _seen(station: Station, seen: Observation, vector: Any) -> Observation:
    return replace(seen, vectors={**seen.vectors, _key(station): vector})


def _spiked(station: Station, seen: Observation, rng: Rng) -> Observation:
    """A single sample of an encoder, or of the tcp, that cannot be true."""
    vector = np.array(seen.vectors[_key(station)])
    elements = 3 if _key(station) == TCP_POSE else len(vector)
    vector[rng.integers(elements)] += rng.choice([-1, 1]) * rng.choice([50.0, 1e4, 3e38])
    return _seen(station, seen, vector)


CommandFault = Callable[[Station, Command, Rng], Any]
COMMAND_FAULTS: Mapping[str, tuple[CommandFault, GateReason]] = {
    "none": (lambda s, c, r: (None, 7, c.action)[r.integers(3)], GateReason.SHAPE),
    "odd action": (lambda s, c, r: replace(c, action=_odd_action(s, r)), GateReason.SHAPE),
    "odd number": (
        lambda s, c, r: replace(c, issued_ns=(None, 1e9, 10**400, "now")[r.integers(4)]),
        GateReason.SHAPE,
    ),
    "not finite": (
        lambda s, c, r: replace(c, action=_with_number(c.action, r, NON_FINITE[r.integers(3)])),
        GateReason.NON_FINITE,
    ),
    "other lease": (
        lambda s, c, r: replace(c, epoch=c.epoch + int(r.choice([-1, 1, 1000]))),
        GateReason.LEASE,
    ),
    "other source": (
        lambda s, c, r: replace(
            c, source=[x for x in Source if x not in s.sources][r.integers(len(Source) - 1)]
        ),
        GateReason.MODE,
    ),
    "repeated": (
        lambda s, c, r: replace(c, sequence=s.used - int(r.integers(5))),
        GateReason.SEQUENCE,
    ),
    "old": (
        lambda s, c, r: replace(c, issued_ns=c.issued_ns - 10 ** int(r.integers(9, 18))),
        GateReason.STALE_COMMAND,
    ),
    "from the future": (
        lambda s, c, r: replace(c, issued_ns=c.issued_ns + 10 ** int(r.integers(9, 18))),
        GateReason.STALE_COMMAND,
    ),
}

ObservationFault = Callable[[Station, Observation, Rng], Any]
OBSERVATION_FAULTS: Mapping[str, tuple[ObservationFault, GateReason]] = {
    "seen none": (lambda s, o, r: (None, {}, 3)[r.integers(3)], GateReason.SHAPE),
    "seen odd vector": (
        lambda s, o, r: _seen(
            s,
            o,
            (np.zeros(3), np.zeros(99, np.float32), np.zeros((7, 1), np.float32), [1])[
                r.integers(4)
            ],
        ),
        GateReason.SHAPE,
    ),
    "seen not finite": (
        lambda s, o, r: _seen(
            s, o, _with_number(o.vectors[_key(s)], r, NON_FINITE[r.integers(3)])
        ),
        GateReason.OBSERVATION_NON_FINITE,
    ),
    "seen no rotation": (
        lambda s, o, r: replace(
            o,
            vectors={
                **o.vectors,
                TCP_POSE: np.array([*o.vectors[TCP_POSE][:3], 0, 0, 0, 0], np.float32),
            },
        ),
        GateReason.OBSERVATION_NON_FINITE,
    ),
    "seen missing": (
        lambda s, o, r: replace(o, vectors={k: v for k, v in o.vectors.items() if k != _key(s)}),
        GateReason.STALE_OBSERVATION,
    ),
    "seen old": (
        lambda s, o, r: replace(o, stamp_ns=o.stamp_ns - 10 ** int(r.integers(9, 18))),
        GateReason.STALE_OBSERVATION,
    ),
    "seen of unknown age": (
        lambda s, o, r: replace(o, ages_s={"camera": (np.nan, None, 9.0)[r.integers(3)]}),
        GateReason.STALE_OBSERVATION,
    ),
    "seen spiked": (_spiked, GateReason.STALE_OBSERVATION),
}


def observation_faults(station: Station) -> list[str]:
    """Those that matter to an arm: a joint delta does not look at the tcp pose."""
    poses = station.arm.cell.kind == "tcp_delta"
    return [name for name in OBSERVATION_FAULTS if poses or name != "seen no rotation"]
