"""A policy that plans chunks of actions. Training it: `robot_rl.learning.imitation`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from copy import copy, deepcopy
from pathlib import Path
from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from robot_rl.config.model import Component, Config
from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import ActionSpec, ObservationSpec, contract_hash
from robot_rl.core.types import ActionChunk, Observation
from robot_rl.data.normaliser import Normaliser
from robot_rl.networks.denoiser import MlpDenoiserConfig
from robot_rl.networks.encoder import NO_IMAGES, Encoder, build_encoder
from robot_rl.policies import policy_files
from robot_rl.policies.sampler.contract import Sampler
from robot_rl.policies.sampler.ddim import DdimConfig
from robot_rl.policies.sampler.guidance import Guide
from robot_rl.policies.weights import load_checked


class ChunkPolicyConfig(Config):
    """Settings of `ChunkPolicy`.

    Args:
        horizon: length of a planned chunk.
        execute: how many of its actions are played before the next plan.
        keys: observation vectors the plan is conditioned on; empty for all.
        vision: a component that adds the cameras, see `build_encoder`; without it none is seen.
        network: a component whose `build(horizon, action_size, features)` returns a denoiser,
            such as `networks.denoiser:MlpDenoiserConfig`.
        sampler: a component whose `build()` returns a `Sampler`, such as
            `policies.sampler.ddim:DdimConfig`.
    """

    horizon: int = Field(default=16, ge=1)
    execute: int = Field(default=8, ge=1)
    keys: tuple[str, ...] = ()
    vision: Component | None = None
    network: Component = MlpDenoiserConfig()
    sampler: Component = DdimConfig()

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if self.execute > self.horizon:
            raise ConfigError(
                f"execute: got {self.execute}, expected at most horizon ({self.horizon})"
            )
        return self

    def build(
        self,
        observation: ObservationSpec,
        action: ActionSpec,
        normaliser: Normaliser,
        *,
        contract: str = "",
        seed: int = 0,
    ) -> ChunkPolicy:
        """Return an untrained policy, see `ChunkPolicy`."""
        return ChunkPolicy(self, observation, action, normaliser, contract=contract, seed=seed)


class ChunkModel(nn.Module):
    """What is trained of a chunk policy: encoder and network.

    Args:
        encoder: turns observations into features.
        network: the denoiser.
    """

    def __init__(self, encoder: Encoder, network: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.network = network


class ChunkPolicy:
    """Encoder, network and sampler: from an observation to a chunk, given the noise.

    With the `ddim` sampler it is Diffusion Policy (Chi et al. 2023, arXiv 2303.04137), but
    conditioned on one observation, not on a history: the observation holds velocities. The
    weights are frozen here; `load_weights` is the only way to change them.

    Args:
        config: settings.
        observation, action: specs of what it sees and plans.
        normaliser: of the packed observation; actions are in [-1, 1] already.
        contract: hash of the task it is for (`TaskSpec.contract`); without it, of the specs.
        seed: of the initial weights.
    """

    def __init__(
        self,
        config: ChunkPolicyConfig,
        observation: ObservationSpec,
        action: ActionSpec,
        normaliser: Normaliser,
        *,
        contract: str = "",
        seed: int = 0,
    ) -> None:
        self.config = config
        self.observation = observation
        self.action = action
        self.normaliser = normaliser
        self.contract = contract or contract_hash(observation, action)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoder = build_encoder(observation, normaliser, config.keys, config.vision)
            network = config.network.build(config.horizon, action.size, encoder.size)
        model = ChunkModel(encoder, network)
        self._trainable = [name for name, p in model.named_parameters() if p.requires_grad]
        self.model = model.requires_grad_(False).eval()
        self.sampler: Sampler = config.sampler.build()
        self.fingerprint = self._fingerprint()
        self._generator = torch.Generator()
        self.reset(0)

    @property
    def steerable(self) -> bool:
        """Whether the noise decides which of several possible chunks is planned."""
        return self.sampler.steerable

    @property
    def execute(self) -> int:
        """How many actions of a plan are played before the next one."""
        return self.config.execute

    @property
    def noise_shape(self) -> tuple[int, int]:
        """Rows and width of the noise of one plan: the horizon and the size of an action."""
        return self.config.horizon, self.action.size

    @property
    def sees_images(self) -> bool:
        """Whether it looks at the cameras."""
        return self.config.vision is not None

    def reset(self, seed: int) -> None:
        """Seed the noise of the next episode's plans."""
        self._generator.manual_seed(seed)

    def act(self, observation: Observation) -> ActionChunk:
        """Plan from fresh noise: the whole chunk float32[h, d], of which `execute` are to play."""
        return self._chunk(observation, self.plan(*self._batch(observation), self.draw_noise(1)))

    def act_guided(self, observation: Observation, guide: Guide) -> ActionChunk:
        """Plan as `act` does, drawn towards what is being played.

        Raises:
            ConfigError: if the sampler cannot be guided.
        """
        noise = self.draw_noise(1)
        return self._chunk(observation, self.plan_guided(*self._batch(observation), noise, guide))

    def draw_noise(self, count: int) -> Tensor:
        """Return the next noise float32[count, h, d] of the generator that `reset` seeds."""
        return torch.randn(count, self.config.horizon, self.action.size, generator=self._generator)

    @torch.inference_mode()
    def plan(self, observation: Tensor, images: Mapping[str, Tensor], noise: Tensor) -> Tensor:
        """Return chunks float32[b, h, d] in [-1, 1]; deterministic given the noise.

        Args:
            observation: float32[b, n], packed, raw units.
            images: by camera, whatever the encoder takes, such as uint8[b, height, width, 3];
                empty without vision.
            noise: float32[b, h, d], standard normal; without effect unless `steerable`.
        """
        features = self.model.encoder(observation, images)
        return self.sampler.sample(self.model.network, features, noise).clamp(-1.0, 1.0)

    @torch.no_grad()
    def plan_guided(
        self, observation: Tensor, images: Mapping[str, Tensor], noise: Tensor, guide: Guide
    ) -> Tensor:
        """Return chunks as `plan` does, drawn towards what is being played.

        Raises:
            ConfigError: if the sampler cannot be guided.
        """
        sampler = self.sampler.guided()
        # Not in inference mode as `plan` is: the network is differentiated at these features.
        features = self.model.encoder(observation, images)
        chunks = sampler.sample_guided(self.model.network, features, noise, guide)
        return chunks.clamp(-1.0, 1.0)

    def trainable_model(self) -> ChunkModel:
        """Return a copy of `model` to train; what was frozen from the start in it stays so."""
        model = deepcopy(self.model).train()
        for name in self._trainable:
            model.get_parameter(name).requires_grad_(True)
        return model

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Replace the weights of encoder and network; the fingerprint follows.

        Args:
            weights: a `state_dict` of `model`.
        """
        self.model.load_state_dict(weights)
        self.fingerprint = self._fingerprint()

    def with_weights(self, weights: Mapping[str, Tensor]) -> ChunkPolicy:
        """Return a policy that differs in its weights alone; its noise is that of seed 0.

        Raises:
            ContractError: if names or shapes do not fit, or a weight is not finite.
        """
        other = copy(self)
        other.model = deepcopy(self.model)
        load_checked(other.model, weights, version=1, current=0)
        other.fingerprint = other._fingerprint()
        other._generator = torch.Generator()
        other.reset(0)
        return other

    def save(self, directory: Path) -> None:
        """Write weights (safetensors) and everything else that acting depends on (JSON)."""
        description = {
            "config": self.config.model_dump(mode="json"),
            "observation": policy_files.to_plain(self.observation),
            "action": policy_files.to_plain(self.action),
            "normaliser": self.normaliser.state,
            "contract": self.contract,
            "fingerprint": self.fingerprint,
        }
        policy_files.write(directory, description, self.model.state_dict())

    @classmethod
    def load(cls, directory: Path, contract: str | None = None) -> ChunkPolicy:
        """Read what `save` wrote.

        Args:
            directory: where `save` wrote.
            contract: what the policy must be for (`TaskSpec.contract`); None takes any.

        Raises:
            StorageError: if the files are missing or unreadable.
            FingerprintError: if it is for another contract, or not what was saved.
        """
        description, weights = policy_files.read(directory)
        policy_files.check_contract(directory, description["contract"], contract)
        policy = cls(
            ChunkPolicyConfig.model_validate(description["config"]),
            policy_files.observation_spec(description["observation"]),
            policy_files.action_spec(description["action"]),
            Normaliser.from_state(description["normaliser"]),
            contract=description["contract"],
        )
        policy_files.check_weights(directory, policy.model.state_dict(), weights)
        policy.load_weights(weights)
        policy_files.check_fingerprint(directory, policy.fingerprint, description["fingerprint"])
        return policy

    def _batch(self, observation: Observation) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The packed vectors and the images as a batch of one."""
        packed = torch.from_numpy(self.observation.pack(observation.vectors))[None]
        return packed, self._images(observation)

    def _chunk(self, observation: Observation, plans: Tensor) -> ActionChunk:
        return ActionChunk(
            values=plans[0].numpy(), start_ns=observation.stamp_ns, dt_s=self.action.period_s
        )

    def _images(self, observation: Observation) -> Mapping[str, Tensor]:
        """The camera images as a batch of one, if any are looked at."""
        if not self.sees_images:
            return NO_IMAGES
        return {key: torch.from_numpy(image)[None] for key, image in observation.images.items()}

    def _fingerprint(self) -> str:
        """Hash weights, normaliser, specs and settings to 64 hex digits."""
        digest = hashlib.sha256(self.config.model_dump_json().encode())
        digest.update(f"{self.contract} {contract_hash(self.observation, self.action)}".encode())
        digest.update(self.normaliser.fingerprint.encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()
