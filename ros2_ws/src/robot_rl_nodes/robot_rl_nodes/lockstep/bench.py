"""A bench behind topics whose simulator waits: the same numbers as without them, to the last bit.

What the other side does, and in which order, is in `robot_rl_sim_nodes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydantic import ValidationError
from rcl_interfaces.srv import GetParameters
from robot_rl_msgs.srv import CaptureImage

from robot_rl.core.errors import ContractError
from robot_rl.core.protocol import Operator, Robot, Sensor
from robot_rl.core.spec import RobotSpec, TaskSpec
from robot_rl.core.types import Image
from robot_rl_nodes.conversion import image_from
from robot_rl_nodes.lockstep.clock import LockstepClock
from robot_rl_nodes.lockstep.config import OFFER, LockstepOffer
from robot_rl_nodes.lockstep.device import (
    LockstepOperator,
    LockstepRobot,
    LockstepScene,
    LockstepSensor,
)
from robot_rl_nodes.lockstep.inbox import Inbox
from robot_rl_nodes.lockstep.link import LockstepLink
from robot_rl_nodes.lockstep.wire import (
    NODE,
    ROBOT,
    listen_to_judgement,
    listen_to_people,
    listen_to_sample,
)
from robot_rl_nodes.topic import SIM_CAPTURE

START_S = 60.0
"""How long a simulator may take to begin: models are compiled, OpenGL is opened."""
LIMIT_S = 30.0
"""How long an answer may take; a machine under load stalls for seconds."""


class LockstepBench:
    """Implements `core.protocol.Bench`.

    Args:
        task: of the run; the simulator must be set up for the same.
        domain: of DDS.
        namespace: of the robot.
        fate: says why the simulator has ended; empty while it has not.
        limit_s: how long an answer, or a stream of an instant, may be waited for [s].

    Attributes:
        seats: the people who sit at the simulator, by seat.

    Raises:
        HardwareError: if the simulator is not there.
        ContractError: if it is set up for another task.
    """

    def __init__(
        self,
        task: TaskSpec,
        *,
        domain: int,
        namespace: str,
        fate: Callable[[], str] = lambda: "",
        limit_s: float = LIMIT_S,
    ) -> None:
        self.task = task
        inbox = Inbox(fate)
        self._link = link = LockstepLink(namespace, domain, inbox, limit_s=limit_s)
        try:
            offer = self._offer()
            offer.check(task)
            self.clock = clock = LockstepClock(link, inbox, limit_s=limit_s)
            spec = RobotSpec(name=offer.robot, observation=task.observation, action=task.action)
            self.robot: Robot = LockstepRobot(spec, clock, link, inbox)
            self.sensors: tuple[Sensor, ...] = tuple(
                LockstepSensor(name, clock) for name in offer.sensors
            )
            self.scene = scene = LockstepScene(clock, link)
            self.seats: Mapping[str, Operator] = {
                seat: LockstepOperator(name, seat, scene, clock)
                for seat, name in offer.people.items()
            }
            self._capture = link.client(CaptureImage, SIM_CAPTURE)
            streams = {ROBOT: ROBOT, **offer.sensors}
            for stream, carried in streams.items():
                listen_to_sample(link, inbox, stream, carried, task.observation)
            listen_to_judgement(link, inbox)
            listen_to_people(link, inbox, offer.people)
            clock.connect([*streams, *offer.people])
        except BaseException:
            link.close()
            raise

    def render(self, width: int, height: int) -> Image:
        """Return a picture of the bench, uint8[height, width, 3].

        Raises:
            DependencyError: naming the package to install, where there is no OpenGL.
        """
        self.clock.settle()
        request = CaptureImage.Request(width=int(width), height=int(height))
        return image_from(self._link.ask(self._capture, request).image)

    def close(self) -> None:
        """Leave the graph; the simulator stays."""
        self._link.close()

    def _offer(self) -> LockstepOffer:
        client = self._link.client(GetParameters, f"{NODE}/get_parameters")
        self._link.until(client.service_is_ready, f"the simulator's node {NODE!r}", START_S)
        said: list[str] = []

        def told() -> bool:
            request = GetParameters.Request(names=[OFFER])
            answer = self._link.result(client.call_async(request), client.srv_name)
            said[:] = [value.string_value for value in answer.values if value.string_value]
            return bool(said)

        self._link.until(told, f"what the node {NODE!r} offers", START_S)
        self._link.release(client)
        try:
            return LockstepOffer.model_validate_json(said[0])
        except ValidationError as error:
            raise ContractError(f"the simulator's {OFFER!r} cannot be read: {error}") from error
