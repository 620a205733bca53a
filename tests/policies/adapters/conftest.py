"""Miniatures: lerobot's policies as small as it lets them be, untrained, saved by itself."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_rl.core.spec import (
    JOINT_POSITION,
    ActionSpec,
    ImageSpec,
    ObservationSpec,
    TaskSpec,
    VectorSpec,
)
from robot_rl.core.types import Observation
from robot_rl.policies.adapters.lerobot_policy import LerobotPolicy, LerobotPolicyConfig
from robot_rl.policies.base import PlanRequest

WRIST = "observation.images.wrist"
SIDE = "observation.images.side"
HEIGHT, WIDTH, JOINTS = 32, 40, 3


@pytest.fixture(scope="session")
def cell() -> TaskSpec:
    return TaskSpec(
        name="reach",
        horizon=100,
        observation=ObservationSpec(
            vectors={
                JOINT_POSITION: VectorSpec(names=("q0", "q1", "q2"), unit="rad"),
                "observation.gripper": VectorSpec(names=("opening",), unit="m"),
            },
            images={
                WRIST: ImageSpec(height=HEIGHT, width=WIDTH),
                SIDE: ImageSpec(height=48, width=64),
            },
        ),
        action=ActionSpec(
            kind="joint_delta", names=("q0", "q1", "q2"), scale=(0.1, 0.2, 0.4), period_s=0.1
        ),
        instruction="reach the red cube",
    )


@pytest.fixture(scope="session")
def seen(cell: TaskSpec) -> Callable[[int], Observation]:
    def observe(index: int, instruction: str = "") -> Observation:
        rng = np.random.default_rng(index)
        return Observation(
            stamp_ns=100_000_000 * index,
            vectors={
                key: rng.uniform(-1, 1, spec.size).astype(np.float32)
                for key, spec in cell.observation.vectors.items()
            },
            images={
                key: rng.integers(0, 256, (spec.height, spec.width, 3), dtype=np.uint8)
                for key, spec in cell.observation.images.items()
            },
            instruction=instruction,
        )

    return observe


@pytest.fixture(scope="session")
def requests_of(seen: Any) -> Callable[..., list[PlanRequest]]:
    def make(policy: Any, count: int, first: int = 0) -> list[PlanRequest]:
        """A request for each of several unrelated windows."""
        spec = policy.spec
        rng = np.random.default_rng(first)
        return [
            PlanRequest(
                window=tuple(seen(10 * (first + i) + t) for t in range(spec.history)),
                noise=None
                if spec.noise is None
                else rng.standard_normal(spec.noise, dtype=np.float32),
            )
            for i in range(count)
        ]

    return make


@pytest.fixture(scope="session")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Returns a function that saves a policy of a kind, with processors, and gives its folder."""
    for package in ("lerobot", "torchvision", "diffusers", "transformers"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs lerobot's policies: no {package}")
    made: dict[tuple[str, str], Path] = {}

    def save(kind: str, **changes: Any) -> Path:
        name = (kind, repr(sorted(changes.items())))
        if name not in made:
            folder = tmp_path_factory.mktemp(kind)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                _save(kind, folder, changes)
            made[name] = folder
        return made[name]

    return save


@pytest.fixture(scope="session")
def adapter(miniature: Any, cell: TaskSpec) -> Callable[..., LerobotPolicy]:
    """Returns a function that builds the adapter of a miniature."""

    built: dict[tuple[str, str], LerobotPolicy] = {}

    def build(kind: str, folder: Path | None = None, **fields: Any) -> LerobotPolicy:
        settings = {"mapping": {"action": {"meaning": "si"}}, **fields}
        path = folder or miniature(kind)
        name = (str(path), repr(settings))
        if name not in built:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                built[name] = LerobotPolicyConfig(path=str(path), **settings).build(cell)
        return built[name]

    return build


@pytest.fixture(scope="session")
def reference() -> Callable[..., tuple[Any, Any, Any]]:
    """Returns a function that loads a folder by lerobot's own way: policy, before, after."""

    def load(folder: Path, **changes: Any) -> tuple[Any, Any, Any]:
        from lerobot.configs import PreTrainedConfig
        from lerobot.policies.factory import get_policy_class, make_pre_post_processors

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = PreTrainedConfig.from_pretrained(folder)
            for key, value in changes.items():
                setattr(config, key, value)
            policy = get_policy_class(config.type).from_pretrained(folder, config=config)
            return policy, *make_pre_post_processors(config, pretrained_path=str(folder))

    return load


@pytest.fixture(scope="session")
def in_lerobot_words() -> Callable[[Observation], dict[str, Any]]:
    """One observation as lerobot gives it to its policies: images float[3, h, w] in [0, 1]."""

    def say(observation: Observation) -> dict[str, Any]:
        import torch

        image = torch.from_numpy(observation.images[WRIST]).permute(2, 0, 1).float() / 255
        state = torch.from_numpy(observation.vectors[JOINT_POSITION])
        return {WRIST: image, JOINT_POSITION: state, "task": "reach the red cube"}

    return say


def _save(kind: str, folder: Path, changes: dict[str, Any]) -> None:
    import torch
    from lerobot.policies.factory import get_policy_class, make_pre_post_processors

    torch.manual_seed(0)
    config = _config(kind, folder, changes)
    policy = get_policy_class(kind)(config)
    policy.save_pretrained(folder)
    if kind in {"pi0", "pi05"}:
        # What it names is on the hub alone; its file is written as for any other tokenizer.
        import lerobot.processor.tokenizer_processor as step
        from transformers import AutoTokenizer

        step.AutoTokenizer = type(
            "Local", (), {"from_pretrained": staticmethod(lambda _: _tokenizer())}
        )
    for pipeline in make_pre_post_processors(config, dataset_stats=_stats()):
        pipeline.save_pretrained(folder)
    if kind in {"pi0", "pi05"}:
        step.AutoTokenizer = AutoTokenizer


def _config(kind: str, folder: Path, changes: dict[str, Any]) -> Any:
    from lerobot.configs import FeatureType, PolicyFeature
    from lerobot.policies.factory import make_policy_config

    small: dict[str, dict[str, Any]] = {
        "act": {
            "chunk_size": 8, "n_action_steps": 5, "dim_model": 16, "n_heads": 2,
            "dim_feedforward": 16, "n_encoder_layers": 1, "n_vae_encoder_layers": 1,
            "latent_dim": 4,
        },
        "diffusion": {
            "n_obs_steps": 2, "horizon": 8, "n_action_steps": 4, "down_dims": (16, 32),
            "diffusion_step_embed_dim": 8, "n_groups": 4, "spatial_softmax_num_keypoints": 4,
            "num_train_timesteps": 20, "num_inference_steps": 4,
            "use_separate_rgb_encoder_per_camera": False,
        },
        "smolvla": {
            "chunk_size": 6, "n_action_steps": 4, "max_state_dim": 5, "max_action_dim": 5,
            "resize_imgs_with_padding": (32, 32), "num_vlm_layers": 2, "num_steps": 3,
            "expert_width_multiplier": 0.5, "vlm_model_name": str(folder / "vlm"),
        },
        "pi0": {
            "chunk_size": 6, "n_action_steps": 4, "max_state_dim": 5, "max_action_dim": 5,
            "image_resolution": (28, 28), "num_inference_steps": 3,
        },
        "pi05": {
            "chunk_size": 6, "n_action_steps": 4, "max_state_dim": 5, "max_action_dim": 5,
            "image_resolution": (28, 28), "num_inference_steps": 3,
        },
    }  # fmt: skip
    if kind == "smolvla":
        _save_vlm(folder / "vlm")
    if kind in {"pi0", "pi05"}:
        _shrink_pi0(kind)
        _tokenizer().save_pretrained(folder / "tokenizer")
    if kind in {"act", "diffusion"}:
        small[kind]["pretrained_backbone_weights"] = None
    return make_policy_config(
        kind,
        device="cpu",
        input_features={
            WRIST: PolicyFeature(type=FeatureType.VISUAL, shape=(3, HEIGHT, WIDTH)),
            JOINT_POSITION: PolicyFeature(type=FeatureType.STATE, shape=(JOINTS,)),
        },
        output_features={"action": PolicyFeature(type=FeatureType.ACTION, shape=(JOINTS,))},
        **{**small[kind], **changes},
    )


def _stats() -> dict[str, dict[str, Any]]:
    """Statistics of a dataset that was never recorded."""
    import torch

    def vector(*values: float) -> dict[str, Any]:
        mean = torch.tensor(values)
        spread = mean.abs() + 0.05
        low, high = mean - spread, mean + spread
        return {"mean": mean, "std": spread, "min": low, "max": high, "q01": low, "q99": high}

    image = {
        "mean": torch.full((3, 1, 1), 0.4), "std": torch.full((3, 1, 1), 0.2),
        "min": torch.zeros(3, 1, 1), "max": torch.ones(3, 1, 1),
    }  # fmt: skip
    return {
        WRIST: image,
        JOINT_POSITION: vector(0.1, -0.2, 0.3),
        "action": vector(0.02, -0.05, 0.1),
    }


def _save_vlm(folder: Path) -> None:
    """A SmolVLM of two layers with a vocabulary of fourteen words."""
    import transformers.models.smolvlm.processing_smolvlm as processing
    from transformers import SmolVLMConfig, SmolVLMProcessor
    from transformers.models.smolvlm import SmolVLMImageProcessor
    from transformers.models.smolvlm.video_processing_smolvlm import SmolVLMVideoProcessor

    if processing.num2words is None:
        # It only words the number of a video's frames; there are no videos here.
        processing.num2words = str
    SmolVLMConfig(
        text_config={
            "model_type": "llama", "hidden_size": 32, "intermediate_size": 48,
            "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
            "head_dim": 16, "vocab_size": 32, "pad_token_id": 0,
        },
        vision_config={
            "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
            "num_attention_heads": 2, "image_size": 32, "patch_size": 8,
        },
        scale_factor=2, image_token_id=5, pad_token_id=0,
    ).save_pretrained(folder)  # fmt: skip
    SmolVLMProcessor(
        image_processor=SmolVLMImageProcessor(),
        tokenizer=_tokenizer(),
        video_processor=SmolVLMVideoProcessor(),
    ).save_pretrained(folder)


def _tokenizer() -> Any:
    """A vocabulary of twelve words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    extra = {
        "fake_image_token": "<fake_token_around_image>", "image_token": "<image>",
        "global_image_token": "<global-img>", "end_of_utterance_token": "<end_of_utterance>",
    }  # fmt: skip
    words = ["<pad>", "<unk>", "<s>", "</s>", *extra.values(), "reach", "the", "red", "cube"]
    level = models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>")
    plain = Tokenizer(level)
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=plain, unk_token="<unk>", pad_token="<pad>", bos_token="<s>",
        eos_token="</s>", extra_special_tokens=extra,
    )  # fmt: skip


def _shrink_pi0(kind: str) -> None:
    """Set sizes in lerobot's pi0 for which it has no settings: it is billions of weights."""
    from transformers import GemmaConfig, PaliGemmaConfig

    modeling = importlib.import_module(f"lerobot.policies.{kind}.modeling_{kind}")

    def pinned(config: Any, **values: Any) -> Any:
        """The config, with values that cannot be set any more."""
        for key, value in values.items():
            setattr(config, key, value)
        cls = type(config)

        def keep(self: Any, key: str, value: Any) -> None:
            cls.__setattr__(self, key, values.get(key, value))

        config.__class__ = type(cls.__name__, (cls,), {"__setattr__": keep})
        return config

    def paligemma() -> Any:
        config = PaliGemmaConfig(
            vision_config={
                "model_type": "siglip_vision_model", "hidden_size": 16, "num_hidden_layers": 1,
                "num_attention_heads": 2, "patch_size": 14, "vision_use_head": False,
            },
            text_config={"model_type": "gemma", "vocab_size": 64},
        )  # fmt: skip
        pinned(config.vision_config, intermediate_size=24, projection_dim=32)
        pinned(config.text_config, vocab_size=64)
        return pinned(config, image_token_index=63)

    def gemma(**settings: Any) -> Any:
        return GemmaConfig(**{**settings, "vocab_size": 64})

    size = {"depth": 2, "mlp_dim": 48, "num_heads": 2, "num_kv_heads": 1, "head_dim": 16}
    modeling.CONFIG_MAPPING = {"paligemma": paligemma, "gemma": gemma}
    modeling.get_gemma_config = lambda _: modeling.GemmaConfig(width=32, **size)
