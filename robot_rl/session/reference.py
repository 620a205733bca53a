"""The pictures that the cameras' poses are compared with."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image as Pictures

from robot_rl.core.errors import ConfigError, did_you_mean
from robot_rl.core.types import Image
from robot_rl.session.camera import LiveCamera
from robot_rl.session.view import Frame

_LOG = logging.getLogger(__name__)
_MOST_PIXELS = 16_000_000


class Reference:
    """The picture that one camera's pose is compared with, shown if it is as large as its own.

    Args:
        camera: that is told if it is not.
        file: of the picture.

    Raises:
        ConfigError: if it cannot be read.
    """

    def __init__(self, camera: LiveCamera, file: Path) -> None:
        self._camera = camera
        self._file = file
        self._image = _read(file)
        self._compared: tuple[int, int] | None = None
        self._fits = False
        self._numbers = itertools.count(1)
        self.compare()

    def compare(self) -> bool:
        """Compare it with the size that the camera has now; whether it fits, if that is news."""
        size = self._camera.size
        if size is None or size == self._compared:
            return False
        self._compared = size
        height, width = self._image.shape[:2]
        self._fits = size == (width, height)
        self._camera.complaint = ""
        if not self._fits:
            self._camera.complaint = (
                f"the reference picture {self._file} is {width} x {height}, expected "
                f"{size[0]} x {size[1]}: it is not shown"
            )
            _LOG.warning("camera %s: %s", self._camera.name, self._camera.complaint)
        return self._fits

    def frame(self, stamp_ns: int) -> Frame | None:
        """The picture for whoever looks, with the next number; None unless it is known to fit.

        Args:
            stamp_ns: of the frame, by the bench's clock.
        """
        if not self._fits:
            return None
        height, width = self._image.shape[:2]
        return Frame(
            camera=self._camera.name,
            number=next(self._numbers),
            stamp_ns=stamp_ns,
            width=width,
            height=height,
            rgb=self._image.tobytes(),
            reference=True,
        )


def references_of(
    files: Mapping[str, Path], cameras: Mapping[str, LiveCamera]
) -> dict[str, Reference]:
    """Return the references of cameras, by name.

    Raises:
        ConfigError: if there is one for no camera, or one that cannot be read.
    """
    for name in files:
        if name not in cameras:
            raise ConfigError(
                f"reference: there is no camera {name!r}{did_you_mean(name, cameras)}"
            )
    return {name: Reference(cameras[name], file) for name, file in files.items()}


def _read(file: Path) -> Image:
    """Read a picture as uint8[height, width, 3].

    Raises:
        ConfigError: if it cannot be read.
    """
    try:
        with Pictures.open(file) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise ConfigError(
                    f"reference: {file} is {picture.width} x {picture.height}, expected the size "
                    "of the camera's pictures"
                )
            return np.asarray(picture.convert("RGB"), np.uint8)
    except (OSError, ValueError, SyntaxError, Pictures.DecompressionBombError) as error:
        raise ConfigError(
            f"reference: {file} cannot be read as a picture ({error}); expected a PNG or JPEG"
        ) from error
