"""The contract of base policies, whatever they are made of and wherever they run. No torch.

Three levels of what one can do. **Black box**: it plans, `BasePolicy`. **Steerable**: its
`PolicySpec.noise` has a shape, and the plan is a function of observation and noise; what draws or
chooses that noise is outside. **Trainable**: `chunk_policy.ChunkPolicy`, whose network, sampler
and weights are at hand. A learner names the level that it needs by the type that it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from robot_rl.control.chunking.planner import PlanContext
from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.core.spec import ActionSpec, ObservationSpec
from robot_rl.core.types import Observation, Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySpec:
    """What a base policy looks at, and what its plans mean.

    Args:
        name: what kind of policy it is, for people.
        fingerprint: hash of weights and settings: equal fingerprints plan alike.
        observation: what it must be given; more is ignored.
        action: what one action of a plan is.
        horizon: actions of a plan.
        execute: how many of them are to be played before the next plan.
        history: observations of consecutive control periods that a plan is made from.
        noise: shape of the initial noise that decides a plan, None where nothing does.
        guided: whether a plan can be made to carry on with the one in play.

    Raises:
        ConfigError: if a number is out of its range.
    """

    name: str
    fingerprint: str
    observation: ObservationSpec
    action: ActionSpec
    horizon: int
    execute: int
    history: int = 1
    noise: tuple[int, int] | None = None
    guided: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.execute <= self.horizon:
            raise ConfigError(
                f"execute: got {self.execute}, expected 1 to the horizon ({self.horizon})"
            )
        if self.history < 1:
            raise ConfigError(f"history: got {self.history}, expected at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """What one plan is to be made from.

    Args:
        window: the newest observations, one of each control period, the oldest first.
        noise: float32[rows, width] as `PolicySpec.noise` says; None where nothing steers.
        context: what is in play meanwhile, for a policy that can be guided; None to plan freely.
        max_guidance_weight: how hard `context` may pull, the beta of arXiv 2506.07339.
    """

    window: tuple[Observation, ...]
    noise: Vector | None = None
    context: PlanContext | None = None
    max_guidance_weight: float = 5.0

    @property
    def carries_on(self) -> bool:
        """Whether anything is in play that the plan is to carry on with."""
        return self.context is not None and len(self.context.ahead) > 0


class BasePolicy(Protocol):
    """Plans for whoever asks, several at once; remembers nothing between two calls."""

    @property
    def spec(self) -> PolicySpec:
        """What it looks at and what its plans mean; it does not change."""
        ...

    def infer(self, requests: Sequence[PlanRequest]) -> Vector:
        """Return a plan for each request, float32[b, horizon, d] in [-1, 1].

        Deterministic where `spec.noise` has a shape. The arrays of a request are not written to.

        Raises:
            ContractError: if a request does not fit the spec (see `check_request`), or what was
                planned is not finite.
        """
        ...


def check_request(spec: PolicySpec, request: PlanRequest) -> None:
    """Refuse a request that the policy cannot plan from.

    Raises:
        ContractError: naming what came and what was expected.
    """
    if len(request.window) != spec.history:
        raise ContractError(
            f"{spec.name}: got {len(request.window)} observations, expected {spec.history}, one "
            "of each control period"
        )
    for seen in request.window:
        spec.observation.check(
            {key: seen.vectors[key] for key in spec.observation.vectors if key in seen.vectors},
            {key: seen.images[key] for key in spec.observation.images if key in seen.images},
        )
    shape = None if request.noise is None else request.noise.shape
    if shape != spec.noise:
        raise ContractError(f"{spec.name}: got noise of shape {shape}, expected {spec.noise}")
    if request.carries_on and not spec.guided:
        raise ContractError(f"{spec.name}: its plans cannot be drawn towards what is in play")
