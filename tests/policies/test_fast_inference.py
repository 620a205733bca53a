"""Chunk policies planned sooner: the same numbers up to rounding, or as far off as is said."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robot_rl.control.chunking.planner import PlanContext
from robot_rl.core.errors import ConfigError, DependencyError
from robot_rl.core.spec import JOINT_POSITION, TCP_TWIST
from robot_rl.core.types import Observation
from robot_rl.networks.denoiser import MlpDenoiserConfig
from robot_rl.networks.dit import DitConfig
from robot_rl.networks.int8 import Int8Linear, quantise
from robot_rl.networks.lean_unet import LeanUnet
from robot_rl.networks.unet import UnetConfig
from robot_rl.policies.adapters.chunk import ChunkBase, ChunkBaseConfig
from robot_rl.policies.adapters.inference import InferenceConfig
from robot_rl.policies.base import PlanRequest
from robot_rl.policies.chunk_policy import ChunkPolicy, ChunkPolicyConfig
from robot_rl.policies.sampler.ddim import DdimConfig
from robot_rl.policies.sampler.flow import FlowConfig
from robot_rl.policies.sampler.one_step import OneStepConfig

NETWORKS = {
    "mlp": MlpDenoiserConfig(hidden=(16,)),
    "unet": UnetConfig(widths=(16, 24)),
    "dit": DitConfig(width=8, depth=2, heads=2),
}
SAMPLERS = {
    "ddim": DdimConfig(inference_steps=4),
    "epsilon": DdimConfig(inference_steps=4, prediction="epsilon"),
    "midpoint": FlowConfig(inference_steps=2, method="midpoint"),
    "one_step": OneStepConfig(step=84.0, noise_gain=0.5),
}
WIDE = UnetConfig(widths=(128, 256))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def moved(network: torch.nn.Module) -> torch.nn.Module:
    """Move all weights: some begin at values that hide what is behind them."""
    generator = torch.Generator().manual_seed(0)
    for parameter in network.requires_grad_(False).parameters():
        parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return network


@pytest.fixture
def build(observation_spec, action_spec, normaliser):
    def build(network="unet", sampler="ddim", seed=0, fresh=False) -> ChunkPolicy:
        config = ChunkPolicyConfig(
            horizon=8,
            execute=4,
            network=NETWORKS.get(network, network),
            sampler=SAMPLERS[sampler],
        )
        policy = config.build(observation_spec, action_spec, normaliser, seed=seed)
        if not fresh:
            policy.load_weights(moved(policy.model).state_dict())
        return policy

    return build


def request(seed: int, context: PlanContext | None = None) -> PlanRequest:
    rng = np.random.default_rng(seed)
    vectors = {
        JOINT_POSITION: rng.standard_normal(3, np.float32),
        TCP_TWIST: rng.standard_normal(2, np.float32),
    }
    noise = rng.standard_normal((8, 2), np.float32)
    seen = Observation(stamp_ns=seed, vectors=vectors)
    return PlanRequest(window=(seen,), noise=noise, context=context)


IN_PLAY = PlanContext(ahead=np.full((6, 2), 0.5, np.float32), frozen=2)


@pytest.mark.parametrize(
    ("widths", "horizon", "kernel"), [((8,), 5, 5), ((8, 24), 6, 3), ((24, 16, 8), 16, 5)]
)
def test_a_lean_unet_computes_what_the_unet_does(widths, horizon, kernel):
    network = moved(UnetConfig(widths=widths, kernel=kernel).build(horizon, 3, 7))
    lean = LeanUnet(network)
    features = torch.randn(4, 7)
    denoise = lean.given(features)
    for step in (99, 42.5, 99):
        sample, steps = torch.randn(4, horizon, 3), torch.full((4,), step)
        expected = network(sample, steps, features)
        torch.testing.assert_close(
            denoise(sample, steps, features), expected, atol=1e-4, rtol=1e-4
        )


def test_a_lean_unet_shares_nothing_with_the_unet():
    network = UnetConfig(widths=(8, 16)).build(8, 3, 5)
    sample, step, features = torch.randn(1, 8, 3), torch.tensor([7.0]), torch.randn(1, 5)
    denoise = LeanUnet(network).given(features)
    before = network(sample, step, features).detach()
    moved(network)
    torch.testing.assert_close(denoise(sample, step, features), before, atol=1e-4, rtol=1e-4)


def test_a_lean_unet_has_the_derivative_of_the_unet():
    network = moved(UnetConfig(widths=(8, 16)).build(8, 3, 5))
    sample, step, features = torch.randn(1, 8, 3), torch.tensor([7.0]), torch.randn(1, 5)
    lean = LeanUnet(network)
    with torch.inference_mode():
        lean.given(features)(sample, step, features)
    found = []
    for denoise in (network, lean.given(features)):
        x = sample.clone().requires_grad_()
        found += torch.autograd.grad(denoise(x, step, features).square().sum(), x)
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_plans_are_the_policys_up_to_rounding(build, network, sampler):
    policy = build(network, sampler)
    exact, fast = ChunkBase(policy), ChunkBase(policy, InferenceConfig())
    asked = [request(seed) for seed in range(3)]
    np.testing.assert_allclose(fast.infer(asked), exact.infer(asked), atol=1e-4)
    assert fast.spec == exact.spec


@pytest.mark.parametrize("config", [InferenceConfig(), InferenceConfig(int8=True)])
def test_plans_towards_one_in_play_are_the_policys_up_to_rounding(build, config):
    policy = build(WIDE)
    exact, fast = ChunkBase(policy), ChunkBase(policy, config)
    fast.infer([request(1)])
    asked = [request(1, IN_PLAY)]
    np.testing.assert_allclose(fast.infer(asked), exact.infer(asked), atol=1e-4)


def test_without_settings_a_saved_policy_plans_bit_for_bit(build, tmp_path, observation):
    policy = build()
    policy.save(tmp_path)
    loaded = ChunkPolicy.load(tmp_path)
    assert ChunkBaseConfig(path=tmp_path).inference is None
    policy.reset(3)
    noise = policy.draw_noise(1)[0].numpy()
    policy.reset(3)
    planned = ChunkBase(loaded).infer([PlanRequest(window=(observation,), noise=noise)])[0]
    np.testing.assert_array_equal(planned, policy.act(observation).values)


def test_eight_bits_change_plans_a_little_and_the_fingerprint(build):
    policy = build(WIDE, fresh=True)
    exact, rounded = ChunkBase(policy), ChunkBase(policy, InferenceConfig(int8=True))
    asked = [request(seed) for seed in range(8)]
    apart = np.abs(rounded.infer(asked) - exact.infer(asked))
    assert 0.0 < apart.mean() < 0.02
    assert rounded.spec.fingerprint != exact.spec.fingerprint


def test_an_int8_layer_is_its_layer_to_a_hundredth_of_the_largest_output():
    torch.manual_seed(0)
    layer = torch.nn.Linear(640, 256)
    layer.weight.data[3] = 0.0
    x = torch.randn(2, 5, 640)
    expected = layer(x).detach()
    apart = (Int8Linear(layer)(x) - expected).abs().max()
    assert apart < 0.02 * expected.abs().max()


def test_narrow_layers_keep_all_their_bits():
    network = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(512, 512))
    quantise(network)
    assert [type(layer) for layer in network] == [torch.nn.Linear, Int8Linear]


def test_fewer_steps_are_those_of_a_policy_that_has_as_many(build):
    policy = build()
    config = policy.config.model_copy(update={"sampler": DdimConfig(inference_steps=2)})
    fewer = config.build(policy.observation, policy.action, policy.normaliser)
    fewer.load_weights(policy.model.state_dict())
    base = ChunkBase(policy, InferenceConfig(steps=2))
    asked = [request(1)]
    np.testing.assert_allclose(base.infer(asked), ChunkBase(fewer).infer(asked), atol=1e-4)
    assert base.spec.fingerprint != policy.fingerprint


def test_other_weights_plan_with_the_same_settings(build):
    config = InferenceConfig(steps=2)
    one, other = (ChunkBase(build(seed=seed), config) for seed in (0, 1))
    asked = [request(1), request(2, IN_PLAY)]
    before = one.infer(asked)
    np.testing.assert_array_equal(one.with_weights(other.weights).infer(asked), other.infer(asked))
    np.testing.assert_array_equal(one.infer(asked), before)


def test_settings_that_do_not_go_together_name_the_remedy(build):
    with pytest.raises(ConfigError, match=r"inference\.steps: got 2.*leave it out"):
        ChunkBase(build(sampler="one_step"), InferenceConfig(steps=2))
    with pytest.raises(ConfigError, match="int8 and compile"):
        ChunkBase(build(), InferenceConfig(int8=True, compile=True))
    with pytest.raises(ConfigError, match=r"int8.*leave out one"):
        ChunkBase(build(), InferenceConfig(int8=True, device="cuda"))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_policy_plans_alike_whatever_the_batch_and_the_weights(build):
    config = InferenceConfig(compile=True)
    policies = [build(UnetConfig(widths=(8,)), seed=seed) for seed in (0, 1)]
    compiled = ChunkBase(policies[0], config)
    asked = [request(1), request(2), request(3, IN_PLAY)]
    for policy, base in (
        (policies[0], compiled),
        (policies[1], compiled.with_weights(policies[1].model.state_dict())),
    ):
        expected = ChunkBase(policy).infer(asked)
        np.testing.assert_allclose(base.infer(asked), expected, atol=1e-4)
        np.testing.assert_allclose(base.infer(asked[:1]), expected[:1], atol=1e-4)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named(build):
    with pytest.raises(DependencyError, match="take cpu"):
        ChunkBase(build(), InferenceConfig(device="cuda"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("network", NETWORKS)
def test_a_gpu_plans_as_the_cpu_does(build, network):
    policy = build(network)
    asked = [request(1), request(2, IN_PLAY)]
    on_gpu = ChunkBase(policy, InferenceConfig(device="cuda")).infer(asked)
    np.testing.assert_allclose(on_gpu, ChunkBase(policy).infer(asked), atol=1e-2)
