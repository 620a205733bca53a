import json

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from robot_rl.core.errors import ConfigError, ContractError, FingerprintError, StorageError
from robot_rl.core.spec import JOINT_POSITION, TCP_TWIST
from robot_rl.data.normaliser import Normaliser
from robot_rl.policies.chunk_policy import ChunkPolicy, ChunkPolicyConfig


@pytest.fixture
def build(observation_spec, action_spec, normaliser):
    def build(contract="", seed=0, normaliser=normaliser, **changes) -> ChunkPolicy:
        settings = {"horizon": 4, "execute": 2, "hidden": (16,), "widths": (8, 8), **changes}
        config = ChunkPolicyConfig(**settings)
        return config.build(
            observation_spec, action_spec, normaliser, contract=contract, seed=seed
        )

    return build


@pytest.mark.parametrize("network", ["mlp", "unet"])
def test_act_is_plan_on_the_noise_of_the_seed(build, observation, network):
    policy = build(network=network)
    policy.reset(7)
    chunk = policy.act(observation)
    policy.reset(7)
    packed = torch.from_numpy(policy.observation.pack(observation.vectors))[None]
    planned = policy.plan(packed, policy.draw_noise(1))[0].numpy()
    np.testing.assert_array_equal(chunk.values, planned)
    assert chunk.values.shape == (4, 2)
    assert (chunk.start_ns, chunk.dt_s) == (123, 0.05)
    assert np.abs(chunk.values).max() <= 1.0


def test_plan_is_deterministic_given_the_noise_and_rows_do_not_mix(build):
    policy = build()
    packed, noise = torch.randn(3, 5), policy.draw_noise(3)
    together = policy.plan(packed, noise)
    assert torch.equal(policy.plan(packed, noise), together)
    torch.testing.assert_close(policy.plan(packed[1:2], noise[1:2]), together[1:2])


def test_another_seed_plans_otherwise_and_the_same_seed_repeats(build, observation):
    policy = build()
    chunks = []
    for seed in (1, 1, 2):
        policy.reset(seed)
        chunks.append([policy.act(observation).values for _ in range(2)])
    np.testing.assert_array_equal(chunks[0], chunks[1])
    assert not np.array_equal(chunks[0], chunks[2])
    assert not np.array_equal(chunks[0][0], chunks[0][1])


def test_keys_that_are_not_named_do_not_reach_the_plan(build):
    policy = build(keys=(TCP_TWIST,))
    noise = policy.draw_noise(1)
    packed = torch.zeros(1, 5)
    other_joints, other_twist = packed.clone(), packed.clone()
    other_joints[:, :3] = 1.0
    other_twist[:, 3:] = 1.0
    assert torch.equal(policy.plan(other_joints, noise), policy.plan(packed, noise))
    assert not torch.equal(policy.plan(other_twist, noise), policy.plan(packed, noise))


def test_an_unknown_key_is_refused_with_the_nearest_name(build):
    with pytest.raises(ContractError, match=f"did you mean '{JOINT_POSITION}'"):
        build(keys=("observation.stat",))


@pytest.mark.parametrize("network", ["mlp", "unet"])
def test_save_and_load_act_alike_under_one_fingerprint(build, observation, tmp_path, network):
    policy = build(network=network, seed=3, keys=(JOINT_POSITION,), prediction="epsilon")
    policy.save(tmp_path / "policy")
    loaded = ChunkPolicy.load(tmp_path / "policy", contract=policy.contract)
    assert loaded.fingerprint == policy.fingerprint
    assert loaded.config == policy.config
    assert (loaded.observation, loaded.action) == (policy.observation, policy.action)
    for each in (policy, loaded):
        each.reset(5)
    np.testing.assert_array_equal(loaded.act(observation).values, policy.act(observation).values)


def test_the_fingerprint_follows_weights_normaliser_and_sampler(build):
    other = Normaliser(offset=np.zeros(5, np.float32), scale=np.ones(5, np.float32))
    policies = [
        build(),
        build(seed=1),
        build(normaliser=other),
        build(inference_steps=4),
        build(contract="task"),
    ]
    assert len({policy.fingerprint for policy in policies}) == 5
    assert build().fingerprint == policies[0].fingerprint
    policies[0].load_denoiser(policies[1].denoiser.state_dict())
    assert policies[0].fingerprint == policies[1].fingerprint


def test_a_policy_for_another_task_is_refused(build, tmp_path):
    build(contract="insertion").save(tmp_path)
    with pytest.raises(FingerprintError, match="for contract insertion, expected pushing"):
        ChunkPolicy.load(tmp_path, contract="pushing")


def test_changed_settings_are_noticed(build, tmp_path):
    build().save(tmp_path)
    file = tmp_path / "policy.json"
    description = json.loads(file.read_text())
    description["config"]["inference_steps"] = 3
    file.write_text(json.dumps(description))
    with pytest.raises(FingerprintError, match="restore both files"):
        ChunkPolicy.load(tmp_path)


def test_weights_of_another_network_are_refused(build, tmp_path):
    build(hidden=(8,)).save(tmp_path / "a")
    build(hidden=(16,)).save(tmp_path / "b")
    (tmp_path / "a" / "policy.safetensors").replace(tmp_path / "b" / "policy.safetensors")
    with pytest.raises(FingerprintError, match="does not hold the network"):
        ChunkPolicy.load(tmp_path / "b")


def test_a_folder_without_a_policy_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="no readable policy"):
        ChunkPolicy.load(tmp_path)


@pytest.mark.parametrize("field", ["execute", "inference_steps"])
def test_lengths_that_do_not_fit_are_refused(field):
    with pytest.raises((ConfigError, ValidationError), match=f"{field}: got 101"):
        ChunkPolicyConfig(**{field: 101})
