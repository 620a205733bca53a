"""Watches the streams of a bench for faults that their stamps do not show.

Silence shows in a sample's age, which the gate judges. What is found here keeps coming: pictures
and vectors that stand still, pictures that are black or white, single wrong samples of an encoder,
samples older than those before them, and stamps from the future.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from pydantic import Field, model_validator

from robot_rl.config.model import Config
from robot_rl.core.clock import NS_PER_S
from robot_rl.core.spec import IMAGE_PREFIX, ObservationSpec
from robot_rl.core.types import GateReason, Observation
from robot_rl.sensing.motion import Motion, MotionScale
from robot_rl.sensing.spike import SpikeGuard
from robot_rl.sensing.watch import KeyWatch, WatchConfig

_LOG = logging.getLogger(__name__)

Samples = Mapping[str, Observation | None]
"""The newest sample of each stream by the stream's name; None if it has none."""


class StreamMonitorConfig(Config):
    """How the streams of one cell are watched.

    Args:
        keys: what is watched, by key of the observation. A key that a task does not observe is
            left out there; a vector that is not named is looked at for order and time alone, and
            so is a camera, with a warning.
        fault_after_s: for how long content may stand still, or be blank.
        motion_m: way of the tcp after which a stream that may repeat itself at rest must have
            changed; motion_rad: likewise, of the tcp's turn or of any joint.
    """

    keys: Mapping[str, WatchConfig]
    fault_after_s: float = Field(gt=0)
    motion_m: float = Field(gt=0)
    motion_rad: float = Field(gt=0)

    @model_validator(mode="after")
    def _check_rates(self) -> Self:
        for key, watch in self.keys.items():
            if key.startswith(IMAGE_PREFIX) and watch.max_rate_per_s is not None:
                raise ValueError(f"{key}: max_rate_per_s is for vectors; leave it out")
        return self

    def build(self, spec: ObservationSpec, period_s: float) -> StreamMonitor:
        """Return a monitor for a bench with these observations and this control period."""
        return StreamMonitor(self, spec, period_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What to go on with.

    Args:
        samples: those that came, with the newest or last good one in place of a bad one; a vector
            that was replaced tells its age as a part of its stream.
        refusal: what the gate is to hold for, in words for a person; None if all is well.
    """

    samples: Samples
    refusal: tuple[GateReason, str] | None


class StreamMonitor:
    """Watches every stream of a bench, once in each control period.

    | count | what |
    |---|---|
    | `out_of_order` | samples older than the newest, which was used instead |
    | `future` | samples stamped later than now, which were not used |
    | `spike` | samples of a vector in whose place the last good one was used |
    | `jump` | times that a vector was wrong for more than one sample |
    | `frozen`, `blank` | times that content began to stand still, or to be blank |

    A jump, a stamp from the future and content that is frozen or blank are faults: the gate is to
    hold as long as they last.

    Raises:
        ConfigError: if the rates of a key do not fit it.
    """

    def __init__(
        self, config: StreamMonitorConfig, spec: ObservationSpec, period_s: float
    ) -> None:
        for key in spec.images.keys() - config.keys.keys():
            _LOG.warning("nobody watches %s: name it among the cell's streams", key)
        self._config = config
        self._spec = spec
        self._period_s = period_s
        self._counts = Counter[tuple[str, str]]()
        self.reset()

    @property
    def counts(self) -> Mapping[tuple[str, str], int]:
        """How often what happened, by stream and name of the count; for the monitor's lifetime."""
        return dict(self._counts)

    def reset(self) -> None:
        """An episode begins: the arm may be anywhere, and came there unseen."""
        config, spec = self._config, self._spec
        after_s = config.fault_after_s
        self._motion = Motion(
            MotionScale(distance_m=config.motion_m, angle_rad=config.motion_rad, time_s=after_s)
        )
        self._newest: dict[str, Observation] = {}
        self._dismissed: dict[str, int] = {}
        self._faults: dict[tuple[str, str, str], tuple[GateReason, str]] = {}
        watched = {k: w for k, w in config.keys.items() if k in {**spec.vectors, **spec.images}}
        self._watches = {
            key: KeyWatch(key, watch, after_s, self._motion, image=key in spec.images)
            for key, watch in watched.items()
        }
        self._guards = {
            key: SpikeGuard(key, spec.vectors[key].size, watch.max_rate_per_s, self._period_s)
            for key, watch in watched.items()
            if watch.max_rate_per_s is not None
        }

    def watch(self, samples: Samples, now_ns: int) -> Watched:
        """Look at the newest samples of all streams at this instant."""
        fresh = [name for name, s in samples.items() if s and self._admit(name, s, now_ns)]
        good = {name: self._newest.get(name, sample) for name, sample in samples.items()}
        vectors = {k: v for sample in good.values() if sample for k, v in sample.vectors.items()}
        self._motion.update(vectors, now_ns)
        for name in fresh:
            self._look(name, self._newest[name])
        return Watched(samples=good, refusal=self._refusal())

    def _admit(self, stream: str, sample: Observation, now_ns: int) -> bool:
        """Make the sample the stream's newest, if it is; samples are read anew in every period."""
        newest = self._newest.get(stream)
        ahead_s = (sample.stamp_ns - now_ns) / NS_PER_S
        if newest and sample.stamp_ns == newest.stamp_ns:
            return False
        if ahead_s > self._period_s:
            words = f"stamped {ahead_s:.3f} s in the future: by whose clock?"
            self._note(stream, "", "future", words, GateReason.STALE_OBSERVATION)
            return False
        self._note(stream, "", "future", "")
        if newest and sample.stamp_ns < newest.stamp_ns:
            if self._dismissed.get(stream) != sample.stamp_ns:
                self._dismissed[stream] = sample.stamp_ns
                self._counts[stream, "out_of_order"] += 1
            return False
        self._newest[stream] = self._without_spikes(stream, sample)
        return True

    def _without_spikes(self, stream: str, sample: Observation) -> Observation:
        for key in self._guards.keys() & sample.vectors.keys():
            judged = self._guards[key].judge(sample.vectors[key], sample.stamp_ns)
            words = f"{key} has jumped, {judged.held} samples in a row" if judged.held > 1 else ""
            self._note(stream, key, "jump", words, GateReason.STALE_OBSERVATION)
            if judged.held:
                self._counts[stream, "spike"] += 1
                age_s = (sample.stamp_ns - judged.good_ns) / NS_PER_S
                sample = replace(
                    sample,
                    vectors={**sample.vectors, key: judged.vector},
                    ages_s={**sample.ages_s, key: age_s},
                )
        return sample

    def _look(self, stream: str, sample: Observation) -> None:
        for key, content in (*sample.vectors.items(), *sample.images.items()):
            if key in self._watches:
                found = dict(self._watches[key].look(content, sample.stamp_ns))
                for what in ("frozen", "blank"):
                    self._note(stream, key, what, found.get(what, ""), GateReason.FROZEN)

    def _note(
        self, stream: str, key: str, what: str, words: str, reason: GateReason = GateReason.PASSED
    ) -> None:
        """Keep the fault, or without words its end; tell of both, once."""
        fault = (stream, key, what)
        known = fault in self._faults
        if not words:
            if known:
                del self._faults[fault]
                _LOG.info("stream %r is well again: no longer %s", stream, what)
            return
        if not known:
            self._counts[stream, what] += 1
            _LOG.warning("stream %r: %s", stream, words)
        self._faults[fault] = (reason, f"stream {stream!r}: {words}")

    def _refusal(self) -> tuple[GateReason, str] | None:
        keys = self._config.keys
        held = [f for (_, k, _), f in self._faults.items() if k not in keys or keys[k].holds]
        return (held[0][0], "; ".join(words for _, words in held)) if held else None
