"""A chunk policy as a base policy: requests in, plans out, weights exchanged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from robot_rl.control.chunking.planner import PlanContext
from robot_rl.core.errors import ContractError
from robot_rl.core.spec import JOINT_POSITION, TCP_TWIST, ImageSpec
from robot_rl.core.types import Observation
from robot_rl.networks.encoder import NO_IMAGES
from robot_rl.networks.unet import UnetConfig
from robot_rl.networks.vision.backbone import TorchvisionBackboneConfig
from robot_rl.networks.vision.encoder import VisionConfig
from robot_rl.networks.vision.head import KeypointsConfig
from robot_rl.policies.adapters.chunk import ChunkBase
from robot_rl.policies.base import BasePolicy, PlanRequest
from robot_rl.policies.chunk_policy import ChunkPolicy, ChunkPolicyConfig
from robot_rl.policies.sampler.ddim import DdimConfig
from robot_rl.policies.sampler.guidance import Guide, soft_mask
from robot_rl.policies.sampler.one_step import OneStepConfig
from robot_rl.policies.sampler.regression import RegressionConfig

CAMERA = "observation.images.wrist"


@pytest.fixture
def build(observation_spec, action_spec, normaliser):
    def build(sampler=None, vision=None, seed=0) -> ChunkPolicy:
        config = ChunkPolicyConfig(
            horizon=8,
            execute=4,
            network=UnetConfig(widths=(8, 16)),
            sampler=sampler or DdimConfig(inference_steps=4),
            vision=vision,
        )
        spec = observation_spec
        if vision:
            spec = replace(spec, images={CAMERA: ImageSpec(height=32, width=32)})
        return config.build(spec, action_spec, normaliser, seed=seed)

    return build


def request(seed: int, *, camera=False, noise=True, **more) -> PlanRequest:
    rng = np.random.default_rng(seed)
    images = {CAMERA: rng.integers(0, 256, (32, 32, 3), np.uint8)} if camera else {}
    seen = Observation(
        stamp_ns=seed,
        vectors={
            JOINT_POSITION: rng.standard_normal(3, np.float32),
            TCP_TWIST: rng.standard_normal(2, np.float32),
        },
        images=images,
    )
    drawn = rng.standard_normal((8, 2), np.float32) if noise else None
    return PlanRequest(window=(seen,), noise=drawn, **more)


def in_play(length=6, frozen=2, value=0.9) -> PlanContext:
    return PlanContext(ahead=np.full((length, 2), value, np.float32), frozen=frozen)


def packed(policy: ChunkPolicy, asked: PlanRequest) -> torch.Tensor:
    return torch.from_numpy(policy.observation.pack(asked.window[0].vectors))[None]


def test_it_plans_bit_for_bit_as_the_policy(build):
    policy, asked = build(), request(1)
    base: BasePolicy = ChunkBase(policy)
    planned = policy.plan(packed(policy, asked), NO_IMAGES, torch.from_numpy(asked.noise)[None])
    np.testing.assert_array_equal(base.infer([asked])[0], planned[0].numpy())


def test_a_batch_plans_as_its_requests_do_alone(build):
    base = ChunkBase(build())
    asked = [request(1), request(2, context=in_play()), request(3)]
    together = base.infer(asked)
    alone = np.concatenate([base.infer([each]) for each in asked])
    assert together.shape == (3, 8, 2)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_request_with_something_in_play_is_drawn_towards_it(build):
    policy, asked = build(), request(1, context=in_play(), max_guidance_weight=3.0)
    guide = Guide(ahead=torch.full((6, 2), 0.9), mask=soft_mask(6, 2), most=3.0)
    noise = torch.from_numpy(asked.noise)[None]
    expected = policy.plan_guided(packed(policy, asked), NO_IMAGES, noise, guide)[0].numpy()
    base = ChunkBase(policy)
    drawn = base.infer([asked])[0]
    np.testing.assert_array_equal(drawn, expected)
    free = base.infer([replace(asked, context=None)])[0]
    assert np.abs(drawn[:2] - 0.9).mean() < np.abs(free[:2] - 0.9).mean()


def test_nothing_left_in_play_plans_freely(build):
    base, asked = ChunkBase(build()), request(1)
    empty = PlanContext(ahead=np.zeros((0, 2), np.float32), frozen=0)
    np.testing.assert_array_equal(base.infer([replace(asked, context=empty)]), base.infer([asked]))


def test_an_image_reaches_the_plan_and_a_batch_of_images_too(build):
    backbone = TorchvisionBackboneConfig(weights="random")
    vision = VisionConfig(backbone=backbone, head=KeypointsConfig(points=4, size=8))
    base = ChunkBase(build(vision=vision))
    assert set(base.spec.observation.images) == {CAMERA}
    one, other = request(1, camera=True), request(2, camera=True)
    mixed = replace(one, window=(replace(one.window[0], images=other.window[0].images),))
    plans = base.infer([one, mixed])
    assert not np.allclose(plans[0], plans[1])
    np.testing.assert_allclose(plans[:1], base.infer([one]), atol=1e-3)


@pytest.mark.parametrize(
    ("sampler", "noise", "guided"),
    [
        (DdimConfig(), (8, 2), True),
        (OneStepConfig(), (8, 2), False),
        (RegressionConfig(), None, False),
    ],
)
def test_the_spec_says_what_steers_and_whether_it_can_be_guided(build, sampler, noise, guided):
    policy = build(sampler)
    base = ChunkBase(policy)
    spec = base.spec
    assert (spec.noise, spec.guided) == (noise, guided)
    assert (spec.horizon, spec.execute, spec.history) == (8, 4, 1)
    assert spec.fingerprint == policy.fingerprint
    assert spec.observation.vectors == policy.observation.vectors
    assert base.infer([request(1, noise=noise is not None)]).shape == (1, 8, 2)


BAD_CONTEXTS = {
    "longer than a plan": in_play(length=9),
    "of another width": PlanContext(ahead=np.zeros((4, 3), np.float32), frozen=1),
    "not finite": in_play(value=np.nan),
    "more frozen than there are": in_play(length=3, frozen=4),
}


@pytest.mark.parametrize("name", BAD_CONTEXTS)
def test_what_cannot_be_in_play_is_refused(build, name):
    with pytest.raises(ContractError):
        ChunkBase(build()).infer([request(1, context=BAD_CONTEXTS[name])])


def test_a_request_without_its_noise_is_refused(build):
    with pytest.raises(ContractError, match="noise of shape None"):
        ChunkBase(build()).infer([request(1, noise=False)])


def test_a_plan_that_is_not_finite_is_refused(build):
    asked = request(1)
    spoilt = replace(asked, noise=np.full((8, 2), np.nan, np.float32))
    with pytest.raises(ContractError, match="not finite"):
        ChunkBase(build()).infer([asked, spoilt])


def test_read_only_arrays_are_planned_from(build):
    asked = request(1, context=in_play())
    for array in (asked.noise, asked.context.ahead, *asked.window[0].vectors.values()):
        array.setflags(write=False)
    assert ChunkBase(build()).infer([asked]).shape == (1, 8, 2)


def test_with_weights_plans_with_them_and_the_old_one_with_its_own(build):
    base, other = ChunkBase(build()), ChunkBase(build(seed=1))
    asked = [request(1)]
    before = base.infer(asked)
    swapped = base.with_weights(other.weights)
    np.testing.assert_array_equal(swapped.infer(asked), other.infer(asked))
    assert swapped.spec == other.spec
    np.testing.assert_array_equal(base.infer(asked), before)
    assert base.spec.fingerprint != other.spec.fingerprint


def test_weights_are_copied(build):
    base = ChunkBase(build())
    weights = {name: tensor.clone() for name, tensor in base.weights.items()}
    swapped = base.with_weights(weights)
    before = swapped.infer([request(1)])
    for tensor in weights.values():
        tensor.zero_()
    np.testing.assert_array_equal(swapped.infer([request(1)]), before)


@pytest.mark.parametrize("fault", ["missing", "odd", "shape", "infinite"])
def test_weights_that_do_not_fit_are_refused_and_change_nothing(build, fault):
    base = ChunkBase(build())
    before = base.infer([request(1)])
    weights = {name: tensor.clone() for name, tensor in base.weights.items()}
    name = "network.last.weight"
    if fault == "missing":
        del weights[name]
    elif fault == "odd":
        weights["network.more"] = torch.zeros(1)
    elif fault == "shape":
        weights[name] = weights[name][:1]
    else:
        weights[name][0] = torch.inf
    with pytest.raises(ContractError):
        base.with_weights(weights)
    np.testing.assert_array_equal(base.infer([request(1)]), before)
