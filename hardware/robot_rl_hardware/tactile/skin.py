"""What a picture of a soft skin's back says about what presses on its front.

Pure. Not here: the camera that takes it (`camera_finger`).
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.errors import ContractError
from robot_rl.core.types import Image, Vector

FEELINGS = ("shear_x_px", "shear_y_px", "difference")
"""Elements of what is felt: the mean shift of the skin's texture [px], to the right and downwards,
and the mean change of a pixel, 0 to 1."""


class Skin:
    """The skin at rest, and how a picture differs from it.

    Args:
        cv2: the module of OpenCV.
        frames: pictures that the skin at rest is averaged over.
        still: mean change of a pixel between these, 0 to 1, above which it is not at rest.
    """

    def __init__(self, cv2: Any, frames: int, still: float) -> None:
        self._cv2 = cv2
        self._still = still
        self._newest: deque[Image] = deque(maxlen=frames)
        self._background: NDArray[np.float32] | None = None

    @property
    def at_rest(self) -> Image | None:
        """The skin at rest, uint8[h, w, 3]; None before `rest`."""
        if self._background is None:
            return None
        return np.round(self._background).astype(np.uint8)

    def see(self, picture: Image) -> None:
        """Remember a picture."""
        self._newest.append(picture)

    def rest(self) -> None:
        """Take the newest pictures for the skin at rest; nothing may touch it.

        Raises:
            ContractError: if there are too few of them, or the skin moves.
        """
        pictures = np.array(self._newest, np.float32)
        if len(pictures) < (self._newest.maxlen or 1):
            raise ContractError(
                f"{len(pictures)} pictures, expected {self._newest.maxlen}: wait, and ask again"
            )
        mean = pictures.mean(axis=0)
        moved = float(np.abs(pictures - mean).mean(axis=(1, 2, 3)).max()) / 255.0
        if moved > self._still:
            raise ContractError(
                f"the skin changes by {moved:.4f} between pictures, at most {self._still:g} are "
                "borne: let nothing touch it"
            )
        self._background = mean

    def difference(self, picture: Image) -> Image | None:
        """Return the change since rest, uint8[h, w, 3], 128 for none; None before `rest`."""
        if self._background is None:
            return None
        return np.clip(128.0 + picture - self._background, 0, 255).astype(np.uint8)

    def feel(self, picture: Image) -> Vector | None:
        """Return float32[3] of `FEELINGS`; None before `rest`."""
        if self._background is None:
            return None
        before, now = (self._grey(p) for p in (self._background, picture.astype(np.float32)))
        window = self._cv2.createHanningWindow(before.shape[::-1], self._cv2.CV_32F)
        (x, y), _ = self._cv2.phaseCorrelate(before, now, window)
        changed = float(np.abs(picture - self._background).mean()) / 255.0
        return np.array([x, y, changed], np.float32)

    def _grey(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._cv2.cvtColor(picture, self._cv2.COLOR_RGB2GRAY)
