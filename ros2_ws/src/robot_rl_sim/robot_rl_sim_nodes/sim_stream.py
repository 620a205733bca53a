"""A simulated robot's samples as the messages of a real one's broadcasters.

Joints are named as the FR3's own driver names them. The wrench is at the tcp in its axes, and
tared when the objects are put to a start, as a real arm's would be by hand.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from numpy.typing import NDArray
from robot_rl_msgs.msg import NamedVector, RewardStamped

from robot_rl.core.protocol import Judgement
from robot_rl.core.spec import (
    ENVIRONMENT,
    GRIPPER,
    JOINT_POSITION,
    JOINT_VELOCITY,
    TCP_POSE,
    TCP_TWIST,
    WRENCH,
)
from robot_rl_nodes.conversion import (
    float64s,
    stamp_from_ns,
    write_pose,
    write_twist,
    write_vectors,
    write_wrench,
)
from robot_rl_nodes.diagnostic import Level
from robot_rl_nodes.robot.table import BASE_FRAME, FR3_FINGERS, FR3_JOINTS, TCP_FRAME
from robot_rl_nodes.topic import (
    CURRENT_POSE,
    CURRENT_TWIST,
    EXTERNAL_WRENCH,
    GRIPPER_JOINT_STATES,
    JOINT_STATES,
    PERCEPTION,
    REWARD,
    ROBOT_DIAGNOSTICS,
    Topic,
)
from robot_rl_sim.live import Sample
from robot_rl_sim_nodes.sim_fault import Faults, Outgoing

JUDGE = "task"
"""Who says what `reward` says."""
_DIAGNOSED_EVERY = 10


def _write_joints(message: Any, values: NDArray[np.float64]) -> None:
    message.name = list(FR3_JOINTS)
    message.position, message.velocity = float64s(values[0]), float64s(values[1])


def _write_fingers(message: Any, values: NDArray[np.float64]) -> None:
    message.name, message.position = list(FR3_FINGERS), float64s(values)


def _write_perception(message: Any, values: NDArray[np.float32]) -> None:
    message.vectors = write_vectors(NamedVector, {ENVIRONMENT: values})


_WRITERS: Mapping[Topic, Callable[[Any, Any], None]] = {
    JOINT_STATES: _write_joints,
    CURRENT_POSE: lambda message, values: write_pose(message.pose, values),
    CURRENT_TWIST: lambda message, values: write_twist(message.twist, values),
    EXTERNAL_WRENCH: lambda message, values: write_wrench(message.wrench, values),
    GRIPPER_JOINT_STATES: _write_fingers,
    PERCEPTION: _write_perception,
}
_BY_NAME = {topic.name: topic for topic in _WRITERS}
STREAMS = tuple(_BY_NAME)
"""Topics of numbers, which can be made to fail."""


def outgoing(sample: Sample, stamp_ns: int, *, perceives: bool) -> list[Outgoing]:
    """One sample as messages to be, all of one stamp.

    Args:
        sample: of the arm and what is around it.
        stamp_ns: the same instant in ROS time.
        perceives: whether perception has news now.
    """
    vectors = {key: v.astype(np.float64) for key, v in sample.vectors.items()}
    joints = np.stack([vectors[JOINT_POSITION], vectors[JOINT_VELOCITY]])
    contents = [
        (JOINT_STATES, BASE_FRAME, joints),
        (CURRENT_POSE, BASE_FRAME, vectors[TCP_POSE]),
        (CURRENT_TWIST, BASE_FRAME, vectors[TCP_TWIST]),
        (EXTERNAL_WRENCH, TCP_FRAME, vectors[WRENCH]),
    ]
    if GRIPPER in vectors:
        contents.append((GRIPPER_JOINT_STATES, TCP_FRAME, np.repeat(vectors[GRIPPER] / 2, 2)))
    out = [
        Outgoing(topic=topic.name, stamp_ns=stamp_ns, frame=frame, content=content)
        for topic, frame, content in contents
    ]
    if perceives:
        out.append(
            Outgoing(
                topic=PERCEPTION.name,
                stamp_ns=stamp_ns,
                frame=BASE_FRAME,
                content=sample.environment,
            )
        )
    return out


def message_of(out: Outgoing) -> Any:
    """The message of numbers that goes out."""
    topic = _BY_NAME[out.topic]
    message = topic.type()
    stamp_from_ns(out.stamp_ns, message.header.stamp)
    message.header.frame_id = out.frame
    _WRITERS[topic](message, out.content)
    return message


class Streams:
    """Publishes samples from a thread of its own, so that physics waits for nobody.

    Args:
        robot: its name.
        publish_on: makes a publisher.
        ros_now_ns: ROS time [ns].
        perceive_every: perception has news with every so many samples.
    """

    def __init__(
        self,
        robot: str,
        publish_on: Callable[[Topic], Any],
        ros_now_ns: Callable[[], int],
        perceive_every: int,
    ) -> None:
        self.faults = Faults()
        self.error: Exception | None = None
        """Why nothing is published any more."""
        self._publishers = {topic.name: publish_on(topic) for topic in _WRITERS}
        self._reward = publish_on(REWARD)
        self._diagnostics = publish_on(ROBOT_DIAGNOSTICS)
        self._name = robot
        self._fault = ""
        self._ros_now_ns = ros_now_ns
        self._perceive_every = perceive_every
        self._count = 0
        self._waiting: SimpleQueue[Sample | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="streams", daemon=True)

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    def put(self, sample: Sample) -> None:
        """Hand a sample over."""
        self._waiting.put(sample)

    def close(self) -> None:
        """Publish nothing more."""
        self._waiting.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            while (sample := self._waiting.get()) is not None:
                self._publish(sample)
        except Exception as error:  # noqa: BLE001 - whoever looks at `error` hears of it
            self.error = error

    def _publish(self, sample: Sample) -> None:
        now_ns = time.monotonic_ns()
        stamp_ns = self._ros_now_ns() - (now_ns - sample.stamp_ns)
        self._count += 1
        perceives = self._count % self._perceive_every == 0
        for out in outgoing(sample, stamp_ns, perceives=perceives):
            for due in self.faults.passed_on(out, now_ns):
                self._publishers[due.topic].publish(message_of(due))
        if sample.judgement is not None:
            self._reward.publish(_reward(sample.judgement, stamp_ns))
        if self._count % _DIAGNOSED_EVERY == 0 or sample.fault != self._fault:
            self._fault = sample.fault
            self._diagnostics.publish(_diagnosis(sample, self._name, stamp_ns))


def _reward(judgement: Judgement, stamp_ns: int) -> RewardStamped:
    message = RewardStamped(
        reward=float(judgement.reward),
        probability=float("nan"),
        outcome=int(judgement.outcome),
        model_id=JUDGE,
    )
    stamp_from_ns(stamp_ns, message.header.stamp)
    message.header.frame_id = BASE_FRAME
    return message


def _diagnosis(sample: Sample, robot: str, stamp_ns: int) -> DiagnosticArray:
    """An error while the arm obeys nobody, and the count of commands that it has heard."""
    status = DiagnosticStatus(
        name="robot: arm",
        hardware_id=robot,
        level=bytes([Level.ERROR if sample.fault else Level.OK]),
        message=sample.fault or "obeys",
        values=[KeyValue(key="commands", value=str(sample.commands))],
    )
    message = DiagnosticArray(status=[status])
    stamp_from_ns(stamp_ns, message.header.stamp)
    return message
