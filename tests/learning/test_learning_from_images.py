"""How gradients, targets and weights go where a learner sees cameras."""

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load, save

from robot_rl.core.spec import JOINT_POSITION, ImageSpec, ObservationSpec, VectorSpec
from robot_rl.learning.residual_td3 import ResidualTd3Config
from robot_rl.learning.rlpd import RlpdConfig
from robot_rl.networks.vision.backbone import TorchvisionBackboneConfig
from robot_rl.networks.vision.conv_backbone import ConvBackboneConfig
from robot_rl.networks.vision.encoder import VisionConfig
from robot_rl.networks.vision.head import SpatialEmbeddingConfig

CAMERA = "observation.images.wrist"
SIDE = 16
HEAD = SpatialEmbeddingConfig(embeddings=2, size=8, dropout=0.1)
FROZEN = VisionConfig(
    backbone=TorchvisionBackboneConfig(architecture="resnet10", stride=8, weights="random"),
    head=HEAD,
    state_size=8,
)
TRAINED = VisionConfig(backbone=ConvBackboneConfig(channels=(4, 4)), head=HEAD, state_size=8)
LEARNERS = {"residual_td3": ResidualTd3Config, "rlpd": RlpdConfig}


@pytest.fixture
def seeing_base(action_spec, normaliser):
    spec = ObservationSpec(
        vectors={JOINT_POSITION: VectorSpec(names=("q0", "q1", "q2"), unit="rad")},
        images={CAMERA: ImageSpec(height=SIDE, width=SIDE)},
    )
    return SimpleNamespace(observation=spec, action=action_spec, normaliser=normaliser)


@pytest.fixture(params=[(n, v) for n in LEARNERS for v in (FROZEN, TRAINED)], ids=str)
def build(request, seeing_base):
    name, vision = request.param

    def build(seed=0):
        config = LEARNERS[name](hidden=(16, 16), heads=2, vision=vision, critic_lr=1e-2)
        return config.build(seeing_base, seed)

    return build


@pytest.fixture
def make_seen(make_batch):
    def make_seen(seed=0):
        pixels = torch.rand(2, 16, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
        return make_batch(seed, images={CAMERA: pixels[0]}, next_images={CAMERA: pixels[1]})

    return make_seen


def part(learner, prefix: str) -> dict[str, torch.Tensor]:
    return {k: v for k, v in learner.state_dict().items() if k.startswith(prefix)}


def same(one, two) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def test_the_critics_loss_alone_trains_the_encoder(build, make_seen):
    with_actor, without, fresh = build(), build(), build()
    with_actor.update([make_seen()])
    without.update([make_seen()], train_actor=False)
    encoder = "critics.encoder."
    assert same(part(with_actor, encoder), part(without, encoder))
    assert not same(part(without, encoder), part(fresh, encoder))


def test_the_target_encoder_follows_by_tau_and_makes_the_targets(build, make_seen):
    learner = build()
    for seed in range(3):
        learner.update([make_seen(seed)])
    name = "proprioception.linear.weight"
    before = learner.state_dict()[f"critics.target_encoder.{name}"]
    learner.update([make_seen(3)], train_actor=False)
    state = learner.state_dict()
    expected = 0.995 * before + 0.005 * state[f"critics.encoder.{name}"]
    torch.testing.assert_close(state[f"critics.target_encoder.{name}"], expected)


def test_next_observations_are_seen_by_the_target_encoder_alone(build, make_seen):
    learner, batch = build(), make_seen(7)
    for seed in range(3):
        learner.update([make_seen(seed)])
    critics = learner.critics
    seen = critics.encode(batch)
    with torch.no_grad():
        target = critics.target_encoder(batch.next_observation, batch.next_images)
        live = critics.encoder(batch.next_observation, batch.next_images)
    assert torch.equal(seen.next_target, target)
    assert not torch.equal(seen.next_target, live)
    assert not seen.next_target.requires_grad
    assert seen.now.requires_grad


def test_a_cycle_looks_at_each_observation_once(build, make_seen):
    learner, looks = build(), []
    for name in ("encoder", "target_encoder"):
        encoder = getattr(learner.critics, name)
        encoder.register_forward_hook(lambda *_, name=name: looks.append(name))
    learner.update([make_seen()])
    assert sorted(looks) == ["encoder", "target_encoder"]


def test_resume_is_bit_identical_with_dropout(build, make_seen):
    learner, resumed = build(seed=1), build(seed=2)
    for seed in range(3):
        learner.update([make_seen(seed)])
    resumed.load_state_dict(load(save(learner.state_dict())))
    for seed in range(20):
        assert learner.update([make_seen(seed)]) == resumed.update([make_seen(seed)])
    assert same(learner.state_dict(), resumed.state_dict())


def test_a_frozen_backbone_is_no_part_of_the_weights(seeing_base):
    config = RlpdConfig(hidden=(16, 16), heads=2, vision=FROZEN)
    learner = config.build(seeing_base, 0)
    assert not [name for name in learner.weights() if "backbone" in name]
    assert learner.frame_encoder.shapes[CAMERA] == (128, SIDE // 8, SIDE // 8)
