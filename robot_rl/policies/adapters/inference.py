"""Plans of a chunk policy sooner: another layout, fewer steps, 8 bits, a GPU."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from copy import copy, deepcopy
from dataclasses import replace
from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from robot_rl.config.model import Buildable, Config
from robot_rl.core.errors import ConfigError, DependencyError
from robot_rl.networks.int8 import quantise
from robot_rl.networks.lean_unet import LeanUnet
from robot_rl.networks.unet import ConditionalUnet1d
from robot_rl.policies.chunk_policy import ChunkPolicy
from robot_rl.policies.sampler.contract import Denoise, Sampler
from robot_rl.policies.sampler.guidance import Guide


class InferenceConfig(Config):
    """Settings of a `LeanPlanner`; already with these defaults U-Nets are cheaper.

    Args:
        device: where the denoiser runs; the encoder of observations stays on the CPU.
        compile: let torch write the denoiser's code, which needs a C++ compiler and, the first
            time, a minute or two. For plans that are asked for one at a time; others, and those
            that are drawn towards one in play, are made without.
        int8: round the weights of wide layers to 8 bits, on a CPU; see `LeanPlanner`. Plans that
            are drawn towards one in play are made without.
        steps: of the sampler, for fewer than the policy's own.
    """

    device: Literal["cpu", "cuda"] = "cpu"
    compile: bool = False
    int8: bool = False
    steps: int | None = Field(default=None, ge=1)

    def build(self, policy: ChunkPolicy) -> LeanPlanner:
        """Return what plans in the place of the policy.

        Raises:
            ConfigError: if the settings do not go together, or with the policy's sampler.
            DependencyError: if there is no such device.
        """
        if self.int8 and self.device != "cpu":
            raise ConfigError(f"int8: got device {self.device}, expected cpu; leave out one")
        if self.int8 and self.compile:
            raise ConfigError(
                "int8 and compile: got both, expected one; int8 pays for wide networks, compile "
                "for narrow ones"
            )
        if self.device == "cuda" and not torch.cuda.is_available():
            raise DependencyError("inference.device: got cuda, but torch finds none; take cpu")
        return LeanPlanner(policy, self)


class LeanPlanner:
    """Makes the plans of a `ChunkPolicy`, with a copy of its denoiser.

    What pays where: the denoiser's part of a plan of 16 actions in ten steps, in CPU time of one
    thread of an EPYC 7003 without AVX-512 (`scripts/bench/serving_inference.py`), beside the
    same U-Net as it is trained:

    | widths | as trained | here | compile | int8 |
    |---|---|---|---|---|
    | 32, 64 | 40 ms | 36 ms | 13 ms | nothing to round |
    | 128, 256, 512 | 296 ms | 123 ms | | 72 ms |
    | 512, 1024, 2048 | 6,020 ms | 1,880 ms | | 342 ms |

    int8 moves actions, whose range is 2, by 0.01 to 0.07 on average in untrained networks, and by
    0.002 in one of widths 128, 256 after little training: look at the success of yours. Networks
    that are no U-Nets run as they are, apart from compile.

    Left out, for it does not pay: bfloat16, whose steps take 1.1 to 1.7 times as long on a
    processor without instructions for it; and to keep features of images beyond the last few
    that a frozen backbone remembers, for no two clients see the same.

    Args:
        policy: its weights are copied, its encoder is used.
        config: settings.
    """

    def __init__(self, policy: ChunkPolicy, config: InferenceConfig) -> None:
        self._encoder = policy.model.encoder
        self._device = torch.device(config.device)
        self._sampler = _sampler(policy, config.steps)
        self._exact = _lean(policy.model.network).to(self._device)
        self._network = self._alone = self._exact
        if config.int8:
            self._network = self._alone = _lean(policy.model.network)
            quantise(self._network)
        if config.compile:
            self._alone = copy(self._exact)
            self._alone.compile()
            self._warm_up(policy)
        self.fingerprint = _fingerprint(policy, config)

    @torch.inference_mode()
    def plan(self, observation: Tensor, images: Mapping[str, Tensor], noise: Tensor) -> Tensor:
        """See `ChunkPolicy.plan`."""
        features = self._encoder(observation, images).to(self._device)
        # Compiled code is of one size: each other one would first take a minute to compile.
        denoise = self._denoise(self._alone if len(noise) == 1 else self._network, features)
        chunks = self._sampler.sample(denoise, features, noise.to(self._device))
        return chunks.clamp(-1.0, 1.0).cpu()

    @torch.no_grad()
    def plan_guided(
        self, observation: Tensor, images: Mapping[str, Tensor], noise: Tensor, guide: Guide
    ) -> Tensor:
        """See `ChunkPolicy.plan_guided`."""
        device = self._device
        sampler = self._sampler.guided()
        features = self._encoder(observation, images).to(device)
        denoise = self._denoise(self._exact, features)
        guide = replace(guide, ahead=guide.ahead.to(device), mask=guide.mask.to(device))
        chunks = sampler.sample_guided(denoise, features, noise.to(device), guide)
        return chunks.clamp(-1.0, 1.0).cpu()

    @torch.inference_mode()
    def _warm_up(self, policy: ChunkPolicy) -> None:
        noise = torch.zeros(1, policy.config.horizon, policy.action.size, device=self._device)
        features = torch.zeros(1, self._encoder.size, device=self._device)
        self._sampler.sample(self._denoise(self._alone, features), features, noise)

    def _denoise(self, network: nn.Module, features: Tensor) -> Denoise:
        if isinstance(network, LeanUnet):
            return network.given(features)
        # Samplers say the step on the CPU.
        return lambda sample, step, given: network(sample, step.to(self._device), given)


def _lean(network: nn.Module) -> nn.Module:
    return LeanUnet(network) if isinstance(network, ConditionalUnet1d) else deepcopy(network)


def _sampler(policy: ChunkPolicy, steps: int | None) -> Sampler:
    if steps is None:
        return policy.sampler
    settings = cast(Config, policy.config.sampler)
    if "inference_steps" not in type(settings).model_fields:
        raise ConfigError(
            f"inference.steps: got {steps}, but {type(settings).__name__} has no number of steps "
            "to choose; leave it out"
        )
    changed = type(settings).model_validate(settings.model_dump() | {"inference_steps": steps})
    return cast(Buildable, changed).build()


def _fingerprint(policy: ChunkPolicy, config: InferenceConfig) -> str:
    """The policy's, unless plans change by more than rounding."""
    if not config.int8 and config.steps is None:
        return policy.fingerprint
    text = f"{policy.fingerprint} int8 {config.int8} steps {config.steps}"
    return hashlib.sha256(text.encode()).hexdigest()
