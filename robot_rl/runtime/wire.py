"""What actor and learner send each other, as bytes: steps, news with weights, whole states.

Typed msgpack for structure, `wire_array` for numbers, JSON for the places of a state's tensors:
nothing here can carry code. Not here: how bytes get from one process to another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.types import GateReason, Observation, Source, Transition
from robot_rl.runtime.checkpoint import flatten, unflatten
from robot_rl.runtime.link import Published
from robot_rl.runtime.wire_array import (
    Array,
    Number,
    Record,
    decode_image,
    decode_tensors,
    decode_vector,
    encode_array,
    encode_tensors,
)

SCHEMA = b"rrl\x03"
"""What every message begins with; the last byte grows when a message changes its layout."""


class _Observation(Record, frozen=True):
    stamp_ns: Number
    vectors: dict[str, Array]
    images: dict[str, Array]
    ages_s: dict[str, float]
    instruction: str


class _Transition(Record, frozen=True):
    observation: _Observation | None
    next_observation: _Observation
    action: Array
    base_action: Array
    next_base_action: Array
    proposed_action: Array
    reward: float
    terminated: bool
    truncated: bool
    source: Source
    intervention_start: bool
    gate_reason: GateReason
    inference_s: float
    lateness_s: float
    episode_id: str
    step: Number
    policy_version: Number
    latent: Array


class _Published(Record, frozen=True):
    weights: bytes | None
    version: Number
    updates: Number
    metrics: dict[str, float]


class _State(Record, frozen=True):
    tensors: bytes
    tree: bytes


class Step(Record, frozen=True, tag="step"):
    """To the learner: a step. `body` is a transition.

    `number` counts steps and amendments from 1, without a gap.
    """

    number: Number
    body: bytes


class Amend(Record, frozen=True, tag="amend"):
    """To the learner: forget this episode; the next `steps` steps take its place."""

    number: Number
    episode_id: str
    steps: Number


class Ask(Record, frozen=True, tag="ask"):
    """To the learner: a question, answered once every step before it is in the buffers."""

    number: Number
    about: Literal["news", "state"]


class Reply(Record, frozen=True, tag="reply"):
    """From the learner: `Published`, or the state in answer to a question about it.

    `answers` is the number of the question; 0 for news that nobody asked for.
    """

    answers: Number
    body: bytes


class Failed(Record, frozen=True, tag="failed"):
    """From the learner, and its last word: why it has stopped learning."""

    reason: str


Message = Step | Amend | Ask | Reply | Failed

_ENCODER = msgspec.msgpack.Encoder()
_MESSAGES: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
_TRANSITIONS = msgspec.msgpack.Decoder(_Transition)
_PUBLISHED = msgspec.msgpack.Decoder(_Published)
_STATES = msgspec.msgpack.Decoder(_State)


def encode_message(message: Message) -> bytes:
    """Return an envelope as bytes."""
    return _packed(message)


def decode_message(data: bytes) -> Message:
    """Return the envelope; its body is decoded apart.

    Raises:
        ContractError: if the bytes are not one, or of another version.
    """
    return _unpacked(_MESSAGES, data, "message")


def encode_transition(transition: Transition, previous: Observation | None = None) -> bytes:
    """Return a step as bytes; an observation that is `previous` itself is not sent again.

    Args:
        transition: arrays float32 (uint8 for images).
        previous: the `next_observation` of the step encoded before this one.

    Raises:
        ContractError: if an array is neither float32 nor uint8.
    """
    t = transition
    seen = None if t.observation is previous else _observation(t.observation)
    record = _Transition(
        observation=seen,
        next_observation=_observation(t.next_observation),
        action=encode_array(t.action),
        base_action=encode_array(t.base_action),
        next_base_action=encode_array(t.next_base_action),
        proposed_action=encode_array(t.proposed_action),
        reward=float(t.reward),
        terminated=bool(t.terminated),
        truncated=bool(t.truncated),
        source=t.source,
        intervention_start=bool(t.intervention_start),
        gate_reason=t.gate_reason,
        inference_s=float(t.inference_s),
        lateness_s=float(t.lateness_s),
        episode_id=t.episode_id,
        step=t.step,
        policy_version=t.policy_version,
        latent=encode_array(t.latent),
    )
    return _packed(record)


def decode_transition(data: bytes, previous: Observation | None = None) -> Transition:
    """Return the step; its arrays are its own, and consecutive steps share their observation.

    Args:
        data: what `encode_transition` returned.
        previous: the `next_observation` of the step decoded before this one.

    Raises:
        ContractError: if the bytes are no step, or build on a previous one that is not there.
    """
    record = _unpacked(_TRANSITIONS, data, "step")
    seen = previous if record.observation is None else _seen(record.observation)
    if seen is None:
        raise ContractError("step: its observation is that of a step before it, which is missing")
    return Transition(
        observation=seen,
        next_observation=_seen(record.next_observation),
        action=decode_vector("action", record.action),
        base_action=decode_vector("base_action", record.base_action),
        next_base_action=decode_vector("next_base_action", record.next_base_action),
        proposed_action=decode_vector("proposed_action", record.proposed_action),
        reward=record.reward,
        terminated=record.terminated,
        truncated=record.truncated,
        source=record.source,
        intervention_start=record.intervention_start,
        gate_reason=record.gate_reason,
        inference_s=record.inference_s,
        lateness_s=record.lateness_s,
        episode_id=record.episode_id,
        step=record.step,
        policy_version=record.policy_version,
        latent=decode_vector("latent", record.latent),
    )


def encode_published(published: Published) -> bytes:
    """Return the learner's news as bytes."""
    p = published
    weights = None if p.weights is None else encode_tensors(p.weights)
    metrics = {name: float(value) for name, value in p.metrics.items()}
    return _packed(
        _Published(weights=weights, version=p.version, updates=p.updates, metrics=metrics)
    )


def decode_published(data: bytes) -> Published:
    """Return the learner's news.

    Raises:
        ContractError: if the bytes are no news, or a tensor is of a dtype that is not allowed.
    """
    record = _unpacked(_PUBLISHED, data, "news")
    return Published(
        weights=None if record.weights is None else decode_tensors(record.weights),
        version=record.version,
        updates=record.updates,
        metrics=record.metrics,
    )


def encode_state(state: Mapping[str, Any]) -> bytes:
    """Return a nested state (see `checkpoint.flatten`) as bytes."""
    tensors, tree = flatten(state)
    return _packed(_State(tensors=encode_tensors(tensors), tree=json.dumps(tree).encode()))


def decode_state(data: bytes) -> dict[str, Any]:
    """Return the nested state, the same bit by bit.

    Raises:
        ContractError: if the bytes are no state, or a tensor is of a dtype that is not allowed.
    """
    record = _unpacked(_STATES, data, "state")
    tensors = decode_tensors(record.tensors)
    try:
        state: object = unflatten(tensors, dict(json.loads(record.tree)))
    except (StorageError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ContractError(f"state: cannot be put together: {error!r}") from error
    if not isinstance(state, dict):
        raise ContractError(f"state: got {type(state).__name__}, expected a dict")
    return state  # pyright: ignore[reportUnknownVariableType]


def _packed(record: Record) -> bytes:
    return SCHEMA + _ENCODER.encode(record)


def _unpacked[T](decoder: msgspec.msgpack.Decoder[T], data: bytes, what: str) -> T:
    if data[: len(SCHEMA)] != SCHEMA:
        raise ContractError(
            f"{what}: begins with {data[: len(SCHEMA)]!r}, expected {SCHEMA!r}; actor and learner "
            "must be of the same version"
        )
    try:
        return decoder.decode(memoryview(data)[len(SCHEMA) :])
    except (msgspec.MsgspecError, ValueError) as error:
        raise ContractError(f"{what}: not readable: {error}") from error


def _observation(observation: Observation) -> _Observation:
    return _Observation(
        stamp_ns=observation.stamp_ns,
        vectors={key: encode_array(vector) for key, vector in observation.vectors.items()},
        images={key: encode_array(image) for key, image in observation.images.items()},
        ages_s={name: float(age_s) for name, age_s in observation.ages_s.items()},
        instruction=observation.instruction,
    )


def _seen(record: _Observation) -> Observation:
    return Observation(
        stamp_ns=record.stamp_ns,
        vectors={key: decode_vector(key, array) for key, array in record.vectors.items()},
        images={key: decode_image(key, array) for key, array in record.images.items()},
        ages_s=record.ages_s,
        instruction=record.instruction,
    )
