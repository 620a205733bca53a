"""Where the tool may be, for a way that is planned; the gate has its own, for every command."""

from __future__ import annotations

import numpy as np

from robot_rl.control.cartesian.refusal import Array
from robot_rl.control.cartesian.way.contract import ROUNDING
from robot_rl.control.limits import SafetyLimits
from robot_rl.core.errors import ContractError


class Workspace:
    """The cell's box and planes, in words for a person."""

    def __init__(self, limits: SafetyLimits) -> None:
        self._faces = [
            *zip(np.eye(3), "xyz", [f"at least {m:g} m" for m in limits.workspace_min_m],
                 limits.workspace_min_m, strict=True),
            *zip(-np.eye(3), "xyz", [f"at most {m:g} m" for m in limits.workspace_max_m],
                 [-m for m in limits.workspace_max_m], strict=True),
        ]  # fmt: skip
        for i, plane in enumerate(limits.workspace_planes):
            normal = np.array(plane.normal)
            words = f"at least {plane.offset_m:g} m along {plane.normal}"
            self._faces.append((normal, f"workspace_planes[{i}]", words, plane.offset_m))

    def outside_m(self, position: Array) -> float:
        """How far a tcp position float64[3] in the base frame is outside; 0 inside."""
        return max(0.0, *(offset - float(n @ position) for n, _, _, offset in self._faces))

    def check(self, what: str, position: Array, allowed_m: float = 0.0) -> None:
        """Look at a tcp position.

        Raises:
            ContractError: if it is farther outside than `allowed_m`, naming the axis.
        """
        for normal, name, expected, offset in self._faces:
            if offset - float(normal @ position) > allowed_m + ROUNDING:
                raise ContractError(
                    f"{what} brings the tool to {np.round(position, 3).tolist()}: {name} is "
                    f"outside the workspace, expected {expected}"
                )
