"""lerobot's diffusion policy, sized and asked as ours is in `serving_inference.py`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from robot_rl.core.spec import JOINT_POSITION
from robot_rl.networks.vision.backbone import to_pixels
from robot_rl.policies.base import PlanRequest
from robot_rl.policies.sampler.contract import Denoise

HORIZON, SIZE, STEPS, PIXELS = 16, 7, 10, 96
KEYS = ("observation.images.wrist", "observation.images.front")


class Peer:
    """lerobot's diffusion policy, with one observation and without a crop.

    Args:
        widths: of its U-Net.
        device: where all of it runs.
    """

    def __init__(self, widths: tuple[int, ...], device: str = "cpu") -> None:
        configuration = import_module("lerobot.policies.diffusion.configuration_diffusion")
        modeling = import_module("lerobot.policies.diffusion.modeling_diffusion")
        types = import_module("lerobot.configs.types")
        feature, kind = types.PolicyFeature, types.FeatureType
        image = feature(kind.VISUAL, (3, PIXELS, PIXELS))
        config = configuration.DiffusionConfig(
            n_obs_steps=1,
            horizon=HORIZON,
            n_action_steps=HORIZON // 2,
            input_features={"observation.state": feature(kind.STATE, (SIZE,))}
            | dict.fromkeys(KEYS, image),
            output_features={"action": feature(kind.ACTION, (SIZE,))},
            pretrained_backbone_weights=None,
            use_separate_rgb_encoder_per_camera=False,
            down_dims=widths,
            noise_scheduler_type="DDIM",
            num_inference_steps=STEPS,
            device=device,
        )
        self._device = device
        self._policy: Any = modeling.DiffusionPolicy(config).eval().to(device)
        self._model = self._policy.diffusion
        self.denoise: Denoise = self._model.unet
        self.look: Callable[[Tensor], Tensor] = self._model.rgb_encoder
        self.features = SIZE + 2 * self._model.rgb_encoder.feature_dim
        self.size = weights_of(self._model.unet)

    def plan(self, request: PlanRequest) -> Tensor:
        """Plan from the same observation as ours."""
        seen = request.window[0]
        batch = {JOINT_POSITION: torch.from_numpy(seen.vectors[JOINT_POSITION])[None, None]}
        batch |= {key: to_pixels(torch.from_numpy(seen.images[key])[None]) for key in KEYS}
        moved = {key: value.to(self._device) for key, value in batch.items()}
        return self._policy.predict_action_chunk(moved)


def weights_of(network: nn.Module) -> int:
    """Return the number of a network's weights."""
    return sum(parameter.numel() for parameter in network.parameters())
