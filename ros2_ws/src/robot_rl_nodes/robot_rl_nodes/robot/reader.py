"""A robot's raw samples, joined to what `RobotState` says of one instant.

What a message of a part says: `robot_raw`. Which topics there are: `robot_table`.

An instant is that of a sample of the joints. It is complete once every other part has a sample
that is as new; where one was lost, the nearest in time does, once it has been waited for. A sample
that is wrong is not taken, and an instant that misses one is not told: `complaint` says why.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from robot_rl.control.kinematics import SerialChain, SerialChainConfig
from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.core.geometry import quat_conjugate, quat_rotate
from robot_rl.core.spec import (
    GRIPPER,
    JOINT_POSITION,
    JOINT_VELOCITY,
    TCP_POSE,
    TCP_TWIST,
    WRENCH,
    ObservationSpec,
)
from robot_rl.core.types import Vector
from robot_rl_nodes.robot.raw import Array, Layout, RawMessages, RawSample
from robot_rl_nodes.robot.tare import Tare

KEYS = {
    JOINT_POSITION: "joints",
    JOINT_VELOCITY: "joints",
    TCP_POSE: "pose",
    TCP_TWIST: "twist",
    WRENCH: "wrench",
    GRIPPER: "gripper",
}
"""Which part an element of a robot's own observations comes from."""
_RESTARTED_NS = 1_000_000_000
_KEPT = 16
_WORDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a robot knows of itself at one instant; `stamp` is that of the joints' header."""

    stamp: Any
    vectors: Mapping[str, Vector]
    fault: str
    commands: int


class RobotReader:
    """Joins the parts of one robot.

    Args:
        layout: of its driver's messages.
        chain: of its cell; gives pose and twist where no topic does, and the tool's place.
        spec: of a task; its vectors that are a robot's own are what is read.
        heard: parts that come over topics, out of joints, pose, twist, wrench, gripper.
        max_skew_s: how much older than the joints a part may be.
        max_slow_s: the same for parts that are slow.

    Raises:
        ConfigError: if the task observes what this robot does not tell, or other joints.
    """

    def __init__(
        self,
        layout: Layout,
        chain: SerialChainConfig,
        spec: ObservationSpec,
        heard: frozenset[str],
        *,
        max_skew_s: float,
        max_slow_s: float,
    ) -> None:
        self._layout = layout
        self._chain: SerialChain = chain.build()
        self._tool: Array = np.array(chain.tcp_pose)
        self._keys = tuple(key for key in spec.vectors if key in KEYS)
        self.parts = _parts(layout, self._chain, spec, heard)
        """Which are listened to."""
        self._bear_ns = {
            part: round(1e9 * (max_slow_s if part in layout.slow else max_skew_s))
            for part in self.parts
        }
        self._raw = RawMessages(layout)
        self._kept = {part: deque[RawSample](maxlen=_KEPT) for part in self.parts}
        self._awaited = self._in_step()
        self._wrong: dict[str, str] = {}
        self._missing: dict[str, str] = {}
        self._faults: dict[str, str] = {}
        self._commands = 0
        self._told_ns = 0
        self._tare = Tare()

    @property
    def complaint(self) -> str:
        """What is wrong or missing; empty if nothing is."""
        return "; ".join((self._missing | self._wrong).values())

    def hear(self, part: str, message: Any) -> Reading | None:
        """Take a sample in; returns the instant that it completes, if it does.

        Args:
            part: one of `parts`.
            message: of standard type, with a header.
        """
        try:
            sample = self._raw.read(part, message)
        except ContractError as error:
            self._wrong[part] = f"{part}: {error}"
            return None
        self._wrong.pop(part, None)
        if part == "joints" and sample.ns < self._told_ns:
            self._go_back(sample.ns)
        self._kept[part].append(sample)
        return self._complete() or self._nearly_complete()

    def hear_fault(self, source: str, words: str) -> None:
        """Somebody says why the robot obeys nobody; empty if they know of nothing."""
        self._faults[source] = words

    def hear_diagnostics(self, message: Any) -> None:
        """Take in what the robot's driver says of itself: its errors, and a count `commands`."""
        errors = [s.message for s in message.status if ord(s.level) >= 2]
        self.hear_fault("robot", "; ".join(errors))
        for status in message.status:
            for pair in status.values:
                if pair.key == "commands" and pair.value.isdecimal():
                    self._commands = int(pair.value)

    def zero(self) -> Array:
        """Take the wrench of the last instants as that of nothing touched; returns it.

        Raises:
            HardwareError: if there have been too few, or the tool moves.
        """
        return self._tare.zero()

    # When an instant is complete.

    def _complete(self) -> Reading | None:
        """The newest instant of which all parts have come, if it has not been told."""
        for joints in reversed(self._kept["joints"]):
            if joints.ns <= self._told_ns:
                return None
            if all(kept and kept[-1].ns >= joints.ns for kept in self._awaited):
                return self._told(joints)
        return None

    def _nearly_complete(self) -> Reading | None:
        """The newest instant that has been waited for long enough, if it has not been told."""
        newest = self._kept["joints"]
        for joints in reversed(newest):
            if joints.ns <= self._told_ns:
                return None
            if newest[-1].ns - joints.ns >= self._bear_ns["joints"]:
                return self._told(joints)
        return None

    def _go_back(self, ns: int) -> None:
        """The driver's stamps have gone back; after a second its time has begun anew."""
        back_ns = self._told_ns - ns
        self._missing["joints"] = f"joints: header.stamp went back by {back_ns / 1e9:.3f} s"
        if back_ns > _RESTARTED_NS:
            for part, kept in self._kept.items():
                fresh = [sample for sample in kept if sample.ns < self._told_ns - _RESTARTED_NS]
                self._kept[part] = deque(fresh, _KEPT)
            self._awaited = self._in_step()
            self._told_ns = 0

    def _in_step(self) -> list[deque[RawSample]]:
        return [self._kept[part] for part in self.parts - self._layout.slow]

    def _told(self, joints: RawSample) -> Reading | None:
        nearest = {
            part: min(kept, key=lambda sample: abs(sample.ns - joints.ns), default=None)
            for part, kept in self._kept.items()
        }
        parts = {part: sample for part, sample in nearest.items() if sample}
        missing = {part: self._misses(part, joints, nearest[part]) for part in nearest}
        self._missing = {part: words for part, words in missing.items() if words}
        if self._missing:
            return None
        self._told_ns = joints.ns
        vectors = self._vectors(parts)
        return Reading(
            stamp=joints.stamp,
            vectors={key: vectors[key].astype(np.float32) for key in self._keys},
            fault="; ".join(words for words in self._faults.values() if words)[:_WORDS],
            commands=self._commands,
        )

    def _misses(self, part: str, joints: RawSample, sample: RawSample | None) -> str:
        """Why a part cannot be told with these joints; empty if it can."""
        if sample is None:
            return f"{part}: nothing heard yet that could be used"
        older_ns, bear_ns = joints.ns - sample.ns, self._bear_ns[part]
        if abs(older_ns) <= bear_ns:
            return ""
        how = "older" if older_ns > 0 else "newer"
        return (
            f"{part}: {abs(older_ns) / 1e9:.3f} s {how} than the joints, at most "
            f"{bear_ns / 1e9:g} s is borne"
        )

    def _vectors(self, parts: Mapping[str, RawSample]) -> dict[str, Array]:
        position, velocity = parts["joints"].values
        vectors = {JOINT_POSITION: position, JOINT_VELOCITY: velocity}
        if "pose" in parts:
            vectors[TCP_POSE] = parts["pose"].values
        else:
            vectors[TCP_POSE] = self._chain.forward(position)
        if "twist" in parts:
            vectors[TCP_TWIST] = parts["twist"].values
        else:
            vectors[TCP_TWIST] = self._chain.jacobian(position) @ velocity
        if "wrench" in parts:
            untared = self._at_tcp(parts["wrench"], vectors[TCP_POSE])
            speed_m_s = float(np.linalg.norm(vectors[TCP_TWIST][:3]))
            vectors[WRENCH] = self._tare.taken_off(untared, speed_m_s)
        if "gripper" in parts:
            vectors[GRIPPER] = parts["gripper"].values
        return vectors

    def _at_tcp(self, wrench: RawSample, pose: Array) -> Array:
        place = self._layout.wrench_frames[wrench.frame]
        if place == "tcp":
            return wrench.values
        force, torque = wrench.values[:3], wrench.values[3:]
        turn = pose[3:]
        if place == "flange":
            torque, turn = torque - np.cross(self._tool[:3], force), self._tool[3:]
        back = quat_conjugate(turn)
        return np.concatenate([quat_rotate(back, force), quat_rotate(back, torque)])


def _parts(
    layout: Layout, chain: SerialChain, spec: ObservationSpec, heard: frozenset[str]
) -> frozenset[str]:
    needed = {KEYS[key] for key in spec.vectors if key in KEYS}
    silent = (needed & {"wrench", "gripper"}) - heard
    if silent:
        raise ConfigError(
            f"the task observes what this robot does not tell: {', '.join(sorted(silent))}; let a "
            "sensor's node deliver it, or choose another task"
        )
    joints = spec.vectors[JOINT_POSITION].size if JOINT_POSITION in spec.vectors else chain.joints
    if not len(layout.joints) == chain.joints == joints:
        raise ConfigError(
            f"the robot has {len(layout.joints)} joints ({', '.join(layout.joints)}), the cell's "
            f"chain {chain.joints}, the task's observation {joints}; expected the same"
        )
    return frozenset({"joints"} | (needed & heard))
