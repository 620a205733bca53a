"""Soft actor-critic of other projects, each used as its own training loop uses it, in one form.

Peers are optional: `.venv/bin/pip install -c constraints.txt -e '.[peers]'`. Nothing is fetched:
the frozen image encoder that LeRobot would load from its hub is saved to a folder with random
weights, which cost as much time as trained ones.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from robot_rl.core.types import Image, Observation, Transition, Vector

STATE = "observation.state"
INSTALL = "not installed: .venv/bin/pip install -c constraints.txt -e '.[peers]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An observation as peers take it: one vector float32[n], and images uint8[h, w, 3]."""

    state: Vector
    images: Mapping[str, Image]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What has to be equal for a comparison.

    Args:
        state, action: lengths of the vectors.
        cameras: keys of square images.
        pixels: their sides.
        heads, hidden: of the critics; the actor has the same hidden layers.
        batch, gamma, lr: of every update.
        capacity: steps that a replay buffer holds.
    """

    state: int
    action: int
    cameras: tuple[str, ...] = ()
    pixels: int = 128
    heads: int = 10
    hidden: tuple[int, ...] = (256, 256)
    batch: int = 256
    gamma: float = 0.98
    lr: float = 3e-4
    capacity: int = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step as peers take it.

    Args:
        seen, after: before and after it.
        action: float32[d] in [-1, 1].
        demonstration: whether a person showed it.
    """

    seen: Seen
    action: Vector
    reward: float
    after: Seen
    terminated: bool
    truncated: bool
    demonstration: bool = False


def peer_step(
    step: Transition, see: Callable[[Observation], Seen], *, demonstration: bool
) -> Step:
    """A recorded step as peers take it, through the eyes of `see`."""
    return Step(
        seen=see(step.observation),
        action=step.action,
        reward=step.reward,
        after=see(step.next_observation),
        terminated=step.terminated,
        truncated=step.truncated,
        demonstration=demonstration,
    )


class SacPeer(Protocol):
    """A peer under measurement."""

    def add(self, step: Step) -> None:
        """Store one step."""
        ...

    def update(self) -> None:
        """Make one full update: critics, actor, temperature and targets, sampling included."""
        ...

    def act(self, seen: Seen, *, explore: bool) -> Vector:
        """Return an action float32[d] in [-1, 1]."""
        ...


class LerobotSac:
    """`lerobot.rl`: its replay buffers, its online-offline mixer, its `SACAlgorithm.update`.

    Half of a batch comes from demonstrations, as in its HIL-SERL configuration. Minimum over two
    of the critics where there are more. Actor and learner take turns instead of talking over a
    socket, which makes it faster and changes nothing in what is learned.
    """

    def __init__(self, sizes: Sizes) -> None:
        from lerobot.configs.types import FeatureType, PolicyFeature
        from lerobot.policies.gaussian_actor.configuration_gaussian_actor import (
            ActorNetworkConfig,
            CriticNetworkConfig,
            GaussianActorConfig,
        )
        from lerobot.policies.gaussian_actor.modeling_gaussian_actor import GaussianActorPolicy
        from lerobot.rl.algorithms.sac.configuration_sac import SACAlgorithmConfig
        from lerobot.rl.algorithms.sac.sac_algorithm import SACAlgorithm
        from lerobot.rl.buffer import ReplayBuffer
        from lerobot.rl.data_sources import OnlineOfflineMixer

        self._cameras = sizes.cameras
        features = {STATE: PolicyFeature(type=FeatureType.STATE, shape=(sizes.state,))}
        for key in sizes.cameras:
            shape = (3, sizes.pixels, sizes.pixels)
            features[key] = PolicyFeature(type=FeatureType.VISUAL, shape=shape)
        action = PolicyFeature(type=FeatureType.ACTION, shape=(sizes.action,))
        hidden = list(sizes.hidden)
        with tempfile.TemporaryDirectory() as folder:
            config = GaussianActorConfig(
                input_features=features,
                output_features={"action": action},
                device="cpu",
                vision_encoder_name=_resnet10(Path(folder)) if sizes.cameras else None,
                actor_network_kwargs=ActorNetworkConfig(hidden_dims=hidden),
            )
            self._policy = GaussianActorPolicy(config)
        settings = SACAlgorithmConfig.from_policy_config(config)
        settings.critic_network_kwargs = CriticNetworkConfig(hidden_dims=hidden)
        settings.num_critics = sizes.heads
        settings.num_subsample_critics = 2 if sizes.heads > 2 else None
        settings.discount = sizes.gamma
        settings.temperature_init = 0.01
        settings.actor_lr = settings.critic_lr = settings.temperature_lr = sizes.lr
        self._algorithm = SACAlgorithm(self._policy, settings)
        self._algorithm.make_optimizers_and_scheduler()
        keys = [STATE, *sizes.cameras]
        self._online, self._offline = (
            ReplayBuffer(sizes.capacity, device="cpu", storage_device="cpu", state_keys=keys)
            for _ in range(2)
        )
        mixer = OnlineOfflineMixer(self._online, self._offline, online_ratio=0.5)
        self._batches: Iterator[Any] = (mixer.sample(sizes.batch) for _ in count())

    def add(self, step: Step) -> None:
        """Store one step; a time-out is stored as no end, as its learner does."""
        buffer = self._offline if step.demonstration else self._online
        buffer.add(
            state=self._tensors(step.seen),
            action=torch.from_numpy(step.action)[None],
            reward=step.reward,
            next_state=self._tensors(step.after),
            done=step.terminated,
            truncated=step.truncated,
        )

    def update(self) -> None:
        """See `SacPeer.update`."""
        self._algorithm.update(self._batches)

    @torch.no_grad()
    def act(self, seen: Seen, *, explore: bool) -> Vector:
        """A sample, or the tanh of the mean."""
        action, _, mean = self._policy.actor(self._tensors(seen), None)
        return (action if explore else torch.tanh(mean))[0].numpy()

    def _tensors(self, seen: Seen) -> dict[str, torch.Tensor]:
        images = {
            key: torch.from_numpy(seen.images[key]).permute(2, 0, 1)[None].float() / 255
            for key in self._cameras
        }
        return {STATE: torch.from_numpy(seen.state)[None], **images}


class Sb3Sac:
    """`stable_baselines3.SAC`, demonstrations put into its replay buffer first."""

    def __init__(self, sizes: Sizes) -> None:
        from gymnasium import Env, spaces
        from stable_baselines3 import SAC
        from stable_baselines3.common.logger import configure

        class Spaces(Env[Any, Any]):
            """SB3 asks an environment for its spaces; nothing is ever stepped here."""

            observation_space = spaces.Box(-np.inf, np.inf, (sizes.state,), np.float32)
            action_space = spaces.Box(-1.0, 1.0, (sizes.action,), np.float32)

        self._batch = sizes.batch
        self._model = SAC(
            "MlpPolicy",
            Spaces(),
            learning_rate=sizes.lr,
            buffer_size=sizes.capacity,
            batch_size=sizes.batch,
            gamma=sizes.gamma,
            policy_kwargs={"net_arch": list(sizes.hidden), "n_critics": sizes.heads},
            device="cpu",
        )
        self._model.set_logger(configure(None, []))

    def add(self, step: Step) -> None:
        """Store one step; there is one buffer for demonstrations and all else."""
        self._model.replay_buffer.add(
            step.seen.state[None],
            step.after.state[None],
            step.action[None],
            np.array([step.reward]),
            np.array([step.terminated or step.truncated]),
            [{"TimeLimit.truncated": step.truncated and not step.terminated}],
        )

    def update(self) -> None:
        """See `SacPeer.update`."""
        self._model.train(gradient_steps=1, batch_size=self._batch)

    def act(self, seen: Seen, *, explore: bool) -> Vector:
        """A sample, or the tanh of the mean."""
        return self._model.predict(seen.state, deterministic=not explore)[0]


def _resnet10(folder: Path) -> str:
    """Save a ResNet-10 with random weights in the form of a hub and return the path."""
    from transformers import ResNetConfig, ResNetModel

    config = ResNetConfig(
        embedding_size=64,
        hidden_sizes=[64, 128, 256, 512],
        depths=[1, 1, 1, 1],
        layer_type="basic",
    )
    ResNetModel(config).save_pretrained(folder)
    return str(folder)
