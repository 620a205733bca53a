"""What of a run's events is a number over time: names and axes for all who draw curves."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from robot_rl.runtime.events import EpisodeEnded, Evaluated, Event, LearnerMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalars:
    """Finite numbers by name, at environment step `step` of the run."""

    step: int
    values: Mapping[str, float]


class ScalarView:
    """Turns events into scalars.

    | event | names |
    |---|---|
    | `LearnerMetrics` | `learner/<metric>`, `learner/updates_total`, `learner/updates_per_s` |
    | `EpisodeEnded` | `<phase>/success_autonomous`, `<phase>/success_assisted` (0 or 1), \
`<phase>/steps`, `<phase>/intervention_rate`, forces, gate counts, `<phase>/wall_s`, \
`<phase>/lateness_p50_s`, `..._p99_s`, likewise `inference` and `age` |
    | `Evaluated` | `judged/base_success`, `judged/improved_success`, `judged/lower_bound`, \
`judged/deployed_version` |

    Where a phase counts no environment steps, its episodes are counted instead.
    """

    def __init__(self) -> None:
        self._episodes: Counter[str] = Counter()

    def scalars(self, event: Event) -> Scalars | None:
        """Return what the event says in numbers; None for one that says nothing so."""
        match event:
            case LearnerMetrics():
                rates = {
                    "updates_total": event.updates_total,
                    "updates_per_s": event.updates_per_s,
                }
                return _scalars(event.env_steps_total, "learner", {**event.values, **rates})
            case EpisodeEnded():
                self._episodes[event.phase] += 1
                step = event.env_steps_total or self._episodes[event.phase]
                return _scalars(step, event.phase, _of_episode(event))
            case Evaluated():
                names = ("base_success", "improved_success", "lower_bound", "deployed_version")
                values = {name: getattr(event, name) for name in names}
                return _scalars(event.env_steps_total, "judged", values)
            case _:
                return None


def _of_episode(event: EpisodeEnded) -> dict[str, float]:
    names = (
        "success_autonomous",
        "steps",
        "max_force_n",
        "mean_force_n",
        "gate_refused",
        "gate_holds",
        "wall_s",
        "lateness_p50_s",
        "lateness_p99_s",
        "inference_p50_s",
        "inference_p99_s",
        "age_p50_s",
        "age_p99_s",
    )
    return {
        **{name: getattr(event, name) for name in names},
        "success_assisted": event.success and event.assisted,
        "intervention_rate": event.human_steps / event.steps,
    }


def _scalars(step: int, group: str, values: Mapping[str, float]) -> Scalars:
    finite = {
        f"{group}/{name}": float(value) for name, value in values.items() if math.isfinite(value)
    }
    return Scalars(step=step, values=finite)
