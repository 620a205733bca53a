"""A camera's picture as policies see it, and its calibration as ROS says it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from robot_rl.core.errors import ConfigError
from robot_rl.core.types import Image
from robot_rl_hardware.cameras.calibration import Calibration
from robot_rl_nodes.conversion import float64s


class PolicyView:
    """Cuts the middle of a picture to the shape that is wanted and shrinks it.

    Args:
        width, height: of the picture [px].
        policy_width, policy_height: that is wanted [px].

    Raises:
        ConfigError: if it would have to grow.
    """

    def __init__(self, width: int, height: int, policy_width: int, policy_height: int) -> None:
        if policy_width > width or policy_height > height:
            raise ConfigError(
                f"a policy view of {policy_width}x{policy_height} out of pictures of "
                f"{width}x{height}: it is cut and shrunk, never enlarged"
            )
        self._size = policy_width, policy_height
        scale = min(width / policy_width, height / policy_height)
        cut_width, cut_height = round(policy_width * scale), round(policy_height * scale)
        left, top = (width - cut_width) // 2, (height - cut_height) // 2
        self._cut = np.s_[top : top + cut_height, left : left + cut_width]

    def __call__(self, picture: Image) -> Image:
        """Return uint8[policy_height, policy_width, 3]."""
        shrunk = cv2.resize(picture[self._cut], self._size, interpolation=cv2.INTER_AREA)
        return np.asarray(shrunk, np.uint8)


def write_calibration(message: Any, calibration: Calibration) -> Any:
    """Write a calibration into a `sensor_msgs/CameraInfo` and return it."""
    message.width, message.height = int(calibration.image_width), int(calibration.image_height)
    message.distortion_model = calibration.distortion_model
    message.d = float64s(calibration.distortion_coefficients.data)
    message.k = np.array(calibration.camera_matrix.data, np.float64)
    message.r = np.array(calibration.rectification_matrix.data, np.float64)
    message.p = np.array(calibration.projection_matrix.data, np.float64)
    return message
