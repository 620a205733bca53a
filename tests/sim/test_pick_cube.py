import mujoco
import numpy as np
import pytest

from robot_rl.core.spec import ENVIRONMENT, GRIPPER
from robot_rl_sim.backend import MujocoBackend
from robot_rl_sim.person import DemonstratorConfig
from robot_rl_sim.tasks.pick_cube import CUBE_M, LIFT_M, PickCubeConfig

pytestmark = pytest.mark.sim

OPEN, CLOSE, LEAVE = 1.0, -1.0, 0.0


def lifted(make_stage, seed=0):
    """A cube in the hand and in the air."""
    stage = make_stage(PickCubeConfig(horizon=200))
    for _ in stage.drive(seed):
        pass
    return stage


def play(stage, gripper, seconds):
    """Obey without the loop, whose episode is over: stay, with one wish for the gripper."""
    backend = stage.bench.backend
    values = np.array([[0, 0, 0, 0, 0, 0, gripper]], float)
    for _ in range(round(seconds / 0.1)):
        stage.bench.sim_task.drive.obey(backend.ctrl, backend.state(), values)
        backend.step(50)
    return backend.state()


def test_a_demonstrator_picks_nearly_always(make_stage):
    stage = make_stage(PickCubeConfig())
    assert stage.successes(range(20), DemonstratorConfig()) >= 18


def test_success_is_a_cube_eight_centimetres_above_the_table(make_stage):
    stage = lifted(make_stage)
    assert LIFT_M == 0.08
    assert stage.state.frames["cube"][0, 2] - CUBE_M / 2 >= 0.08
    assert stage.state.gripper[0] == pytest.approx(CUBE_M, abs=3e-3)


def test_the_cube_stays_in_the_hand_and_falls_when_it_is_opened(make_stage):
    stage = lifted(make_stage)
    before = stage.state.frames["cube"][0, 2] - stage.state.tcp_pose[0, 2]
    state = play(stage, LEAVE, seconds=3.0)
    assert state.frames["cube"][0, 2] - state.tcp_pose[0, 2] == pytest.approx(before, abs=1e-3)
    state = play(stage, OPEN, seconds=1.0)
    assert state.frames["cube"][0, 2] == pytest.approx(CUBE_M / 2, abs=2e-3)


def test_the_cube_is_held_by_friction_alone():
    task = PickCubeConfig().build()
    task.model.geom_friction[:] = 1e-5
    backend = MujocoBackend(task.model, task.frames)
    backend.reset(0, task.start(np.random.default_rng(0)))
    scale = np.asarray(task.spec.action.scale)
    closed = False
    for _ in range(100):
        command = np.clip(task.correction(backend.state(), 0) / scale, -0.6, 0.6) * scale
        task.drive.obey(backend.ctrl, backend.state(), command[None])
        backend.step(50)
        closed = closed or backend.state().gripper[0] < 1.1 * CUBE_M
    assert closed
    assert not task.success(backend.state())[0]


def test_the_grip_is_no_harder_than_the_config_says(make_stage):
    stage = lifted(make_stage)
    model, data = stage.bench.backend.model, stage.bench.backend.data(0)
    cube, force, normal_n = model.body("cube").id, np.zeros(6), 0.0
    for number in range(data.ncon):
        contact = data.contact[number]
        assert cube in model.geom_bodyid[contact.geom]
        mujoco.mj_contactForce(model, data, number, force)
        normal_n += force[0]
    # Two fingers press from both sides, 20 N each.
    assert normal_n == pytest.approx(40.0, rel=0.1)


def test_the_gripper_element_opens_closes_and_leaves(make_stage):
    stage = make_stage(PickCubeConfig())
    stage.reset(0)

    def opening_after(wish):
        for _ in range(5):
            result = stage.step(0, 0, 0, 0, 0, 0, wish)
        return result.observation.vectors[GRIPPER][0]

    assert opening_after(LEAVE) == pytest.approx(0.08, abs=2e-3)
    assert opening_after(CLOSE) == pytest.approx(0.0, abs=2e-3)
    assert opening_after(LEAVE) == pytest.approx(0.0, abs=2e-3)
    assert opening_after(OPEN) == pytest.approx(0.08, abs=2e-3)


def test_perception_tells_where_the_cube_is_and_how_it_is_turned(make_stage):
    stage = make_stage(PickCubeConfig(estimate_error_m=0, estimate_error_rad=0))
    for seed in range(5):
        estimate = stage.reset(seed)[ENVIRONMENT]
        x, y, z, w = stage.state.frames["cube"][0, 3:]
        assert (x, y) == pytest.approx((0, 0), abs=1e-3)
        # The tool starts with its x axis forward, so the cube's own yaw is the turn left.
        yaw = 2 * np.arctan2(z, w)
        np.testing.assert_allclose(estimate[3:], [np.sin(4 * yaw), np.cos(4 * yaw)], atol=5e-3)
        away = stage.state.frames["cube"][0, :3] - stage.state.tcp_pose[0, :3]
        np.testing.assert_allclose(estimate[:3], away, atol=1e-6)
