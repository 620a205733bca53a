"""All that a simulated cell is made of, and what it is told: physics, streams, cameras, resets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from robot_rl.config.load import load
from robot_rl.config.model import Config
from robot_rl.core.errors import ConfigError
from robot_rl_nodes.conversion import twist_from
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.parameter import Parameter
from robot_rl_nodes.robot.table import BASE_FRAME
from robot_rl_sim.driver import SimDriver, SimDriverConfig
from robot_rl_sim.live import LiveWorld
from robot_rl_sim.world import SimWorld
from robot_rl_sim_nodes.sim_eye import Eye, EyeSettings
from robot_rl_sim_nodes.sim_fault import FAULTS, FaultSettings
from robot_rl_sim_nodes.sim_reset import ResetServer
from robot_rl_sim_nodes.sim_stream import STREAMS, Streams


def _number(name: str, default: float, description: str, least: float, most: float) -> Parameter:
    return Parameter(
        name=name, default=default, description=description, minimum=least, maximum=most
    )


PARAMETERS = (
    Parameter(
        name="driver",
        default="",
        description="path of the arm's YAML, e.g. configs/drivers/sim_fr3.yaml",
        required=True,
    ),
    Parameter(
        name="task",
        default="",
        description="path of the task's YAML whose scene the arm stands in; the driver's own "
        "where empty",
    ),
    _number("seed", 0, "of the first start state", 0, 2**31 - 1),
    _number("state_rate_hz", 100.0, "of the arm's state [Hz]", 1.0, 500.0),
    _number("perception_rate_hz", 50.0, "of perception [Hz]", 1.0, 500.0),
    _number("command_rate_hz", 100.0, "at which velocities are expected [Hz]", 10.0, 500.0),
    Parameter(
        name="cameras", default=[""], description="names of the scene's cameras that are seen"
    ),
    _number("camera_rate_hz", 30.0, "of each camera [Hz]", 0.1, 120.0),
    _number("color_width", 320, "of colour pictures [pixels]", 8, 1920),
    _number("color_height", 240, "of colour pictures [pixels]", 8, 1080),
    _number("policy_size", 128, "width and height of the policy's pictures [pixels]", 8, 512),
    *FAULTS,
)


class SimCell:
    """The parts of a simulated cell, running.

    Args:
        values: of `PARAMETERS`.
        node: that publishes and offers the reset.

    Attributes:
        complaint: why commands are not obeyed; empty if they are.

    Raises:
        RobotRlError: if driver, task, cameras or faults are wrong, or there is no OpenGL.
    """

    def __init__(self, values: Mapping[str, Any], node: ManagedNode) -> None:
        driver = _driver(values)
        self.complaint = ""
        self._size = driver.spec.action.size
        self._command_s = 1.0 / values["command_rate_hz"]
        rate_hz = values["state_rate_hz"]
        every = max(1, round(rate_hz / values["perception_rate_hz"]))
        settings = EyeSettings(
            cameras=tuple(values["cameras"]),
            rate_hz=values["camera_rate_hz"],
            color=(values["color_width"], values["color_height"]),
            policy=values["policy_size"],
        )
        self._topics = (*STREAMS, *settings.topics)
        self.check(FaultSettings.of(values))

        def now_ns() -> int:
            return node.now_ns

        self._streams = Streams(driver.spec.name, node.publish_on, now_ns, every)
        self.live = LiveWorld(SimWorld(driver), rate_hz, self._streams.put)
        self.eye = Eye(settings, self.live, driver.task.model, node.publish_on, now_ns)
        self.reset = ResetServer(node, self.live, lambda: node.active, now_ns)
        # The last is first to end: the eye looks at a world that lives, the streams publish what
        # it still says.
        for part in (self.reset, self._streams, self.live, self.eye):
            node.when_unmade(part.close)
        self._streams.start()
        self.live.start()
        self.eye.start()

    @property
    def error(self) -> Exception | None:
        """Why a part has ended by itself."""
        return self.live.error or self._streams.error or self.eye.error

    def check(self, faults: FaultSettings) -> None:
        """See whether there can be such faults.

        Raises:
            ConfigError: naming a topic that is not there.
        """
        faults.check(self._topics)

    def fail(self, faults: FaultSettings) -> None:
        """Let these go wrong from now on, and nothing else."""
        self._streams.faults.settings = self.eye.faults.settings = faults

    def obey(self, message: Any) -> None:
        """Take in a `TwistStamped`: the velocity of the tcp in the base frame."""
        if message.header.frame_id != BASE_FRAME:
            self.complaint = (
                f"velocities are in frame {message.header.frame_id!r}, expected {BASE_FRAME!r}"
            )
            return
        self.complaint = ""
        values = np.zeros(self._size, np.float32)
        values[:6] = twist_from(message.twist).astype(np.float64) * self._command_s
        self.live.obey(values, self._command_s)

    def grip(self, message: Any) -> None:
        """Take in a `Float64MultiArray` of one number: above 0 opens, below closes."""
        if len(message.data) != 1 or not np.isfinite(message.data[0]):
            self.complaint = f"gripper: got {list(message.data)}, expected one finite number"
        elif message.data[0]:
            self.live.grip(opens=bool(message.data[0] > 0.0))


def _driver(values: Mapping[str, Any]) -> SimDriver:
    overrides = [f"seed={values['seed']}"]
    if values["task"]:
        overrides.append(f"task={values['task']}")
    config = load(values["driver"], Config, overrides)
    if not isinstance(config, SimDriverConfig):
        raise ConfigError(
            f"driver {values['driver']}: got a {type(config).__name__}, expected a SimDriverConfig"
        )
    return config.build()
