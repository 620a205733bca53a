"""What of a LeRobot checkpoint is refused, and with which words."""

from __future__ import annotations

import json
import shutil

import pytest

from robot_rl.core.errors import ConfigError, DependencyError, StorageError
from robot_rl.policies.adapters import lerobot_checkpoint
from robot_rl.policies.adapters.lerobot_policy import LerobotPolicyConfig

pytestmark = pytest.mark.timeout(400)
"""The first test loads lerobot: seconds on a free machine, more than a minute on a busy one."""

BEFORE = "policy_preprocessor.json"


@pytest.fixture
def copy(miniature, tmp_path):
    """Returns a function that copies a miniature and changes one of its JSON files."""

    def make(kind="act", file=None, **changes):
        folder = tmp_path / kind
        shutil.copytree(miniature(kind), folder)
        if file is not None:
            content = json.loads((folder / file).read_text())
            (folder / file).write_text(json.dumps({**content, **changes}))
        return folder

    return make


@pytest.fixture
def refuses(cell):
    def build(path, error=ConfigError, **fields):
        config = LerobotPolicyConfig(
            path=str(path), mapping={"action": {"meaning": "si"}}, **fields
        )
        with pytest.raises(error) as refused:
            config.build(cell)
        return str(refused.value)

    return build


@pytest.mark.parametrize("kind", ["groot", "pi0_fast", "wall_x", None])
def test_a_policy_that_is_not_on_the_list_is_refused_by_name(copy, refuses, kind):
    words = refuses(copy(file="config.json", type=kind))

    assert f"policy type {kind!r} is not loaded; valid: act, diffusion, smolvla, pi0" in words


@pytest.mark.parametrize("file", ["config.json", BEFORE, "policy_postprocessor.json"])
@pytest.mark.parametrize("value", [True, "yes", 1, None])
def test_a_file_that_would_trust_code_of_the_hub_is_refused(copy, refuses, file, value):
    words = refuses(copy(file=file, nested=[{"trust_remote_code": value}]))

    assert f"{file}: trust_remote_code: {value!r} would run code" in words


def test_a_model_that_brings_its_own_classes_is_refused(copy, refuses):
    assert "auto_map" in refuses(copy(file="config.json", auto_map={"AutoModel": "evil.Model"}))


def test_a_processor_step_that_names_a_class_to_import_is_not_imported(copy, refuses, tmp_path):
    folder = copy(file=BEFORE, steps=[{"class": "antigravity.Step", "config": {}}])

    assert "step 'antigravity.Step' is not loaded; valid: " in refuses(folder)


@pytest.mark.parametrize("name", ["action_tokenizer_processor", "reward_classifier_processor"])
def test_a_processor_step_that_is_not_on_the_list_is_refused(copy, refuses, name):
    assert name in refuses(copy(file=BEFORE, steps=[{"registry_name": name, "config": {}}]))


def test_an_adapter_without_its_base_is_refused(copy, refuses):
    assert "merge it first" in refuses(copy(file="config.json", use_peft=True))


def test_a_folder_without_all_files_says_which(copy, refuses):
    folder = copy()
    (folder / BEFORE).unlink()

    assert f"{BEFORE} missing" in refuses(folder, StorageError)


def test_a_file_that_is_no_json_is_refused(copy, refuses):
    folder = copy()
    (folder / BEFORE).write_text("{")

    assert "cannot be read" in refuses(folder, StorageError)


@pytest.mark.parametrize("steps", [3, None, [1], ["device_processor"], [{}]])
def test_steps_that_are_none_are_refused(copy, refuses, steps):
    assert BEFORE in refuses(copy(file=BEFORE, steps=steps), (ConfigError, StorageError))


@pytest.mark.parametrize(
    "change",
    [
        {"a_newer_setting": 1},
        {"chunk_size": "many"},
        {"chunk_size": 1},
        {"input_features": 3},
        {"input_features": {}},
        {"output_features": {}},
    ],
)
def test_a_config_that_lerobot_does_not_take_is_refused(copy, refuses, change):
    words = refuses(copy(file="config.json", **change), StorageError)

    assert "lerobot cannot load this act policy" in words


def test_an_image_of_two_dimensions_is_refused(copy, refuses):
    features = {
        "observation.images.wrist": {"type": "VISUAL", "shape": [3, 32, 40]},
        "observation.state": {"type": "STATE", "shape": [3]},
        "depth": {"type": "VISUAL", "shape": [32, 40]},
    }

    assert "depth is VISUAL of shape [32, 40]" in refuses(
        copy(file="config.json", input_features=features)
    )


def test_weights_of_another_network_are_refused(copy, refuses):
    words = refuses(copy(file="config.json", dim_model=32), StorageError)

    assert "lerobot cannot load this act policy" in words


def test_weights_that_lerobot_would_leave_random_are_refused(copy, refuses):
    """lerobot only warns of what the file lacks."""
    from safetensors.torch import load_file, save_file

    folder = copy()
    weights = load_file(folder / "model.safetensors")
    weights.pop("model.action_head.weight")
    save_file(weights, folder / "model.safetensors")

    words = refuses(folder, StorageError)

    assert "1 weights of the policy are not those of the file" in words
    assert "model.action_head.weight" in words


def test_a_pi0_whose_weights_lerobot_could_not_load_is_refused(copy, refuses):
    """lerobot prints a warning and goes on with random weights."""
    folder = copy("pi0")
    (folder / "model.safetensors").write_bytes(b"nothing")

    words = refuses(folder, StorageError, backbone=str(folder / "tokenizer"))

    assert "model.safetensors: cannot be read" in words


def test_a_hub_that_cannot_be_reached_is_a_clear_error(refuses, monkeypatch):
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    words = refuses("nobody/no-such-policy", StorageError)

    assert "nobody/no-such-policy: no such folder, and not to be had from the hub" in words
    assert "fetch it on a machine with network and give its folder" in words


def test_a_tokenizer_that_is_not_on_the_machine_is_a_clear_error(miniature, refuses, tmp_path):
    words = refuses(miniature("pi0"), StorageError, backbone=str(tmp_path / "absent"))

    assert "set `backbone` to a folder with it" in words


def test_without_lerobot_the_error_says_what_to_install(miniature, refuses, monkeypatch):
    folder = miniature("pi0")

    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(lerobot_checkpoint.importlib, "import_module", absent)

    assert "pip install 'lerobot[pi]==0.6.1'" in refuses(folder, DependencyError)


def test_ddim_is_for_diffusion_alone(miniature, refuses):
    assert "is of type act, expected diffusion" in refuses(miniature("act"), ddim_steps=3)


def test_a_task_that_does_not_fit_is_told_everything(miniature, cell):
    mapping = {
        "images": {"observation.images.wrist": {"camera": "observation.images.side"}},
        "vectors": {"observation.state": {"sources": ["observation.gripper"]}},
        "action": {"meaning": "si"},
    }
    config = LerobotPolicyConfig(path=str(miniature("act")), mapping=mapping)

    with pytest.raises(ConfigError) as refused:
        config.build(cell)

    words = str(refused.value)
    assert "observation.images.side is 48 x 64, expected 32 x 40" in words
    assert "got 1 elements of observation.gripper, expected 3" in words


def test_another_mapping_or_another_weight_is_another_fingerprint(adapter, copy, miniature):
    from safetensors.torch import load_file, save_file

    folder = copy()
    weights = load_file(folder / "model.safetensors")
    weights["model.action_head.bias"] += 0.1
    save_file(weights, folder / "model.safetensors")
    plain = adapter("act").spec.fingerprint

    assert adapter("act", folder).spec.fingerprint != plain
    mapping = {"action": {"meaning": "normalised"}}
    assert adapter("act", mapping=mapping).spec.fingerprint != plain
