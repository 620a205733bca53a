"""New weights for a policy that is being served: what is sent, and what has to hold before.

A message is one msgpack record: schema, policy, version, hash, and the tensors as safetensors.
The checks, in their order: size, schema, policy, hash, version, fit, finite, canary. Whatever
fails, the old weights go on planning.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Protocol, runtime_checkable

import msgspec
import numpy as np
from torch import Tensor

from robot_rl.core.errors import ContractError, RobotRlError
from robot_rl.core.types import Vector
from robot_rl.policies.base import BasePolicy
from robot_rl.runtime.serving import probe
from robot_rl.runtime.serving.config import ServerConfig
from robot_rl.runtime.wire_array import Record, decode_tensors, encode_tensors

SCHEMA = 1
"""Grows when a field of a message changes its meaning."""

_NAMES = 8
"""So many differing names are told."""
_NAME = 80
_WORDS = 500

Version = Annotated[int, msgspec.Meta(ge=1, le=2**53)]


@runtime_checkable
class TakesWeights(Protocol):
    """A `BasePolicy` whose weights can be exchanged."""

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """Its weights by name; nobody writes to them."""
        ...

    def with_weights(self, weights: Mapping[str, Tensor]) -> BasePolicy:
        """Return a copy that plans with these weights, whose fingerprint follows.

        May be called while `infer` runs in another thread, which nothing here disturbs. Names,
        shapes and dtypes are those of `weights`.
        """
        ...


class WeightMessage(Record, frozen=True):
    """Weights for a policy, as they travel."""

    schema: int
    policy: str
    version: Version
    sha256: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    payload: bytes


class WeightReply(Record, frozen=True):
    """What became of a message: whether it was adopted, what plans now, why not, in words."""

    adopted: bool
    version: int
    fingerprint: str
    reason: str
    words: str


class WeightError(RobotRlError):
    """Weights are refused.

    Args:
        reason: the check that failed, under which it is counted.
        text: what to tell the sender.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def encode_weights(policy: str, version: int, weights: Mapping[str, Tensor]) -> bytes:
    """Return the message that asks to exchange a policy's weights.

    Raises:
        ContractError: naming the tensor whose dtype does not travel.
    """
    payload = encode_tensors(weights)
    digest = hashlib.sha256(payload).digest()
    return msgspec.msgpack.encode(WeightMessage(SCHEMA, policy, version, digest, payload))


def read_weights(
    data: bytes | str, policy: str, version: int, limit: int
) -> tuple[int, dict[str, Tensor]]:
    """Return version and weights of a message that is meant for `policy` and newer.

    Args:
        data: what came.
        policy: the name of whose weights may be exchanged.
        version: of its weights at present.
        limit: length of the longest message [bytes].

    Raises:
        WeightError: naming the first check that failed.
    """
    if len(data) > limit:
        raise WeightError("size", f"got {len(data)} bytes, expected at most {limit}")
    message = _decoded(data)
    if message.policy != policy:
        raise WeightError(
            "policy", f"got weights for {message.policy[:_NAME]!r}, expected {policy!r}"
        )
    if hashlib.sha256(message.payload).digest() != message.sha256:
        raise WeightError("hash", "the payload's sha256 is not the one sent along; send it again")
    if message.version <= version:
        raise WeightError(
            "version", f"got version {message.version}, expected more than {version}"
        )
    try:
        return message.version, decode_tensors(message.payload)
    except ContractError as error:
        raise WeightError("payload", str(error)[:_WORDS]) from error


def renewed(
    policy: BasePolicy,
    weights: Mapping[str, Tensor],
    before: Vector | None,
    config: ServerConfig,
) -> tuple[BasePolicy, Vector]:
    """Return a warm copy of `policy` that plans with `weights`, and its `probe.canary_plans`.

    Args:
        policy: goes on planning meanwhile.
        weights: for all that it has.
        before: the `probe.canary_plans` of `policy`, if their change is limited.
        config: of the server.

    Raises:
        WeightError: if they do not fit, are not finite, or make no plans that a robot may have.
    """
    if not isinstance(policy, TakesWeights):
        raise WeightError("policy", f"{policy.spec.name}: its weights cannot be exchanged")
    _check_fit(policy.weights, weights)
    for name, tensor in weights.items():
        if not tensor.isfinite().all():
            raise WeightError("finite", f"weights {name[:_NAME]!r} are not finite")
    try:
        copied = policy.with_weights(weights)
        if replace(copied.spec, fingerprint="") != replace(policy.spec, fingerprint=""):
            raise ContractError("the policy's spec would change")
        probe.warm_up(copied, config.warm_ups, config.max_batch)
        plans = probe.canary_plans(copied)
    except Exception as error:
        raise WeightError("canary", f"{error}"[:_WORDS]) from error
    _check_change(before, plans, config.canary_max_change)
    return copied, plans


def _check_fit(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    if own.keys() != weights.keys():
        odd = [name[:_NAME] for name in sorted(own.keys() ^ weights.keys())]
        more = f" and {len(odd) - _NAMES} more" if len(odd) > _NAMES else ""
        raise WeightError("fit", f"names differ: {', '.join(odd[:_NAMES])}{more}")
    for name, tensor in own.items():
        got = weights[name]
        if got.shape != tensor.shape or got.dtype != tensor.dtype:
            raise WeightError(
                "fit",
                f"weights {name!r}: got {got.dtype}{list(got.shape)}, expected "
                f"{tensor.dtype}{list(tensor.shape)}",
            )


def _check_change(before: Vector | None, plans: Vector, limit: float | None) -> None:
    if before is None or limit is None:
        return
    change = float(np.abs(plans - before).max())
    if change > limit:
        raise WeightError("canary", f"plans change by {change:.3g}, expected at most {limit:g}")


def _decoded(data: bytes | str) -> WeightMessage:
    if isinstance(data, str):
        raise WeightError("schema", "got text, expected a msgpack record")
    try:
        message = msgspec.msgpack.decode(data, type=WeightMessage)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WeightError("schema", f"no record of weights: {error}"[:_WORDS]) from error
    if message.schema != SCHEMA:
        raise WeightError("schema", f"got schema {message.schema}, expected {SCHEMA}")
    return message
