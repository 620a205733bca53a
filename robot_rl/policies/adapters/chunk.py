"""Our own chunk policies as base policies, to be served, steered or asked from afar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from robot_rl.config.model import Config
from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.core.spec import ObservationSpec, TaskSpec
from robot_rl.core.types import Vector
from robot_rl.networks.encoder import NO_IMAGES
from robot_rl.policies.adapters.inference import InferenceConfig, LeanPlanner
from robot_rl.policies.base import PlanRequest, PolicySpec, check_request
from robot_rl.policies.chunk_policy import ChunkPolicy
from robot_rl.policies.sampler.guidance import Guide, soft_mask


class ChunkBaseConfig(Config):
    """A chunk policy that was saved by a run.

    Args:
        path: its folder, such as `runs/<run>/base`.
        inference: how its plans are made sooner; None plans bit for bit as the run did.
    """

    path: Path
    inference: InferenceConfig | None = None

    def build(self, task: TaskSpec) -> ChunkBase:
        """Return the policy.

        Raises:
            ConfigError: if it cannot plan as `inference` says.
            DependencyError: if the device that `inference` says is not there.
            FingerprintError: if it is for another task.
            StorageError: if there is none.
        """
        return ChunkBase(ChunkPolicy.load(self.path, task.contract), self.inference)


class ChunkBase:
    """A `BasePolicy` of a `ChunkPolicy`: requests without a context are planned in one batch.

    Args:
        policy: makes the plans; nobody may change its weights.
        inference: see `ChunkBaseConfig`.
    """

    def __init__(self, policy: ChunkPolicy, inference: InferenceConfig | None = None) -> None:
        self._policy = policy
        self._inference = inference
        self._planner: ChunkPolicy | LeanPlanner = inference.build(policy) if inference else policy
        self._spec = _spec(policy, self._planner.fingerprint)

    @property
    def spec(self) -> PolicySpec:
        """See `BasePolicy.spec`."""
        return self._spec

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """Weights of encoder and network by name; nobody may write to them."""
        return self._policy.model.state_dict()

    def with_weights(self, weights: Mapping[str, Tensor]) -> ChunkBase:
        """Return a copy that plans with other weights; this one goes on with its own.

        Raises:
            ContractError: if names or shapes are not those of `weights`, or one is not finite.
        """
        return ChunkBase(self._policy.with_weights(weights), self._inference)

    def infer(self, requests: Sequence[PlanRequest]) -> Vector:
        """See `BasePolicy.infer`."""
        spec = self.spec
        guides = [_checked(spec, request) for request in requests]
        plans = np.empty((len(requests), spec.horizon, spec.action.size), np.float32)
        free = [i for i, guide in enumerate(guides) if guide is None]
        if free:
            plans[free] = self._planner.plan(*self._batch([requests[i] for i in free])).numpy()
        for i, guide in enumerate(guides):
            if guide is not None:
                batch = self._batch([requests[i]])
                plans[i] = self._planner.plan_guided(*batch, guide)[0].numpy()
        if not np.isfinite(plans).all():
            raise ContractError(f"{spec.name}: the plan is not finite; look at the weights")
        return plans

    def _batch(
        self, requests: Sequence[PlanRequest]
    ) -> tuple[Tensor, Mapping[str, Tensor], Tensor]:
        """Packed observations float32[b, n], images uint8[b, h, w, 3], noise float32[b, h, d]."""
        spec, seen = self.spec, [request.window[-1] for request in requests]
        packed = np.stack([self._policy.observation.pack(o.vectors) for o in seen])
        images = {
            key: torch.from_numpy(np.stack([o.images[key] for o in seen]))
            for key in spec.observation.images
        }
        none = np.zeros((spec.horizon, spec.action.size), np.float32)
        noise = np.stack([none if r.noise is None else r.noise for r in requests])
        return torch.from_numpy(packed), images or NO_IMAGES, torch.from_numpy(noise)


def _spec(policy: ChunkPolicy, fingerprint: str) -> PolicySpec:
    seen = policy.observation
    return PolicySpec(
        name="chunk",
        fingerprint=fingerprint,
        observation=seen if policy.sees_images else ObservationSpec(vectors=seen.vectors),
        action=policy.action,
        horizon=policy.config.horizon,
        execute=policy.execute,
        noise=policy.noise_shape if policy.steerable else None,
        guided=_can_be_guided(policy),
    )


def _checked(spec: PolicySpec, request: PlanRequest) -> Guide | None:
    """Return what a request that fits is to be drawn towards, if anything is.

    Raises:
        ContractError: if it does not fit.
    """
    check_request(spec, request)
    context, most = request.context, request.max_guidance_weight
    if context is None or not request.carries_on:
        return None
    ahead, size = context.ahead, spec.action.size
    if ahead.ndim != 2 or ahead.shape[1] != size or len(ahead) > spec.horizon:
        raise ContractError(
            f"{spec.name}: got what is in play as {list(ahead.shape)}, expected at most "
            f"[{spec.horizon}, {size}]"
        )
    if not (np.isfinite(ahead).all() and np.isfinite(most) and most >= 0.0):
        raise ContractError(f"{spec.name}: what is in play or max_guidance_weight is not finite")
    if not 0 <= context.frozen <= len(ahead):
        raise ContractError(
            f"{spec.name}: got {context.frozen} frozen actions, expected 0 to {len(ahead)}"
        )
    # torch.tensor copies: what came over a wire may be read-only, which tensors cannot be.
    mask = soft_mask(len(ahead), context.frozen)
    return Guide(ahead=torch.tensor(ahead, dtype=torch.float32), mask=mask, most=most)


def _can_be_guided(policy: ChunkPolicy) -> bool:
    try:
        policy.sampler.guided()
    except ConfigError:
        return False
    return True
