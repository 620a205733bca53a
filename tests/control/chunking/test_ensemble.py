"""Averages of plans, and the settings."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from robot_rl.control.chunking.async_player import ChunkingConfig


def test_ensemble_averages_all_plans_of_this_instant_the_oldest_first(kit):
    rig = kit.Rig.playing(mode="ensemble", execute=1, ensemble_decay=0.5)
    assert rig.tick() == 101
    # The second plan was begun with 100: its 202 is for the same instant as 102.
    weights = np.exp([0.0, -0.5])
    expected = np.average([102, 202], weights=weights)
    assert rig.tick(arrives=True) == pytest.approx(expected)
    # The third was begun with that: its 301 goes with 103 and 203.
    expected = np.average([103, 203, 301], weights=np.exp([0.0, -0.5, -1.0]))
    assert rig.tick(arrives=True) == pytest.approx(expected)


def test_ensemble_without_decay_is_the_mean_and_of_one_plan_the_plan(kit):
    rig = kit.Rig.playing(mode="ensemble", execute=1, ensemble_decay=0.0)
    assert rig.tick() == 101
    assert rig.tick(arrives=True) == pytest.approx((102 + 202) / 2)


def test_plans_leave_the_ensemble_when_they_are_over_or_too_old(kit):
    rig = kit.Rig.playing(mode="ensemble", execute=1, max_action_age_s=0.2, ensemble_decay=0.0)
    rig.tick()
    assert rig.tick(arrives=True) == pytest.approx((102 + 202) / 2)
    # At 0.2 s the first plan is as old as it may be, one tick later too old.
    assert rig.tick() == pytest.approx((103 + 203) / 2)
    assert rig.tick() == 204


def test_the_age_limit_has_no_default():
    with pytest.raises(ValidationError, match="max_action_age_s"):
        ChunkingConfig()  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize("change", [{"max_action_age_s": 0}, {"mode": "hope"}, {"execute": 0}])
def test_settings_that_make_no_sense_are_refused(change):
    with pytest.raises(ValidationError, match=next(iter(change))):
        ChunkingConfig.model_validate({"max_action_age_s": 1.0, **change})
