from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image as Pil

from robot_rl.core.errors import StorageError
from robot_rl.data.exchange.topics.images import read_image

RGB = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)


def encoded(pixels: np.ndarray, format: str) -> bytes:
    buffer = io.BytesIO()
    Pil.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(
    ("encoding", "pixels"),
    [
        ("rgb8", RGB),
        ("bgr8", RGB[:, :, ::-1]),
        ("rgba8", np.concatenate([RGB, np.full((2, 3, 1), 255, np.uint8)], 2)),
        ("bgra8", np.concatenate([RGB[:, :, ::-1], np.full((2, 3, 1), 7, np.uint8)], 2)),
    ],
)
def test_every_encoding_comes_out_as_the_same_rgb(ros, encoding, pixels, padding):
    assert np.array_equal(read_image(ros.image(0, pixels, encoding, padding)), RGB)


def test_grey_has_three_equal_channels(ros):
    image = read_image(ros.image(0, RGB[:, :, :1], "mono8"))
    assert np.array_equal(image, np.repeat(RGB[:, :, :1], 3, 2))


def test_depth_is_refused_with_the_encodings_that_are_read(ros):
    with pytest.raises(StorageError, match=r"'16UC1'.*rgb8, bgr8"):
        read_image(ros.image(0, RGB, "16UC1"))


def test_pixels_that_are_cut_off_are_refused(ros):
    message = ros.image(0, RGB)
    message.data = message.data[:-1]
    with pytest.raises(StorageError, match="got 17 bytes, expected 2 rows of at least 9"):
        read_image(message)


def test_png_is_exact_and_jpeg_close(ros):
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    assert np.array_equal(read_image(ros.compressed(0, encoded(RGB, "PNG"))), RGB)
    jpeg = read_image(ros.compressed(0, encoded(flat, "JPEG"), "bgr8; jpeg compressed bgr8"))
    assert np.abs(jpeg.astype(int) - flat).max() <= 3


def test_json_image_is_base64():
    message = {"format": "png", "data": base64.b64encode(encoded(RGB, "PNG")).decode()}
    assert np.array_equal(read_image(message), RGB)
    with pytest.raises(StorageError, match="no base64"):
        read_image({"format": "png", "data": "%%%"})


@pytest.mark.parametrize("data", [b"", b"GIF89a nonsense", encoded(RGB, "PNG")[:50]])
def test_compressed_image_that_is_no_whole_jpeg_or_png_is_refused(ros, data):
    with pytest.raises(StorageError, match="cannot be decoded"):
        read_image(ros.compressed(0, data))


def test_other_formats_are_not_even_tried(ros):
    with pytest.raises(StorageError, match="no JPEG or PNG"):
        read_image(ros.compressed(0, encoded(RGB, "TIFF"), "tiff"))


def test_sixteen_bit_png_is_refused_instead_of_clipped(ros):
    depth = encoded(np.full((4, 4), 5000, np.uint16), "PNG")
    with pytest.raises(StorageError, match="8-bit"):
        read_image(ros.compressed(0, depth))


def test_resizing_averages():
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[:, 2:] = 200
    message = {"encoding": "rgb8", "height": 4, "width": 4, "step": 12, "data": pixels.reshape(-1)}
    small = read_image(message, 2, 2)
    assert small.shape == (2, 2, 3)
    # Half the triangle's weight lies on the pixel itself, the rest is shared with neighbours.
    assert small[:, 0].max() < 60
    assert small[:, 1].min() > 140
