"""Instants as messages: one publisher for each stream of a bench in lockstep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from robot_rl_msgs.msg import ActionStamped, NamedVector, RewardStamped
from rosgraph_msgs.msg import Clock

from robot_rl.core.errors import ContractError
from robot_rl.core.spec import IMAGE_PREFIX, TaskSpec
from robot_rl.core.types import Observation
from robot_rl_nodes.conversion import ImageWriter, float32s, stamp_from_ns, write_vectors
from robot_rl_nodes.lockstep.config import LockstepOffer
from robot_rl_nodes.lockstep.wire import PERSON_ACTION, REWARD, ROBOT, SEATS, lossless
from robot_rl_nodes.robot.table import BASE_FRAME
from robot_rl_nodes.source import source
from robot_rl_nodes.topic import CLOCK, Topic
from robot_rl_sim_nodes.lockstep_host import Instant

_KINDS = {"tcp_delta": ActionStamped.KIND_TCP_DELTA, "joint_delta": ActionStamped.KIND_JOINT_DELTA}
_JUDGE = "task"


class LockstepSpeech:
    """Publishes whole instants.

    Args:
        offer: which streams there are.
        task: of the bench.
        publish_on: makes a publisher.
    """

    def __init__(
        self, offer: LockstepOffer, task: TaskSpec, publish_on: Callable[[Topic], Any]
    ) -> None:
        self._people = offer.people
        self._kind = _KINDS[task.action.kind]
        self._clock = publish_on(CLOCK)
        self._reward = publish_on(REWARD)
        self._person = publish_on(PERSON_ACTION)
        self._streams: dict[str, tuple[Any, type]] = {}
        self._pictures: dict[str, ImageWriter] = {}
        for name, carried in {ROBOT: ROBOT, **offer.sensors}.items():
            of = source(carried, task.observation)
            self._streams[name] = publish_on(lossless(of.topic)), of.topic.type
            if image := task.observation.images.get(f"{IMAGE_PREFIX}{name}"):
                message = of.topic.type()
                self._pictures[name] = ImageWriter(message, image.height, image.width)
        self._polled = 0

    def greet(self) -> None:
        """Let every stream say that it is there."""
        for publisher, kind in self._streams.values():
            publisher.publish(kind())
        self._reward.publish(RewardStamped())
        for seat in self._people:
            self._person.publish(ActionStamped(source=SEATS[seat]))

    def say(self, instant: Instant, commands: int) -> None:
        """Publish all of an instant, /clock last.

        Args:
            instant: to be told.
            commands: how many the robot has heard.
        """
        self._stamp_ns = instant.stamp_ns
        samples: Mapping[str, Observation] = {ROBOT: instant.robot, **instant.samples}
        for name, sample in samples.items():
            publisher, kind = self._streams[name]
            message = self._picture(name, sample) if name in self._pictures else kind()
            if name not in self._pictures:
                message.vectors = write_vectors(NamedVector, sample.vectors)
            if name == ROBOT:
                message.commands = int(commands)
            publisher.publish(self._stamped(message))
        self._say_judgement(instant)
        self._say_people(instant)
        self._clock.publish(Clock(clock=stamp_from_ns(instant.stamp_ns, Clock().clock)))

    def _say_judgement(self, instant: Instant) -> None:
        if instant.judgement is not None:
            message = RewardStamped(
                reward=float(instant.judgement.reward),
                probability=float("nan"),
                outcome=int(instant.judgement.outcome),
                model_id=_JUDGE,
            )
            self._reward.publish(self._stamped(message))

    def _say_people(self, instant: Instant) -> None:
        self._polled += 1
        for seat, does in instant.people.items():
            message = ActionStamped(
                seq=self._polled,
                source=SEATS[seat],
                kind=self._kind,
                active=bool(does.active),
                data=float32s(does.action),
                policy_id=self._people[seat],
            )
            stamp_from_ns(instant.stamp_ns, message.obs_stamp)
            self._person.publish(self._stamped(message))

    def _picture(self, name: str, sample: Observation) -> Any:
        if len(sample.images) != 1 or sample.vectors:
            raise ContractError(
                f"sensor {name!r} delivers {[*sample.images, *sample.vectors]}; expected its one "
                "image: what a sensor says travels in one message"
            )
        return self._pictures[name].write(next(iter(sample.images.values())))

    def _stamped(self, message: Any) -> Any:
        message.header.frame_id = BASE_FRAME
        stamp_from_ns(self._stamp_ns, message.header.stamp)
        return message
