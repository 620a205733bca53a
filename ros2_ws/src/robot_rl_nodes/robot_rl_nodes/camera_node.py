"""One camera: whole pictures for whoever looks, small ones for the policy, its calibration.

A picture is stamped when it was taken. Whole pictures go out only while somebody listens.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sensor_msgs.msg import CameraInfo, Image

from robot_rl.config.load import load
from robot_rl.core.errors import ConfigError
from robot_rl.core.types import Observation
from robot_rl_hardware.cameras.calibration import load_calibration
from robot_rl_hardware.cameras.camera import CameraConfig, picture_key
from robot_rl_nodes import topic
from robot_rl_nodes.conversion import ImageWriter, stamp_from_ns
from robot_rl_nodes.device import DEVICE, Decimation, Device, topic_part
from robot_rl_nodes.device_picture import PolicyView, write_calibration
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.parameter import Parameter
from robot_rl_nodes.process import main


class CameraNode(ManagedNode):
    """Publishes one camera."""

    PARAMETERS = (
        DEVICE,
        Parameter(
            name="name",
            default="",
            description="of the camera, in topics and in observation.images.NAME",
            required=True,
        ),
        Parameter(
            name="rate_hz",
            default=30.0,
            description="pictures a second, at most [Hz]",
            minimum=1.0,
            maximum=240.0,
        ),
        Parameter(
            name="policy_width",
            default=128,
            description="of the policy's picture [px]",
            minimum=8,
            maximum=256,
        ),
        Parameter(
            name="policy_height",
            default=128,
            description="of the policy's picture [px]",
            minimum=8,
            maximum=256,
        ),
        Parameter(
            name="camera_info",
            default="",
            description="path of the calibration, as camera_calibration writes it",
        ),
        Parameter(
            name="uncalibrated",
            default=False,
            description="there is no calibration, and nobody needs one",
        ),
        Parameter(
            name="frame_id",
            default="",
            description="of the pictures; NAME_color_optical_frame if empty",
        ),
    )

    def __init__(self, **of: Any) -> None:
        super().__init__("camera_node", **of)

    def setup(self, values: Mapping[str, Any]) -> None:
        """Read the calibration, and begin to open the camera."""
        name = topic_part("camera", values["name"])
        config = load(Path(values["device"]), CameraConfig)
        self._frame_id = values["frame_id"] or f"{name}_color_optical_frame"
        self._info = self._calibration(values, config)
        size = values["policy_width"], values["policy_height"]
        self._view = PolicyView(config.width, config.height, *size)
        self._whole = ImageWriter(Image(), config.height, config.width)
        self._small = ImageWriter(Image(), size[1], size[0])
        self._may_pass = Decimation(values["rate_hz"])
        self._key = picture_key(name)
        self._whole_out = self.publish_on(topic.CAMERA_IMAGE.of(name))
        self._small_out = self.publish_on(topic.POLICY_IMAGE.of(name))
        self._info_out = self.publish_on(topic.CAMERA_INFO.of(name))
        self._device = Device(self, name, config.build, seen=self._publish)

    def begin(self) -> None:
        """Open the camera anew if it is gone, and tell its calibration."""
        self._device.reopen()
        if self._info is not None:
            stamp_from_ns(self.now_ns, self._info.header.stamp)
            self._info_out.publish(self._info)

    def _calibration(self, values: Mapping[str, Any], config: CameraConfig) -> CameraInfo | None:
        path, uncalibrated = values["camera_info"], values["uncalibrated"]
        if bool(path) == uncalibrated:
            raise ConfigError(
                f"camera_info: got {path!r} with uncalibrated: {uncalibrated}; name the "
                "calibration's YAML, or say uncalibrated: true"
            )
        if uncalibrated:
            return None
        info = write_calibration(
            CameraInfo(), load_calibration(Path(path), config.width, config.height)
        )
        info.header.frame_id = self._frame_id
        return info

    def _publish(self, seen: Observation) -> None:
        if not self._may_pass(seen.stamp_ns):
            return
        picture, taken_ns = seen.images[self._key], self._device.ros_ns(seen)
        self._small_out.publish(self._stamped(self._small.write(self._view(picture)), taken_ns))
        if self._whole_out.get_subscription_count() > 0:
            self._whole_out.publish(self._stamped(self._whole.write(picture), taken_ns))

    def _stamped(self, message: Image, taken_ns: int) -> Image:
        stamp_from_ns(taken_ns, message.header.stamp)
        message.header.frame_id = self._frame_id
        return message


if __name__ == "__main__":
    raise SystemExit(main(lambda context: CameraNode(context=context)))
