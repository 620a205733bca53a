"""A chunk policy as an ONNX file: plans what it planned, for what it was made for."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from robot_rl.core.errors import ConfigError, FingerprintError, StorageError
from robot_rl.core.spec import ObservationSpec, TaskSpec
from robot_rl.data.normaliser import Normaliser
from robot_rl.networks.dit import DitConfig
from robot_rl.networks.unet import UnetConfig
from robot_rl.networks.vision.conv_backbone import ConvBackboneConfig
from robot_rl.networks.vision.encoder import VisionConfig
from robot_rl.policies.adapters.chunk import ChunkBase
from robot_rl.policies.adapters.exported import ExportedPolicyConfig
from robot_rl.policies.adapters.onnx_export import export_onnx
from robot_rl.policies.base import PlanRequest
from robot_rl.policies.chunk_policy import ChunkPolicyConfig
from robot_rl.policies.sampler.ddim import DdimConfig
from robot_rl.policies.sampler.flow import FlowConfig
from robot_rl.policies.sampler.regression import RegressionConfig

pytest.importorskip("onnxruntime", reason="needs the onnx extra")
onnx = pytest.importorskip("onnx", reason="needs the onnx extra")


@pytest.fixture
def vectors_alone(cell) -> TaskSpec:
    return TaskSpec(
        name=cell.name,
        horizon=cell.horizon,
        observation=ObservationSpec(vectors=cell.observation.vectors),
        action=cell.action,
    )


def moved(policy):
    """The policy with every weight moved: some networks begin with zeros."""
    generator = torch.Generator().manual_seed(1)
    weights = policy.model.state_dict()
    for name in dict(policy.model.named_parameters()):
        weights[name] += 0.05 * torch.randn(weights[name].shape, generator=generator)
    policy.load_weights(weights)
    return policy


def policy_for(task, **fields):
    size = task.observation.packed_size
    normaliser = Normaliser(
        offset=np.linspace(-0.1, 0.1, size, dtype=np.float32),
        scale=np.full(size, 0.7, np.float32),
    )
    config = ChunkPolicyConfig(horizon=8, execute=3, **fields)
    return config.build(task.observation, task.action, normaliser, contract=task.contract, seed=1)


def exported(policy, task, folder):
    export_onnx(policy, folder / "policy.onnx")
    return ExportedPolicyConfig(path=folder / "policy.onnx").build(task)


@pytest.mark.parametrize("sampler", [DdimConfig(), FlowConfig(), RegressionConfig()])
def test_a_file_plans_what_the_policy_plans(vectors_alone, tmp_path, requests_of, sampler):
    policy = policy_for(vectors_alone, sampler=sampler)
    file = exported(policy, vectors_alone, tmp_path)
    base = ChunkBase(policy)

    for count in (1, 3):
        requests = requests_of(file, count)
        np.testing.assert_allclose(file.infer(requests), base.infer(requests), atol=2e-5)

    expected = (8, 3, policy.steerable)
    assert (file.spec.horizon, file.spec.execute, file.spec.noise is not None) == expected


@pytest.mark.parametrize(
    "network", [UnetConfig(widths=(8, 16)), DitConfig(width=16, depth=2, heads=2)]
)
def test_every_network_can_be_told(vectors_alone, tmp_path, requests_of, network):
    sampler = FlowConfig(inference_steps=2)
    policy = moved(policy_for(vectors_alone, network=network, sampler=sampler))
    file = exported(policy, vectors_alone, tmp_path)
    requests = requests_of(file, 3)

    plans = file.infer(requests)

    assert np.abs(plans).max() > 0.01
    np.testing.assert_allclose(plans, ChunkBase(policy).infer(requests), atol=1e-4)


def test_cameras_are_inputs_of_their_own(cell, tmp_path, requests_of):
    vision = VisionConfig(backbone=ConvBackboneConfig())
    policy = policy_for(cell, vision=vision)
    file = exported(policy, cell, tmp_path)
    requests = requests_of(file, 2)

    plans = file.infer(requests)

    assert set(file.spec.observation.images) == set(cell.observation.images)
    np.testing.assert_allclose(plans, ChunkBase(policy).infer(requests), atol=2e-5)


def test_noise_decides_the_plan(vectors_alone, tmp_path, requests_of):
    file = exported(policy_for(vectors_alone), vectors_alone, tmp_path)
    here, there = requests_of(file, 2)
    moved = PlanRequest(window=here.window, noise=there.noise)

    first, again, other = (file.infer([request])[0] for request in (here, here, moved))

    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_a_file_for_another_task_is_refused(vectors_alone, cell, tmp_path):
    with pytest.raises(FingerprintError, match="use a policy trained for this task"):
        exported(policy_for(vectors_alone), cell, tmp_path)


def test_other_weights_have_another_fingerprint(vectors_alone, tmp_path):
    policy = policy_for(vectors_alone)
    first = exported(policy, vectors_alone, tmp_path).spec.fingerprint
    assert exported(moved(policy), vectors_alone, tmp_path).spec.fingerprint != first


def test_a_model_that_does_not_say_what_it_is_for_is_refused(vectors_alone, tmp_path):
    path = tmp_path / "policy.onnx"
    export_onnx(policy_for(vectors_alone), path)
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, path)

    with pytest.raises(StorageError, match="does not say what it is for"):
        ExportedPolicyConfig(path=path).build(vectors_alone)


@pytest.mark.parametrize("change", [{"schema": 2}, {"action": None}, {"horizon": None}])
def test_a_contract_that_cannot_be_read_is_refused(vectors_alone, tmp_path, change):
    path = tmp_path / "policy.onnx"
    export_onnx(policy_for(vectors_alone), path)
    model = onnx.load(path)
    contract = json.loads(model.metadata_props[0].value)
    model.metadata_props[0].value = json.dumps({**contract, **change})
    onnx.save(model, path)

    with pytest.raises(StorageError, match="export it anew"):
        ExportedPolicyConfig(path=path).build(vectors_alone)


@pytest.mark.parametrize("name", ["policy.pt", "policy.pt2", "policy.ts"])
def test_what_can_run_code_is_never_opened(vectors_alone, tmp_path, name):
    with pytest.raises(ConfigError, match="can run code and is never done"):
        ExportedPolicyConfig(path=tmp_path / name).build(vectors_alone)


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x08" * 50])
def test_a_file_that_is_no_model_is_refused(vectors_alone, tmp_path, content):
    path = tmp_path / "policy.onnx"
    path.write_bytes(content)

    with pytest.raises(StorageError, match="policy"):
        ExportedPolicyConfig(path=path).build(vectors_alone)


def test_a_missing_file_is_refused(vectors_alone, tmp_path):
    with pytest.raises(StorageError, match="cannot be read"):
        ExportedPolicyConfig(path=tmp_path / "absent.onnx").build(vectors_alone)
