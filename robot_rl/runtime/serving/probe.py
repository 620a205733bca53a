"""Fixed requests that a policy is tried with, and what its plans must be like in any case."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robot_rl.control.chunking.planner import PlanContext
from robot_rl.core.errors import ContractError
from robot_rl.core.types import Observation, Vector
from robot_rl.policies.base import BasePolicy, PlanRequest, PolicySpec

_OUTSIDE = 1e-5
"""How far a plan may be beyond [-1, 1], for rounding."""
_CANARIES = 8
"""Fixed observations that old and new weights plan from."""


def plan(policy: BasePolicy, requests: Sequence[PlanRequest]) -> Vector:
    """Return what the policy plans, float32[b, horizon, d]; what each is like is not looked at.

    Raises:
        ContractError: if it is of another shape or dtype.
    """
    spec = policy.spec
    plans = policy.infer(requests)
    expected = (len(requests), spec.horizon, spec.action.size)
    if plans.shape != expected or plans.dtype != np.float32:
        raise ContractError(
            f"{spec.name}: planned {plans.dtype}{list(plans.shape)}, expected "
            f"float32{list(expected)}"
        )
    return plans


def fault_of(plan: Vector) -> str:
    """Return what is wrong with a plan that no robot may be given, in words; nothing if none."""
    # In this order: no comparison holds for what is not a number.
    if not np.isfinite(plan).all():
        return "the plan is not finite"
    most = float(np.abs(plan).max())
    return "" if most <= 1.0 + _OUTSIDE else f"the plan leaves [-1, 1]: {most:g}"


def warm_up(policy: BasePolicy, times: int, batch: int) -> None:
    """Plan from a zero observation, alone, in full batches, and guided where that can be done.

    Raises:
        ContractError: if what is planned is no good.
    """
    zero = probes(policy.spec, 1)[0]
    kinds = [[zero], [zero] * batch]
    if policy.spec.guided:
        kinds.append([_guided(policy.spec, zero)])
    for _ in range(times):
        for requests in kinds:
            for each in plan(policy, requests):
                if fault := fault_of(each):
                    raise ContractError(f"{policy.spec.name}: from a zero observation {fault}")


def canary_plans(policy: BasePolicy) -> Vector:
    """Return what a policy plans from fixed observations, float32[k, horizon, d].

    Raises:
        ContractError: if a plan is no good.
    """
    # One at a time: not every policy has the memory for more than the server's batch.
    plans = [plan(policy, [each])[0] for each in probes(policy.spec, _CANARIES)]
    for each in plans:
        if fault := fault_of(each):
            raise ContractError(f"from a fixed observation {fault}")
    return np.stack(plans)


def probes(spec: PolicySpec, count: int) -> list[PlanRequest]:
    """Return always the same requests for a spec, the first of them from a zero observation."""
    rng = np.random.default_rng(0)
    return [_probe(spec, rng, float(i > 0)) for i in range(count)]


def _probe(spec: PolicySpec, rng: np.random.Generator, scale: float) -> PlanRequest:
    seen = spec.observation
    period_ns = round(spec.action.period_s * 1e9)
    window = tuple(
        Observation(
            stamp_ns=i * period_ns,
            vectors={
                key: np.float32(scale) * rng.standard_normal(vector.size, np.float32)
                for key, vector in seen.vectors.items()
            },
            images={
                key: np.uint8(scale) * rng.integers(0, 256, (i.height, i.width, 3), np.uint8)
                for key, i in seen.images.items()
            },
        )
        for i in range(spec.history)
    )
    noise = None if spec.noise is None else rng.standard_normal(spec.noise, np.float32)
    return PlanRequest(window=window, noise=noise)


def _guided(spec: PolicySpec, request: PlanRequest) -> PlanRequest:
    ahead = np.zeros((max(1, spec.horizon - spec.execute), spec.action.size), np.float32)
    context = PlanContext(ahead=ahead, frozen=min(1, len(ahead)))
    return PlanRequest(window=request.window, noise=request.noise, context=context)
