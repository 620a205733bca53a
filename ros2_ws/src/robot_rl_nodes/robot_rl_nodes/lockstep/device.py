"""Arm, sensors, scene and people behind topics, all of one instant. Time: `lockstep_clock`."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Self

from robot_rl_msgs.action import ResetRobot
from std_srvs.srv import Trigger

from robot_rl.core.errors import ContractError
from robot_rl.core.protocol import Judgement, OperatorInput
from robot_rl.core.spec import RobotSpec
from robot_rl.core.types import Observation, SafeAction
from robot_rl_nodes.conversion import ns_from_stamp
from robot_rl_nodes.lockstep.clock import LockstepClock
from robot_rl_nodes.lockstep.inbox import Inbox
from robot_rl_nodes.lockstep.link import LockstepLink
from robot_rl_nodes.lockstep.wire import JUDGEMENT, ROBOT, CommandSpeaker
from robot_rl_nodes.topic import ROBOT_RESET, ROBOT_STOP

_LOG = logging.getLogger(__name__)


class LockstepRobot:
    """The simulated arm (implements `core.protocol.Robot`)."""

    def __init__(
        self, spec: RobotSpec, clock: LockstepClock, link: LockstepLink, inbox: Inbox
    ) -> None:
        self.spec = spec
        self._clock = clock
        self._link = link
        self._inbox = inbox
        self._speaker = CommandSpeaker(spec.action, link)
        self._stop = link.client(Trigger, ROBOT_STOP)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def read(self) -> Observation:
        """Return the arm's own vectors at the present instant."""
        return self._clock.said(ROBOT)

    def command(self, action: SafeAction) -> None:
        """Send a command; it holds until the next one.

        Raises:
            ContractError: if it has the wrong length.
        """
        if action.values.shape != (self.spec.action.size,):
            raise ContractError(
                f"command has shape {list(action.values.shape)}, "
                f"expected [{self.spec.action.size}]"
            )
        self._speaker.say(action.values, self._clock.now_ns())
        self._clock.commands += 1

    def stop(self) -> None:
        """Hold where the arm is measured, after every command that was sent before.

        Raises:
            HardwareError: if the simulator does not answer. One that is known to be lost is not
                asked: its time stands still, and its arm with it.
        """
        if self._inbox.lost:
            _LOG.warning("the arm is not told to stop, it stands: %s", self._inbox.lost)
            return
        self._clock.settle()
        self._link.ask(self._stop, Trigger.Request())


class LockstepSensor:
    """One sensor of the bench (implements `core.protocol.Sensor`)."""

    def __init__(self, name: str, clock: LockstepClock) -> None:
        self.name = name
        self._clock = clock

    def latest(self) -> Observation:
        """Return its sample of the present instant."""
        return self._clock.said(self.name)


class LockstepScene:
    """Start states and judgement (implements `core.protocol.Scene`).

    Attributes:
        seed: of the episode; None before the first.
    """

    def __init__(self, clock: LockstepClock, link: LockstepLink) -> None:
        self.seed: int | None = None
        self._clock = clock
        self._link = link
        self._reset = link.action(ResetRobot, ROBOT_RESET)

    def reset(self, seed: int) -> None:
        """Let the simulator draw the start state of `seed`, and hear the first instant.

        Raises:
            RobotRlError: what the simulator could not do, as it names it.
            HardwareError: if it does not answer, or a stream stays silent.
        """
        self._clock.settle()
        self._clock.forget()
        begun = self._link.achieve(self._reset, ResetRobot.Goal(seed=int(seed)), ROBOT_RESET)
        self._clock.begin(ns_from_stamp(begun.stamp))
        self.seed = seed

    def judge(self) -> Judgement:
        """Return what the task says of the present instant."""
        return self._clock.said(JUDGEMENT)


class LockstepOperator:
    """Somebody who sits at the simulator (implements `core.protocol.Operator`).

    They begin an episode with the scene, and are polled in every instant, whoever listens: what
    they do hangs on nothing but the seed and the true state.
    """

    def __init__(self, name: str, seat: str, scene: LockstepScene, clock: LockstepClock) -> None:
        self.name = name
        self._seat = seat
        self._scene = scene
        self._clock = clock

    def reset(self, seed: int) -> None:
        """Check that the episode is the scene's.

        Raises:
            ContractError: if it is not, for the person was seeded with the scene.
        """
        if seed != self._scene.seed:
            raise ContractError(
                f"{self.name} sits at a scene of seed {self._scene.seed}, got seed {seed}"
            )

    def poll(self, observation: Observation) -> OperatorInput:
        """Return what the person does at the present instant."""
        return self._clock.said(self._seat)
