from __future__ import annotations

import json

import learning
import pytest
import torch
import toy
from toy_trial import Arm, trial

TINY = ("improve.env_steps=120", "evaluate.episodes=2")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def row(variant: str, success: float, cpu_s: float = 10.0) -> dict:
    return {"variant": variant, "seed": 0, "success": success, "cpu_s": cpu_s}


def test_each_arm_gets_median_spread_and_the_mean_with_its_interval():
    rows = [row("a", s) for s in (0.2, 0.5, 0.6)] + [row("b", 0.3)]
    found = toy.spreads(rows)
    assert [(r["variant"], r["seed"]) for r in found] == [
        (name, kind) for name in "ab" for kind in ("median", "p10..p90", "mean")
    ]
    assert found[0]["success"] == 0.5
    # Between 0.2 and 0.5 at a fifth of the way, and between 0.5 and 0.6 at four fifths.
    assert found[1]["success"] == pytest.approx([0.26, 0.58])
    assert found[2]["success"] == pytest.approx(1.3 / 3)
    assert found[5]["ci95"] == pytest.approx((0.3, 0.3))


def test_arms_are_compared_seed_by_seed():
    by_seed = [(toy.JUDGED, toy.AT_RANDOM, 0.9, 0.5), (toy.JUDGED, toy.AT_RANDOM, 0.7, 0.6)]
    rows = [r for one, other, a, b in by_seed for r in (row(one, a), row(other, b))]
    (found,) = toy.differences(rows)
    assert found["variant"] == "rlif, judge - rlif, random"
    # 0.4 and 0.1: of two seeds, drawing again gives either twice, or one of each.
    assert found["success"] == pytest.approx(0.25)
    assert found["ci95"] == pytest.approx((0.1, 0.4))


def test_the_claims_fall_with_medians_and_with_one_slow_trial():
    good = [row(toy.RLPD, s) for s in (0.5, 0.9, 1.0)] + [row(toy.SCRATCH, 0.2)] * 3
    assert [claim.holds for claim in toy.claims(good)] == [True, True, True]
    bad = [row(toy.RLPD, 0.89), row(toy.SCRATCH, 0.21, cpu_s=61.0)]
    assert [claim.holds for claim in toy.claims(bad)] == [False, False, False]


def test_the_quick_claim_falls_with_the_worst_seed():
    rows = [row(toy.RLPD, 1.0), row(toy.SCRATCH, 0.0), row(toy.RLPD, 0.3), row(toy.SCRATCH, 0.1)]
    (claim,) = toy.quick_claims(rows)
    assert claim.value == pytest.approx(0.2)
    assert not claim.holds


@pytest.mark.sim
def test_a_trial_repeats_with_its_seed():
    arm = Arm(name="x", demonstrations=2, person=toy.JUDGE)
    rows = [trial(arm, 100, TINY) for _ in range(2)]
    for one in rows:
        assert one.pop("wall_s") > 0.0
        assert one.pop("cpu_s") > 0.0
    assert rows[0] == rows[1]
    assert rows[0]["interventions"] > 0


@pytest.mark.sim
def test_nobody_steps_in_where_nobody_watches_and_the_random_one_as_often_as_the_judge():
    budget = (*TINY, "improve.env_steps=400", "schedule.prefill_steps=400")
    judged, at_random, unwatched = toy.objections_part(100, budget)
    assert judged["rate"] > 0.1
    assert at_random["rate"] == pytest.approx(judged["rate"], rel=0.35)
    assert unwatched["interventions"] == 0


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.sim
def test_demonstrations_are_what_the_quick_form_learns_from(tmp_path):
    file = tmp_path / "toy.json"
    learning.measure_toy(learning.Arguments(toy=True, quick=True, json=file))
    written = json.loads(file.read_text())
    assert {r["seed"] for r in written["rows"] if isinstance(r["seed"], int)} == {0, 1}
    assert all(claim["holds"] for claim in written["claims"])
