from __future__ import annotations

import io

import av
import numpy as np
import pytest

from robot_rl.app.data.video import encode_mp4, enlargement


def frames_of(height, width, count=8):
    frames = np.zeros((count, height, width, 3), np.uint8)
    for index, frame in enumerate(frames):
        frame[...] = (30 * index, 128, 255 - 30 * index)
    return frames


def decoded(video):
    with av.open(io.BytesIO(video)) as container:
        stream = container.streams.video[0]
        pictures = [
            (frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(stream)
        ]
        return stream.codec_context.name, stream.codec_context.pix_fmt, pictures


def test_a_camera_becomes_h264_that_browsers_play():
    name, pixels, pictures = decoded(encode_mp4(frames_of(96, 128), 10.0))
    assert (name, pixels) == ("h264", "yuv420p")
    assert [time for time, _ in pictures] == pytest.approx([0.1 * k for k in range(8)])
    for index, (_, picture) in enumerate(pictures):
        expected = (30 * index, 128, 255 - 30 * index)
        assert np.abs(picture.mean(axis=(0, 1)) - expected).max() < 8


def test_odd_sizes_are_made_even():
    _, _, pictures = decoded(encode_mp4(frames_of(97, 131), 10.0))
    assert pictures[0][1].shape == (98, 132, 3)


def test_tiny_frames_are_enlarged_by_whole_pixels():
    # 96 / 3 = 32.
    assert enlargement(frames_of(2, 3)) == 32
    assert enlargement(frames_of(96, 128)) == 1
    _, _, pictures = decoded(encode_mp4(frames_of(2, 3), 10.0))
    assert pictures[0][1].shape == (64, 96, 3)


def test_one_frame_and_a_rate_that_is_no_whole_number_are_fine():
    _, _, pictures = decoded(encode_mp4(frames_of(96, 96, 1), 1 / 0.03))
    assert len(pictures) == 1
