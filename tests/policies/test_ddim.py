import pytest
import torch

from robot_rl.policies.ddim import Ddim


def ddim(**changes) -> Ddim:
    settings = {
        "train_steps": 100,
        "inference_steps": 8,
        "prediction": "epsilon",
        "clip_sample": True,
    }
    return Ddim(**{**settings, **changes})


def wobble(sample, step, features):
    """A stand-in network, strong enough that the clean estimate is clipped at times."""
    return torch.sin(3.0 * sample + 0.1 * step[:, None, None]) + features.sum(-1)[:, None, None]


@pytest.mark.parametrize("prediction", ["epsilon", "sample"])
@pytest.mark.parametrize("clip_sample", [True, False])
@pytest.mark.parametrize("inference_steps", [1, 7, 8, 25])
def test_sampling_equals_diffusers_step_by_step(prediction, clip_sample, inference_steps):
    sampler = ddim(prediction=prediction, clip_sample=clip_sample, inference_steps=inference_steps)
    torch.manual_seed(0)
    noise, features = torch.randn(3, 4, 2), 0.1 * torch.randn(3, 5)
    x = noise
    for t in sampler.scheduler.timesteps:
        output = wobble(x, t.expand(3), features)
        x = sampler.scheduler.step(output, t, x, eta=0.0).prev_sample
    torch.testing.assert_close(sampler.sample(wobble, features, noise), x, atol=1e-5, rtol=1e-5)


def test_added_noise_equals_diffusers():
    sampler = ddim()
    clean, noise, step = torch.randn(3, 4, 2), torch.randn(3, 4, 2), torch.tensor([0, 50, 99])
    expected = sampler.scheduler.add_noise(clean, noise, step)
    torch.testing.assert_close(sampler.add_noise(clean, noise, step), expected)


def test_a_perfect_network_recovers_the_sample_in_one_step():
    clean = torch.tensor([[[0.5, -0.25]]])
    sampler = ddim(prediction="sample", inference_steps=1)
    result = sampler.sample(lambda x, t, f: clean, torch.zeros(1, 1), torch.randn(1, 1, 2))
    torch.testing.assert_close(result, clean)
