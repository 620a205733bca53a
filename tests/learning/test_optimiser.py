import math

import pytest
import torch
from torch import nn

from robot_rl.core.errors import ContractError
from robot_rl.learning.optimiser import GuardedAdam, finite, skips


def parameters(seed=0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(s, generator=generator)) for s in ((3, 4), (4,), ())]


def loss_of(weights: list[nn.Parameter], step: int) -> torch.Tensor:
    return sum((w * (step + 1) - 1.0).square().sum() for w in weights)


@pytest.mark.parametrize("max_norm", [1e9, 0.5])
def test_it_is_adam_with_clipped_gradients_bit_by_bit(max_norm):
    own, other = parameters(), parameters()
    guarded = GuardedAdam(own, 1e-2, max_norm)
    adam = torch.optim.Adam(other, lr=1e-2, fused=True)
    for step in range(20):
        norm = guarded.step(loss_of(own, step))
        adam.zero_grad()
        loss_of(other, step).backward()
        expected = nn.utils.clip_grad_norm_(other, max_norm)
        adam.step()
        assert norm == expected.item()
        assert all(torch.equal(a, b) for a, b in zip(own, other, strict=True))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_step_that_is_not_finite_changes_nothing_and_is_counted(bad):
    weights = parameters()
    adam = GuardedAdam(weights, 1e-2, 1.0)
    adam.step(loss_of(weights, 0))
    before = {**adam.state_dict(), **{str(i): w.detach().clone() for i, w in enumerate(weights)}}
    assert math.isnan(adam.step(loss_of(weights, 1) * bad))
    assert math.isnan(adam.step(loss_of(weights, 1) * bad))
    after = {**adam.state_dict(), **{str(i): w for i, w in enumerate(weights)}}
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"skipped", "skipped_in_a_row"}
    assert (adam.skipped, adam.skipped_in_a_row) == (2, 2)
    adam.step(loss_of(weights, 1))
    assert (adam.skipped, adam.skipped_in_a_row) == (2, 0)


def test_a_loss_that_overflows_is_skipped_though_its_gradient_is_finite():
    weight = nn.Parameter(torch.tensor(1e30))
    adam = GuardedAdam([weight], 1e-2, 1.0)
    assert math.isnan(adam.step((weight * 1e-30) + (weight.detach() * 1e30)))
    assert adam.skipped == 1


def test_skips_are_summed_and_the_worst_row_is_told():
    parts = [GuardedAdam(parameters(), 1e-2, 1.0) for _ in range(2)]
    (parts[0].skipped, parts[0].skipped_in_a_row) = (3, 1)
    (parts[1].skipped, parts[1].skipped_in_a_row) = (4, 4)
    assert skips(*parts) == {"skipped_updates": 7.0, "skipped_in_a_row": 4.0}


def test_a_state_of_other_parameters_is_refused():
    state = GuardedAdam(parameters()[:2], 1e-2, 1.0).state_dict()
    with pytest.raises(ContractError, match="optimiser state: got 8 tensors"):
        GuardedAdam(parameters(), 1e-2, 1.0).load_state_dict(state)


def test_metrics_that_are_no_numbers_are_left_out():
    assert finite({"a": 1.0, "b": math.nan, "c": math.inf}) == {"a": 1.0}
