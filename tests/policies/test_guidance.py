"""Real-time chunking's guidance, on networks whose answers and derivatives are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from robot_rl.core.errors import ConfigError
from robot_rl.policies.sampler.ddim import DdimConfig, squared_cosine
from robot_rl.policies.sampler.flow import FlowConfig
from robot_rl.policies.sampler.guidance import Guide, guidance_weight, soft_mask
from robot_rl.policies.sampler.one_step import OneStepConfig
from robot_rl.policies.sampler.regression import RegressionConfig

HORIZON, OVERLAP, FROZEN = 12, 8, 4
FEATURES = torch.zeros(1, 1)
TIME = torch.arange(HORIZON, dtype=torch.float32)
COVARIANCE = 0.09 * torch.exp(-((TIME[:, None] - TIME) ** 2) / 18) + 1e-5 * torch.eye(HORIZON)
"""Chunks of a Gaussian prior: smooth over three steps, 0.3 in size."""


def clean_of(x: Tensor, signal: float, noise: float) -> Tensor:
    """The mean of the clean chunks float32[b, h, 1] behind x = signal clean + noise z."""
    spread = signal**2 * COVARIANCE + noise**2 * torch.eye(HORIZON)
    return signal * COVARIANCE @ torch.linalg.solve(spread, x)


def flow_denoiser(x: Tensor, step: Tensor, features: Tensor) -> Tensor:
    t = 1.0 - step[0].item() / 100.0
    return (clean_of(x, t, 1.0 - t) - x) / (1.0 - t)


def flow(steps: int, method: str = "euler"):
    return FlowConfig(inference_steps=steps, method=method).build(), flow_denoiser


def ddim(steps: int, prediction: str):
    config = DdimConfig(inference_steps=steps, prediction=prediction)
    sampler = config.build()

    def denoiser(x: Tensor, step: Tensor, features: Tensor) -> Tensor:
        alpha_bar = float(squared_cosine(config.train_steps)[step[0]])
        signal, noise = alpha_bar**0.5, (1.0 - alpha_bar) ** 0.5
        clean = clean_of(x, signal, noise)
        return clean if prediction == "sample" else (x - signal * clean) / noise

    return sampler, denoiser


SAMPLERS = {
    "flow": lambda steps: flow(steps),
    "midpoint": lambda steps: flow(steps, "midpoint"),
    "ddim, sample": lambda steps: ddim(steps, "sample"),
    "ddim, epsilon": lambda steps: ddim(steps, "epsilon"),
}


@pytest.fixture
def noise() -> Tensor:
    return torch.randn(64, HORIZON, 1, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def played() -> Tensor:
    """A chunk of the prior."""
    draw = torch.randn(HORIZON, 1, generator=torch.Generator().manual_seed(1))
    chunk = torch.linalg.cholesky(COVARIANCE) @ draw
    assert chunk.abs().max() < 1.0
    return chunk


def guide(played: Tensor, most: float, frozen: int = FROZEN) -> Guide:
    return Guide(ahead=played[:OVERLAP], mask=soft_mask(OVERLAP, frozen), most=most)


def error(chunks: Tensor, played: Tensor, rows: slice) -> float:
    return float((chunks[:, rows] - played[rows]).square().mean().sqrt())


# Pure functions


def test_soft_mask_is_one_where_frozen_and_falls_to_nothing_at_the_end_of_the_overlap():
    # Equation 5 with H - s = 4, d = 1: c = 3/4, 2/4, 1/4 behind the frozen action.
    def by_hand(c: float) -> float:
        return c * (math.exp(c) - 1) / (math.e - 1)

    expected = [1.0, by_hand(0.75), by_hand(0.5), by_hand(0.25)]
    assert expected[1:] == pytest.approx([0.48755, 0.18877, 0.04132], abs=1e-5)
    assert soft_mask(4, 1).tolist() == pytest.approx(expected, abs=1e-6)


def test_soft_mask_of_a_plan_that_is_wholly_frozen_is_one_and_without_frozen_below_one():
    assert soft_mask(3, 3).tolist() == [1.0, 1.0, 1.0]
    # c = 2/3 and 1/3.
    assert soft_mask(2, 0).tolist() == pytest.approx([0.36771, 0.07675], abs=1e-5)


def test_guidance_weight_is_that_of_the_paper_between_its_clipped_ends():
    # (1 - t) / (t r^2) = (t^2 + (1 - t)^2) / (t (1 - t)): 2 in the middle, 0.68 / 0.16 at 0.8.
    assert guidance_weight(0.5, 5.0) == pytest.approx(2.0)
    assert guidance_weight(0.8, 5.0) == pytest.approx(4.25)
    assert guidance_weight(0.8, 3.0) == 3.0
    assert [guidance_weight(t, 5.0) for t in (0.0, 0.01, 0.99, 1.0)] == [5.0] * 4


# The derivative


def wobble(x: Tensor) -> tuple[Tensor, Tensor]:
    """A network that mixes all actions, and not linearly."""
    mixed = torch.sin(x.cumsum(1)) + 0.3 * x.flip(1)
    return mixed, 2.0 * mixed


def test_pull_is_the_weighted_error_times_the_jacobian_of_the_estimate():
    matrix = torch.tensor([[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.0, -2.0, 1.0]])
    sample = torch.zeros(1, 3, 1)
    there = Guide(ahead=torch.tensor([[0.4], [0.6]]), mask=torch.tensor([1.0, 0.5]), most=9.0)
    pull, _ = there.pull(lambda x: (matrix @ x, x), sample, time=0.5)
    # Errors W (Y - 0) = (0.4, 0.3, 0); times the matrix (0.4 + 0.5 * 0.3, 0.3, 0); weight 2.
    assert pull.flatten().tolist() == pytest.approx([1.1, 0.6, 0.0])


def test_pull_agrees_with_finite_differences():
    generator = torch.Generator().manual_seed(2)
    sample, direction = (
        0.3 * torch.randn(1, 6, 2, generator=generator, dtype=torch.float64) for _ in range(2)
    )
    there = Guide(
        ahead=torch.zeros(4, 2, dtype=torch.float64), mask=soft_mask(4, 2).double(), most=1.0
    )
    pull, other = there.pull(wobble, sample, time=0.0)
    before, after = (wobble(sample + h * direction)[0] for h in (-1e-5, 1e-5))
    slope = (after - before) / 2e-5
    # The weight at time 0 is `most`, 1: (J^T e) . u = e . (J u).
    expected = (there.error(wobble(sample)[0]) * slope).sum()
    assert (pull * direction).sum().item() == pytest.approx(expected.item(), rel=1e-6)
    assert torch.equal(other, wobble(sample)[1])
    assert not pull.requires_grad
    assert not other.requires_grad


def test_actions_behind_the_overlap_are_drawn_along():
    # With a detached velocity the derivative of x + (1 - t) v is 1, and they would stay.
    def estimate(x: Tensor) -> tuple[Tensor, Tensor]:
        velocity = wobble(x)[0]
        return x + 0.5 * velocity, velocity

    def detached(x: Tensor) -> tuple[Tensor, Tensor]:
        velocity = wobble(x)[0].detach()
        return x + 0.5 * velocity, velocity

    there = Guide(ahead=torch.ones(2, 1), mask=torch.ones(2), most=1.0)
    sample = torch.full((1, 6, 1), 0.2)
    assert not there.pull(detached, sample, 0.0)[0][:, 2:].any()
    # flip(1) makes the first two clean actions depend on the last two of the sample: 0.5 * 0.3.
    pull = there.pull(estimate, sample, 0.0)[0].flatten()
    expected = there.error(estimate(sample)[0]).flatten()[:2] * 0.15
    assert pull[[5, 4]].tolist() == pytest.approx(expected.tolist())


def test_pull_works_where_gradients_are_switched_off():
    there = Guide(ahead=torch.ones(2, 1), mask=torch.ones(2), most=1.0)
    with torch.no_grad():
        pull, _ = there.pull(wobble, torch.zeros(1, 3, 1), 0.5)
    assert pull.any()


def test_an_estimate_beyond_the_range_is_compared_as_it_would_be_played():
    there = Guide(ahead=torch.tensor([[1.0], [0.5]]), mask=torch.ones(2), most=1.0)
    clean = torch.tensor([[[1.7], [-3.0], [9.0]]])
    assert there.error(clean).flatten().tolist() == [0.0, 1.5, 0.0]


def test_nothing_behind_the_overlap_is_a_target():
    # A plan in play that has two of four actions left says nothing of the other two: neither
    # zeros nor anything else that an array would have to be filled up with.
    there = Guide(ahead=torch.full((2, 1), 0.5), mask=soft_mask(2, 1), most=1.0)
    assert there.error(torch.full((1, 4, 1), 0.9))[:, 2:].tolist() == [[[0.0], [0.0]]]


# Samplers


@pytest.mark.parametrize("name", SAMPLERS)
def test_guided_chunks_begin_with_what_is_frozen(name, noise, played):
    sampler, denoiser = SAMPLERS[name](50)
    free = sampler.sample(denoiser, FEATURES, noise)
    bound = sampler.sample_guided(denoiser, FEATURES, noise, guide(played, most=50.0))
    frozen = slice(0, FROZEN)
    assert error(free, played, frozen) > 0.25
    assert error(bound, played, frozen) < 0.02


@pytest.mark.parametrize("name", SAMPLERS)
def test_eight_steps_and_the_papers_beta_come_near_what_is_frozen(name, noise, played):
    sampler, denoiser = SAMPLERS[name](8)
    free = sampler.sample(denoiser, FEATURES, noise)
    bound = sampler.sample_guided(denoiser, FEATURES, noise, guide(played, most=5.0))
    errors = [error(chunks, played, slice(0, FROZEN)) for chunks in (free, bound)]
    assert errors[1] < 0.3 * errors[0]


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_is_not_frozen_stays_the_freer_the_later_it_is(name, noise, played):
    sampler, denoiser = SAMPLERS[name](20)
    bound = sampler.sample_guided(denoiser, FEATURES, noise, guide(played, most=20.0, frozen=1))
    early, late, behind = (
        error(bound, played, rows) for rows in (slice(0, 2), slice(6, 8), slice(10, 12))
    )
    assert early < 0.5 * late < 0.5 * behind


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_mask_of_zeros_changes_nothing(name, noise, played):
    sampler, denoiser = SAMPLERS[name](8)
    nothing = Guide(ahead=played[:OVERLAP], mask=torch.zeros(OVERLAP), most=5.0)
    bound = sampler.sample_guided(denoiser, FEATURES, noise, nothing)
    assert torch.equal(bound, sampler.sample(denoiser, FEATURES, noise))


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_seam_is_smaller_than_that_of_a_plan_made_anew(name, noise, played):
    sampler, denoiser = SAMPLERS[name](8)
    free = sampler.sample(denoiser, FEATURES, noise)
    bound = sampler.sample_guided(denoiser, FEATURES, noise, guide(played, most=5.0))
    # The last frozen action of the old plan is followed by the new plan's next.
    trimmed, realtime = (
        float((chunks[:, FROZEN] - played[FROZEN - 1]).abs().mean()) for chunks in (free, bound)
    )
    assert realtime < 0.5 * trimmed


def test_diffusion_that_is_seen_as_a_flow_takes_the_same_guided_step():
    # One step, from tau to 1, of x / (signal + noise), which lies on the flow's straight path.
    sampler = DdimConfig(train_steps=2, inference_steps=1, clip_sample=False).build()
    alpha_bar = float(squared_cosine(2)[0])
    assert 0.4 < alpha_bar < 0.6
    signal, rest = alpha_bar**0.5, (1 - alpha_bar) ** 0.5

    def denoiser(x: Tensor, step: Tensor, features: Tensor) -> Tensor:
        return wobble(x)[0]

    there = Guide(ahead=torch.full((2, 1), 0.5), mask=torch.ones(2), most=5.0)
    x = torch.full((1, 3, 1), 0.2)
    chunk = sampler.sample_guided(denoiser, FEATURES, x, there)
    tau, size = signal / (signal + rest), signal + rest
    pull, _ = there.pull(lambda z: (wobble(size * z)[0], z), x / size, tau)
    clean = wobble(x)[0]
    velocity = (clean - x / size) / (1 - tau) + pull
    torch.testing.assert_close(chunk, x / size + (1 - tau) * velocity)


@pytest.mark.parametrize(
    ("config", "name"), [(RegressionConfig(), "regression"), (OneStepConfig(), "one_step")]
)
def test_what_plans_with_one_call_cannot_be_guided(config, name):
    with pytest.raises(ConfigError, match=f"sampler {name}.*nothing can be guided; set chunking"):
        config.build().guided()
