"""Where and how a learner computes must not change what it learns, but for rounding."""

import math
import shutil

import pytest
import torch

from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.learning.acceleration import Acceleration, AccelerationConfig, restore
from robot_rl.learning.dsrl_sac import DsrlSacConfig
from robot_rl.learning.residual_td3 import ResidualTd3Config
from robot_rl.learning.rlpd import RlpdConfig

LEARNERS = {
    "residual_td3": ResidualTd3Config,
    "rlpd": RlpdConfig,
}
gpu = pytest.mark.gpu
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@pytest.fixture(params=LEARNERS)
def build(request, base):
    def build(**acceleration):
        config = LEARNERS[request.param](
            hidden=(16, 16), heads=3, acceleration=AccelerationConfig(**acceleration)
        )
        return config.build(base, 0)

    return build


def updated(learner, make_batch, cycles=5):
    metrics = [learner.update([make_batch(2 * i), make_batch(2 * i + 1)]) for i in range(cycles)]
    return metrics[-1], learner.state_dict()


def assert_close(one, other, **tolerance):
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(
            value, other[name], msg=lambda m, n=name: f"{n}: {m}", **tolerance
        )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(ConfigError, match=r"device: got 'cuda', which is not there .*of cpu"):
        Acceleration(AccelerationConfig(device="cuda"))


@pytest.mark.parametrize("device", ["gpu", "meta", "cuda:99"])
def test_a_device_that_makes_no_sense_is_refused(device):
    with pytest.raises(ConfigError, match=f"device: got '{device}'"):
        Acceleration(AccelerationConfig(device=device))


@pytest.mark.parametrize("settings", [{"compile": True}, {"device": "cuda"}])
def test_cuda_graphs_need_cuda_and_compilation(settings):
    with pytest.raises(ConfigError, match="cuda_graphs: got true with device"):
        AccelerationConfig(cuda_graphs=True, **settings)


def test_noise_of_another_kind_of_device_is_refused():
    with pytest.raises(ContractError, match="resume on the device"):
        restore(torch.Generator(), torch.zeros(16, dtype=torch.uint8))


def test_the_loop_learns_what_the_batched_form_learns(build, make_batch):
    batched, loop = (updated(build(critics=form), make_batch) for form in ("batched", "loop"))
    assert batched[0] == pytest.approx(loop[0], rel=1e-3, abs=1e-5)
    assert_close(batched[1], loop[1], rtol=1e-3, atol=1e-5)


def test_bf16_keeps_weights_and_moments_in_float32_and_learns_nearly_the_same(build, make_batch):
    exact, coarse = updated(build(), make_batch), updated(build(bf16=True), make_batch)
    kinds = {name: tensor.dtype for name, tensor in coarse[1].items()}
    assert kinds == {name: tensor.dtype for name, tensor in exact[1].items()}
    assert all(math.isfinite(value) for value in coarse[0].values())
    assert coarse[0] != exact[0]
    # bfloat16 has 8 bits: a few per cent.
    for name in ("critic_loss", "q_max", "td_error_online"):
        assert coarse[0][name] == pytest.approx(exact[0][name], rel=0.1, abs=0.02)


def test_critics_learn_a_known_value_in_bf16(build, make_batch):
    # Every row ends, so Q must become the reward, here the first action element.
    learner = build(bf16=True)
    losses = []
    for seed in range(150):
        reward = make_batch(seed, rows=64).action[:, 0]
        batch = make_batch(seed, rows=64, discount=torch.zeros(64), reward=reward)
        losses.append(learner.update([batch], train_actor=False)["critic_loss"])
    assert sum(losses[-20:]) / 20 < 0.6 * losses[0]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_compiled_it_learns_the_same_but_for_rounding(build, make_batch):
    eager, compiled = (updated(build(compile=c), make_batch) for c in (False, True))
    assert compiled[0] == pytest.approx(eager[0], rel=1e-3, abs=1e-5)
    assert_close(compiled[1], eager[1], rtol=1e-3, atol=1e-5)


@gpu
@needs_cuda
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "settings",
    [{}, {"bf16": True}, {"compile": True}, {"compile": True, "cuda_graphs": True}],
    ids=["plain", "bf16", "compiled", "graphs"],
)
def test_on_a_gpu_it_learns_hands_out_cpu_tensors_and_resumes_bit_by_bit(
    build, make_batch, settings
):
    learner = build(device="cuda", **settings)
    metrics, state = updated(learner, make_batch)
    assert all(math.isfinite(value) for value in metrics.values())
    assert {tensor.device.type for tensor in (*state.values(), *learner.weights().values())} == {
        "cpu"
    }
    resumed = build(device="cuda", **settings)
    resumed.load_state_dict(state)
    for seed in range(100):
        assert learner.update([make_batch(seed)]) == resumed.update([make_batch(seed)])


@gpu
@needs_cuda
def test_a_gpu_learns_what_the_cpu_learns_but_for_its_noise(build, make_batch):
    # Without an actor step and smoothing noise only rounding differs.
    learners = [build(device=device) for device in ("cpu", "cuda")]
    losses = [
        [learner.update([make_batch(i)], train_actor=False)["q_mean"] for i in range(3)]
        for learner in learners
    ]
    assert losses[1] == pytest.approx(losses[0], rel=0.05, abs=0.01)


def test_latent_steering_takes_the_same_settings():
    assert DsrlSacConfig(acceleration=AccelerationConfig(bf16=True)).acceleration.bf16
