"""Our own chunk policies as base policies, to be served, steered or asked from afar."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from robot_rl.config.model import Config
from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import TaskSpec
from robot_rl.core.types import Vector
from robot_rl.networks.encoder import NO_IMAGES
from robot_rl.policies.base import PlanRequest, PolicySpec, check_request
from robot_rl.policies.chunk_policy import ChunkPolicy
from robot_rl.policies.sampler.guidance import Guide, soft_mask


class ChunkBaseConfig(Config):
    """A chunk policy that was saved by a run.

    Args:
        path: its folder, such as `runs/<run>/base`.
    """

    path: Path

    def build(self, task: TaskSpec) -> ChunkBase:
        """Return the policy.

        Raises:
            StorageError: if there is none.
            FingerprintError: if it is for another task.
        """
        return ChunkBase(ChunkPolicy.load(self.path, task.contract))


class ChunkBase:
    """A `BasePolicy` of a `ChunkPolicy`: requests without a context are planned in one batch.

    Args:
        policy: makes the plans; its weights may be exchanged between two calls.
    """

    def __init__(self, policy: ChunkPolicy) -> None:
        self.policy = policy

    @property
    def spec(self) -> PolicySpec:
        """See `BasePolicy.spec`."""
        policy = self.policy
        seen = policy.observation
        if policy.config.vision is None:
            seen = type(seen)(vectors=seen.vectors)
        return PolicySpec(
            name="chunk",
            fingerprint=policy.fingerprint,
            observation=seen,
            action=policy.action,
            horizon=policy.config.horizon,
            execute=policy.config.execute,
            noise=(policy.config.horizon, policy.action.size) if policy.steerable else None,
            guided=_can_be_guided(policy),
        )

    def infer(self, requests: Sequence[PlanRequest]) -> Vector:
        """See `BasePolicy.infer`."""
        spec = self.spec
        for request in requests:
            check_request(spec, request)
        plans = np.empty((len(requests), spec.horizon, spec.action.size), np.float32)
        free = [i for i, request in enumerate(requests) if not _carries_on(request)]
        if free:
            batch = self._tensors([requests[i] for i in free])
            plans[free] = self.policy.plan(*batch).numpy()
        for i in (i for i, request in enumerate(requests) if _carries_on(request)):
            guide = _guide(requests[i])
            plans[i] = self.policy.plan_guided(*self._tensors([requests[i]]), guide)[0].numpy()
        return plans

    def _tensors(
        self, requests: Sequence[PlanRequest]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Packed observations float32[b, n], images uint8[b, h, w, 3], noise float32[b, h, d]."""
        policy, seen = self.policy, [request.window[-1] for request in requests]
        packed = np.stack([policy.observation.pack(o.vectors) for o in seen])
        images = dict(NO_IMAGES)
        if policy.config.vision is not None:
            images = {
                key: torch.from_numpy(np.stack([o.images[key] for o in seen]))
                for key in policy.observation.images
            }
        none = np.zeros((policy.config.horizon, policy.action.size), np.float32)
        noise = np.stack([none if r.noise is None else r.noise for r in requests])
        return torch.from_numpy(packed), images, torch.from_numpy(noise)


def _carries_on(request: PlanRequest) -> bool:
    return request.context is not None and len(request.context.ahead) > 0


def _guide(request: PlanRequest) -> Guide:
    assert request.context is not None
    ahead = request.context.ahead
    return Guide(
        ahead=torch.from_numpy(ahead),
        mask=soft_mask(len(ahead), request.context.frozen),
        most=request.max_guidance_weight,
    )


def _can_be_guided(policy: ChunkPolicy) -> bool:
    try:
        policy.sampler.guided()
    except ConfigError:
        return False
    return True
