"""What all cameras have in common: a size and a rate that are asked for, and refused otherwise."""

from __future__ import annotations

from pydantic import Field

from robot_rl.core.errors import HardwareError
from robot_rl.core.spec import IMAGE_PREFIX
from robot_rl_hardware.sampler import SensorConfig


class CameraConfig(SensorConfig):
    """A camera.

    Args:
        width, height: of its pictures [px]; a camera that gives another size is refused.
        fps: pictures a second that it is asked for.
    """

    width: int = Field(ge=8, le=8192)
    height: int = Field(ge=8, le=8192)
    fps: int = Field(default=30, ge=1, le=240)


def picture_key(name: str) -> str:
    """The key of a camera's pictures in an observation."""
    return f"{IMAGE_PREFIX}{name}"


def refuse_other_size(what: str, got: tuple[int, int], config: CameraConfig) -> None:
    """Refuse pictures of another size than was asked for.

    Args:
        what: the camera, in words.
        got: width and height [px].
        config: with those that were asked for.

    Raises:
        HardwareError: if they differ.
    """
    if got != (config.width, config.height):
        raise HardwareError(
            f"{what} gives {got[0]}x{got[1]}, expected {config.width}x{config.height}: "
            "ask for a size that it has"
        )
