"""Contacts at the speed limit, through the gate: nothing gets more than speed and mass allow."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from robot_rl.app.run_config import CellConfig
from robot_rl.config.load import load

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts/bench"))

from contact_scene import OBSTACLES  # noqa: E402
from contact_trial import STIFF, Ramming  # noqa: E402

CELL = load(ROOT / "configs/cells/sim_fr3.yaml", CellConfig)
HAND_N = 140.0
"""What lasts on a hand, ISO/TS 15066, table A.2."""

pytestmark = pytest.mark.sim


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_no_contact_exceeds_its_bound_nor_what_a_hand_may_get(obstacle):
    ramming = Ramming(CELL, obstacle)
    for seed in range(1000, 1005):
        impact = ramming.run(seed)
        assert 5.0 < impact.peak_n < impact.bound_n
        assert impact.peak_n < HAND_N
        # The law cannot push with more than one period's way times its stiffness: 20 N.
        assert impact.pressed_n < 1.1 * 20.0
        assert impact.speed_m_s < CELL.limits.max_tcp_speed_m_s
        assert not impact.stopped


def test_a_hard_blow_latches_a_stop_and_what_presses_on_is_little():
    ramming = Ramming(CELL, "hand", STIFF)
    impacts = [ramming.run(seed) for seed in range(1000, 1003)]
    assert all(impact.stopped for impact in impacts)
    assert all(impact.peak_n < impact.bound_n for impact in impacts)
    assert np.max([impact.pressed_n for impact in impacts]) < 2 * CELL.limits.max_force_n
