from __future__ import annotations

import numpy as np
import pytest
from pauses import Effort, compared

pytestmark = pytest.mark.sim


def test_both_policies_learn_from_the_same_demonstrations_and_are_judged_from_the_same_starts():
    rows, paused, driven = compared(0, Effort(seeds=1, demonstrations=2, updates=20, starts=2))
    with_pauses, left_out = rows
    assert [row["name"] for row in rows] == ["with pauses", "pauses left out"]
    # The person really halts, and that is all that one of the two does not see.
    assert 0.2 < with_pauses["rested"] == left_out["rested"] < 0.8
    shown = with_pauses["steps"] * (1 - with_pauses["rested"])
    assert left_out["steps"] == pytest.approx(shown, abs=1)
    assert len(paused) == len(driven) == 2
    assert (with_pauses["success"], left_out["success"]) == (np.mean(paused), np.mean(driven))
