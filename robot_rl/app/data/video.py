"""A camera's frames as H.264 in MP4, the video that every browser plays."""

from __future__ import annotations

import base64
import io
from fractions import Fraction

import av
import numpy as np
from av.codec.codec import UnknownCodecError

from robot_rl.core.errors import DependencyError
from robot_rl.core.types import Image

QUALITY = "21"
"""x264's constant rate factor: hardly told from the original, a tenth of its size."""

SMALLEST = 96
"""Smaller frames are enlarged by whole pixels first; players make a blur of them [px]."""


def encode_mp4(frames: Image, rate_hz: float) -> bytes:
    """Return uint8[n, h, w, 3] RGB as an MP4 file, a frame every 1 / rate_hz [s].

    A row or column is repeated where height or width is odd: yuv420p halves them.

    Raises:
        DependencyError: if the av package comes without H.264.
    """
    rate = Fraction(rate_hz).limit_denominator(10_000)
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        try:
            stream = container.add_stream(
                "libx264", rate=rate, options={"crf": QUALITY, "preset": "veryfast"}
            )
        except UnknownCodecError as error:
            raise DependencyError(
                "this build of av has no libx264 to encode video with: pip install "
                "--force-reinstall av"
            ) from error
        enlarged = enlargement(frames)
        stream.height, stream.width = _even(frames[0], enlarged).shape[:2]
        stream.pix_fmt = "yuv420p"
        for pts, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(_even(frame, enlarged), format="rgb24")
            picture.pts, picture.time_base = pts, 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return out.getvalue()


def enlargement(frames: Image) -> int:
    """Return how many pixels one pixel becomes, along each side."""
    return max(1, -(-SMALLEST // max(frames.shape[1:3])))


def data_uri(video: bytes) -> str:
    """Return an MP4 file as a URI that a page holds in itself."""
    return "data:video/mp4;base64," + base64.b64encode(video).decode("ascii")


def _even(frame: Image, times: int) -> Image:
    large = np.kron(frame, np.ones((times, times, 1), np.uint8)) if times > 1 else frame
    height, width, _ = large.shape
    return np.ascontiguousarray(
        np.pad(large, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    )
