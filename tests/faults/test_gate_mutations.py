"""Take any one check out of the gate, and some story ends badly: no check is there for nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from gate_scenarios import SCENARIOS, Story

from robot_rl.control import gate_record, limiter, safety
from robot_rl.control.clearance import Room
from robot_rl.control.continuity import Continuity
from robot_rl.control.gate_record import GateRecord
from robot_rl.control.motion import joint_space, tcp_space
from robot_rl.control.motion.bound import Bounds
from robot_rl.control.motion.distance import Distance
from robot_rl.control.motion.law import MotionLaw
from robot_rl.control.motion.singularity import Singularity
from robot_rl.control.motion.stop_plan import StopPlan
from robot_rl.control.motion.wish import Wish
from robot_rl.control.permission import Permission
from robot_rl.control.safety import SafetyGate
from robot_rl.core.types import GateReason

Patch = Callable[[pytest.MonkeyPatch], None]
FAR = 1e9


def silent(owner: Any, name: str, reason: GateReason | None = None) -> Patch:
    """A refusing function that refuses no more, or not for this reason."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        true = getattr(owner, name)

        def refuse(*arguments: Any) -> Any:
            refusal = true(*arguments)
            refused = refusal is not None and reason in (None, refusal[0])
            return None if refused else refusal

        monkeypatch.setattr(owner, name, refuse)

    return patch


def instead(owner: Any, name: str, value: Any) -> Patch:
    """Something else in place of a function or a number."""
    return lambda monkeypatch: monkeypatch.setattr(owner, name, value)


def endless(name: str) -> Patch:
    """Ends out of reach, wherever rooms are made by this function."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (tcp_space, joint_space):
            true = getattr(module, name)

            def build(limits: Any, period_s: float, true: Any = true) -> Room:
                room = true(limits, period_s)
                changes = [change for _, _, change in room._rows]
                return Room([-FAR] * len(changes), [FAR] * len(changes), changes, 1.0)

            monkeypatch.setattr(module, name, build)

    return patch


def unlimited(field: str) -> Patch:
    """Parts of a command without one of their limits."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("_tcp_parts", "_joint_parts"):
            true = getattr(limiter, name)
            monkeypatch.setattr(
                limiter,
                name,
                lambda limits, t, true=true: [
                    replace(part, **{field: FAR}) for part in true(limits, t)
                ],
            )

    return patch


def without(space: Any, **fields: Any) -> Patch:
    """A space of which something is replaced once it is made."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        true = space.__init__

        def init(self: Any, *arguments: Any) -> None:
            true(self, *arguments)
            for name, make in fields.items():
                setattr(self, name, make(self))

        monkeypatch.setattr(space, "__init__", init)

    return patch


def no_planes(monkeypatch: pytest.MonkeyPatch) -> None:
    true = tcp_space.Planes
    monkeypatch.setattr(
        tcp_space,
        "Planes",
        lambda limits, t: true(limits.model_copy(update={"workspace_planes": ()}), t),
    )


def no_force(monkeypatch: pytest.MonkeyPatch) -> None:
    true = safety.read
    monkeypatch.setattr(safety, "read", lambda *arguments: replace(true(*arguments), force=None))


def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal that stops the arm without braking."""
    monkeypatch.setattr(limiter.Limiter, "brake", lambda self, *_: self.rest())


def believing_the_straight_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A way to rest that is not counted beyond the command itself."""
    monkeypatch.setattr(StopPlan, "reach", property(lambda self: (1.0, 0.0)))


def taking_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def follow(self: MotionLaw, low: Any, high: Any, best: Any, *_: Any) -> Any:
        return replace(best, step=high.step, change=high.change)

    monkeypatch.setattr(MotionLaw, "_bisect", follow)


CHECKS: dict[str, tuple[str, Patch]] = {
    "the command's types": (
        "command: odd number",
        silent(safety, "refuse_command", GateReason.SHAPE),
    ),
    "the action's shape": (
        "command: odd action",
        silent(safety, "refuse_command", GateReason.SHAPE),
    ),
    "finite actions": (
        "command: not finite",
        silent(safety, "refuse_command", GateReason.NON_FINITE),
    ),
    "the observation's types": (
        "observation: seen none",
        silent(safety, "refuse_observation", GateReason.SHAPE),
    ),
    "the observation's shapes": (
        "observation: seen odd vector",
        silent(safety, "refuse_observation", GateReason.SHAPE),
    ),
    "finite observations": (
        "observation: seen not finite",
        silent(safety, "refuse_observation", GateReason.OBSERVATION_NON_FINITE),
    ),
    "rotations": (
        "observation: seen no rotation",
        silent(safety, "refuse_observation", GateReason.OBSERVATION_NON_FINITE),
    ),
    "missing streams": (
        "observation: seen missing",
        silent(safety, "refuse_observation", GateReason.STALE_OBSERVATION),
    ),
    "lease": ("command: other lease", silent(Permission, "refuse", GateReason.LEASE)),
    "mode": ("command: other source", silent(Permission, "refuse", GateReason.MODE)),
    "sequence": ("command: repeated", silent(Permission, "refuse", GateReason.SEQUENCE)),
    "age of commands": ("command: old", silent(safety, "refuse_command_age")),
    "commands from the future": ("command: from the future", silent(safety, "refuse_command_age")),
    "age of observations": ("observation: seen old", silent(safety, "refuse_observation_age")),
    "age of streams": (
        "observation: seen of unknown age",
        silent(safety, "refuse_observation_age"),
    ),
    "jumps": ("observation: seen spiked", silent(Continuity, "refuse")),
    "latched stop": ("stopped at full speed", instead(GateRecord, "latch", lambda *_: None)),
    "named person": ("stopped at full speed", instead(safety, "_check_name", lambda *_: None)),
    "holds that wait for a person": (
        "faulty and back",
        instead(gate_record, "_PASSING", frozenset(GateReason)),
    ),
    "fresh samples": ("stale and back", silent(GateRecord, "admit", GateReason.RESUMING)),
    "holds from outside": ("held from outside", instead(GateRecord, "hold", lambda *_: None)),
    "range": ("out of range", instead(safety, "_clip", lambda action: (action, False))),
    "workspace box": ("towards a face", endless("workspace_room")),
    "workspace box of joint deltas": ("elbow against the box", endless("workspace_room")),
    "workspace planes": ("towards a plane", no_planes),
    "joint limits": ("joints to and fro", endless("joint_room")),
    "joint limits of tcp deltas": ("tcp against joint limits", endless("joint_room")),
    "braking distance": ("towards a face", believing_the_straight_line),
    "a way to rest": ("towards a face", taking_what_does_not_fit),
    "room beside motion along a face": (
        "along a face",
        instead(Wish, "leave_room", lambda self, wish, *_: (wish, GateReason.PASSED)),
    ),
    "rows of the bounds": ("towards a face", instead(Bounds, "broken", lambda *_: [])),
    "speed": ("to and fro", unlimited("step")),
    "acceleration": ("to and fro", unlimited("change")),
    "jerk": ("to and fro", unlimited("jerk")),
    "speed of joints": ("joints to and fro", unlimited("step")),
    "acceleration of joints": ("joints to and fro", unlimited("change")),
    "jerk of joints": ("joints to and fro", unlimited("jerk")),
    "joint speed of tcp deltas": (
        "tcp with slow joints",
        without(tcp_space.TcpSpace, joint_steps=lambda space: [FAR] * len(space.joint_steps)),
    ),
    "tcp speed of joint deltas": (
        "elbow with a slow tcp",
        without(
            joint_space.JointSpace,
            speeds=lambda space: [replace(ball, most=FAR) for ball in space.speeds],
        ),
    ),
    "singularity": ("into a singularity", instead(Singularity, "factor", lambda *_: 1.0)),
    "collision": ("into a ball", instead(Distance, "near", lambda *_: [])),
    "contact": ("pressing", no_force),
    "hard contact": ("hit", instead(safety, "_STOP_FACTOR", math.inf)),
    "braking on a refusal": ("stopped at full speed", at_once),
    "missed periods": ("pausing", instead(SafetyGate, "_catch_up", lambda *_: None)),
}


def outcome(name: str) -> Story | str:
    """How a story ends; an exception is not how it may."""
    try:
        return SCENARIOS[name]()
    except Exception as error:  # noqa: BLE001 - whatever it is, the gate let it through
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_story_ends_well_with_the_whole_gate(name):
    story = outcome(name)
    assert isinstance(story, Story), story
    assert story.wrong == []


@pytest.mark.parametrize("check", CHECKS)
def test_gate_without_a_check_lets_something_through(check, monkeypatch):
    name, patch = CHECKS[check]
    patch(monkeypatch)
    story = outcome(name)
    assert isinstance(story, str) or story.wrong


def test_every_reason_is_given_in_some_story():
    given = {reason for tell in SCENARIOS.values() for reason in tell().reasons}
    assert given == set(GateReason)
