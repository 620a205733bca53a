"""A LeRobot checkpoint as lerobot loads it, and whether its weights are in what came out.

For two of its policies lerobot goes on with random weights if the file is missing or does not fit,
for the others with those that did: so here what was loaded is compared with the file.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from robot_rl.core.errors import DependencyError, StorageError
from robot_rl.policies.adapters.lerobot_files import CONFIG, POLICIES, PROCESSORS, WEIGHTS, read

_LOADING = (
    OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, SafetensorError,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What lerobot made of a checkpoint; untyped, as lerobot is.

    Args:
        policy: a `PreTrainedPolicy` in evaluation mode.
        before, after: its processor pipelines.
        execute: how many actions of a chunk it was made to have played.
    """

    policy: Any
    before: Any
    after: Any
    execute: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is set otherwise than the checkpoint says.

    Args:
        device: torch's name of it.
        backbone: see `LerobotPolicyConfig`; empty for what the checkpoint names.
        ddim_steps: see `LerobotPolicyConfig`.
    """

    device: str
    backbone: str
    ddim_steps: int | None


def load(folder: Path, kind: str, settings: Settings) -> Loaded:
    """Load policy and processors with lerobot's own functions.

    Raises:
        DependencyError: naming what to install.
        StorageError: if something of it is not there or does not fit.
    """
    try:
        configs = importlib.import_module("lerobot.configs")
        factory = importlib.import_module("lerobot.policies.factory")
        cls = factory.get_policy_class(kind)
        with _no_foreign_code():
            config = configs.PreTrainedConfig.from_pretrained(folder)
            execute = int(config.n_action_steps)
            _adjust(config, kind, settings)
            policy = cls.from_pretrained(folder, config=config)
            before, after = factory.make_pre_post_processors(
                config,
                pretrained_path=str(folder),
                preprocessor_overrides=_overrides(folder, settings),
            )
    except ImportError as error:
        extra = POLICIES[kind]
        raise DependencyError(
            f"{folder}: the policy {kind} needs {error}; "
            f"pip install 'lerobot{f'[{extra}]' if extra else ''}==0.6.1'"
        ) from error
    except _refusals() as error:
        raise StorageError(
            f"{folder}: lerobot cannot load this {kind} policy: {error}; if it asks for a model "
            "or tokenizer of the hub that cannot be reached, set `backbone` to a folder with it"
        ) from error
    check_weights(policy, folder / WEIGHTS)
    policy = policy.to(settings.device).eval()
    return Loaded(policy=policy, before=before, after=after, execute=execute)


def check_weights(policy: torch.nn.Module, file: Path) -> None:
    """Refuse a policy whose weights are not those of the file: lerobot may go on without.

    The first rows of each tensor are compared; tensors that share memory stand for each other.

    Raises:
        StorageError: naming what was not loaded.
    """
    try:
        with safe_open(file, "pt") as weights:
            lost = _lost(policy, weights)
    except (OSError, SafetensorError) as error:
        raise StorageError(f"{file}: cannot be read: {error}") from error
    if lost:
        raise StorageError(
            f"{file}: {len(lost)} weights of the policy are not those of the file, such as "
            f"{', '.join(lost[:3])}; restore {WEIGHTS} and {CONFIG} from one save"
        )


def _refusals() -> tuple[type[Exception], ...]:
    """What lerobot and what it parses with raise on files that they do not like."""
    with contextlib.suppress(ImportError):
        return (*_LOADING, importlib.import_module("draccus.utils").DraccusException)
    return _LOADING


def _lost(policy: torch.nn.Module, weights: Any) -> list[str]:
    """Names of the tensors that are not in the file, nor is one that shares their memory."""
    unlike: dict[int, str] = {}
    found: set[int] = set()
    names = set(weights.keys())
    for name, own in policy.state_dict().items():
        saved = next((n for n in (name, name.removeprefix("model.")) if n in names), None)
        if saved is not None and _same_start(own, weights, saved):
            found.add(own.data_ptr())
        else:
            unlike[own.data_ptr()] = name
    return [name for pointer, name in unlike.items() if pointer not in found]


def _same_start(own: torch.Tensor, weights: Any, name: str) -> bool:
    if own.ndim == 0:
        return torch.equal(own.cpu(), weights.get_tensor(name).to(own.dtype))
    part = weights.get_slice(name)
    same_shape = list(part.get_shape()) == list(own.shape)
    return same_shape and torch.equal(own[:1].cpu(), part[:1].to(own.dtype))


def _adjust(config: Any, kind: str, settings: Settings) -> None:
    """Set what belongs to this machine, and what lerobot would fetch only to overwrite it."""
    config.device = settings.device
    if hasattr(config, "pretrained_backbone_weights"):
        config.pretrained_backbone_weights = None
    if hasattr(config, "vlm_model_name") and settings.backbone:
        config.vlm_model_name = settings.backbone
    if hasattr(config, "rtc_config"):
        rtc = importlib.import_module("lerobot.policies.rtc.configuration_rtc")
        enums = importlib.import_module("lerobot.configs")
        config.rtc_config = rtc.RTCConfig(
            enabled=True, prefix_attention_schedule=enums.RTCAttentionSchedule.EXP
        )
    if kind == "diffusion":
        # Of what it plans it gives n_action_steps only; the rest is for plans that come late.
        config.n_action_steps = config.horizon - config.n_obs_steps + 1
        if settings.ddim_steps is not None:
            config.noise_scheduler_type = "DDIM"
            config.num_inference_steps = settings.ddim_steps


def _overrides(folder: Path, settings: Settings) -> dict[str, dict[str, object]]:
    wanted: dict[str, dict[str, object]] = {"device_processor": {"device": settings.device}}
    if settings.backbone:
        wanted["tokenizer_processor"] = {"tokenizer_name": settings.backbone}
    steps = {step["registry_name"] for step in read(folder / PROCESSORS[0])["steps"]}
    return {name: values for name, values in wanted.items() if name in steps}


@contextlib.contextmanager
def _no_foreign_code() -> Generator[None]:
    """Have transformers refuse models that come with code; by default it asks for consent."""
    try:
        module: Any = importlib.import_module("transformers.dynamic_module_utils")
    except ImportError:
        yield
        return
    before = module.TIME_OUT_REMOTE_CODE
    module.TIME_OUT_REMOTE_CODE = 0
    try:
        yield
    finally:
        module.TIME_OUT_REMOTE_CODE = before
