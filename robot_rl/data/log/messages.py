"""Which topics a log has, and the messages beside its channels: observation, latent and step."""

from __future__ import annotations

import collections
import functools
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from robot_rl.core.errors import ConfigError, ContractError, did_you_mean
from robot_rl.core.spec import ObservationSpec
from robot_rl.core.types import GateReason, Observation, Source, Transition, Vector
from robot_rl.data.log import message_types as types
from robot_rl.data.log.channel import Channel
from robot_rl.data.log.fixed_message import FixedMessage, marker
from robot_rl.data.log.image_channels import ImageCoding, image_channels
from robot_rl.data.log.vector_channels import vector_channels

STEP_TOPIC = "/step"
OBSERVATION_TOPIC = "/observation"
LATENT_TOPIC = "/latent"

# What stands side by side in the messages, as it stands there.
_INDEX = struct.Struct("=I")
_STAMP_NS = struct.Struct("=q")
_REWARD_AND_ENDS = struct.Struct("=d???")
_TIMES_AND_VERSION = struct.Struct("=ddq")
_MARKER_INDEX = 0xFEFDFCFB
_MARKER_NS = -0x0102030405060708


def observation_channels(spec: ObservationSpec, images: ImageCoding) -> list[Channel]:
    """Make the channels that carry the vectors and images of a spec.

    Raises:
        ConfigError: if there is no such way to code images.
        ContractError: if two keys would be the same topic.
    """
    if images not in (codings := ("raw", "png", "jpeg")):
        raise ConfigError(f"unknown image coding {images!r}{did_you_mean(images, codings)}")
    channels = [*vector_channels(spec.vectors), *image_channels(spec.images, images)]
    own = (STEP_TOPIC, OBSERVATION_TOPIC, LATENT_TOPIC)
    counts = collections.Counter([*own, *(c.topic for c in channels)])
    for topic, count in counts.items():
        if count > 1:
            raise ContractError(
                f"{count} keys of the observation would be logged as topic {topic}; expected keys "
                "that differ in letters, digits or underscores"
            )
    return channels


def encode_observation(stamp: bytes, index: int, observation: Observation) -> bytes:
    """Return the message that ends those of observation `index`."""
    ages = observation.ages_s
    numbers = (
        _INDEX.pack(index),
        _STAMP_NS.pack(observation.stamp_ns),
        np.fromiter(ages.values(), np.float64, len(ages)).tobytes(),
    )
    return _observation_message(tuple(ages)).encode(stamp, numbers)


def decode_observation(
    data: bytes, vectors: Mapping[str, Vector], images: Mapping[str, Any]
) -> tuple[int, Observation]:
    """Return an observation and its index, given what its channels carried.

    Raises:
        SerdeError: if the bytes are no such message.
    """
    message: Any = types.typestore().deserialize_cdr(data, types.OBSERVATION)
    ages = dict(zip(message.streams, message.ages_s.tolist(), strict=True))
    return message.index, Observation(
        stamp_ns=message.stamp_ns, vectors=vectors, images=images, ages_s=ages
    )


def encode_latent(stamp: bytes, latent: Vector) -> bytes:
    """Return the message of a step's latent float32[k >= 1], which stands before the step."""
    return _latent_message(len(latent)).encode(stamp, (latent.tobytes(),))


def decode_latent(data: bytes) -> Vector:
    """Return the latent of the step that follows.

    Raises:
        SerdeError: if the bytes are no such message.
    """
    message: Any = types.typestore().deserialize_cdr(data, types.VECTOR)
    return np.array(message.values, np.float32)


def encode_step(stamp: bytes, transition: Transition) -> bytes:
    """Return the message of one step, without its observations and its latent."""
    message = _step_message(
        transition.source.name, transition.gate_reason.name, len(transition.action)
    )
    numbers = (
        _INDEX.pack(transition.step),
        transition.action.tobytes(),
        transition.base_action.tobytes(),
        transition.next_base_action.tobytes(),
        transition.proposed_action.tobytes(),
        _REWARD_AND_ENDS.pack(
            transition.reward,
            transition.terminated,
            transition.truncated,
            transition.intervention_start,
        ),
        _TIMES_AND_VERSION.pack(
            transition.inference_s, transition.lateness_s, transition.policy_version
        ),
    )
    return message.encode(stamp, numbers)


def decode_step(
    data: bytes,
    episode_id: str,
    observation: Observation,
    next_observation: Observation,
    latent: Vector,
) -> Transition:
    """Return one step between its observations, given the latent that came before it.

    Raises:
        SerdeError: if the bytes are no such message.
        KeyError: if it names a source or gate reason that there is not.
    """
    message: Any = types.typestore().deserialize_cdr(data, types.STEP)
    return Transition(
        observation=observation,
        next_observation=next_observation,
        action=np.array(message.action, np.float32),
        base_action=np.array(message.base_action, np.float32),
        next_base_action=np.array(message.next_base_action, np.float32),
        proposed_action=np.array(message.proposed_action, np.float32),
        reward=message.reward,
        terminated=message.terminated,
        truncated=message.truncated,
        source=Source[message.source],
        intervention_start=message.intervention_start,
        gate_reason=GateReason[message.gate_reason],
        inference_s=message.inference_s,
        lateness_s=message.lateness_s,
        episode_id=episode_id,
        step=message.step,
        policy_version=message.policy_version,
        latent=latent,
    )


@functools.lru_cache(maxsize=64)
def _observation_message(streams: tuple[str, ...]) -> FixedMessage:
    ages = marker(len(streams), np.float64)

    def make(header: Any) -> Any:
        return types.message_class(types.OBSERVATION)(
            header=header,
            index=_MARKER_INDEX,
            stamp_ns=_MARKER_NS,
            streams=list(streams),
            ages_s=ages,
        )

    markers = (_INDEX.pack(_MARKER_INDEX), _STAMP_NS.pack(_MARKER_NS), ages.tobytes())
    return FixedMessage(types.OBSERVATION, make, markers)


@functools.lru_cache(maxsize=64)
def _latent_message(size: int) -> FixedMessage:
    values = marker(size, np.float32)

    def make(header: Any) -> Any:
        return types.message_class(types.VECTOR)(header=header, values=values)

    return FixedMessage(types.VECTOR, make, (values.tobytes(),))


@functools.lru_cache(maxsize=256)
def _step_message(source: str, gate_reason: str, size: int) -> FixedMessage:
    action, number = marker(size, np.float32), float(marker(1, np.float64)[0])

    def make(header: Any) -> Any:
        return types.message_class(types.STEP)(
            header=header,
            step=_MARKER_INDEX,
            action=action,
            base_action=action,
            next_base_action=action,
            proposed_action=action,
            reward=number,
            terminated=True,
            truncated=True,
            intervention_start=True,
            source=source,
            gate_reason=gate_reason,
            inference_s=number,
            lateness_s=number,
            policy_version=_MARKER_NS,
        )

    markers = (
        _INDEX.pack(_MARKER_INDEX),
        *(4 * [action.tobytes()]),
        _REWARD_AND_ENDS.pack(number, True, True, True),
        _TIMES_AND_VERSION.pack(number, number, _MARKER_NS),
    )
    return FixedMessage(types.STEP, make, markers)
