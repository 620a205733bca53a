"""Frames of matched starts as small pictures: an animation, and a still strip for paper."""

from __future__ import annotations

import base64
import io
import itertools

import numpy as np
from PIL import Image as Pillow

from robot_rl.app.report.model import ComparedStart
from robot_rl.core.types import Image

FRAME_WIDTH = 320
MAX_FRAMES = 60
MAX_BYTES = 1_400_000
"""Of one animation, before base64 adds a third; quality, then frames, give way to it."""

GAP = 8
"""Between the two policies' pictures [px]."""

STRIP_FRAMES = 6
END_PAUSE_MS = 1500


def animation(start: ComparedStart, max_bytes: int = MAX_BYTES) -> str:
    """Return both episodes side by side and in step, as an animated WebP data URI.

    The one that ends first stays at its last frame; at the end both pause.
    """
    content = b""
    for frames, quality in itertools.product((MAX_FRAMES, 30, 15), (70, 45, 25)):
        content = _animated(start, frames, quality)
        if len(content) <= max_bytes:
            break
    return _data_uri(content)


def strip(start: ComparedStart) -> str:
    """Return `STRIP_FRAMES` moments, base above improved, as a still WebP data URI."""
    rows = [
        np.concatenate([_small(frames[k], 160) for k in _moments(len(frames))], axis=1)
        for frames in (start.base_frames, start.improved_frames)
    ]
    out = io.BytesIO()
    Pillow.fromarray(np.concatenate(rows, axis=0)).save(out, "WEBP", quality=70)
    return _data_uri(out.getvalue())


def _moments(length: int) -> list[int]:
    return [int(k) for k in np.linspace(0, length - 1, STRIP_FRAMES).round()]


def _side_by_side(start: ComparedStart, k: int) -> Pillow.Image:
    pair = (start.base_frames, start.improved_frames)
    halves = [_small(frames[min(k, len(frames) - 1)], FRAME_WIDTH) for frames in pair]
    height, width, _ = halves[0].shape
    canvas = np.zeros((height, 2 * width + GAP, 4), np.uint8)
    for left, half in zip((0, width + GAP), halves, strict=True):
        canvas[:, left : left + width, :3] = half
        canvas[:, left : left + width, 3] = 255
    return Pillow.fromarray(canvas)


def _small(frame: Image, width: int) -> Image:
    """Return the frame no wider than `width` pixels."""
    height, full, _ = frame.shape
    if full <= width:
        return frame
    size = (width, max(1, round(height * width / full)))
    return np.asarray(Pillow.fromarray(frame).resize(size, Pillow.Resampling.LANCZOS))


def _animated(start: ComparedStart, most_frames: int, quality: int) -> bytes:
    length = max(len(start.base_frames), len(start.improved_frames))
    shown = min(most_frames, length)
    chosen = np.linspace(0, length - 1, shown).round().astype(int)
    pictures = [_side_by_side(start, int(k)) for k in chosen]
    frame_ms = max(20, round(1000 * start.frame_period_s * length / shown))
    durations = [frame_ms] * (shown - 1) + [frame_ms + END_PAUSE_MS]
    out = io.BytesIO()
    pictures[0].save(
        out,
        "WEBP",
        save_all=True,
        append_images=pictures[1:],
        duration=durations,
        loop=0,
        quality=quality,
        method=2,
    )
    return out.getvalue()


def _data_uri(content: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(content).decode("ascii")
