"""The border at which an acting policy takes new weights from a learner."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from robot_rl.core.errors import ContractError


def load_checked(
    module: nn.Module, weights: Mapping[str, Tensor], version: int, current: int
) -> None:
    """Copy `weights` into `module` if they fit, are finite and are newer; else change nothing.

    Raises:
        ContractError: naming what did not fit.
    """
    if version <= current:
        raise ContractError(f"weights: got version {version}, expected more than {current}")
    own = module.state_dict()
    if own.keys() != weights.keys():
        odd = ", ".join(sorted(own.keys() ^ weights.keys()))
        raise ContractError(f"weights of version {version}: names differ from the policy's: {odd}")
    for name, tensor in own.items():
        if weights[name].shape != tensor.shape:
            raise ContractError(
                f"weights {name!r} of version {version}: got {list(weights[name].shape)}, "
                f"expected {list(tensor.shape)}"
            )
        if not weights[name].isfinite().all():
            raise ContractError(
                f"weights {name!r} of version {version} are not finite; the old ones stay"
            )
    module.load_state_dict(weights)
