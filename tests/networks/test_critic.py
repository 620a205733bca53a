from collections.abc import Iterator

import pytest
import torch

from robot_rl.networks.critic import LOOP_ELEMENTS, CriticEnsemble


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pair(heads=3, inputs=5, hidden=(16, 8)) -> tuple[CriticEnsemble, CriticEnsemble]:
    """The same parameters in both forms."""
    torch.manual_seed(0)
    batched = CriticEnsemble(heads, inputs, hidden, "batched")
    loop = CriticEnsemble(heads, inputs, hidden, "loop")
    loop.load_state_dict(batched.state_dict())
    return batched, loop


@pytest.mark.parametrize("heads", [None, torch.tensor([2, 0])])
def test_both_forms_have_the_same_values_and_gradients(heads):
    batched, loop = pair()
    x = torch.randn(7, 5, requires_grad=True)
    values, gradients = [], []
    for critic in (batched, loop):
        q = critic(x, heads)
        values.append(q)
        gradients.append(torch.autograd.grad(q.square().sum(), [x, *critic.parameters()]))
    assert values[0].shape == (3 if heads is None else 2, 7)
    torch.testing.assert_close(values[1], values[0])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(other, one)


@pytest.mark.parametrize("form", ["batched", "loop"])
def test_the_last_layer_of_the_activations_is_the_value(form):
    torch.manual_seed(0)
    critic = CriticEnsemble(3, 5, (16, 8), form)
    x = torch.randn(7, 5)
    first, last = critic.activations(x)
    assert (first.shape, last.shape) == ((3, 7, 16), (3, 7, 8))
    q = torch.einsum("hbu,hu->hb", last, critic.weights[-1][..., 0]) + critic.biases[-1][..., 0]
    torch.testing.assert_close(critic(x), q)


@pytest.mark.parametrize(
    ("heads", "width", "rows", "form"),
    [
        (10, 128, 128, "batched"),
        (10, 256, 64, "batched"),
        (2, 256, 256, "batched"),
        (10, 256, 256, "loop"),
        (3, 512, LOOP_ELEMENTS // 512, "loop"),
    ],
)
def test_the_form_is_chosen_by_what_was_measured(heads, width, rows, form):
    critic = CriticEnsemble(heads, 4, (8, width))
    assert critic.form_for(torch.zeros(rows, 4)) == form


def test_with_two_threads_it_is_batched():
    torch.set_num_threads(2)
    assert CriticEnsemble(10, 4, (256, 256)).form_for(torch.zeros(256, 4)) == "batched"


def test_a_form_that_is_named_is_kept():
    assert CriticEnsemble(10, 4, (256,), "batched").form_for(torch.zeros(256, 4)) == "batched"
    assert CriticEnsemble(2, 4, (8,), "loop").form_for(torch.zeros(1, 4)) == "loop"
