"""Which steps play one plan of the base policy: where a plan begins, and where it ends.

A plan begins at a step that does not continue the one before it, that has another latent, or that
follows a step which a person drove; and it ends where a person takes over, whose steps stand for
themselves. Steps that were recorded without a latent, as demonstrations are, belong to no plan:
each is a start of its own, and windows run on from one to the next.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.types import Source, Vector


def plan_columns(
    latent: Vector,
    source: NDArray[np.uint8],
    continues: NDArray[np.bool_],
    numbers: NDArray[np.int64],
    *,
    planned: bool,
) -> dict[str, NDArray[np.int64] | NDArray[np.bool_]]:
    """Return two columns of T consecutive steps, the first of which begins a plan.

    Args:
        latent: float32[T, k].
        source: uint8[T].
        continues: bool[T], the step follows the one before it in its episode.
        numbers: int64[T], what the buffer calls the steps.
        planned: whether a latent was recorded.

    Returns:
        `plan` int64[T], the number of the step at which the plan of each began, and
        `plan_goes_on` bool[T], whether a window may run into the step from the one before it.
    """
    goes_on = continues.copy()
    goes_on[0] = False
    by_person = source == Source.HUMAN
    goes_on[1:] &= (latent[1:] == latent[:-1]).all(axis=1) & ~by_person[1:] & ~by_person[:-1]
    begun = np.maximum.accumulate(np.where(goes_on, numbers[0], numbers))
    return {"plan": begun if planned else numbers, "plan_goes_on": goes_on}
