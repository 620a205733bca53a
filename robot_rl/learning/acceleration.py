"""Where and how a learner computes: device, precision, compilation. Losses are not here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Self, cast

import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.utils import _pytree as pytree  # pyright: ignore[reportPrivateUsage]

from robot_rl.config.model import Config
from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.networks.critic import CriticForm


class AccelerationConfig(Config):
    """Settings of `Acceleration`.

    The defaults compute as a plain CPU does, and are what results are reported with.

    Args:
        device: where networks, batches and noise are: `cpu`, `cuda` or `cuda:1`.
        compile: compile losses and targets with `torch.compile`; takes a minute at the start,
            and a C++ compiler on a CPU.
        bf16: forward passes in bfloat16; weights, losses and the optimiser stay float32.
        cuda_graphs: replay what is compiled as CUDA graphs.
        critics: in which form the ensemble is evaluated, see `CriticEnsemble`.
    """

    device: str = "cpu"
    compile: bool = False
    bf16: bool = False
    cuda_graphs: bool = False
    critics: CriticForm = "auto"

    @model_validator(mode="after")
    def _check_graphs(self) -> Self:
        if self.cuda_graphs and not (self.device.startswith("cuda") and self.compile):
            raise ConfigError(
                f"cuda_graphs: got true with device {self.device!r} and compile {self.compile}; "
                "expected device cuda and compile true"
            )
        return self


class Acceleration:
    """Puts networks on a device, and wraps what is computed there.

    Args:
        config: settings; None for the defaults.

    Raises:
        ConfigError: if there is no such device.
    """

    def __init__(self, config: AccelerationConfig | None = None) -> None:
        self._config = config or AccelerationConfig()
        self.device = _device(self._config.device)

    @property
    def critics(self) -> CriticForm:
        """The form of the ensemble."""
        return self._config.critics

    def generator(self, seed: int) -> torch.Generator:
        """Return a source of noise on the device."""
        return torch.Generator(self.device).manual_seed(seed)

    def precision(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context that forward passes run in."""
        if not self._config.bf16:
            return contextlib.nullcontext()
        # A cached cast would outlive the step that changes the weight.
        return torch.autocast(self.device.type, dtype=torch.bfloat16, cache_enabled=False)

    def compiled[**P, R](self, function: Callable[P, R]) -> Callable[P, R]:
        """Return the function, compiled if that is asked for.

        With CUDA graphs the backward pass must come before the next call of anything compiled.
        """
        if not self._config.compile:
            return function
        if not self._config.cuda_graphs:
            return torch.compile(function, dynamic=False)
        return _replayed(torch.compile(function, dynamic=False, mode="reduce-overhead"))


def on_cpu[M: nn.Module](module: M) -> M:
    """Move a network of one's own to the CPU, where policies act."""
    return module.to("cpu")


def restore(generator: torch.Generator, state: Tensor) -> None:
    """Take up the noise where `state` was taken.

    Raises:
        ContractError: if it was taken on another kind of device.
    """
    own = generator.get_state()
    if own.shape != state.shape:
        raise ContractError(
            f"generator state: got {len(state)} bytes, expected {len(own)} on "
            f"{generator.device.type}; resume on the device that the run began on"
        )
    generator.set_state(state.cpu().clone())


def _replayed[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Copy what a CUDA graph returns: the next replay writes over it."""

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        torch.compiler.cudagraph_mark_step_begin()
        return cast(R, pytree.tree_map_only(Tensor, torch.clone, function(*args, **kwargs)))

    return call


def _device(named: str) -> torch.device:
    try:
        device = torch.device(named)
        # Opens the device; torch has no other way that speaks for all kinds.
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"device: got {named!r}, which is not there ({reason}); expected one of "
            f"{', '.join(_devices())}"
        ) from error
    if device.type == "meta":
        raise ConfigError(f"device: got {named!r}, which computes nothing; expected cpu or cuda")
    return device


def _devices() -> list[str]:
    return ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
