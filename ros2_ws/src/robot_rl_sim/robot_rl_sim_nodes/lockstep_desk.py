"""What a robot in lockstep answers: requests in, one call of the host each, answers out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from rclpy.task import Future
from robot_rl_msgs.action import ResetRobot
from sensor_msgs.msg import Image

from robot_rl.core.types import Vector
from robot_rl_nodes.conversion import ImageWriter, ns_from_stamp, stamp_from_ns
from robot_rl_nodes.lockstep.command import CommandIntake
from robot_rl_nodes.lockstep.wire import velocity_of
from robot_rl_sim_nodes.lockstep_host import LockstepHost
from robot_rl_sim_nodes.lockstep_speech import LockstepSpeech

_LOG = logging.getLogger(__name__)
_MOST_WORDS = 300


class LockstepDesk:
    """Everything that touches the bench; used from the executor's one thread.

    Args:
        host: of the bench.
        intake: joins the parts of commands.
        speech: publishes instants.
        refusal: says why nothing is answered now; empty if it is.
    """

    def __init__(
        self,
        host: LockstepHost,
        intake: CommandIntake,
        speech: LockstepSpeech,
        *,
        refusal: Callable[[], str],
    ) -> None:
        self._host = host
        self._intake = intake
        self._speech = speech
        self._refusal = refusal
        self._news: Future | None = None

    def hear_arm(self, message: Any) -> None:
        """The arm's part of a command has come."""
        self._obey(self._intake.put_velocity(velocity_of(message)))

    def hear_gripper(self, message: Any) -> None:
        """The gripper's part of a command has come."""
        self._obey(self._intake.put_opening(velocity_of(message)))

    async def advance(self, request: Any, response: Any) -> Any:
        """Hear every command that was sent, let time pass, and say the instant that comes then.

        Where no time is to pass, the streams greet, so that whoever listens knows them connected.
        """
        while self._intake.heard < request.commands and not self._refusal():
            self._news = Future()
            await self._news
        until_ns = ns_from_stamp(request.until)

        def go_on() -> None:
            if until_ns > self._host.now_ns:
                self._speech.say(self._host.advance(until_ns), self._intake.heard)
            else:
                self._speech.greet()
            stamp_from_ns(self._host.now_ns, response.now)

        return self._answer(go_on, response)

    def reset(self, goal: Any) -> Any:
        """Begin the episode of a seed, and say its first instant."""
        result = ResetRobot.Result()

        def begin() -> None:
            instant = self._host.reset(int(goal.request.seed))
            self._speech.say(instant, self._intake.heard)
            stamp_from_ns(instant.stamp_ns, result.stamp)

        self._answer(begin, result)
        if result.success:
            goal.succeed()
        else:
            goal.abort()
        return result

    def stop(self, request: Any, response: Any) -> Any:
        """Hold the arm where it is measured."""
        return self._answer(self._host.bench.robot.stop, response)

    def render(self, request: Any, response: Any) -> Any:
        """Draw a picture for people."""

        def draw() -> None:
            picture = self._host.bench.render(int(request.width), int(request.height))
            response.image = ImageWriter(Image(), *picture.shape[:2]).write(picture)

        return self._answer(draw, response)

    def _obey(self, command: Vector | None) -> None:
        if command is not None:
            self._host.command(command)
            if self._news is not None:
                self._news.set_result(None)
                self._news = None

    def _answer(self, work: Callable[[], object], answer: Any) -> Any:
        """Do it, and say whether that went well; what follows is for whoever asked to decide."""
        answer.message = self._refusal()
        if not answer.message:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - told to whoever asked
                _LOG.exception("what was asked for failed")
                answer.message = f"{type(error).__name__}: {error}"[:_MOST_WORDS]
        answer.success = not answer.message
        return answer
