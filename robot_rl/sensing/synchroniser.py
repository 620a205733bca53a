"""Joins the newest samples of several streams into one observation. Does not wait or filter."""

from __future__ import annotations

from collections.abc import Mapping

from robot_rl.core.clock import NS_PER_S
from robot_rl.core.errors import ContractError, HardwareError
from robot_rl.core.spec import ObservationSpec
from robot_rl.core.types import Image, Observation, Vector


class Synchroniser:
    """Aligns samples to one instant and knows how old each of them is.

    Args:
        spec: what the joined observation must be, exactly.
        instruction: the task in words, for samples that carry none.
    """

    def __init__(self, spec: ObservationSpec, instruction: str = "") -> None:
        self._spec = spec
        self._instruction = instruction

    def align(self, samples: Mapping[str, Observation | None], now_ns: int) -> Observation:
        """Return one observation at `now_ns`.

        Args:
            samples: the newest sample of each stream by the stream's name; None if it has none.
            now_ns: the instant, by the clock of the samples' stamps.

        Returns:
            Vectors and images in the order of the spec; `ages_s` per stream, and for a stream
            that reports ages of its own parts as `stream/part`.

        Raises:
            HardwareError: if a stream has no sample, or nobody delivers a key of the spec.
            ContractError: if two streams deliver one key, or shape, dtype or key are wrong.
        """
        vectors: dict[str, Vector] = {}
        images: dict[str, Image] = {}
        ages_s: dict[str, float] = {}
        instruction = self._instruction
        for stream, sample in samples.items():
            if sample is None:
                raise HardwareError(f"stream {stream!r} has no sample yet: is it connected?")
            _join(vectors, sample.vectors, stream)
            _join(images, sample.images, stream)
            age_s = (now_ns - sample.stamp_ns) / NS_PER_S
            ages_s[stream] = age_s
            for part, part_age_s in sample.ages_s.items():
                ages_s[f"{stream}/{part}"] = age_s + part_age_s
            instruction = instruction or sample.instruction
        absent = [
            k for k in (*self._spec.vectors, *self._spec.images) if k not in vectors | images
        ]
        if absent:
            raise HardwareError(
                f"no stream delivers {', '.join(absent)}; streams: {', '.join(samples) or 'none'}"
            )
        self._spec.check(vectors, images)
        return Observation(
            stamp_ns=now_ns,
            vectors={key: vectors[key] for key in self._spec.vectors},
            images={key: images[key] for key in self._spec.images},
            ages_s=ages_s,
            instruction=instruction,
        )


def _join[T](joined: dict[str, T], added: Mapping[str, T], stream: str) -> None:
    for key, value in added.items():
        if key in joined:
            raise ContractError(f"{key} comes from two streams; the second is {stream!r}")
        joined[key] = value
