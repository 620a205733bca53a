import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from robot_rl.core.errors import ConfigError
from robot_rl.policies.sampler.ddim import Ddim, DdimConfig, squared_cosine
from robot_rl.policies.sampler.flow import FlowConfig
from robot_rl.policies.sampler.one_step import OneStepConfig
from robot_rl.policies.sampler.regression import RegressionConfig

FEATURES = torch.zeros(3, 5)


def ddim(**changes) -> Ddim:
    return DdimConfig(**{"prediction": "epsilon", **changes}).build()


def diffusers_of(config: DdimConfig) -> DDIMScheduler:
    scheduler = DDIMScheduler(
        num_train_timesteps=config.train_steps,
        beta_schedule="squaredcos_cap_v2",
        clip_sample=config.clip_sample,
        prediction_type=config.prediction,
    )
    scheduler.set_timesteps(config.inference_steps)
    return scheduler


def wobble(sample, step, features):
    """A stand-in network, strong enough that the clean estimate is clipped at times."""
    return torch.sin(3.0 * sample + 0.1 * step[:, None, None]) + features.sum(-1)[:, None, None]


class Asked:
    """A network that says the same to all, and remembers what it was asked."""

    def __init__(self, answer: float) -> None:
        self.answer = answer
        self.calls = []

    def __call__(self, sample, step, features):
        self.calls.append((sample, step.tolist()))
        return torch.full_like(sample, self.answer)


@pytest.mark.parametrize("prediction", ["epsilon", "sample"])
@pytest.mark.parametrize("clip_sample", [True, False])
@pytest.mark.parametrize("inference_steps", [1, 7, 8, 25])
def test_sampling_equals_diffusers_step_by_step(prediction, clip_sample, inference_steps):
    sampler = ddim(prediction=prediction, clip_sample=clip_sample, inference_steps=inference_steps)
    torch.manual_seed(0)
    noise, features = torch.randn(3, 4, 2), 0.1 * torch.randn(3, 5)
    x, scheduler = noise, diffusers_of(sampler.config)
    for t in scheduler.timesteps:
        output = wobble(x, t.expand(3), features)
        x = scheduler.step(output, t, x, eta=0.0).prev_sample
    torch.testing.assert_close(sampler.sample(wobble, features, noise), x, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 50, 100, 1000])
def test_the_schedule_is_diffusers_bit_by_bit(steps):
    scheduler = diffusers_of(DdimConfig(train_steps=steps, inference_steps=1))
    assert torch.equal(squared_cosine(steps), scheduler.alphas_cumprod)


def test_added_noise_equals_diffusers():
    sampler = ddim()
    clean, noise, step = torch.randn(3, 4, 2), torch.randn(3, 4, 2), torch.tensor([0, 50, 99])
    expected = diffusers_of(sampler.config).add_noise(clean, noise, step)
    torch.testing.assert_close(sampler.add_noise(clean, noise, step), expected)


def test_a_perfect_network_recovers_the_sample_in_one_step():
    clean = torch.tensor([[[0.5, -0.25]]])
    sampler = ddim(prediction="sample", inference_steps=1)
    result = sampler.sample(lambda x, t, f: clean, torch.zeros(1, 1), torch.randn(1, 1, 2))
    torch.testing.assert_close(result, clean)


def test_diffusion_errs_by_what_the_network_should_have_said():
    clean = torch.full((3, 4, 2), 0.5)
    errors = ddim(prediction="sample").errors(Asked(0.2), clean, FEATURES, torch.Generator())
    # (0.5 - 0.2)^2 for each element, so for their mean too.
    torch.testing.assert_close(errors, torch.full((3, 4), 0.09))


def test_euler_follows_the_velocity_from_noise_to_sample():
    network = Asked(0.5)
    noise = torch.tensor([[[1.0]]])
    chunk = FlowConfig(inference_steps=4).build().sample(network, torch.zeros(1, 1), noise)
    # Four steps of 1/4 along 0.5; the step says how much noise is left, of 100.
    assert chunk.item() == pytest.approx(1.5)
    assert [step for _, step in network.calls] == [[100.0], [75.0], [50.0], [25.0]]
    assert [x.item() for x, _ in network.calls] == pytest.approx([1.0, 1.125, 1.25, 1.375])


def test_midpoint_takes_the_slope_halfway():
    def slope(sample, step, features):
        return sample  # dx/dt = x

    noise = torch.tensor([[[1.0]]])
    sampler = FlowConfig(inference_steps=2, method="midpoint").build()
    # One midpoint step of h = 1/2 multiplies by 1 + h + h^2 / 2 = 1.625.
    assert sampler.sample(slope, torch.zeros(1, 1), noise).item() == pytest.approx(1.625**2)
    euler = FlowConfig(inference_steps=2).build()
    assert euler.sample(slope, torch.zeros(1, 1), noise).item() == pytest.approx(1.5**2)


def test_flow_is_trained_on_the_straight_line_between_noise_and_sample():
    clean = torch.full((3, 4, 2), 0.5)
    network = Asked(0.0)
    errors = (
        FlowConfig().build().errors(network, clean, FEATURES, torch.Generator().manual_seed(1))
    )
    ((x, step),) = network.calls
    # x = (1 - t) noise + t clean with step = 100 (1 - t), so the noise can be told from x.
    left = torch.tensor(step)[:, None, None] / 100
    noise = (x - (1 - left) * clean) / left
    assert all(0 <= s < 100 for s in step)
    torch.testing.assert_close(errors, (clean - noise).square().mean(-1), rtol=1e-3, atol=1e-4)


def test_regression_ignores_the_noise_and_errs_by_the_distance():
    sampler = RegressionConfig().build()
    network = Asked(0.2)
    chunk = sampler.sample(network, FEATURES, torch.randn(3, 4, 2))
    assert chunk.unique().tolist() == pytest.approx([0.2])
    assert not sampler.steerable
    errors = sampler.errors(network, torch.full((3, 4, 2), 0.5), FEATURES, torch.Generator())
    torch.testing.assert_close(errors, torch.full((3, 4), 0.09))
    # It is never shown anything but zeros.
    assert all(not sample.any() and not any(step) for sample, step in network.calls)


def test_one_step_adds_one_answer_to_a_share_of_the_noise():
    network = Asked(0.5)
    sampler = OneStepConfig(step=84.0, noise_gain=2.0).build()
    chunk = sampler.sample(network, torch.zeros(1, 1), torch.tensor([[[1.0]]]))
    assert chunk.item() == 2.0 * 1.0 + 0.5
    assert [step for _, step in network.calls] == [[84.0]]


@pytest.mark.parametrize(
    "config",
    [
        DdimConfig(inference_steps=1, prediction="sample", clip_sample=False),
        FlowConfig(inference_steps=1),
    ],
    ids=["sample", "flow"],
)
def test_a_student_begins_as_its_teachers_single_step(config):
    teacher = config.build()
    noise, features = torch.randn(3, 4, 2), torch.randn(3, 5)
    single = teacher.sample(wobble, features, noise)
    student = teacher.one_step().build()
    torch.testing.assert_close(student.sample(wobble, features, noise), single)


@pytest.mark.parametrize("config", [RegressionConfig(), OneStepConfig()])
def test_what_plans_with_one_call_cannot_be_distilled(config):
    with pytest.raises(ConfigError, match="one call already"):
        config.build().one_step()


def test_a_student_is_not_trained_on_demonstrations():
    with pytest.raises(ConfigError, match=r"train with another sampler and set imitate\.student"):
        OneStepConfig().build().errors(Asked(0), torch.zeros(3, 4, 2), FEATURES, torch.Generator())
