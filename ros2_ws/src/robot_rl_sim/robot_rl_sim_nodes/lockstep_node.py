"""A simulated robot that waits for whoever commands it: for training through topics.

The bench of a run, hosted behind the names of a real robot's topics, in simulated time. It goes on
when asked to, after it has heard every command, and then says all of the instant. So a run through
here does the same as one without topics, to the last bit.

    python -m robot_rl_sim_nodes.lockstep_node --ros-args -p bench:=BENCH.yaml -p autostart:=true
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rclpy.action.server import ActionServer, GoalResponse
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.parameter import Parameter as RosParameter
from robot_rl_msgs.action import ResetRobot
from robot_rl_msgs.srv import AdvanceClock, CaptureImage
from std_srvs.srv import Trigger

from robot_rl.config.load import load
from robot_rl_nodes.lockstep.command import CommandCode, CommandIntake
from robot_rl_nodes.lockstep.config import OFFER, LockstepConfig
from robot_rl_nodes.lockstep.wire import GRIPPER_COMMAND, JOINT_COMMAND, NODE, TWIST_COMMAND
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.parameter import Parameter
from robot_rl_nodes.process import main
from robot_rl_nodes.topic import ROBOT_RESET, ROBOT_STOP, SIM_ADVANCE, SIM_CAPTURE
from robot_rl_sim_nodes.lockstep_desk import LockstepDesk
from robot_rl_sim_nodes.lockstep_host import LockstepHost
from robot_rl_sim_nodes.lockstep_speech import LockstepSpeech

_KEPT_S = 10
"""How long a reset's result is kept for whoever asks for it."""


class LockstepNode(ManagedNode):
    """Hosts a bench."""

    PARAMETERS = (
        Parameter(
            name="bench",
            default="",
            required=True,
            description="YAML of bench, task and people (robot_rl_nodes.lockstep.config)",
        ),
        Parameter(
            name="started_by",
            default=0,
            minimum=0,
            maximum=2**22,
            description="process id without which the node ends; 0: nobody's",
        ),
        Parameter(name=OFFER, default="", description="set by the node: what there is, in JSON"),
    )

    def __init__(self, **of: Any) -> None:
        super().__init__(NODE, **of)

    def setup(self, values: Mapping[str, Any]) -> None:
        """Build the bench, then offer it."""
        self._host = host = LockstepHost(load(Path(values["bench"]), LockstepConfig))
        self.when_unmade(host.bench.close)
        task = host.bench.task
        code = CommandCode(task.action)
        desk = LockstepDesk(
            host,
            CommandIntake(code),
            LockstepSpeech(host.offer, task, self.publish_on),
            refusal=lambda: "" if self.active else f"{NODE} is not active",
        )
        self.listen_to(TWIST_COMMAND if code.cartesian else JOINT_COMMAND, desk.hear_arm)
        if code.gripper:
            self.listen_to(GRIPPER_COMMAND, desk.hear_gripper)
        self.serve(Trigger, ROBOT_STOP, desk.stop)
        self.serve(CaptureImage, SIM_CAPTURE, desk.render)
        self._serve_time(desk)
        if values["started_by"]:
            self.every(1.0, lambda: self._end_with(values["started_by"]))
        self.set_parameters([RosParameter(OFFER, value=host.offer.model_dump_json())])

    def rest(self) -> None:
        """Bring the arm to rest."""
        self._host.bench.robot.stop()

    def _serve_time(self, desk: LockstepDesk) -> None:
        # In a group of its own, for it waits while commands are heard.
        advance = self.create_service(
            AdvanceClock,
            SIM_ADVANCE,
            desk.advance,
            callback_group=MutuallyExclusiveCallbackGroup(),
        )
        self.when_unmade(lambda: self.destroy_service(advance))
        reset = ActionServer(
            self,
            ResetRobot,
            ROBOT_RESET,
            desk.reset,
            goal_callback=lambda _: GoalResponse.ACCEPT if self.active else GoalResponse.REJECT,
            result_timeout=_KEPT_S,
        )
        self.when_unmade(reset.destroy)

    def _end_with(self, starter: int) -> None:
        if os.getppid() != starter:
            self.get_logger().error(f"process {starter}, which started this one, has ended")
            self.trigger_shutdown()


if __name__ == "__main__":
    raise SystemExit(main(lambda context: LockstepNode(context=context)))
