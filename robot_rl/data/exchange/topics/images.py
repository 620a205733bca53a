"""Camera messages to uint8[h, w, 3] RGB: raw pixels, JPEG and PNG.

Not here: depth (16 bit or float), for which an episode has no place.
"""

from __future__ import annotations

import base64
import binascii
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil
from PIL import UnidentifiedImageError

from robot_rl.core.errors import StorageError
from robot_rl.core.types import Image
from robot_rl.data.exchange.topics.values import pick

_CHANNELS = {
    "rgb8": (0, 1, 2),
    "bgr8": (2, 1, 0),
    "rgba8": (0, 1, 2, 3),
    "bgra8": (2, 1, 0, 3),
    "mono8": (0, 0, 0),
}
_WIDTHS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}
_MODES = ("RGB", "RGBA", "L", "LA", "P")
_MAX_PIXELS = 1 << 26


def read_image(message: Any, height: int | None = None, width: int | None = None) -> Image:
    """Decode one camera message; resize it if height and width are given.

    Raises:
        StorageError: if it is no image, has another encoding, or is cut off.
    """
    image = _compressed(message) if _is_compressed(message) else _raw(message)
    if height is None or width is None or image.shape[:2] == (height, width):
        return image
    return np.asarray(Pil.fromarray(image).resize((width, height), Pil.Resampling.BILINEAR))


def _is_compressed(message: Any) -> bool:
    try:
        pick(message, "format")
    except StorageError:
        return False
    return True


def _raw(message: Any) -> Image:
    encoding = str(pick(message, "encoding"))
    if encoding not in _CHANNELS:
        raise StorageError(
            f"image encoding {encoding!r}, expected one of {', '.join(_CHANNELS)}; convert the "
            "topic when recording, or leave it out of the map"
        )
    height, width, step = (int(pick(message, name)) for name in ("height", "width", "step"))
    row = width * _WIDTHS[encoding]
    data = np.frombuffer(_bytes(pick(message, "data")), np.uint8)
    if not 0 < height * width <= _MAX_PIXELS or step < row or len(data) < height * step:
        raise StorageError(
            f"image of {height} x {width} {encoding} with rows of {step} bytes: got {len(data)} "
            f"bytes, expected {height} rows of at least {row}"
        )
    rows = data[: height * step].reshape(height, step)[:, :row]
    return _rgb(rows.reshape(height, width, -1), encoding)


def _rgb(pixels: NDArray[np.uint8], encoding: str) -> Image:
    return np.ascontiguousarray(pixels[:, :, _CHANNELS[encoding][:3]])


def _compressed(message: Any) -> Image:
    try:
        with Pil.open(io.BytesIO(_bytes(pick(message, "data"))), formats=("JPEG", "PNG")) as image:
            if image.mode not in _MODES or image.width * image.height > _MAX_PIXELS:
                raise StorageError(
                    f"compressed image of {image.height} x {image.width}, mode {image.mode!r}; "
                    f"expected 8-bit colour or grey of at most {_MAX_PIXELS} pixels"
                )
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Pil.DecompressionBombError) as error:
        kind = "no JPEG or PNG" if isinstance(error, UnidentifiedImageError) else str(error)
        raise StorageError(f"compressed image cannot be decoded: {kind}") from error


def _bytes(data: Any) -> bytes:
    """Pixels as ROS has them (uint8 array) or as JSON has them (base64)."""
    if isinstance(data, str):
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error as error:
            raise StorageError(f"image data is no base64: {error}") from error
    if not isinstance(data, np.ndarray):
        raise StorageError(f"image data is {type(data).__name__}, expected bytes")
    return np.asarray(data, np.uint8).tobytes()
