"""Reading a log back, whole or torn: the longest run of whole steps, and whether that is all."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mcap.records import Channel as ChannelRecord
from mcap.records import Message, Metadata
from numpy.typing import NDArray
from rosbags.serde.errors import SerdeError

from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.types import NO_LATENT, Observation, Outcome, Transition, Vector
from robot_rl.data.log.messages import (
    LATENT_TOPIC,
    OBSERVATION_TOPIC,
    STEP_TOPIC,
    decode_latent,
    decode_observation,
    decode_step,
    observation_channels,
)
from robot_rl.data.log.opening import RECORD_NAME, Opening
from robot_rl.data.log.scan import Ending, TornError, scan

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEpisode:
    """What a log gave back.

    Args:
        episode: the steps that are whole, from the first on; None if there are none. Of a log
            that is not complete, `truncated` unless its last step terminated. Its outcome is
            UNKNOWN unless the log was written from a finished episode and is complete.
        complete: whether the log was closed and nothing in it is damaged.
    """

    spec: RecordingSpec
    episode_id: str
    metadata: EpisodeMetadata
    episode: Episode | None
    complete: bool


def read_log(path: Path) -> LoggedEpisode:
    """Read the log of an episode, also one that was cut off anywhere or is damaged.

    Steps are read up to the first torn or damaged chunk. The metadata are as they were written:
    whoever keeps an episode that is not complete marks it `interrupted`.

    Raises:
        StorageError: if there is no such file, or its opening is torn, damaged or no log's.
    """
    assembly: _Assembly | None = None
    complete = False
    try:
        for record in scan(path):
            if isinstance(record, Metadata) and record.name == RECORD_NAME and assembly is None:
                assembly = _Assembly(Opening.from_record(record.metadata))
            elif isinstance(record, Ending):
                complete = assembly is not None and assembly.ends_after(record.messages)
            elif assembly is not None and isinstance(record, ChannelRecord):
                assembly.topics[record.id] = record.topic
            elif assembly is not None and isinstance(record, Message):
                assembly.add(record)
    except TornError as error:
        if assembly is None:
            raise StorageError(f"{path} is no readable log: {error}") from error
        logger.warning("%s: read up to step %d: %s", path, len(assembly.transitions), error)
    except StorageError as error:
        raise StorageError(f"{path} is no readable log: {error}") from error
    except OSError as error:
        raise StorageError(f"log {path} cannot be read: {error}") from error
    if assembly is None:
        raise StorageError(f"{path} is no log of an episode: it has no record {RECORD_NAME!r}")
    return assembly.finish(complete=complete)


class _Assembly:
    """Puts messages together, in the order in which they were written."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._spec = opening.spec.task
        channels = observation_channels(self._spec.observation, opening.images)
        self._channels = {channel.topic: channel for channel in channels}
        self._arrays: dict[str, NDArray[Any]] = {}
        self._latent: Vector = NO_LATENT
        self._observations = 0
        self._before: Observation | None = None
        self._after: Observation | None = None
        self._messages = 0
        self.topics: dict[int, str] = {}
        self.transitions: list[Transition] = []

    def add(self, message: Message) -> None:
        """Take the next message.

        Raises:
            TornError: if something is missing before it, or it is not what it should be.
        """
        topic = self.topics.get(message.channel_id, "")
        self._messages += 1
        try:
            if topic == OBSERVATION_TOPIC:
                self._add_observation(message.data)
            elif topic == LATENT_TOPIC:
                self._latent = decode_latent(message.data)
            elif topic == STEP_TOPIC:
                self._add_step(message.data)
            elif topic in self._channels:
                self._arrays.update(self._channels[topic].decode(message.data))
        except (SerdeError, ContractError, ValueError, KeyError, OSError) as error:
            raise TornError(f"a message of {topic} is wrong: {error}") from error

    def ends_after(self, messages: int) -> bool:
        """Whether all `messages` were read and the last of them ended a step."""
        return messages == self._messages and self._observations in (0, len(self.transitions) + 1)

    def finish(self, *, complete: bool) -> LoggedEpisode:
        """Return what has been put together."""
        opening = self._opening
        episode = None
        if self.transitions:
            outcome = opening.outcome if complete else Outcome.UNKNOWN
            episode = Episode.from_transitions(self.transitions, outcome, opening.metadata)
            if not complete and not episode.terminated:
                episode = dataclasses.replace(episode, truncated=True)
        return LoggedEpisode(
            spec=opening.spec,
            episode_id=opening.episode_id,
            metadata=opening.metadata,
            episode=episode,
            complete=complete,
        )

    def _add_observation(self, data: bytes) -> None:
        spec, arrays = self._spec.observation, self._arrays
        self._arrays = {}
        vectors = {key: arrays[key] for key in spec.vectors}
        images = {key: arrays[key] for key in spec.images}
        spec.check(vectors, images)
        index, observation = decode_observation(data, vectors, images)
        if index != self._observations:
            raise ValueError(f"got observation {index}, expected {self._observations}")
        self._observations += 1
        self._before, self._after = self._after, observation

    def _add_step(self, data: bytes) -> None:
        if self._before is None or self._after is None:
            raise ValueError("a step without its observations")
        latent, self._latent = self._latent, NO_LATENT
        step = decode_step(data, self._opening.episode_id, self._before, self._after, latent)
        expected, size = len(self.transitions), self._spec.action.size
        if step.step != expected or self._observations != expected + 2:
            raise ValueError(f"got step {step.step}, expected {expected}")
        for action in (
            step.action,
            step.base_action,
            step.next_base_action,
            step.proposed_action,
        ):
            if action.shape != (size,) or action.dtype != np.float32:
                raise ValueError(f"got an action of {len(action)} elements, expected {size}")
        self._check_latent(latent)
        self.transitions.append(step)

    def _check_latent(self, latent: Vector) -> None:
        size = len(self.transitions[0].latent) if self.transitions else len(latent)
        if len(latent) != size or not np.isfinite(latent).all():
            raise ValueError(f"got a latent of {len(latent)}, expected {size} finite numbers")
