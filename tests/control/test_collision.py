from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from robot_rl.app.run_config import CellConfig
from robot_rl.config.load import load
from robot_rl.control.clearance import Clearance
from robot_rl.control.collision.model import CollisionModel
from robot_rl.control.collision.shape import CollisionConfig
from robot_rl.core.errors import ConfigError, ContractError

CELL = load(Path(__file__).parents[2] / "configs/cells/sim_fr3.yaml", CellConfig)
CHAIN = CELL.chain.build()
FR3 = CELL.collision.build(CHAIN)
LOWER, UPPER = np.array(CELL.limits.joint_lower_rad), np.array(CELL.limits.joint_upper_rad)
FAR = 10.0
RADIUS_M = {b.name: b.shape.radius_m for b in CELL.collision.links if b.capsule}

positions = st.tuples(*(st.floats(a, b) for a, b in zip(LOWER, UPPER, strict=True)))


def build(chain, *links, **more) -> CollisionModel:
    return CollisionConfig.model_validate({"links": links, **more}).build(chain)


def ball(name: str, centre, radius=0.1, **link) -> dict:
    return {"name": name, "sphere": {"centre_m": centre, "radius_m": radius}, **link}


def only(model: CollisionModel, *q: float):
    (clearance,) = model.near(q, FAR)
    return clearance


# One joint about z carries the tcp at 1 m.


def test_a_ball_on_the_tool_approaches_a_ball_in_the_scene(one_joint):
    model = build(one_joint, ball("tip", [0, 0, 0], link="tool"), scene=[ball("post", [0, 1, 0])])
    found = only(model, 0.0)
    assert found.pair == "tip and post"
    # From (1, 0) to (0, 1), less both radii; the tip sets out along y.
    assert found.distance_m == pytest.approx(math.sqrt(2) - 0.2)
    assert found.gradient == pytest.approx((-math.sqrt(0.5),))


def test_overlap_is_a_negative_distance_whose_gradient_leads_out(one_joint):
    model = build(one_joint, ball("tip", [0, 0, 0], link="tool"), scene=[ball("post", [1, 0, 0])])
    found = only(model, 0.1)
    assert found.distance_m == pytest.approx(2 * math.sin(0.05) - 0.2)
    assert found.gradient == pytest.approx((math.cos(0.05),))


def test_a_box_is_as_long_as_its_size_and_stands_in_its_pose(one_joint):
    turned = [0, 0, math.sqrt(0.5), math.sqrt(0.5)]
    # Turned by a quarter about z: 0.4 m in y, 0.2 m in x.
    box = {"name": "box", "box": {"pose": [1, 1, 0, *turned], "size_m": [0.4, 0.2, 0.6]}}
    model = build(one_joint, ball("tip", [0, 0, 0], link="tool"), scene=[box])
    assert only(model, 0.0).distance_m == pytest.approx(1 - 0.2 - 0.1)
    assert only(model, 0.0).gradient == pytest.approx((-1.0,), abs=1e-6)


def test_a_half_space_is_solid_behind_its_plane(one_joint):
    wall = {"name": "wall", "half_space": {"normal": [0, -1, 0], "offset_m": -0.5}}
    rod = {"start_m": [-0.3, 0, 0], "end_m": [0.3, 0, 0], "radius_m": 0.05}
    model = build(one_joint, {"name": "rod", "link": "tool", "capsule": rod}, scene=[wall])
    assert only(model, 0.0).distance_m == pytest.approx(0.5 - 0.05)
    # Its far end is 1.3 m away from the joint.
    assert only(model, 0.5).distance_m == pytest.approx(0.5 - 1.3 * math.sin(0.5) - 0.05)
    assert only(model, 0.5).gradient == pytest.approx((-1.3 * math.cos(0.5),))


def test_bodies_of_the_arm_do_not_move_apart_by_joints_before_both(fr3):
    model = build(fr3, ball("a", [0, 0, 0], link=2), ball("b", [0, 0, 0], link=5))
    gradient = only(model, 0.3, -0.5, 0.2, -1.5, 0.1, 1.6, 0.4).gradient
    assert gradient[:2] == (0.0, 0.0)
    assert gradient[5:] == (0.0, 0.0)
    # Origin 2 is the shoulder, origin 5 the wrist: the elbow alone changes their distance.
    assert gradient[2:5] == pytest.approx((0.0, gradient[3], 0.0), abs=1e-9)
    assert abs(gradient[3]) > 0.1


def test_the_order_of_links_in_the_list_makes_no_difference(fr3):
    one, other = ball("a", [0.1, 0, 0], link=2), ball("b", [0, 0.1, 0], link=6)
    q = (0.3, -0.5, 0.2, -1.5, 0.1, 1.6, 0.4)
    here, there = only(build(fr3, one, other), *q), only(build(fr3, other, one), *q)
    assert here.distance_m == pytest.approx(there.distance_m)
    assert here.gradient == pytest.approx(there.gradient)


def test_what_is_beside_each_other_stands_still_or_is_ignored_is_not_checked(fr3):
    bodies = [ball(str(link), [0, 0, 0], link=link) for link in (0, 1, 2, 7, "tool")]
    model = build(
        fr3, *bodies, scene=[ball("a", [1, 0, 0]), ball("b", [2, 0, 0])], ignore=[("b", "tool")]
    )
    own = {"0 and 2", "0 and 7", "0 and tool", "1 and 7", "1 and tool", "2 and 7", "2 and tool"}
    scene = {f"{link} and {name}" for link in (1, 2, 7, "tool") for name in "ab"}
    assert set(model.pairs) == own | scene - {"tool and b"}
    assert len(model.pairs) == len(set(model.pairs))


def test_links_that_their_joints_keep_apart_are_not_checked(fr3):
    bodies = [ball(str(link), [0, 0, 0], link=link) for link in (0, 2, 3, 6, "tool")]
    assert set(build(fr3, *bodies, neighbours=2).pairs) == {
        "0 and 3", "0 and 6", "0 and tool", "2 and 6", "2 and tool", "3 and 6", "3 and tool",
    }  # fmt: skip


def test_pairs_farther_apart_than_asked_are_left_out(one_joint):
    scene = [ball("near", [1.3, 0, 0]), ball("far", [1.5, 0, 0])]
    model = build(one_joint, ball("tip", [0, 0, 0], link="tool"), scene=scene)
    assert [c.pair for c in model.near([0.0], 0.2)] == ["tip and near"]
    assert model.near([0.0], 0.09) == []
    assert len(model.near([0.0], 0.31)) == 2


def test_an_arm_with_nothing_to_meet_meets_nothing(one_joint):
    assert build(one_joint, ball("tip", [0, 0, 0], link="tool")).near([0.0], FAR) == []


def test_bodies_in_the_same_place_still_have_finite_numbers(fr3):
    rod = {"capsule": {"start_m": [0, 0, -0.1], "end_m": [0, 0, 0.1], "radius_m": 0.05}}
    point = {"capsule": {"start_m": [0, 0, 0], "end_m": [0, 0, 0], "radius_m": 0.05}}
    cube = {"box": {"pose": [0, 0, 0, 0, 0, 0, 1], "size_m": [0.1, 0.1, 0.1]}}
    sphere = {"sphere": {"centre_m": [0, 0, 0], "radius_m": 0.05}}
    kinds = {"rod": rod, "point": point, "cube": cube, "sphere": sphere}
    # The frames of joints 1 and 2 have the same origin.
    own = [{"name": f"{name} 1", "link": 0, **kind} for name, kind in kinds.items()]
    own += [{"name": f"{name} 2", "link": 7, **kind} for name, kind in kinds.items()]
    for angle in (0.0, 0.3):
        for clearance in build(fr3, *own).near([angle] * 7, FAR):
            assert np.isfinite([clearance.distance_m, *clearance.gradient]).all()
    scene = [{"name": name, **kind} for name, kind in kinds.items()]
    at_origin = [{"name": f"{name} 1", "link": 1, **kind} for name, kind in kinds.items()]
    flat = {"a_m": (0.0,), "d_m": (0.0,), "alpha_rad": (0.0,)}
    pose = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    chain = type(CELL.chain)(**flat, flange_pose=pose, tcp_pose=pose).build()
    found = build(chain, *at_origin, scene=scene).near([0.0], FAR)
    assert len(found) == 16
    assert all(c.distance_m < 0.0 for c in found)
    assert all(np.isfinite([c.distance_m, *c.gradient]).all() for c in found)


@pytest.mark.parametrize("q", [[0.0] * 6, [0.0] * 6 + [math.nan], [math.inf] + [0.0] * 6])
def test_positions_that_are_none_are_refused(q):
    with pytest.raises(ContractError, match="expected 7 finite numbers"):
        FR3.near(q, FAR)


def middle_lines_cross(clearance: Clearance) -> bool:
    radii = [RADIUS_M.get(name, math.inf) for name in clearance.pair.split(" and ")]
    return clearance.distance_m < 1e-6 - sum(radii)


@settings(deadline=None, max_examples=40)
@given(q=positions)
def test_the_gradient_is_the_slope_of_the_distance(q):
    step = 1e-5
    here = FR3.near(q, FAR)
    assert len(here) == len(FR3.pairs)
    assert all(np.isfinite([c.distance_m, *c.gradient]).all() for c in here)
    for k in range(7):
        ahead, behind = (
            FR3.near([x + sign * step * (i == k) for i, x in enumerate(q)], FAR)
            for sign in (1, -1)
        )
        for now, up, down in zip(here, ahead, behind, strict=True):
            if middle_lines_cross(now):
                continue
            # Between the slopes of both sides, which differ where the distance has a kink.
            slopes = (up.distance_m - now.distance_m, now.distance_m - down.distance_m)
            assert min(slopes) / step - 1e-3 < now.gradient[k] < max(slopes) / step + 1e-3


@settings(deadline=None)
@given(q=positions, within_m=st.floats(0.0, 0.3))
def test_nothing_near_is_overlooked(q, within_m):
    everything = {c.pair: c.distance_m for c in FR3.near(q, FAR)}
    near = {c.pair: c.distance_m for c in FR3.near(q, within_m)}
    assert near == {pair: d for pair, d in everything.items() if d < within_m}


# Configs


def test_a_link_that_the_arm_does_not_have_is_named(one_joint):
    with pytest.raises(ConfigError, match=r"'tip' stands on link 2, expected 0 .* to 1 or 'tool'"):
        build(one_joint, ball("tip", [0, 0, 0], link=2))


TABLE = {"name": "table", "half_space": {"normal": [0, 0, 1], "offset_m": 0}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ignore": [("tip", "tabel")]}, "no body is called 'tabel'; did you mean 'table'"),
        ({"links": [ball("table", [0, 0, 0], link=1)]}, r"more than one body is called \['table'"),
        ({"links": [{"name": "tip", "link": 1}]}, "'tip' has 0 shapes, expected exactly one of"),
        (
            {"scene": [ball("post", [0, 0, 0]) | TABLE]},
            "'table' has 2 shapes, expected exactly one of capsule, sphere, box, half_space",
        ),
        ({"links": [ball("tip", [0, 0, 0], radius=0, link=1)]}, "greater than 0"),
        ({"links": [ball("tip", [0, 0, 0], link="flange")]}, "tool"),
    ],
)
def test_a_wrong_body_is_named_with_what_is_valid(changes, message):
    config = {"links": [ball("tip", [0, 0, 0], link=1)], "scene": [TABLE], **changes}
    with pytest.raises(ValidationError, match=message):
        CollisionConfig.model_validate(config)


def test_a_cell_with_bodies_needs_a_chain():
    with pytest.raises(ValidationError, match="without the cell's `chain`"):
        CellConfig.model_validate(CELL.model_dump() | {"chain": None})


def test_a_cell_without_bodies_does_not_load_the_geometry_library():
    code = "import sys, robot_rl.control.collision.shape as s; sys.exit('coal' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
