"""One finger that feels by a camera: its picture, and what it feels once it was seen at rest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robot_rl_msgs.msg import NamedVector, ObservationVectors
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from robot_rl.config.load import load
from robot_rl.core.types import Observation
from robot_rl.sensing.intake import Intake
from robot_rl_hardware.cameras.camera import picture_key
from robot_rl_hardware.sampler import Sampler
from robot_rl_hardware.tactile.camera_finger import CameraFingerConfig, Finger
from robot_rl_nodes import topic
from robot_rl_nodes.conversion import ImageWriter, stamp_from_ns, write_vectors
from robot_rl_nodes.device import DEVICE, Decimation, Device, topic_part
from robot_rl_nodes.diagnostic import Level
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.parameter import Parameter
from robot_rl_nodes.process import main


class TactileNode(ManagedNode):
    """Publishes one finger."""

    PARAMETERS = (
        DEVICE,
        Parameter(
            name="name",
            default="",
            description="of the finger, in topics and in observation.tactile.NAME",
            required=True,
        ),
        Parameter(
            name="rate_hz",
            default=30.0,
            description="samples a second, at most [Hz]",
            minimum=1.0,
            maximum=240.0,
        ),
        Parameter(
            name="shows",
            default="picture",
            description="on the image topic: the picture, or its change since rest, 128 for none",
            choices=("picture", "difference"),
        ),
        Parameter(name="frame_id", default="", description="NAME_optical_frame if empty"),
    )

    def __init__(self, **of: Any) -> None:
        super().__init__("tactile_node", **of)

    def setup(self, values: Mapping[str, Any]) -> None:
        """Begin to open the finger."""
        name = topic_part("finger", values["name"])
        self._config = load(Path(values["device"]), CameraFingerConfig)
        self._frame_id = values["frame_id"] or f"{name}_optical_frame"
        self._key = picture_key(name if values["shows"] == "picture" else f"{name}_difference")
        self._picture = ImageWriter(Image(), self._config.height, self._config.width)
        self._may_pass = Decimation(values["rate_hz"])
        self._picture_out = self.publish_on(topic.TACTILE_IMAGE.of(name))
        self._vectors_out = self.publish_on(topic.TACTILE_VECTORS.of(name))
        self._background = topic.TACTILE_BACKGROUND.format(name=name)
        self.serve(Trigger, self._background, self._rest)
        self._device = Device(self, name, self._make, seen=self._publish)

    def begin(self) -> None:
        """Open the finger anew if it is gone."""
        self._device.reopen()

    def _make(self, intake: Intake) -> Sampler:
        self._finger: Finger = self._config.build(intake)
        return self._finger.sampler

    def _rest(self, request: Any, response: Any) -> Any:
        self._finger.rest()
        response.success, response.message = True, "this is the skin at rest"
        return response

    def _publish(self, seen: Observation) -> None:
        if not self._may_pass(seen.stamp_ns):
            return
        taken_ns = self._device.ros_ns(seen)
        if self._key in seen.images:
            message = self._picture.write(seen.images[self._key])
            self._picture_out.publish(self._stamped(message, taken_ns))
        if seen.vectors:
            felt = ObservationVectors(vectors=write_vectors(NamedVector, seen.vectors))
            self._vectors_out.publish(self._stamped(felt, taken_ns))
        self.diagnostics.set(
            "skin",
            Level.OK if self._finger.rested else Level.ERROR,
            "feels"
            if self._finger.rested
            else f"feels nothing yet: call {self._background} while nothing touches it",
        )

    def _stamped(self, message: Any, taken_ns: int) -> Any:
        stamp_from_ns(taken_ns, message.header.stamp)
        message.header.frame_id = self._frame_id
        return message


if __name__ == "__main__":
    raise SystemExit(main(lambda context: TactileNode(context=context)))
