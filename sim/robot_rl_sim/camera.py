"""Pictures of a MuJoCo scene, cheap enough for a policy that sees, or fine enough for people.

Software OpenGL spends its time on shadows, multisampling and the facets of round shapes, so
`quality="fast"` leaves all three out: under a millisecond for 84 x 84 pixels of primitives where
the defaults cost twenty. "fine" looks slightly different, so a policy sees one of the two only.

OpenGL comes from the back end in `MUJOCO_GL` (`egl`, `osmesa`, `glfw`). Without it this module
takes `glfw`, or `egl` where there is no display for that, and so it does in any thread but the
main one, which alone may make windows. It reads the variable when a camera is made, so that it
matters not when mujoco was imported.
"""

# mujoco ships its core without type stubs.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import importlib
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import mujoco
import numpy as np
from numpy.typing import NDArray

from robot_rl.core.errors import ConfigError, DependencyError, HardwareError, did_you_mean

Quality = Literal["fast", "fine"]

_BACKENDS = ("egl", "osmesa", "glfw")
_MAX_GEOM = 1000
_LEFT_OUT = (
    mujoco.mjtRndFlag.mjRND_SHADOW,
    mujoco.mjtRndFlag.mjRND_REFLECTION,
    mujoco.mjtRndFlag.mjRND_SKYBOX,
    mujoco.mjtRndFlag.mjRND_HAZE,
    mujoco.mjtRndFlag.mjRND_FOG,
)
_FAST = dict(offsamples=0, shadowsize=0, numslices=10, numstacks=5, numquads=1)
_FINE = dict(offsamples=4, shadowsize=2048, numslices=48, numstacks=24, numquads=4)


class Camera:
    """Draws what the model's named cameras see. Used from the thread that made it.

    One camera object serves every named camera of the model at one size; it holds an OpenGL
    context, so a process makes few of them.
    """

    def __init__(
        self, model: mujoco.MjModel, width: int, height: int, *, quality: Quality = "fast"
    ) -> None:
        """Open an off-screen OpenGL context.

        Args:
            model: the scene; unchanged afterwards.
            width: of the picture [pixels].
            height: of the picture [pixels].
            quality: `fast` for policies, `fine` (shadows, smooth edges) for people.

        Raises:
            ConfigError: the size or the quality is not a valid one.
            DependencyError: there is no OpenGL; the message names the packages to install.
        """
        if min(width, height) < 1:
            raise ConfigError(f"a camera needs a size of at least 1 x 1, got {width} x {height}")
        if quality not in ("fast", "fine"):
            hint = did_you_mean(quality, ("fast", "fine"))
            raise ConfigError(f"camera quality {quality!r} is unknown{hint}")
        self._model = model
        self._flags_off = _LEFT_OUT if quality == "fast" else ()
        self._rect = mujoco.MjrRect(0, 0, width, height)
        self._buffer = np.empty((height, width, 3), np.uint8)
        self._option = mujoco.MjvOption()
        # Sites mark places of the model for its makers; in a picture they would give them away.
        self._option.sitegroup[:] = 0
        self._view = mujoco.MjvCamera()
        self._view.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._scene = mujoco.MjvScene(model, maxgeom=max(_MAX_GEOM, 2 * model.ngeom))
        self._gl = _open_gl(width, height)
        with _drawn_with(model, _FAST if quality == "fast" else _FINE, width, height):
            self._context = _render_context(model)
        # Left to the garbage collector, mujoco would delete the buffers of whichever context is
        # current by then: another camera's.
        self._finalizer = weakref.finalize(self, _free, self._gl, self._context)
        # At the end of the process the display may be gone first.
        self._finalizer.atexit = False

    def render(self, data: mujoco.MjData, camera_name: str) -> NDArray[np.uint8]:
        """What the named camera sees, uint8[height, width, 3] RGB, a new array at each call.

        Raises:
            ConfigError: the model has no camera of this name.
            HardwareError: the camera is closed.
        """
        if not self._finalizer.alive:
            raise HardwareError("this camera is closed; make a new one to draw again")
        self._view.fixedcamid = self._camera_id(camera_name)
        self._gl.make_current()
        mujoco.mjv_updateScene(
            self._model,
            data,
            self._option,
            None,
            self._view,
            mujoco.mjtCatBit.mjCAT_ALL.value,
            self._scene,
        )
        for flag in self._flags_off:
            self._scene.flags[flag] = 0
        mujoco.mjr_render(self._rect, self._scene, self._context)
        mujoco.mjr_readPixels(self._buffer, None, self._rect, self._context)
        # OpenGL counts rows from the bottom.
        return self._buffer[::-1].copy()

    def close(self) -> None:
        """Give the OpenGL context back. Closing twice does nothing."""
        self._finalizer()

    def _camera_id(self, name: str) -> int:
        index = mujoco.mj_name2id(self._model, mujoco.mjtObj.mjOBJ_CAMERA, name)
        if index < 0:
            names = [self._model.camera(i).name for i in range(self._model.ncam)]
            raise ConfigError(f"the scene has no camera {name!r}{did_you_mean(name, names)}")
        return index


def _free(gl: Any, context: mujoco.MjrContext) -> None:
    gl.make_current()
    context.free()
    gl.free()


def _open_gl(width: int, height: int) -> Any:
    """A current OpenGL context of the chosen back end."""
    backend = os.environ.get("MUJOCO_GL", "").lower().strip()
    has_window = bool(os.environ.get("DISPLAY")) and _in_main_thread()
    if backend not in _BACKENDS or (backend == "glfw" and not has_window):
        backend = "glfw" if has_window else "egl"
    # Mesa's software renderer draws such small pictures faster without worker threads.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    try:
        context = importlib.import_module(f"mujoco.{backend}").GLContext(width, height)
        context.make_current()
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        raise _no_opengl(backend, error) from error
    return context


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _render_context(model: mujoco.MjModel) -> mujoco.MjrContext:
    try:
        context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
    except mujoco.FatalError as error:
        raise _no_opengl("OpenGL", error) from error
    mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, context)
    return context


def _no_opengl(backend: str, error: Exception) -> DependencyError:
    return DependencyError(
        f"cannot draw: no OpenGL through {backend!r} ({type(error).__name__}: {error}). Install "
        "the Debian packages libegl1 libgl1-mesa-dri and set MUJOCO_GL=egl"
    )


@contextmanager
def _drawn_with(
    model: mujoco.MjModel, quality: dict[str, int], width: int, height: int
) -> Iterator[None]:
    """The model with other settings of drawing, which an OpenGL context reads once when made."""
    wanted = [(model.vis.quality, key, value) for key, value in quality.items()]
    wanted += [(model.vis.global_, "offwidth", width), (model.vis.global_, "offheight", height)]
    before = [(owner, key, getattr(owner, key)) for owner, key, _ in wanted]
    try:
        for owner, key, value in wanted:
            setattr(owner, key, value)
        yield
    finally:
        for owner, key, value in before:
            setattr(owner, key, value)
