"""Camera images as ROS 2 messages: raw rgb8, or compressed by Pillow as PNG or JPEG."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
from PIL import Image as PillowImage

from robot_rl.core.spec import ImageSpec
from robot_rl.core.types import Image, Observation
from robot_rl.data.log import message_types as types
from robot_rl.data.log.channel import Arrays, Channel, topic_of
from robot_rl.data.log.fixed_message import make_header

ImageCoding = Literal["raw", "png", "jpeg"]
"""`raw` and `png` give back every bit; `jpeg` is what is left of the picture at quality 95."""

_SAVE_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "png": {"compress_level": 1},
    # No chroma subsampling: it blurs the coloured edges of small parts.
    "jpeg": {"quality": 95, "subsampling": 0},
}


def image_channels(images: Mapping[str, ImageSpec], coding: ImageCoding) -> Iterator[Channel]:
    """Make one channel for each camera, named as `image_transport` does."""
    for key, spec in images.items():
        yield _raw(key, spec) if coding == "raw" else _compressed(key, spec, coding)


def _raw(key: str, spec: ImageSpec) -> Channel:
    frame = _frame_of(key)

    def encode(stamp: bytes, observation: Observation) -> memoryview:
        message = types.message_class(types.IMAGE)(
            header=make_header(stamp, frame),
            height=spec.height,
            width=spec.width,
            encoding="rgb8",
            is_bigendian=0,
            step=3 * spec.width,
            data=np.ascontiguousarray(observation.images[key]).reshape(-1),
        )
        return types.typestore().serialize_cdr(message, types.IMAGE)

    def unpack(message: Any) -> Arrays:
        if message.encoding != "rgb8":
            raise ValueError(f"{key}: got encoding {message.encoding!r}, expected 'rgb8'")
        return {key: message.data.reshape(spec.height, spec.width, 3)}

    return Channel(
        topic=topic_of(key, "image_raw"),
        message_type=types.IMAGE,
        metadata={"key": key},
        encode=encode,
        unpack=unpack,
    )


def _compressed(key: str, spec: ImageSpec, coding: ImageCoding) -> Channel:
    frame = _frame_of(key)

    def encode(stamp: bytes, observation: Observation) -> memoryview:
        message = types.message_class(types.COMPRESSED_IMAGE)(
            header=make_header(stamp, frame),
            format=f"rgb8; {coding} compressed rgb8",
            data=np.frombuffer(_compress(observation.images[key], coding), np.uint8),
        )
        return types.typestore().serialize_cdr(message, types.COMPRESSED_IMAGE)

    return Channel(
        topic=topic_of(key, "image_raw", "compressed"),
        message_type=types.COMPRESSED_IMAGE,
        metadata={"key": key},
        encode=encode,
        unpack=lambda message: {key: _decompress(message.data.tobytes(), spec)},
    )


def _frame_of(key: str) -> str:
    return topic_of(key).rsplit("/", 1)[-1]


def _compress(image: Image, coding: ImageCoding) -> bytes:
    written = io.BytesIO()
    PillowImage.fromarray(image).save(written, coding, **_SAVE_OPTIONS[coding])
    return written.getvalue()


def _decompress(data: bytes, spec: ImageSpec) -> Image:
    try:
        with PillowImage.open(io.BytesIO(data), formats=("PNG", "JPEG")) as opened:
            # Before any pixel is decoded: a few bytes may claim to be a picture of any size.
            if opened.size != (spec.width, spec.height) or opened.mode != "RGB":
                raise ValueError(f"got a {opened.mode} image of {opened.size} (width, height)")
            return np.asarray(opened, np.uint8)
    except (SyntaxError, PillowImage.DecompressionBombError) as error:
        raise ValueError(f"no image: {error}") from error
