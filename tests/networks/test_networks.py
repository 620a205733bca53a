import itertools
import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import ObservationSpec, VectorSpec
from robot_rl.core.types import Observation
from robot_rl.data.normaliser import Normaliser
from robot_rl.networks.critic import CriticEnsemble
from robot_rl.networks.denoiser import MlpDenoiserConfig
from robot_rl.networks.dit import DitConfig
from robot_rl.networks.ema import Ema, Polyak
from robot_rl.networks.encoder import StateEncoder
from robot_rl.networks.gaussian_actor import GaussianActor
from robot_rl.networks.mlp import Mlp, NumpyMlp
from robot_rl.networks.residual_actor import ResidualActor
from robot_rl.networks.tanh_gaussian import STD_MAX, STD_MIN, TanhGaussian, log_density
from robot_rl.networks.unet import UnetConfig


def encoder(columns=(2, 0), offset=(1.0, 0.0, 3.0), scale=(2.0, 1.0, 0.5)) -> StateEncoder:
    normaliser = Normaliser(offset=np.float32(offset), scale=np.float32(scale))
    return StateEncoder(np.asarray(columns), normaliser)


def test_encoder_selects_normalises_and_clips():
    packed = torch.tensor([[3.0, 9.0, 4.0], [-99.0, 9.0, 99.0]])
    # Columns 2 then 0: (4 - 3) / 0.5 = 2, (3 - 1) / 2 = 1; the second row hits the limit of 5.
    expected = torch.tensor([[2.0, 1.0], [5.0, -5.0]])
    torch.testing.assert_close(encoder()(packed), expected)


def test_encoder_has_state_and_nothing_to_train():
    assert not list(encoder().parameters())
    assert set(encoder().state_dict()) == {"columns", "offset", "scale"}


def test_a_look_equals_the_torch_pass():
    packed = np.float32([-7.0, 1.0, 2.5])
    spec = ObservationSpec(vectors={"v": VectorSpec(names=("a", "b", "c"), unit="m")})
    observation = Observation(stamp_ns=0, vectors={"v": packed})
    torch_features = encoder()(torch.from_numpy(packed)).numpy()
    np.testing.assert_array_equal(encoder().look(spec)(observation), torch_features)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_numpy_mlp_equals_the_torch_one(layer_norm):
    torch.manual_seed(0)
    mlp = Mlp(7, (32, 16), 3, layer_norm=layer_norm)
    x = torch.randn(7)
    fast = NumpyMlp(mlp.state_dict(), "", layer_norm=layer_norm)(x.numpy())
    assert fast.dtype == np.float32
    np.testing.assert_allclose(fast, mlp(x).detach().numpy(), atol=1e-5)


def test_each_critic_head_is_an_mlp_of_its_own():
    torch.manual_seed(0)
    critic = CriticEnsemble(3, 5, (16, 8))
    x = torch.randn(4, 5)
    for head in range(3):
        mlp = Mlp(5, (16, 8), 1, layer_norm=True)
        for layer, weight, bias in zip(mlp.layers, critic.weights, critic.biases, strict=True):
            layer.weight.data.copy_(weight[head].T)
            layer.bias.data.copy_(bias[head, 0])
        torch.testing.assert_close(critic(x)[head], mlp(x).squeeze(-1))


def test_a_subset_of_heads_equals_those_rows_of_all_heads():
    torch.manual_seed(0)
    critic = CriticEnsemble(5, 4, (8,))
    x = torch.randn(6, 4)
    chosen = torch.tensor([4, 1])
    torch.testing.assert_close(critic(x, chosen), critic(x)[chosen])


def test_critic_heads_start_different():
    torch.manual_seed(0)
    q = CriticEnsemble(4, 4, (8,))(torch.ones(1, 4)).squeeze(-1)
    assert len(set(q.tolist())) == 4


def test_ema_decay_follows_the_power_law():
    model = torch.nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(1.0)
    ema = Ema(model, power=0.75)
    # Step 0 has decay 0, so the shadow becomes the model; step 1 has 1 - 2^-0.75 = 0.4054.
    model.weight.data.fill_(3.0)
    ema.update()
    assert ema.model.weight.item() == 3.0
    model.weight.data.fill_(4.0)
    ema.update()
    assert ema.model.weight.item() == pytest.approx(3.0 + 2**-0.75, abs=1e-6)
    assert ema.decay() == pytest.approx(1 - 3**-0.75)


def test_polyak_moves_the_target_by_tau():
    live, target = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    live.weight.data.fill_(2.0)
    target.weight.data.fill_(1.0)
    Polyak(target, live, tau=0.25).update()
    assert target.weight.item() == 1.25
    assert live.weight.item() == 2.0


def test_tanh_log_density_agrees_with_torch_distributions():
    mean, std, noise = torch.tensor([[0.3, -1.0]]), torch.tensor([[0.5, 2.0]]), torch.randn(1, 2)
    raw = mean + std * noise
    squashed = torch.distributions.TransformedDistribution(
        torch.distributions.Normal(mean, std),
        [torch.distributions.TanhTransform(cache_size=1)],
    )
    expected = squashed.log_prob(squashed.transforms[0](raw)).sum(-1)
    torch.testing.assert_close(log_density(raw, noise, std), expected)


def test_tanh_log_density_at_the_centre_by_hand():
    one = torch.ones(1, 1)
    # Standard normal at 0 and a tanh of slope 1 there: -log sqrt(2 pi).
    density = log_density(torch.zeros(1, 1), torch.zeros(1, 1), one)
    assert density.item() == pytest.approx(-0.5 * math.log(2 * math.pi))


def test_tanh_log_density_is_finite_far_out():
    raw = torch.tensor([[80.0, -80.0]], requires_grad=True)
    density = log_density(raw, torch.zeros(1, 2), torch.full((1, 2), 0.1))
    density.sum().backward()
    assert density.isfinite().all()
    assert raw.grad is not None
    assert raw.grad.isfinite().all()


@pytest.mark.parametrize(("log_std", "expected"), [(50.0, STD_MAX), (-50.0, STD_MIN)])
def test_tanh_gaussian_std_is_bounded(log_std, expected):
    head = TanhGaussian(2, 1)
    head.linear.weight.data.zero_()
    head.linear.bias.data.copy_(torch.tensor([0.0, log_std]))
    assert head(torch.zeros(1, 2))[1].item() == pytest.approx(expected, rel=1e-5)


def test_tanh_gaussian_samples_repeat_with_the_generator():
    actor = GaussianActor(encoder(), 2, (8,))
    features = torch.zeros(3, 2)
    one, two = (actor.sample(features, torch.Generator().manual_seed(5))[0] for _ in range(2))
    assert torch.equal(one, two)
    assert one.abs().max() < 1.0


def test_residual_actor_starts_at_exactly_zero_and_stays_within_its_scale():
    actor = ResidualActor(encoder(), (0.1, 0.3), (16, 16))
    features, base = torch.randn(50, 2), torch.randn(50, 2)
    assert torch.equal(actor(features, base), torch.zeros(50, 2))
    actor.mlp.layers[-1].weight.data.fill_(100.0)
    residual = actor(features, base)
    assert residual.abs().amax(0).tolist() == pytest.approx([0.1, 0.3])


DENOISERS = {
    "mlp": MlpDenoiserConfig(hidden=(32,)),
    "unet_one_level": UnetConfig(widths=(8,)),
    "unet_three_levels": UnetConfig(widths=(8, 16, 24)),
    "dit": DitConfig(width=16, depth=2, heads=2),
}


def built(name: str) -> torch.nn.Module:
    """A denoiser whose weights are all moved: some begin at 0, which hides what is behind them."""
    torch.manual_seed(0)
    network = DENOISERS[name].build(8, 3, 5)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return network


@pytest.mark.parametrize("name", DENOISERS)
def test_denoiser_keeps_the_shape_and_depends_on_every_input(name):
    network = built(name)
    sample, step, features = torch.randn(2, 8, 3), torch.tensor([3, 3]), torch.randn(2, 5)
    outputs = [
        network(sample, step, features),
        network(sample + 1.0, step, features),
        network(sample, step + 5, features),
        network(sample, step, features + 1.0),
    ]
    assert all(output.shape == (2, 8, 3) for output in outputs)
    assert all(not torch.allclose(a, b) for a, b in itertools.combinations(outputs, 2))


@pytest.mark.parametrize("name", DENOISERS)
def test_every_parameter_of_a_denoiser_is_trained(name):
    network = built(name)
    network(torch.randn(2, 8, 3), torch.tensor([3, 40]), torch.randn(2, 5)).sum().backward()
    dead = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not dead


def test_a_fresh_dit_predicts_exactly_zero_and_tells_actions_apart_once_trained():
    network = DENOISERS["dit"].build(8, 3, 5)
    sample, step, features = torch.randn(2, 8, 3), torch.tensor([3, 40]), torch.randn(2, 5)
    assert not network(sample, step, features).any()
    # Equal tokens differ by their place alone.
    alike = built("dit")(torch.zeros(1, 8, 3), step[:1], features[:1])[0]
    assert all(not torch.allclose(a, b) for a, b in itertools.combinations(alike, 2))


def test_every_action_of_a_dit_attends_to_every_other():
    network = built("dit")
    sample = torch.zeros(1, 8, 3, requires_grad=True)
    first = network(sample, torch.tensor([3]), torch.zeros(1, 5))[0, 0].sum()
    (gradient,) = torch.autograd.grad(first, sample)
    assert gradient[0].any(dim=-1).all()


def test_dit_names_the_remedy_for_heads_that_do_not_divide():
    with pytest.raises((ConfigError, ValidationError), match=r"width: got 10.*heads \(4\)"):
        DitConfig(width=10)


def test_unet_names_the_remedy_for_a_horizon_that_does_not_divide():
    with pytest.raises(ConfigError, match="horizon: got 6, expected a multiple of 4"):
        UnetConfig(widths=(8, 8, 8)).build(6, 3, 5)
    with pytest.raises(ConfigError, match="widths: got 12"):
        UnetConfig(widths=(12,)).build(8, 3, 5)
    with pytest.raises(ConfigError, match="kernel: got 4, expected an odd length"):
        UnetConfig(kernel=4).build(8, 3, 5)
