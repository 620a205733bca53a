import math

import pytest
import torch

from robot_rl.networks.dormancy import DormancyMonitor, dormant_ratio
from robot_rl.networks.gaussian_actor import GaussianActor
from robot_rl.networks.mlp import Mlp


def layer(*rows: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(rows)


def test_a_unit_sleeps_below_a_fortieth_of_its_layers_mean():
    # Mean strengths 0.02, 1 and 1.98: the layer's mean is 1, so the limit is 0.025.
    assert dormant_ratio([layer((0.0, -1.5, 1.98), (0.04, 0.5, -1.98))]) == pytest.approx(1 / 3)
    assert dormant_ratio([layer((0.03, 1.0, 1.97))]) == 0.0


def test_all_units_of_a_layer_of_zeros_sleep():
    assert dormant_ratio([torch.zeros(4, 3), torch.ones(4, 1)]) == pytest.approx(3 / 4)


def test_each_head_has_a_mean_of_its_own():
    # Over both heads the mean would be 25.75 and three of four units would sleep; head by head it
    # is 1 and 50.5, and only the 1 beside the 100 is below a fortieth.
    heads = torch.tensor([[[1.0, 1.0]], [[100.0, 1.0]]])
    assert dormant_ratio([heads]) == pytest.approx(1 / 4)


def test_a_network_without_hidden_layers_has_no_ratio():
    assert math.isnan(dormant_ratio([]))


def test_killed_units_of_a_network_are_found():
    torch.manual_seed(0)
    mlp = Mlp(3, (8, 8), 1)
    x = torch.randn(64, 3)
    mlp.layers[0].bias.data[:] = 9.0
    before = dormant_ratio(mlp.activations(x)[:1])
    mlp.layers[0].weight.data[:2] = 0.0
    mlp.layers[0].bias.data[:2] = -1.0
    assert (before, dormant_ratio(mlp.activations(x)[:1])) == (0.0, 2 / 8)


def test_the_last_hidden_layer_of_a_gaussian_actor_counts_too():
    encoder = torch.nn.Identity()
    encoder.size = 3
    actor = GaussianActor(encoder, 2, (16, 8))
    assert [tuple(h.shape) for h in actor.activations(torch.randn(5, 3))] == [(5, 16), (5, 8)]


def test_it_is_measured_every_so_many_cycles_and_told_in_each():
    asked: list[int] = []

    def probe():
        asked.append(1)
        return [layer((0.0, 1.0))] if len(asked) < 2 else [layer((1.0, 1.0))]

    monitor = DormancyMonitor(("actor",), every=3)
    told = [monitor.metrics({"actor": probe})["dormant_ratio_actor"] for _ in range(5)]
    assert told == [0.5, 0.5, 0.5, 0.0, 0.0]
    assert len(asked) == 2
    resumed = DormancyMonitor(("actor",), every=3)
    resumed.load_state_dict(monitor.state_dict())
    assert resumed.metrics({"actor": probe}) == {"dormant_ratio_actor": 0.0}
    assert len(asked) == 2
