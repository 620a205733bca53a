"""Camera images in the size that a policy was trained on."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image as Pillow

from robot_rl.core.types import Image

Resize = Literal["exact", "pad", "stretch"]


def resize(image: Image, height: int, width: int, how: Resize) -> Image:
    """Return the image as uint8[height, width, 3], bilinear.

    Args:
        image: uint8[h, w, 3].
        height: wanted rows.
        width: wanted columns.
        how: `pad` keeps the proportions and centres the image on black, as openpi's
            `resize_with_pad` does, `stretch` does not keep them; `exact` takes it as it is.
    """
    if how == "exact" or image.shape[:2] == (height, width):
        return image
    if how == "stretch":
        return _scaled(image, height, width)
    ratio = max(image.shape[1] / width, image.shape[0] / height)
    inner = _scaled(image, int(image.shape[0] / ratio), int(image.shape[1] / ratio))
    top, left = (height - inner.shape[0]) // 2, (width - inner.shape[1]) // 2
    padded = np.zeros((height, width, 3), np.uint8)
    padded[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return padded


def _scaled(image: Image, height: int, width: int) -> Image:
    size = (max(width, 1), max(height, 1))
    return np.asarray(Pillow.fromarray(image).resize(size, Pillow.Resampling.BILINEAR))
