import numpy as np
import pytest

from robot_rl.core.spec import ENVIRONMENT, JOINT_POSITION, JOINT_VELOCITY
from robot_rl_sim.person import DemonstratorConfig
from robot_rl_sim.tasks.point_reach import PointReachConfig, tip

pytestmark = pytest.mark.sim


def test_tip_of_two_links_of_a_quarter_metre():
    np.testing.assert_allclose(tip(np.zeros(2)), [0.5, 0.0])
    # The first link along x, the second along y.
    np.testing.assert_allclose(tip(np.array([0, np.pi / 2])), [0.25, 0.25])


def test_tip_is_where_physics_and_the_cells_chain_have_the_tcp(make_stage):
    stage = make_stage(PointReachConfig())
    for seed in range(5):
        q = stage.reset(seed)[JOINT_POSITION].astype(float)
        np.testing.assert_allclose(stage.state.tcp_pose[0, :2], tip(q), atol=1e-6)


def test_the_observation_is_joints_and_the_way_to_the_target(make_stage):
    stage = make_stage(PointReachConfig())
    vectors = stage.reset(0)
    assert list(vectors) == [JOINT_POSITION, JOINT_VELOCITY, ENVIRONMENT]
    target = stage.state.frames["target"][0, :2]
    q = vectors[JOINT_POSITION].astype(float)
    np.testing.assert_allclose(vectors[ENVIRONMENT], target - tip(q), atol=1e-6)


def test_a_demonstrator_always_reaches(make_stage):
    stage = make_stage(PointReachConfig())
    assert stage.successes(range(20), DemonstratorConfig()) == 20


def test_targets_are_not_where_the_tip_is_already(make_stage):
    stage = make_stage(PointReachConfig(nearest_m=0.1))
    for seed in range(30):
        assert np.linalg.norm(stage.reset(seed)[ENVIRONMENT]) >= 0.099


def test_a_joint_delta_is_reached_within_its_period(make_stage):
    stage = make_stage(PointReachConfig())
    before = stage.reset(0)[JOINT_POSITION]
    for _ in range(2):
        after = stage.step(0.5, 0.0).observation.vectors[JOINT_POSITION]
    # Two steps of half of 0.2 rad.
    assert after[0] - before[0] == pytest.approx(0.2, abs=0.05)
    assert after[1] - before[1] == pytest.approx(0.0, abs=0.05)


def test_starts_lie_in_the_part_of_the_range_that_was_asked_for(make_stage):
    # A quarter of +-1.2 rad about 0, and of +-0.9 rad about 1.3.
    stage = make_stage(PointReachConfig(start_spread=0.25))
    starts = np.array([stage.reset(seed)[JOINT_POSITION] for seed in range(40)])
    assert np.abs(starts - [0.0, 1.3]).max(axis=0) == pytest.approx([0.3, 0.225], rel=0.2)
    assert (np.abs(starts - [0.0, 1.3]) <= [0.3001, 0.2251]).all()


def test_a_wider_target_is_reached_from_farther_away(make_stage):
    stages = [make_stage(PointReachConfig(reached_m=r)) for r in (0.02, 0.9)]
    found = []
    for stage in stages:
        stage.reset(0)
        found.append([bool(stage.bench.sim_task.success(stage.state)[0])])
        assert 0.02 < stage.bench.sim_task.distance(stage.state)[0] < 0.9
    assert found == [[False], [True]]
