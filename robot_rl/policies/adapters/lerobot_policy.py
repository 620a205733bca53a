"""Policies of lerobot 0.6 as base policies: ACT, Diffusion, SmolVLA, pi0 and pi0.5."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
import torch
from pydantic import Field

from robot_rl.config.model import Config
from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import TaskSpec
from robot_rl.core.types import Vector
from robot_rl.policies.adapters import lerobot_checkpoint as checkpoint
from robot_rl.policies.adapters import lerobot_files as files
from robot_rl.policies.adapters.cell_input import CellInput, Inputs
from robot_rl.policies.adapters.mapping import MappingConfig, Wanted
from robot_rl.policies.adapters.plan_output import PlanOutput
from robot_rl.policies.base import PlanRequest, PolicySpec, check_request

_IMAGE, _STATE, _ACTION = "VISUAL", {"STATE", "ENV"}, "action"


class LerobotPolicyConfig(Config):
    """A checkpoint that lerobot saved.

    Args:
        path: its folder (`pretrained_model` of a run), or its name on the hub.
        revision: which revision of it on the hub; empty for the newest.
        device: where it runs, such as `cpu` or `cuda`.
        mapping: what the cell calls otherwise, and what the policy's numbers mean.
        execute: how many actions to play before the next plan; None for what the checkpoint says.
        backbone: folder (or hub name) of the vision-language model and tokenizer, in place of
            what the checkpoint names: for machines without network.
        ddim_steps: plan a Diffusion policy with DDIM in so many network calls, whatever it was
            trained with. It is then quick, and steerable by its noise.
    """

    path: str
    revision: str = ""
    device: str = "cpu"
    mapping: MappingConfig
    execute: int | None = Field(default=None, ge=1)
    backbone: str = ""
    ddim_steps: int | None = Field(default=None, ge=1)

    def build(self, task: TaskSpec) -> LerobotPolicy:
        """Load it.

        Raises:
            ConfigError: if it is not on the list of those that are loaded, or does not fit to
                the task; listing everything.
            DependencyError: naming what to install.
            StorageError: if files are missing, also where the hub cannot be reached.
        """
        folder = files.find(self.path, self.revision)
        kind = files.vet(folder)
        if self.ddim_steps is not None and kind != "diffusion":
            raise ConfigError(f"ddim_steps: {folder} is of type {kind}, expected diffusion")
        settings = checkpoint.Settings(
            device=self.device, backbone=self.backbone, ddim_steps=self.ddim_steps
        )
        said = self.model_dump_json(exclude={"path", "revision", "device", "backbone"})
        return LerobotPolicy(
            checkpoint.load(folder, kind, settings),
            self.mapping,
            task,
            execute=self.execute,
            fingerprint=files.fingerprint(folder, self.backbone, said),
        )


class LerobotPolicy:
    """A `BasePolicy` of a lerobot policy; requests without a context are planned in one batch.

    It asks for whole chunks (`predict_action_chunk`) and keeps no queue and no history, so that
    any number of clients share it. A Diffusion policy is given its whole window each time; a
    temporal ensemble that a checkpoint of ACT asks for is left to `control.chunking`.

    Noise: SmolVLA, pi0 and pi0.5 plan from noise float32[chunk_size, max_action_dim], Diffusion
    with DDIM from float32[horizon, d]; both are steerable. Diffusion with DDPM draws noise in
    every step, from torch's global generator (`torch.manual_seed`): a black box. ACT knows none.

    Carrying on: SmolVLA, pi0 and pi0.5 are guided by lerobot's real-time chunking, with the
    schedule of arXiv 2506.07339, equation 5. What is in play is told in the policy's own
    normalised numbers: back through the mapping, then through its preprocessor. lerobot 0.6.1
    calls the network before it marks the sample for differentiation, so that of equation 2 the
    factor dA_hat/dA is left out: each action is drawn by itself, and what is behind the frozen
    ones does not know of them. `sampler.guidance`, for our own policies, has the whole equation.

    Args:
        loaded: policy and processors.
        mapping: what the cell calls otherwise.
        task: what the cell has.
        execute: see `LerobotPolicyConfig`.
        fingerprint: of files and settings.

    Raises:
        ConfigError: if policy and task do not fit; listing everything.
    """

    def __init__(
        self,
        loaded: checkpoint.Loaded,
        mapping: MappingConfig,
        task: TaskSpec,
        *,
        execute: int | None,
        fingerprint: str,
    ) -> None:
        self._policy, self._before, self._after = loaded.policy, loaded.before, loaded.after
        config = self._policy.config
        self._kind: str = config.type
        self._input = CellInput(mapping, task, _wanted(config))
        self._output = PlanOutput(mapping.action, task, config.action_feature.shape[0])
        self._task_key = mapping.instruction.key or "task"
        # The processors and the noise schedule hold what one call leaves for its own end.
        self._lock = Lock()
        horizon = config.n_action_steps if self._kind == "diffusion" else config.chunk_size
        self._spec = PolicySpec(
            name=f"lerobot/{self._kind}",
            fingerprint=fingerprint,
            observation=self._input.observation,
            action=task.action,
            horizon=horizon,
            execute=execute or loaded.execute,
            history=config.n_obs_steps if self._kind == "diffusion" else 1,
            noise=_noise_shape(config),
            guided=bool(self._policy.supports_rtc()) and self._output.invertible,
        )

    @property
    def spec(self) -> PolicySpec:
        """See `BasePolicy.spec`."""
        return self._spec

    def infer(self, requests: Sequence[PlanRequest]) -> Vector:
        """See `BasePolicy.infer`."""
        for request in requests:
            check_request(self._spec, request)
        plans = np.empty((len(requests), self._spec.horizon, self._spec.action.size), np.float32)
        free = [i for i, request in enumerate(requests) if not request.carries_on]
        groups = [free] if free else []
        groups += [[i] for i, request in enumerate(requests) if request.carries_on]
        for group in groups:
            plans[group] = self._plan([requests[i] for i in group])
        return plans

    @torch.no_grad()
    def _plan(self, requests: Sequence[PlanRequest]) -> Vector:
        """Plan for requests without a context, or for a single one with it."""
        batch = self._batch(self._input.gather([request.window for request in requests]))
        options: dict[str, object] = {}
        if self._spec.noise is not None:
            noise = np.stack([r.noise for r in requests if r.noise is not None])
            options["noise"] = torch.from_numpy(noise).to(self._policy.config.device)
        with self._lock:
            if requests[0].carries_on:
                ready = self._guide(batch, requests[0], options)
            else:
                ready = self._before(batch)
                ready.pop(_ACTION, None)
            chunk = self._after(self._policy.predict_action_chunk(ready, **options))
        values = chunk.float().cpu().numpy()
        return np.stack(
            [self._output.plan(v, r.window[-1]) for v, r in zip(values, requests, strict=True)]
        )

    def _batch(self, inputs: Inputs) -> dict[str, Any]:
        """A batch as lerobot's loader gives it: images float[b, (t,) 3, h, w] in [0, 1]."""
        batch: dict[str, Any] = {
            key: torch.from_numpy(image).movedim(-1, -3).float() / 255.0
            for key, image in inputs.images.items()
        }
        batch |= {key: torch.from_numpy(vector) for key, vector in inputs.vectors.items()}
        if self._kind != "diffusion":
            batch = {key: value[:, -1] for key, value in batch.items()}
        return batch | {self._task_key: list(inputs.instructions)}

    def _guide(
        self, batch: dict[str, Any], request: PlanRequest, options: dict[str, object]
    ) -> dict[str, Any]:
        """Preprocess along with what is in play, which then is in the policy's own numbers."""
        context = request.context
        assert context is not None
        ahead = context.ahead[: self._spec.horizon]
        values = self._output.invert(ahead, request.window[-1])
        ready = self._before(batch | {_ACTION: torch.from_numpy(values)[None]})
        self._policy.rtc_processor.rtc_config.max_guidance_weight = request.max_guidance_weight
        options["prev_chunk_left_over"] = ready.pop(_ACTION)
        options["inference_delay"] = min(context.frozen, len(ahead))
        options["execution_horizon"] = len(ahead)
        return ready


def _wanted(config: Any) -> Wanted:
    """What the checkpoint's config says that the policy looks at."""
    kinds = {key: (f.type.value, tuple(f.shape)) for key, f in config.input_features.items()}
    for key, (kind, shape) in kinds.items():
        if len(shape) != (3 if kind == _IMAGE else 1):
            raise ConfigError(
                f"the checkpoint's {key} is {kind} of shape {list(shape)}; "
                "expected images [3, height, width] and vectors [size]"
            )
    images = {
        key: (shape[1], shape[2])
        for key, (kind, shape) in kinds.items()
        # These the policy fills in by itself.
        if kind == _IMAGE and ".empty_camera_" not in key
    }
    spare = config.type in {"pi0", "pi05"} or getattr(config, "empty_cameras", 0) > 0
    return Wanted(
        images=images,
        vectors={key: shape[0] for key, (kind, shape) in kinds.items() if kind in _STATE},
        optional=frozenset(images) if spare else frozenset(),
    )


def _noise_shape(config: Any) -> tuple[int, int] | None:
    if config.type == "act":
        return None
    if config.type == "diffusion":
        deterministic = config.noise_scheduler_type == "DDIM"
        return (config.horizon, config.action_feature.shape[0]) if deterministic else None
    return (config.chunk_size, config.max_action_dim)
