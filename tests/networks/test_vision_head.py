"""Heads on feature maps, and dropout with masks of its own."""

from __future__ import annotations

import copy

import pytest
import torch

from robot_rl.networks.vision.dropout import CountedDropout
from robot_rl.networks.vision.head import (
    Keypoints,
    KeypointsConfig,
    SpatialEmbedding,
    SpatialEmbeddingConfig,
)


def test_keypoints_find_where_a_channel_is_active() -> None:
    head = Keypoints((1, 3, 5), KeypointsConfig(points=1, size=2))
    with torch.no_grad():
        head.mix.weight.fill_(100.0)
        head.mix.bias.zero_()
    features = torch.zeros(2, 1, 3, 5)
    features[0, 0, 2, 0] = 1.0  # lower left
    features[1, 0, 1, 2] = features[1, 0, 1, 3] = 1.0  # between two cells of the middle row
    expected = [[[1.0, -1.0]], [[0.0, 0.25]]]
    torch.testing.assert_close(head.positions(features), torch.tensor(expected))


def test_spatial_embedding_sums_each_channel_with_learned_weights() -> None:
    head = SpatialEmbedding((2, 1, 2), SpatialEmbeddingConfig(embeddings=1, dropout=0, size=2))
    with torch.no_grad():
        head.kernel.copy_(torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]]))
        head.out.linear.weight.copy_(torch.eye(2))
        head.out.linear.bias.zero_()
    # Channel sums: 1*1 + 2*1 = 3 and 3*0 + 4*1 = 4; normalised to -1 and 1, then tanh.
    out = head(torch.tensor([[[[1.0, 1.0]], [[0.0, 1.0]]]]))
    torch.testing.assert_close(out, torch.tensor([[-1.0, 1.0]]).tanh(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("config", [SpatialEmbeddingConfig(size=16), KeypointsConfig(size=16)])
def test_heads_are_bounded_and_trained(config: SpatialEmbeddingConfig | KeypointsConfig) -> None:
    head = config.build((3, 4, 4))
    out = head(1e4 * torch.randn(5, 3, 4, 4))
    assert out.shape == (5, 16)
    assert out.abs().max() <= 1.0
    out.sum().backward()
    assert all(p.grad is not None for p in head.parameters())


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    dropped = CountedDropout(0.25)(torch.ones(20_000))
    assert set(dropped.tolist()) == {0.0, torch.tensor(1.0).div(0.75).item()}
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)


def test_dropout_leaves_the_global_random_numbers_alone() -> None:
    dropout = CountedDropout(0.5)
    before = torch.random.get_rng_state()
    dropout(torch.ones(8))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_restored_dropout_draws_the_masks_that_would_have_come() -> None:
    dropout, x = CountedDropout(0.5), torch.ones(64)
    first = dropout(x)
    saved = copy.deepcopy(dropout.state_dict())
    twin = copy.deepcopy(dropout)
    expected = [dropout(x), dropout(x)]
    assert not torch.equal(expected[0], first)
    restored = CountedDropout(0.5)
    restored.load_state_dict(saved)
    for other in (restored, twin):
        assert torch.equal(other(x), expected[0])
        assert torch.equal(other(x), expected[1])


def test_two_dropouts_have_masks_of_their_own() -> None:
    x = torch.ones(64)
    assert not torch.equal(CountedDropout(0.5)(x), CountedDropout(0.5)(x))


def test_dropout_is_off_in_evaluation_and_where_no_gradient_is_recorded() -> None:
    dropout, x = CountedDropout(0.5), torch.ones(64)
    with torch.no_grad():
        assert torch.equal(dropout(x), x)
    assert torch.equal(dropout.eval()(x), x)
    assert dropout.drawn[1] == 0
