"""The bodies of the simulated FR3's cell, and what the gate does with them."""

from __future__ import annotations

import math
from pathlib import Path

import mujoco
import numpy as np
import pytest

from robot_rl.app.run_config import CellConfig
from robot_rl.app.station import Station
from robot_rl.config.load import load
from robot_rl.control.clearance import Clearance
from robot_rl.control.collision.shape import Box, Capsule, HalfSpace, SceneBody
from robot_rl.control.safety import SafetyGate
from robot_rl.core.clock import ManualClock
from robot_rl.core.geometry import matrix_from_quat
from robot_rl.core.spec import JOINT_POSITION, TCP_POSE, ActionSpec
from robot_rl.core.types import Command, GateReason, Observation, Source
from robot_rl_sim.person import DemonstratorConfig
from robot_rl_sim.tasks.peg_insert import PegInsertConfig
from robot_rl_sim.tasks.pick_cube import PickCubeConfig

CELL = load(Path(__file__).parents[2] / "configs/cells/sim_fr3.yaml", CellConfig)
CHAIN = CELL.chain.build()
FR3 = CELL.collision.build(CHAIN)
LOWER, UPPER = np.array(CELL.limits.joint_lower_rad), np.array(CELL.limits.joint_upper_rad)


def surface(model: mujoco.MjModel, geom: int) -> np.ndarray:
    """Points of a geom's surface float64[k, 3], in its own frame [m]."""
    size, kind = model.geom_size[geom], model.geom_type[geom]
    unit = np.random.default_rng(geom).normal(size=(400, 3))
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        return unit / np.abs(unit).max(axis=1, keepdims=True) * size
    if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        return size[0] * unit + np.copysign([0.0, 0.0, size[1]], unit)
    assert kind == mujoco.mjtGeom.mjGEOM_CYLINDER
    unit[:, :2] /= np.linalg.norm(unit[:, :2], axis=1, keepdims=True)
    # The outermost points of its convex hull are its two rims.
    return np.column_stack([size[0] * unit[:, :2], np.copysign(size[1], unit[:, 2])])


def outside_m(points: np.ndarray, shape: Capsule | Box) -> np.ndarray:
    """How far points are outside a shape, 0 inside."""
    if isinstance(shape, Box):
        local = (points - shape.pose[:3]) @ matrix_from_quat(np.array(shape.pose[3:]))
        beyond = np.maximum(np.abs(local) - np.array(shape.size_m) / 2, 0.0)
        return np.linalg.norm(beyond, axis=1)
    start, axis = np.array(shape.start_m), np.array(shape.end_m) - np.array(shape.start_m)
    along = np.clip((points - start) @ axis / max(axis @ axis, 1e-12), 0.0, 1.0)
    return np.maximum(
        np.linalg.norm(points - start - along[:, None] * axis, axis=1) - shape.radius_m, 0
    )


def frame_of(body: str, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and origin, in the base frame, of the frame in which a body's shapes stand."""
    if body.startswith("link"):
        number = int(body.removeprefix("link"))
        frame = np.array(CHAIN.frames(q)[number - 1]) if number else np.eye(4, 3).ravel()
        return frame[:9].reshape(3, 3).T, frame[9:]
    pose = CHAIN.forward(q)
    return matrix_from_quat(pose[3:]), pose[:3]


@pytest.mark.sim
@pytest.mark.parametrize("opening_m", [0.0, 0.02, 0.04])
@pytest.mark.parametrize("task", [PegInsertConfig(), PickCubeConfig()])
def test_the_cells_bodies_contain_the_simulated_arm(task, opening_m):
    model = task.build().model
    data = mujoco.MjData(model)
    data.qpos[:7] = q = np.array([0.2, -0.5, 0.1, -2.0, 0.3, 1.7, 0.6])
    if isinstance(task, PickCubeConfig):
        data.qpos[7:9] = opening_m
    mujoco.mj_kinematics(model, data)
    checked = 0
    for geom in range(model.ngeom):
        body = model.body(model.geom_bodyid[geom]).name
        if not body.startswith(("link", "hand", "finger", "peg")):
            continue
        link = int(body.removeprefix("link")) if body.startswith("link") else "tool"
        rotation = data.geom_xmat[geom].reshape(3, 3)
        points = surface(model, geom) @ rotation.T + data.geom_xpos[geom]
        axes, origin = frame_of(body, q)
        shapes = [b.shape for b in CELL.collision.links if b.link == link]
        outside = np.min([outside_m((points - origin) @ axes, s) for s in shapes], axis=0)
        assert outside.max() < 5e-3, f"{body}, geom {geom}: {1e3 * outside.max():.1f} mm outside"
        checked += 1
    assert checked >= 25


@pytest.mark.sim
@pytest.mark.parametrize("task", [PegInsertConfig(), PickCubeConfig()])
def test_the_tasks_keep_well_away_from_everything_that_is_checked(task):
    station = Station.open(CELL, task)
    person = DemonstratorConfig(noise=0.1, wander=0.1).build(station.bench)
    for seed in range(2):
        observation = station.env.reset(seed)
        person.reset(seed)
        running = True
        while running:
            assert FR3.near(observation.vectors[JOINT_POSITION].tolist(), 0.03) == []
            result = station.env.step(person.poll(observation).action)
            observation, running = result.observation, not (result.terminated or result.truncated)


# Behind the gate

PERIOD_S = 0.05
WIDE = CELL.limits.model_copy(
    update={"workspace_min_m": (-3.0,) * 3, "workspace_max_m": (3.0,) * 3}
)


class Loop:
    """An arm that does exactly what the gate lets through."""

    def __init__(self, kind: str, seed: int) -> None:
        self.clock = ManualClock(start_ns=1_000_000_000)
        self.action = _action(kind)
        self.gate = SafetyGate(WIDE, self.action, self.clock, CHAIN, FR3)
        self.epoch = self.gate.grant(Source.POLICY).epoch
        self.rng = np.random.default_rng(seed)
        self.q = self.draw(lambda q: not FR3.near(q, 0.06))
        self.nearest = Clearance(pair="nothing", distance_m=math.inf, gradient=())

    def draw(self, fits) -> np.ndarray:
        while True:
            q = self.rng.uniform(LOWER + 0.1, UPPER - 0.1)
            if fits(q.tolist()):
                return q

    def step(self, sequence: int, action: np.ndarray) -> None:
        self.clock.sleep_until_ns(self.clock.now_ns() + round(PERIOD_S * 1e9))
        vectors = {JOINT_POSITION: self.q, TCP_POSE: CHAIN.forward(self.q)}
        now_ns = self.clock.now_ns()
        command = Command(
            action=np.clip(action, -1, 1).astype(np.float32),
            issued_ns=now_ns,
            source=Source.POLICY,
            epoch=self.epoch,
            sequence=sequence,
        )
        observation = Observation(
            stamp_ns=now_ns, vectors={k: v.astype(np.float32) for k, v in vectors.items()}
        )
        delta = self.gate.check(command, observation).values.astype(float)
        if self.action.kind == "tcp_delta":
            delta = np.linalg.pinv(CHAIN.jacobian(self.q)) @ delta
        self.q = self.q + delta
        near = FR3.near(self.q.tolist(), 0.1)
        self.nearest = min([self.nearest, *near], key=lambda c: c.distance_m)


def _action(kind: str) -> ActionSpec:
    if kind == "tcp_delta":
        scale = (WIDE.max_tcp_speed_m_s * PERIOD_S,) * 3
        scale += (WIDE.max_tcp_angular_speed_rad_s * PERIOD_S,) * 3
    else:
        scale = tuple(v * PERIOD_S for v in WIDE.max_joint_velocity_rad_s)
    return ActionSpec(
        kind=kind, names=tuple(map(str, range(len(scale)))), scale=scale, period_s=PERIOD_S
    )


@pytest.mark.parametrize("with_table", [True, False])
def test_joints_on_their_way_into_a_collision_stop_at_the_least_distance(with_table):
    def collides(q):
        deep = [c.pair for c in FR3.near(q, 0.0) if c.distance_m < -0.02]
        return any(pair.endswith("table") == with_table for pair in deep)

    stopped = 0
    for seed in range(8):
        loop = Loop("joint_delta", seed)
        goal = loop.draw(collides)
        for sequence in range(1, 81):
            loop.step(sequence, (goal - loop.q) / loop.action.scale)
        assert loop.nearest.distance_m > WIDE.min_distance_m - 1e-3, f"seed {seed}: {loop.nearest}"
        stopped += loop.nearest.distance_m < WIDE.min_distance_m + 1e-3
    assert stopped >= 2


def test_a_tool_on_its_way_stops_before_its_arm_collides():
    stopped = 0
    for seed in range(10):
        loop = Loop("tcp_delta", seed)
        for sequence in range(1, 81):
            # Towards the column on which the arm stands.
            way = np.array([0.0, 0.0, 0.05 * seed]) - CHAIN.forward(loop.q)[:3]
            turn = np.sin(sequence / 10 + np.arange(3)) / 5
            loop.step(sequence, np.concatenate([way / np.linalg.norm(way), turn]))
        assert loop.nearest.distance_m > WIDE.min_distance_m - 1e-3, f"seed {seed}: {loop.nearest}"
        stopped += loop.nearest.distance_m < WIDE.min_distance_m + 1e-3
    assert stopped >= 2


@pytest.mark.sim
def test_the_simulated_hand_stops_before_a_wall():
    """The impedance-controlled arm lags behind: 3 mm are left for that."""
    wall = SceneBody(name="wall", half_space=HalfSpace(normal=(0, -1, 0), offset_m=-0.17))
    bodies = CELL.collision.model_copy(update={"scene": (*CELL.collision.scene, wall)})
    model = bodies.build(CHAIN)
    env = Station.open(
        CELL.model_copy(update={"collision": bodies}), PegInsertConfig(translation_m=0.025)
    ).env
    for seed in range(4):
        rng = np.random.default_rng(seed)
        env.reset(seed)
        action = np.array([*rng.uniform(-0.5, 0.5, 2), 0.3, *rng.uniform(-0.3, 0.3, 3)])
        action[1] = 0.8
        for _ in range(30):
            result = env.step(action.astype(np.float32))
            q = result.observation.vectors[JOINT_POSITION].tolist()
            assert model.near(q, WIDE.min_distance_m - 3e-3) == []
        assert result.gate_reason == GateReason.COLLISION
        assert [c.pair for c in model.near(q, WIDE.min_distance_m + 3e-3)] == ["hand and wall"]
