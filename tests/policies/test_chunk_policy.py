import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from robot_rl.core.errors import ConfigError, ContractError, FingerprintError, StorageError
from robot_rl.core.spec import JOINT_POSITION, TCP_TWIST, ImageSpec
from robot_rl.data.normaliser import Normaliser
from robot_rl.networks.denoiser import MlpDenoiserConfig
from robot_rl.networks.dit import DitConfig
from robot_rl.networks.encoder import NO_IMAGES
from robot_rl.networks.unet import UnetConfig
from robot_rl.networks.vision.backbone import TorchvisionBackboneConfig
from robot_rl.networks.vision.encoder import VisionConfig
from robot_rl.networks.vision.head import SpatialEmbeddingConfig
from robot_rl.policies.chunk_policy import ChunkPolicy, ChunkPolicyConfig
from robot_rl.policies.sampler.ddim import DdimConfig
from robot_rl.policies.sampler.flow import FlowConfig
from robot_rl.policies.sampler.one_step import OneStepConfig
from robot_rl.policies.sampler.regression import RegressionConfig

NETWORKS = {
    "mlp": MlpDenoiserConfig(hidden=(16,)),
    "unet": UnetConfig(widths=(8, 8)),
    "dit": DitConfig(width=8, depth=2, heads=2),
}
SAMPLERS = {
    "ddim": DdimConfig(),
    "flow": FlowConfig(inference_steps=3),
    "midpoint": FlowConfig(inference_steps=2, method="midpoint"),
    "regression": RegressionConfig(),
    "one_step": OneStepConfig(step=84.0, noise_gain=0.5, teacher="ab12"),
}


def randomised(policy: ChunkPolicy) -> ChunkPolicy:
    """Move all weights: some networks begin with zeros."""
    generator = torch.Generator().manual_seed(0)
    weights = policy.model.state_dict()
    for name, parameter in policy.model.named_parameters():
        weights[name] = 0.1 * torch.randn(parameter.shape, generator=generator)
    policy.load_weights(weights)
    return policy


@pytest.fixture
def build(observation_spec, action_spec, normaliser):
    def build(contract="", seed=0, normaliser=normaliser, network="mlp", **changes) -> ChunkPolicy:
        settings = {"horizon": 4, "execute": 2, "network": NETWORKS.get(network, network)}
        config = ChunkPolicyConfig(**{**settings, **changes})
        return config.build(
            observation_spec, action_spec, normaliser, contract=contract, seed=seed
        )

    return build


@pytest.mark.parametrize("network", NETWORKS)
def test_act_is_plan_on_the_noise_of_the_seed(build, observation, network):
    policy = build(network=network)
    policy.reset(7)
    chunk = policy.act(observation)
    policy.reset(7)
    packed = torch.from_numpy(policy.observation.pack(observation.vectors))[None]
    planned = policy.plan(packed, NO_IMAGES, policy.draw_noise(1))[0].numpy()
    np.testing.assert_array_equal(chunk.values, planned)
    assert chunk.values.shape == (4, 2)
    assert (chunk.start_ns, chunk.dt_s) == (123, 0.05)
    assert np.abs(chunk.values).max() <= 1.0


def test_plan_is_deterministic_given_the_noise_and_rows_do_not_mix(build):
    policy = build()
    packed, noise = torch.randn(3, 5), policy.draw_noise(3)
    together = policy.plan(packed, NO_IMAGES, noise)
    assert torch.equal(policy.plan(packed, NO_IMAGES, noise), together)
    torch.testing.assert_close(policy.plan(packed[1:2], NO_IMAGES, noise[1:2]), together[1:2])


def test_another_seed_plans_otherwise_and_the_same_seed_repeats(build, observation):
    policy = build()
    chunks = []
    for seed in (1, 1, 2):
        policy.reset(seed)
        chunks.append([policy.act(observation).values for _ in range(2)])
    np.testing.assert_array_equal(chunks[0], chunks[1])
    assert not np.array_equal(chunks[0], chunks[2])
    assert not np.array_equal(chunks[0][0], chunks[0][1])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_noise_decides_the_plan_if_the_policy_is_steerable(build, sampler):
    policy = randomised(build(sampler=SAMPLERS[sampler]))
    packed = torch.randn(1, 5).expand(2, 5)
    one, other = policy.plan(packed, NO_IMAGES, policy.draw_noise(2))
    assert torch.allclose(one, other) == (not policy.steerable)


def test_keys_that_are_not_named_do_not_reach_the_plan(build):
    policy = build(keys=(TCP_TWIST,))
    noise = policy.draw_noise(1)
    packed = torch.zeros(1, 5)
    other_joints, other_twist = packed.clone(), packed.clone()
    other_joints[:, :3] = 1.0
    other_twist[:, 3:] = 1.0
    plain, joints, twist = (
        policy.plan(each, NO_IMAGES, noise) for each in (packed, other_joints, other_twist)
    )
    assert torch.equal(joints, plain)
    assert not torch.equal(twist, plain)


def test_an_unknown_key_is_refused_with_the_nearest_name(build):
    with pytest.raises(ContractError, match=f"did you mean '{JOINT_POSITION}'"):
        build(keys=("observation.stat",))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_save_and_load_act_alike_under_one_fingerprint(
    build, observation, tmp_path, network, sampler
):
    policy = randomised(
        build(network=network, seed=3, keys=(JOINT_POSITION,), sampler=SAMPLERS[sampler])
    )
    policy.save(tmp_path / "policy")
    loaded = ChunkPolicy.load(tmp_path / "policy", contract=policy.contract)
    assert loaded.fingerprint == policy.fingerprint
    assert loaded.config == policy.config
    assert (loaded.observation, loaded.action) == (policy.observation, policy.action)
    for each in (policy, loaded):
        each.reset(5)
    np.testing.assert_array_equal(loaded.act(observation).values, policy.act(observation).values)


def seeing(seed: int) -> VisionConfig:
    backbone = TorchvisionBackboneConfig(weights="random", seed=seed)
    return VisionConfig(backbone=backbone, head=SpatialEmbeddingConfig(size=8), state_size=0)


def test_a_policy_that_sees_saves_its_head_and_names_its_frozen_backbone(
    observation_spec, action_spec, normaliser, observation, tmp_path
):
    camera = "observation.images.wrist"
    spec = replace(observation_spec, images={camera: ImageSpec(height=32, width=32)})
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)

    def policy(seed: int) -> ChunkPolicy:
        config = ChunkPolicyConfig(
            horizon=4, execute=2, network=NETWORKS["mlp"], vision=seeing(seed)
        )
        return randomised(config.build(spec, action_spec, normaliser))

    saved = policy(0)
    # The same weights on another backbone's features are another policy.
    assert saved.fingerprint == policy(0).fingerprint != policy(1).fingerprint
    saved.save(tmp_path)
    loaded = ChunkPolicy.load(tmp_path)
    assert loaded.fingerprint == saved.fingerprint

    def acted(policy: ChunkPolicy, image: np.ndarray) -> np.ndarray:
        policy.reset(0)
        return policy.act(replace(observation, images={camera: image})).values

    np.testing.assert_array_equal(acted(loaded, image), acted(saved, image))
    assert not np.allclose(acted(loaded, 255 - image), acted(saved, image))


def test_the_fingerprint_follows_weights_normaliser_and_sampler(build):
    other = Normaliser(offset=np.zeros(5, np.float32), scale=np.ones(5, np.float32))
    policies = [
        build(),
        build(seed=1),
        build(normaliser=other),
        build(sampler=DdimConfig(inference_steps=4)),
        build(contract="task"),
        *(build(sampler=OneStepConfig(teacher=teacher)) for teacher in ("a", "b")),
    ]
    assert len({policy.fingerprint for policy in policies}) == 7
    assert build().fingerprint == policies[0].fingerprint
    policies[0].load_weights(policies[1].model.state_dict())
    assert policies[0].fingerprint == policies[1].fingerprint


def test_a_policy_for_another_task_is_refused(build, tmp_path):
    build(contract="insertion").save(tmp_path)
    with pytest.raises(FingerprintError, match="for contract insertion, expected pushing"):
        ChunkPolicy.load(tmp_path, contract="pushing")


def test_changed_settings_are_noticed(build, tmp_path):
    build().save(tmp_path)
    file = tmp_path / "policy.json"
    description = json.loads(file.read_text())
    description["config"]["sampler"]["inference_steps"] = 3
    file.write_text(json.dumps(description))
    with pytest.raises(FingerprintError, match="restore both files"):
        ChunkPolicy.load(tmp_path)


def test_weights_of_another_network_are_refused(build, tmp_path):
    for name, size in (("a", 8), ("b", 16)):
        build(network=MlpDenoiserConfig(hidden=(size,))).save(tmp_path / name)
    (tmp_path / "a" / "policy.safetensors").replace(tmp_path / "b" / "policy.safetensors")
    with pytest.raises(FingerprintError, match="does not hold the network"):
        ChunkPolicy.load(tmp_path / "b")


def test_a_folder_without_a_policy_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="no readable policy"):
        ChunkPolicy.load(tmp_path)


@pytest.mark.parametrize(
    ("config", "field"), [(ChunkPolicyConfig, "execute"), (DdimConfig, "inference_steps")]
)
def test_lengths_that_do_not_fit_are_refused(config, field):
    with pytest.raises((ConfigError, ValidationError), match=f"{field}: got 101"):
        config(**{field: 101})
