"""What a policy server and its clients say to each other, as plain values: openpi's and ours.

A server's first message is its metadata. Then every request is an observation under the policy's
own keys (`/` may stand for `.`) with the instruction as `prompt`, and every answer holds a plan:
`actions` float32[h, d] in SI units, as openpi has it. What openpi does not know has keys that
begin with `robot_rl/`; who sends `robot_rl/schema` is told the plan normalised, and of which
version of the policy it is. Not here: bytes (`codec`) and how they travel (`connection`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np

from robot_rl.control.chunking.planner import PlanContext
from robot_rl.core.errors import ConfigError, ContractError, did_you_mean
from robot_rl.core.types import Vector
from robot_rl.policies.base import PlanRequest, PolicySpec
from robot_rl.policies.remote.window import floats, read_window, window_of

SCHEMA = 1
"""Grows when a field that begins with `robot_rl` changes its meaning."""

OWN = "robot_rl"
POLICY, NOISE = "robot_rl/policy", "robot_rl/noise"
AHEAD, FROZEN, WEIGHT = "robot_rl/ahead", "robot_rl/frozen", "robot_rl/max_guidance_weight"
DEADLINE, SCHEMA_KEY = "robot_rl/deadline_ms", "robot_rl/schema"
ASKED = (SCHEMA_KEY, POLICY, NOISE, AHEAD, FROZEN, WEIGHT, DEADLINE)
PLAN, VERSION, FINGERPRINT = "robot_rl/plan", "robot_rl/version", "robot_rl/fingerprint"
ACTIONS, TIMING = "actions", "server_timing"

_MOST = 1 << 16
"""No plan, noise or history is longer; a greater number in metadata is an error or an attack."""
_OUTSIDE = 1e-5
"""How far a plan may be beyond [-1, 1], for rounding."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e9)]


class _Listed(msgspec.Struct, frozen=True):
    version: Count


class _Own(msgspec.Struct, frozen=True):
    schema: int
    default: str
    policies: dict[str, dict[str, Any]]


class _Options(msgspec.Struct, frozen=True, rename=lambda name: f"robot_rl/{name}"):
    schema: int | None = None
    policy: str | None = None
    frozen: Count | None = None
    max_guidance_weight: Annotated[float, msgspec.Meta(ge=0, le=1e6)] = 5.0
    deadline_ms: Positive | None = None


class _Told(msgspec.Struct, frozen=True):
    version: Count = msgspec.field(name=VERSION)
    fingerprint: str = msgspec.field(name=FINGERPRINT)
    server_timing: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a server has to offer.

    Args:
        policies: by name.
        versions: how often each policy's weights were exchanged, by name.
        default: the name of the one that answers who names none.
    """

    policies: Mapping[str, PolicySpec]
    versions: Mapping[str, int]
    default: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a client wants.

    Args:
        policy: its name.
        request: what to plan from; its noise is None if none was sent, also where the policy
            needs one: it is for the server to draw.
        own: whether the client knows what begins with `robot_rl/`.
        deadline_s: of what use an answer is no more, from the arrival of the request; None never.
    """

    policy: str
    request: PlanRequest
    own: bool
    deadline_s: float | None


class Answer(NamedTuple):
    """A plan float32[h, d] in [-1, 1], by which weights, and the server's timing [ms]."""

    plan: Vector
    version: int
    fingerprint: str
    timing: dict[str, float]


def metadata_of(
    policies: Mapping[str, PolicySpec], versions: Mapping[str, int], default: str
) -> dict[str, Any]:
    """Return what a server says first."""
    listed = {
        name: {**msgspec.to_builtins(spec), "version": versions[name]}
        for name, spec in policies.items()
    }
    return {OWN: {"schema": SCHEMA, "default": default, "policies": listed}}


def read_metadata(metadata: Mapping[str, Any]) -> Served:
    """Return what a server offers.

    Raises:
        ContractError: if it is no server of ours, of another schema, or a field is wrong.
    """
    if OWN not in metadata:
        raise ContractError(
            f"the server's metadata have no {OWN!r}: got {', '.join(metadata) or 'none'}; it "
            "speaks openpi's protocol alone, so use the adapter for openpi's policies"
        )
    own = _converted(metadata[OWN], _Own, "metadata")
    _check_schema(own.schema)
    if own.default not in own.policies:
        raise ContractError(
            f"metadata: default {own.default!r} is not served"
            + did_you_mean(own.default, own.policies)
        )
    return Served(
        policies={name: _spec(name, plain) for name, plain in own.policies.items()},
        versions={
            name: _converted(plain, _Listed, f"metadata of {name!r}").version
            for name, plain in own.policies.items()
        },
        default=own.default,
    )


def request_of(
    name: str, request: PlanRequest, spec: PolicySpec, deadline_s: float | None
) -> dict[str, Any]:
    """Return the message that asks the policy `name`; its arrays are the request's own."""
    message = window_of(request.window, spec)
    message |= {SCHEMA_KEY: SCHEMA, POLICY: name}
    if request.noise is not None:
        message[NOISE] = request.noise
    if request.context is not None and request.carries_on:
        message |= {AHEAD: request.context.ahead, FROZEN: request.context.frozen}
        message[WEIGHT] = float(request.max_guidance_weight)
    if deadline_s is not None:
        message[DEADLINE] = deadline_s * 1e3
    return message


def read_request(
    message: Mapping[str, Any], specs: Mapping[str, PolicySpec], default: str
) -> Asked:
    """Return what a client asks for.

    The images may be views of the message; vectors are float32 whatever numbers came.

    Raises:
        ContractError: naming the field, what came and what was expected.
    """
    for key in message:
        if key.startswith(f"{OWN}/") and key not in ASKED:
            raise ContractError(f"request: unknown key {key!r}{did_you_mean(key, ASKED)}")
    options = _converted(message, _Options, "request")
    if options.schema is not None:
        _check_schema(options.schema)
    name = default if options.policy is None else options.policy
    if name not in specs:
        raise ContractError(f"request: unknown policy {name!r}{did_you_mean(name, specs)}")
    spec = specs[name]
    request = PlanRequest(
        window=read_window(message, spec),
        noise=_noise(message, spec),
        context=_context(message, options.frozen, spec),
        max_guidance_weight=options.max_guidance_weight,
    )
    return Asked(
        policy=name,
        request=request,
        own=options.schema is not None,
        deadline_s=None if options.deadline_ms is None else options.deadline_ms * 1e-3,
    )


def answer_of(
    plan: Vector,
    spec: PolicySpec,
    asked: Asked,
    *,
    version: int,
    infer_ms: float,
    prev_total_ms: float | None,
) -> dict[str, Any]:
    """Return the message that brings a plan float32[h, d] in [-1, 1] to who asked for it."""
    timing = {"infer_ms": infer_ms}
    if prev_total_ms is not None:
        timing["prev_total_ms"] = prev_total_ms
    if not asked.own:
        return {ACTIONS: spec.action.to_si(plan), TIMING: timing}
    return {PLAN: plan, VERSION: version, FINGERPRINT: spec.fingerprint, TIMING: timing}


def read_answer(message: Mapping[str, Any], spec: PolicySpec) -> Answer:
    """Return what a server of ours answers.

    Raises:
        ContractError: if the plan is of another shape, not finite or out of [-1, 1], or a field
            is missing or wrong.
    """
    told = _converted(message, _Told, "answer")
    plan = floats(PLAN, message.get(PLAN), (spec.horizon, spec.action.size))
    if np.abs(plan).max() > 1.0 + _OUTSIDE:
        raise ContractError(
            f"{PLAN}: got a value of magnitude {np.abs(plan).max():g}, expected at most 1"
        )
    return Answer(plan, told.version, told.fingerprint, told.server_timing)


def _spec(name: str, plain: Mapping[str, Any]) -> PolicySpec:
    spec = _converted(plain, PolicySpec, f"metadata of {name!r}")
    if (
        max(spec.horizon, spec.history, *(spec.noise or (1,))) > _MOST
        or min(spec.noise or (1,)) < 1
    ):
        raise ContractError(
            f"metadata of {name!r}: horizon {spec.horizon}, history {spec.history}, noise "
            f"{spec.noise}: expected 1 to {_MOST} each"
        )
    return spec


def _noise(message: Mapping[str, Any], spec: PolicySpec) -> Vector | None:
    if NOISE not in message:
        return None
    if spec.noise is None:
        raise ContractError(f"{NOISE}: {spec.name} takes none; leave it out")
    return floats(NOISE, message[NOISE], spec.noise)


def _context(
    message: Mapping[str, Any], frozen: int | None, spec: PolicySpec
) -> PlanContext | None:
    if AHEAD not in message:
        if frozen is not None:
            raise ContractError(f"{FROZEN}: got {frozen} without {AHEAD}; send both")
        return None
    ahead = floats(AHEAD, message[AHEAD], (None, spec.action.size))
    frozen = frozen or 0
    if not frozen <= len(ahead) <= spec.horizon:
        raise ContractError(
            f"{AHEAD}: got {len(ahead)} actions of which {frozen} are frozen, expected at most "
            f"the horizon ({spec.horizon}), and no more frozen than there are"
        )
    return PlanContext(ahead=ahead, frozen=frozen)


def _check_schema(got: int) -> None:
    if got != SCHEMA:
        raise ContractError(
            f"{SCHEMA_KEY}: got {got}, expected {SCHEMA}; client and server must be of one version"
        )


def _converted[T](plain: object, kind: type[T], what: str) -> T:
    try:
        return msgspec.convert(plain, kind)
    except (msgspec.ValidationError, ConfigError, ContractError) as error:
        raise ContractError(f"{what}: {error}") from error
