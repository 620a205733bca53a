import time

import mujoco
import numpy as np
import pytest

from robot_rl.core.errors import ConfigError, DependencyError, HardwareError
from robot_rl_sim.camera import Camera

SCENE = """
<mujoco>
  <worldbody>
    <light pos="0 0 3"/>
    <geom type="box" size=".2 .2 .2" pos="-.4 0 0" rgba="1 0 0 1"/>
    <body name="ball" pos=".4 0 0"><freejoint/>
      <geom type="sphere" size=".2" rgba="0 0 1 1"/></body>
    <camera name="top" pos="0 0 2" fovy="45"/>
    <camera name="away" pos="0 0 2" zaxis="0 0 -1"/>
  </worldbody>
</mujoco>
"""


def opengl_missing() -> str:
    try:
        Camera(mujoco.MjModel.from_xml_string(SCENE), 8, 8).close()
    except DependencyError as error:
        return str(error)
    return ""


MISSING = opengl_missing()
needs_opengl = pytest.mark.skipif(bool(MISSING), reason=MISSING or "OpenGL works")


def scene():
    model = mujoco.MjModel.from_xml_string(SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


@pytest.mark.render
@needs_opengl
@pytest.mark.parametrize("quality", ["fast", "fine"])
def test_picture_is_rgb_with_the_first_row_at_the_top(quality):
    model, data = scene()
    data.qpos[:2] = 0.4, 0.4
    mujoco.mj_forward(model, data)
    image = Camera(model, 64, 48, quality=quality).render(data, "top")
    assert image.shape == (48, 64, 3)
    assert image.dtype == np.uint8
    red, blue = (image[..., c] > image[..., 2 - c].astype(int) + 40 for c in (0, 2))
    rows, columns = np.nonzero(red)
    assert columns.mean() < 32
    assert rows.mean() == pytest.approx(23.5, abs=2)
    rows, columns = np.nonzero(blue)
    assert columns.mean() > 32
    assert rows.mean() < 18


@pytest.mark.render
@needs_opengl
def test_pictures_follow_the_data_and_the_camera_and_do_not_share_memory():
    model, data = scene()
    camera = Camera(model, 32, 32)
    first = camera.render(data, "top")
    kept = first.copy()
    data.qpos[0] = 0.0
    mujoco.mj_forward(model, data)
    assert (camera.render(data, "top") != kept).any()
    assert camera.render(data, "away").max() == 0
    np.testing.assert_array_equal(first, kept)


@pytest.mark.render
@needs_opengl
def test_cameras_live_side_by_side_and_one_that_is_dropped_leaves_the_other_whole():
    model, data = scene()
    camera = Camera(model, 32, 32)
    kept = camera.render(data, "top")
    other = Camera(model, 48, 48)
    assert other.render(data, "top").any()
    del other
    np.testing.assert_array_equal(camera.render(data, "top"), kept)
    camera = Camera(model, 32, 32)
    np.testing.assert_array_equal(camera.render(data, "top"), kept)


@pytest.mark.render
@needs_opengl
def test_model_keeps_its_own_settings_of_drawing():
    model, _ = scene()
    before = (model.vis.quality.offsamples, model.vis.quality.numslices)
    Camera(model, 1000, 900).close()
    assert (model.vis.quality.offsamples, model.vis.quality.numslices) == before
    assert model.vis.global_.offwidth == 640


@pytest.mark.render
@needs_opengl
def test_fast_pictures_are_cheap():
    model, data = scene()
    camera = Camera(model, 84, 84)
    camera.render(data, "top")
    start_s = time.process_time()
    for _ in range(20):
        camera.render(data, "top")
    # Half a millisecond each here; mujoco's own defaults take twenty.
    assert (time.process_time() - start_s) / 20 < 5e-3


@pytest.mark.render
@needs_opengl
def test_unknown_camera_is_named_with_the_nearest_one():
    model, data = scene()
    with pytest.raises(ConfigError, match="did you mean 'top'"):
        Camera(model, 8, 8).render(data, "tpo")


@pytest.mark.render
@needs_opengl
def test_a_closed_camera_refuses_to_draw():
    model, data = scene()
    camera = Camera(model, 8, 8)
    camera.close()
    camera.close()
    with pytest.raises(HardwareError, match="closed"):
        camera.render(data, "top")


def test_missing_opengl_is_a_dependency_error_that_names_the_packages(monkeypatch):
    model, _ = scene()
    monkeypatch.setattr("robot_rl_sim.camera._BACKENDS", ("absent",))
    monkeypatch.setenv("MUJOCO_GL", "absent")
    with pytest.raises(DependencyError, match="libegl1 libgl1-mesa-dri and set MUJOCO_GL=egl"):
        Camera(model, 8, 8)


@pytest.mark.parametrize(("width", "quality"), [(0, "fast"), (8, "fastest")])
def test_impossible_settings_are_refused(width, quality):
    model, _ = scene()
    with pytest.raises(ConfigError):
        Camera(model, width, 8, quality=quality)
