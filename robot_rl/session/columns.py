"""One episode as JSON, for whoever draws it over time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.clock import NS_PER_S
from robot_rl.core.episode import Episode
from robot_rl.core.spec import WRENCH
from robot_rl.core.types import GateReason, Source
from robot_rl.runtime.rollout import force_curve

_HUMAN = (Source.HUMAN, Source.DEMO)


def columns_of(episode: Episode) -> dict[str, Any]:
    """Return what a scrubber shows, JSON values; a number that is not finite is None.

    Columns have one value for each of T steps, `t_s` one for each of the T + 1 instants:

    - `episode_id`, `steps`, `outcome`, `terminated`, `truncated`, `assisted`, `operator`, `seed`;
    - `t_s`: since the start [s]; step i goes from `t_s[i]` to `t_s[i + 1]`;
    - `source`, `gate_reason`: names, lower case;
    - `reward`; `force_n`: at the end of the step [N], None throughout without a wrench;
    - `actions`: `base`, `proposed` and `executed`, normalised, d numbers a step;
    - `bands`: `kind`, `begin` and `end` (steps from `begin` up to and without `end`), by begin:
      `human`, a person drove; `hold`, nobody did, or the gate refused what was asked for;
    - `take_overs`: the steps at which a person took the arm.
    """
    sources = [Source(int(value)) for value in episode.source]
    reasons = [GateReason(int(value)) for value in episode.gate_reason]
    held = [
        source == Source.HOLD or reason.refuses
        for source, reason in zip(sources, reasons, strict=True)
    ]
    bands = [
        *_bands("human", [source in _HUMAN for source in sources]),
        *_bands("hold", held),
    ]
    return {
        "episode_id": episode.episode_id,
        "steps": len(episode),
        "outcome": episode.outcome.name.lower(),
        "terminated": bool(episode.terminated),
        "truncated": bool(episode.truncated),
        "assisted": episode.assisted,
        "operator": episode.metadata.operator,
        "seed": episode.metadata.seed,
        "t_s": ((episode.stamps_ns - episode.stamps_ns[0]) / NS_PER_S).tolist(),
        "source": [source.name.lower() for source in sources],
        "gate_reason": [reason.name.lower() for reason in reasons],
        "reward": _finite(episode.reward),
        "force_n": _finite(force_curve(episode, WRENCH)),
        "actions": {
            "base": [_finite(row) for row in episode.base_action[:-1]],
            "proposed": [_finite(row) for row in episode.proposed_action],
            "executed": [_finite(row) for row in episode.action],
        },
        "bands": sorted(bands, key=lambda band: (band["begin"], band["kind"])),
        "take_overs": np.flatnonzero(episode.intervention_start).tolist(),
    }


def _bands(kind: str, inside: Sequence[bool]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for is_inside, run in groupby(range(len(inside)), key=inside.__getitem__):
        steps = list(run)
        if is_inside:
            found.append({"kind": kind, "begin": steps[0], "end": steps[-1] + 1})
    return found


def _finite(values: NDArray[np.float32]) -> list[float | None]:
    return [
        value if finite else None
        for value, finite in zip(values.tolist(), np.isfinite(values).tolist(), strict=True)
    ]
