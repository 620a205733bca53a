"""From `policy/step` messages and the images that they name to the transitions of an episode.

Pure: knows messages by their fields. Nothing is made up: a step without one of its images, or
out of order, is an error. Not here: what becomes of the transitions (`recording_episodes`).
"""

from __future__ import annotations

import collections
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import numpy as np

from robot_rl.core.errors import ContractError
from robot_rl.core.spec import TaskSpec
from robot_rl.core.types import GateReason, Image, Observation, Source, Transition, Vector
from robot_rl_nodes.conversion import ns_from_stamp, vector_from, vectors_from

KEPT_IMAGES = 64
"""Of each stream: two seconds at 30 Hz, for steps that come late."""


class ImageShelf:
    """The newest images of every stream, found by their exact stamps."""

    def __init__(self, kept: int = KEPT_IMAGES) -> None:
        self._kept = kept
        self._images: dict[str, collections.OrderedDict[int, Image]] = {}

    def put(self, stream: str, stamp_ns: int, image: Image) -> None:
        """Keep an image, and drop the oldest of its stream if there are too many."""
        images = self._images.setdefault(stream, collections.OrderedDict())
        images[stamp_ns] = image
        while len(images) > self._kept:
            images.popitem(last=False)

    def find(self, stream: str, stamp_ns: int) -> Image | None:
        """Return the image of this very stamp, or None if it is not here."""
        return self._images.get(stream, {}).get(stamp_ns)


class StepReader:
    """Reads the steps of one episode, in order.

    Args:
        task: what is observed and done.
        streams: which stream each image of an observation comes from, by its key.
        shelf: holds the images.
    """

    def __init__(self, task: TaskSpec, streams: Mapping[str, str], shelf: ImageShelf) -> None:
        self._task = task
        self._streams = streams
        self._shelf = shelf
        self._last: tuple[Observation, Vector] | None = None
        self._next = 0

    def missing(self, message: Any) -> list[str]:
        """Name the images of a step that are not on the shelf.

        Raises:
            ContractError: if the step does not say which image of a camera it is of.
        """
        stamps = _stamps(message)
        for key, stream in self._streams.items():
            if stream not in stamps:
                raise ContractError(
                    f"step {message.index} names no {stream!r}, of which {key} is; got "
                    f"{', '.join(stamps) or 'no streams'}"
                )
        return [
            f"{stream} of {stamps[stream]} ns"
            for stream in self._streams.values()
            if self._shelf.find(stream, stamps[stream]) is None
        ]

    def read(self, message: Any) -> Transition | None:
        """Return the step that ends with this message; None for the first, which ends none.

        The message's images are there.

        Raises:
            ContractError: if it does not follow the one before, or is not of the task.
        """
        if message.index != self._next:
            raise ContractError(f"got observation {message.index}, expected {self._next}")
        observation = self._observation(message)
        base_action = self._base_action(message)
        before, self._last = self._last, (observation, base_action)
        self._next += 1
        if before is None:
            return None
        return Transition(
            observation=before[0],
            next_observation=observation,
            action=vector_from(message.action),
            base_action=before[1],
            next_base_action=base_action,
            proposed_action=vector_from(message.proposed_action),
            reward=float(message.reward),
            terminated=bool(message.terminated),
            truncated=bool(message.truncated),
            source=known(Source, message.source),
            intervention_start=bool(message.intervention_start),
            gate_reason=known(GateReason, message.gate_reason),
            inference_s=float(message.inference_s),
            lateness_s=float(message.lateness_s),
            episode_id=str(message.episode_id),
            step=int(message.index) - 1,
            policy_version=int(message.policy_version),
            latent=vector_from(message.latent),
        )

    def _observation(self, message: Any) -> Observation:
        stamps, images = _stamps(message), dict[str, Image]()
        for key, stream in self._streams.items():
            image = self._shelf.find(stream, stamps[stream])
            if image is not None:
                images[key] = image
        vectors = vectors_from(message.vectors)
        self._task.observation.check(vectors, images)
        return Observation(
            stamp_ns=ns_from_stamp(message.header.stamp),
            vectors={key: vectors[key] for key in self._task.observation.vectors},
            images=images,
            ages_s=dict(zip(message.streams, map(float, message.stream_ages_s), strict=True)),
        )

    def _base_action(self, message: Any) -> Vector:
        """Zeros where there is no base policy, as a transition has them."""
        if len(message.base_action):
            return vector_from(message.base_action)
        return np.zeros(self._task.action.size, np.float32)


def known[E: IntEnum](kind: type[E], value: int) -> E:
    """Return the member of an enum that a message means.

    Raises:
        ContractError: if there is none; the message names the version as the likely cause.
    """
    try:
        return kind(int(value))
    except ValueError:
        raise ContractError(
            f"{kind.__name__}: got {value}, expected one of {[int(k) for k in kind]}; is the "
            "sender of another version?"
        ) from None


def _stamps(message: Any) -> dict[str, int]:
    names = [str(name) for name in message.streams]
    if not len(names) == len(message.stream_stamps) == len(message.stream_ages_s):
        raise ContractError(
            f"step {message.index}: {len(names)} streams, {len(message.stream_stamps)} stamps and "
            f"{len(message.stream_ages_s)} ages; expected as many of each"
        )
    return dict(zip(names, map(ns_from_stamp, message.stream_stamps), strict=True))
