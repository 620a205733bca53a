from __future__ import annotations

import dataclasses
import json
import math

import contact
import mujoco
import numpy as np
import pytest
from contact_scene import OBSTACLES, ApproachConfig
from contact_trial import SOFT, Impact, Ramming, WatchedBench, WatchedBenchConfig, kinetic_energy_j

from robot_rl.app.run_config import CellConfig
from robot_rl.app.station import Station
from robot_rl.config.load import load

CELL = load(contact.CELL, CellConfig)
IMPACT = Impact(
    peak_n=50.0,
    pressed_n=20.0,
    speed_m_s=0.1,
    mass_kg=4.0,
    bound_n=100.0,
    bound_at_limit_n=150.0,
    stopped=False,
)


def test_a_row_tells_the_worst_and_the_usual():
    worse = dataclasses.replace(IMPACT, peak_n=90.0, bound_n=120.0, stopped=True)
    found = contact.row("x", [IMPACT, IMPACT, worse])
    assert found["median_n"] == 50.0
    assert found["max_n"] == 90.0
    # Linear between the two last: 0.98 of the way from 50 to 90.
    assert found["p99_n"] == pytest.approx(89.2)
    assert found["of_bound"] == 0.75
    assert found["stops"] == 1


def test_claims_fall_with_the_bound_and_with_what_a_hand_may_get():
    good = contact.row("soft", [IMPACT])
    bad = contact.row("stiff", [dataclasses.replace(IMPACT, peak_n=150.0)])
    assert [c.holds for c in contact.claims(good, good)] == [True] * 6
    assert [c.holds for c in contact.claims(good, bad)] == [True, False, True, False, True, True]


def test_the_energy_is_that_of_all_that_moves_with_its_rotors():
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><joint type='slide' axis='1 0 0' armature='1'/>"
        "<geom size='.1' mass='3'/></body></worldbody></mujoco>"
    )
    data = mujoco.MjData(model)
    data.qvel[:] = 0.5
    mujoco.mj_forward(model, data)
    assert kinetic_energy_j(model, data) == pytest.approx(0.5 * 4.0 * 0.25)


@pytest.mark.sim
def test_the_bound_is_push_and_impact():
    found = Ramming(CELL, "table").run(3)
    # 800 N/m over the 25 mm of a period; the grasp has 40 N/mm.
    impact_n = found.speed_m_s * math.sqrt(40e3 * found.mass_kg)
    assert found.bound_n == pytest.approx(20.0 + math.hypot(20.0, impact_n))
    at_limit_n = 0.25 * math.sqrt(40e3 * found.mass_kg)
    assert found.bound_at_limit_n == pytest.approx(20.0 + math.hypot(20.0, at_limit_n))


@pytest.mark.sim
@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_starts_repeat_and_touch_nothing(obstacle):
    task = ApproachConfig(obstacle=obstacle, limits=CELL.limits, stiffness=SOFT).build()
    for seed in range(5):
        one, other = (task.aim(np.random.default_rng(seed)) for _ in range(2))
        np.testing.assert_array_equal(one.qpos, other.qpos)
        np.testing.assert_array_equal(one.direction, other.direction)
        bench = WatchedBench(task)
        bench.scene.reset(seed)
        bench.clock.sleep_until_ns(bench.clock.now_ns() + 20_000_000)
        assert bench.watch.force_n == [0.0] * 20


@pytest.mark.sim
def test_watching_changes_nothing():
    task = ApproachConfig(obstacle="table", limits=CELL.limits, stiffness=SOFT)
    action = np.array([0.0, 0.0, -1.0, 0.0, 0.0, 0.0], np.float32)
    ends = []
    for cell in (CELL, CELL.model_copy(update={"bench": WatchedBenchConfig()})):
        env = Station.open(cell, task).env
        env.reset(1)
        ends.append([env.step(action).observation.vectors for _ in range(15)][-1])
    for key, values in ends[0].items():
        np.testing.assert_array_equal(values, ends[1][key])


@pytest.mark.slow
@pytest.mark.sim
def test_the_quick_form_writes_its_rows(tmp_path):
    file = tmp_path / "contact.json"
    contact.main(contact.Options(quick=True, file=file))
    written = json.loads(file.read_text())
    assert len(written["rows"]) == 10
    assert written["claims"][0]["holds"]
