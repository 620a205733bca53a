from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import mujoco
import numpy as np
import pytest

from robot_rl.config.load import load
from robot_rl.core.errors import ConfigError
from robot_rl.core.geometry import matrix_from_quat
from robot_rl.runtime.gate.cell import GateCell
from robot_rl_sim.tasks.pick_cube import PickCubeConfig

pytestmark = pytest.mark.ros

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "ros2_ws" / "src" / "robot_rl_description"
CELL = ROOT / "configs" / "cells" / "sim_fr3.yaml"
FILE = PACKAGE / "urdf" / "sim_fr3.urdf"


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    monkeypatch.syspath_prepend(str(PACKAGE))
    names = ("robot_rl_description.urdf", "robot_rl_description.sim_cell")
    return importlib.import_module(names[0]), importlib.import_module(names[1])


def turn(axis: int, angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    m = np.eye(4)
    j, k = (axis + 1) % 3, (axis + 2) % 3
    m[j, j], m[j, k], m[k, j], m[k, k] = c, -s, s, c
    return m


def place(origin: ElementTree.Element) -> np.ndarray:
    roll, pitch, yaw = (float(v) for v in origin.attrib["rpy"].split())
    m = turn(2, yaw) @ turn(1, pitch) @ turn(0, roll)
    m[:3, 3] = [float(v) for v in origin.attrib["xyz"].split()]
    return m


def frames(text: str, q: dict[str, float]) -> dict[str, np.ndarray]:
    """Where every link of a URDF is in the world, float64[4, 4]."""
    robot = ElementTree.fromstring(text)
    where = {"world": np.eye(4)}
    for joint in robot.findall("joint"):
        moved = place(joint.find("origin")) @ turn(2, q.get(joint.attrib["name"], 0.0))
        parent = where[joint.find("parent").attrib["link"]]
        where[joint.find("child").attrib["link"]] = parent @ moved
    return where


def pose(values: Any) -> np.ndarray:
    m = np.eye(4)
    m[:3, :3], m[:3, 3] = matrix_from_quat(np.array(values[3:])), values[:3]
    return m


def random_q(seed: int) -> np.ndarray:
    limits = load(CELL, GateCell).limits
    return np.random.default_rng(seed).uniform(limits.joint_lower_rad, limits.joint_upper_rad)


def named(q: np.ndarray) -> dict[str, float]:
    return {f"fr3_joint{i}": float(angle) for i, angle in enumerate(q, 1)}


def test_the_committed_file_is_what_the_module_makes_of_the_cell(modules: Any) -> None:
    assert FILE.read_text(encoding="utf-8") == modules[1].described(CELL), (
        "make it anew: python -m robot_rl_description configs/cells/sim_fr3.yaml URDF"
    )


@pytest.mark.parametrize("seed", range(5))
def test_its_forward_kinematics_are_those_of_the_cells_chain(seed: int) -> None:
    q = random_q(seed)
    chain = load(CELL, GateCell).chain.build()
    where = frames(FILE.read_text(), named(q))
    np.testing.assert_allclose(where["tcp"], pose(chain.forward(q)), atol=1e-7)
    for i, (*axes, x, y, z) in enumerate(chain.frames(q), 1):
        link = where[f"fr3_link{i}"]
        np.testing.assert_allclose(link[:3, 3], [x, y, z], atol=1e-7)
        np.testing.assert_allclose(link[:3, :3], np.array(axes).reshape(3, 3).T, atol=1e-7)


def test_its_cameras_look_where_those_of_the_scene_look() -> None:
    model = PickCubeConfig().build().model
    data, q = mujoco.MjData(model), random_q(9)
    data.qpos[:7] = q
    mujoco.mj_forward(model, data)
    where = frames(FILE.read_text(), named(q))
    for name in ("wrist", "front"):
        camera, optical = data.camera(name), where[f"{name}_color_optical_frame"]
        np.testing.assert_allclose(optical[:3, 3], camera.xpos, atol=1e-6)
        axes = camera.xmat.reshape(3, 3)
        # REP 103: z forward, x right, y down; MuJoCo looks along -z with y up.
        np.testing.assert_allclose(optical[:3, 2], -axes[:, 2], atol=1e-6)
        np.testing.assert_allclose(optical[:3, 0], axes[:, 0], atol=1e-6)
        np.testing.assert_allclose(optical[:3, 1], -axes[:, 1], atol=1e-6)
        body = where[f"{name}_link"]
        np.testing.assert_allclose(body[:3, 0], optical[:3, 2], atol=1e-6)
        np.testing.assert_allclose(body[:3, 2], -optical[:3, 1], atol=1e-6)


def test_its_bodies_are_those_that_the_gate_keeps_apart() -> None:
    cell = load(CELL, GateCell)
    robot = ElementTree.fromstring(FILE.read_text())
    names = {c.attrib["name"] for c in robot.iter("collision")}
    assert names == {body.name for body in cell.collision.links}
    hand = next(b for b in cell.collision.links if b.name == "hand").capsule
    link = next(e for e in robot.findall("link") if e.attrib["name"] == "tcp")
    body = next(e for e in link.findall("collision") if e.attrib["name"] == "hand")
    at, cylinder = place(body.find("origin")), body.find("geometry/cylinder")
    half = np.array([0, 0, float(cylinder.attrib["length"]) / 2, 1])
    np.testing.assert_allclose((at @ half)[:3], hand.end_m, atol=1e-8)
    assert float(cylinder.attrib["radius"]) == hand.radius_m


@pytest.mark.parametrize("pitch", [0.3, np.pi / 2, -np.pi / 2])
def test_angles_about_fixed_axes_mean_the_same_turn(modules: Any, pitch: float) -> None:
    from robot_rl.core.geometry import quat_from_matrix

    m = turn(2, 0.7) @ turn(1, pitch) @ turn(0, -0.4)
    roll, again, yaw = modules[0].rpy_from_quat(quat_from_matrix(m[:3, :3]))
    back = turn(2, yaw) @ turn(1, again) @ turn(0, roll)
    np.testing.assert_allclose(back, m, atol=1e-7)


def test_names_that_do_not_fit_the_chain_are_refused(modules: Any) -> None:
    urdf, _ = modules
    cell = load(CELL, GateCell)
    arm = urdf.Arm(
        name="arm",
        joints=("joint1",),
        chain=cell.chain,
        limits=cell.limits,
        effort_n_m=(1.0,) * 7,
    )
    with pytest.raises(ConfigError, match="the chain has 7 joints; got 1 names"):
        urdf.urdf(arm, [])
