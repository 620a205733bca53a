import numpy as np
import pytest

from robot_rl.core.geometry import quat_rotate
from robot_rl.core.spec import WRENCH
from robot_rl.core.types import GateReason
from robot_rl_sim.person import DemonstratorConfig
from robot_rl_sim.tasks.peg_insert import BORE_DEPTH_M, PegInsertConfig

pytestmark = pytest.mark.sim


def test_a_demonstrator_inserts_with_believable_forces(make_stage):
    stage = make_stage(PegInsertConfig())
    backend, touching, peaks, successes = stage.bench.backend, [], [], 0
    for seed in range(20):
        stage.reset(seed)
        tare = backend.force_history()[0, -10:].mean(0)
        results = []
        for result in stage.drive(seed, DemonstratorConfig()):
            results.append(result)
            force = np.linalg.norm(backend.force_history()[0] - tare, axis=-1)
            peaks.append(force.max())
            if backend.data(0).ncon:
                touching.append(force[-10:].mean())
        successes += results[-1].terminated
    assert successes >= 18
    # A real 8 mm peg: 5.5 N on average, 12.8 N at most (FORGE, arXiv 2408.04587).
    assert 1.0 < np.mean(touching) < 12.0
    assert max(peaks) < 60.0


@pytest.mark.parametrize("clearance_m", [0.05e-3, 2e-3])
def test_a_clean_demonstrator_inserts_at_either_end_of_the_clearances(make_stage, clearance_m):
    stage = make_stage(PegInsertConfig(clearance_m=clearance_m))
    assert stage.successes(range(10)) >= 8


def test_a_peg_that_is_too_thick_for_the_bore_does_not_go_in(make_stage):
    # Half a millimetre too thick: were contacts too soft, it would be pressed through.
    tight = PegInsertConfig.model_construct(**{**dict(PegInsertConfig()), "clearance_m": -0.5e-3})
    stage = make_stage(tight)
    assert stage.successes(range(3)) == 0
    depth = stage.state.frames["bore"][0, 2] - stage.state.frames["peg_tip"][0, 2]
    assert depth < 0.2 * BORE_DEPTH_M


def test_pressing_down_is_felt_as_a_force_against_the_tools_z_axis(make_stage):
    stage = make_stage(PegInsertConfig(hole_range_m=0, grasp_error_m=0, start_tilt_rad=0))
    stage.reset(0)
    np.testing.assert_allclose(
        quat_rotate(stage.state.tcp_pose[0, 3:], np.array([0, 0, 1.0])), [0, 0, -1], atol=1e-3
    )
    for tick in range(45):
        tip, bore = (stage.state.frames[name][0] for name in ("peg_tip", "bore"))
        # Beside the bore, where the block's face is flat; then down, the target 10 mm below.
        beside = np.clip((bore[:2] + np.array([0.018, 0.0]) - tip[:2]) / 0.01, -1, 1)
        down = -1.0 if tick > 20 else 0.0
        result = stage.step(*beside, down, 0, 0, 0)
        assert result.gate_reason == GateReason.PASSED
    force = result.observation.vectors[WRENCH][:3]
    # 800 N/m over 10 mm, less what the mouth's soft contact and the joints' friction take.
    assert force[2] == pytest.approx(-8.0, abs=1.5)
    assert np.abs(force[:2]).max() < 3.0


def test_the_wrench_is_tared_at_the_start_of_every_episode(make_stage):
    stage = make_stage(PegInsertConfig())
    for seed in range(5):
        wrench = stage.reset(seed)[WRENCH]
        assert np.abs(wrench[:3]).max() < 0.6
        assert np.abs(wrench[3:]).max() < 0.02
