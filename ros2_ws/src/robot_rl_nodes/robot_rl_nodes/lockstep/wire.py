"""What a robot in lockstep and its commander say to each other, and on which topics.

The topics are those of every robot, but no message on them is ever dropped: the simulator waits
for its commander, so none is late, and one that was lost would stop both for good.

A message whose `frame_id` is empty greets: it says that its stream is connected, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from geometry_msgs.msg import TwistStamped
from robot_rl_msgs.msg import ActionStamped, RewardStamped
from std_msgs.msg import Float64MultiArray

from robot_rl.core.protocol import Judgement, OperatorInput
from robot_rl.core.spec import ActionSpec, ObservationSpec
from robot_rl.core.types import Observation, Outcome, Vector
from robot_rl_nodes import topic
from robot_rl_nodes.conversion import (
    float64s,
    ns_from_stamp,
    stamp_from_ns,
    vector_from,
    write_twist,
)
from robot_rl_nodes.lockstep.command import CommandCode
from robot_rl_nodes.lockstep.inbox import Heard, Inbox
from robot_rl_nodes.lockstep.link import LockstepLink
from robot_rl_nodes.source import Source, source
from robot_rl_nodes.topic import Quality, Topic

NODE = "lockstep"
"""Name of the robot's node."""
ROBOT = "robot"
"""Stream of the robot's own samples."""
JUDGEMENT = "judgement"
"""Stream of what the task says."""
SEATS = {
    "demonstrator": ActionStamped.SOURCE_DEMO,
    "supervisor": ActionStamped.SOURCE_HUMAN,
}
"""As what the person of each seat signs."""


def lossless(of: Topic) -> Topic:
    """The same topic, every message of which arrives."""
    return Topic(name=of.name, type=of.type, quality=Quality.EVENT)


TWIST_COMMAND = lossless(topic.TWIST_COMMAND)
JOINT_COMMAND = lossless(topic.JOINT_COMMAND)
GRIPPER_COMMAND = lossless(topic.GRIPPER_COMMAND)
PERSON_ACTION = lossless(topic.PERSON_ACTION)
REWARD = lossless(topic.REWARD)


class CommandSpeaker:
    """Sends commands to the robot's own controllers, as the gate's node does."""

    def __init__(self, action: ActionSpec, link: LockstepLink) -> None:
        self._code = CommandCode(action)
        self._arm = link.speak(TWIST_COMMAND if self._code.cartesian else JOINT_COMMAND)
        self._gripper = link.speak(GRIPPER_COMMAND) if self._code.gripper else None

    def say(self, values: Vector, stamp_ns: int) -> None:
        """Send one command float32[d] in SI units."""
        velocity = self._code.velocity(values)
        if self._code.cartesian:
            message = TwistStamped()
            stamp_from_ns(stamp_ns, message.header.stamp)
            write_twist(message.twist, velocity)
            self._arm.publish(message)
        else:
            self._arm.publish(Float64MultiArray(data=float64s(velocity)))
        if self._gripper:
            opening = self._code.opening(values)
            self._gripper.publish(Float64MultiArray(data=float64s(opening)))


def velocity_of(message: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The velocity float64[n] of a `TwistStamped` or a `Float64MultiArray`."""
    if isinstance(message, Float64MultiArray):
        return np.array(message.data, np.float64)
    linear, angular = message.twist.linear, message.twist.angular
    return np.array([linear.x, linear.y, linear.z, angular.x, angular.y, angular.z], np.float64)


def listen_to_sample(
    link: LockstepLink, inbox: Inbox, stream: str, carried: str, spec: ObservationSpec
) -> None:
    """Take in the samples of the robot or of one sensor.

    Args:
        link: into the graph.
        inbox: gets each as an `Observation`.
        stream: under which name.
        carried: by which source.
        spec: of the observations.
    """
    of: Source = source(carried, spec)

    def sample(message: Any) -> Observation:
        vectors, images = of.read(message)
        stamp_ns = ns_from_stamp(message.header.stamp)
        return Observation(stamp_ns=stamp_ns, vectors=vectors, images=images)

    _listen(link, inbox, lossless(of.topic), lambda _: stream, sample)


def listen_to_judgement(link: LockstepLink, inbox: Inbox) -> None:
    """Take in what the task says of each instant, as a `Judgement`."""

    def judgement(message: RewardStamped) -> Judgement:
        return Judgement(reward=float(message.reward), outcome=Outcome(message.outcome))

    _listen(link, inbox, REWARD, lambda _: JUDGEMENT, judgement)


def listen_to_people(link: LockstepLink, inbox: Inbox, people: Mapping[str, str]) -> None:
    """Take in what the people of `{seat: name}` do, each under its seat, as `OperatorInput`."""
    seats = {SEATS[seat]: seat for seat in people}

    def does(message: ActionStamped) -> OperatorInput:
        return OperatorInput(active=bool(message.active), action=vector_from(message.data))

    if seats:
        _listen(link, inbox, PERSON_ACTION, lambda message: seats[message.source], does)


def _listen(link: LockstepLink, inbox: Inbox, of: Topic, stream: Any, read: Any) -> None:
    take = link.listen(of)

    def heard() -> Heard | None:
        message = take()
        if message is None:
            return None
        greets = not message.header.frame_id
        stamp_ns = ns_from_stamp(message.header.stamp)
        return Heard(stream(message), stamp_ns, None if greets else read(message))

    inbox.listen(heard)
