"""Small stories of a gate, each with what must not happen in it.

A story returns what went wrong in words, nothing if the gate is whole, and every reason that the
gate gave. An exception counts as wrong too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from gate_arm import ANYTHING, CELLS, Cell, Station, joints
from gate_faults import COMMAND_FAULTS, OBSERVATION_FAULTS
from gate_oracle import Oracle

from robot_rl.core.errors import ContractError
from robot_rl.core.types import GateReason, GateState, SafeAction, Source

PERIOD_S = 0.01


@dataclass
class Story:
    """A station whose arm obeys, with an oracle that judges every command."""

    cell: Cell
    period_s: float = PERIOD_S
    smooth: bool = True
    wrong: list[str] = field(default_factory=list)
    reasons: set[GateReason] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.station = Station(self.cell, self.period_s)
        self.gate = self.station.gate
        self.oracle = Oracle(self.station)
        self.rng = np.random.default_rng(0)

    def ask(self, *action: float) -> np.ndarray:
        """A normalised action, filled up with zeros."""
        filled = np.zeros(self.cell.size, np.float32)
        filled[: len(action)] = action
        return filled

    def step(
        self, *action: float, command: Any = None, seen: Any = None, smooth: bool = True
    ) -> SafeAction:
        """Check, judge, obey and wait for a period."""
        station = self.station
        command = command if command is not None else station.command(self.ask(*action))
        safe = self.gate.check(command, seen if seen is not None else station.observe())
        self.oracle.judge(safe, smooth=self.smooth and smooth)
        self.wrong += self.oracle.broken
        self.oracle.broken.clear()
        self.reasons.add(safe.reason)
        runs = safe.state == GateState.RUN
        if runs == safe.reason.refuses and safe.reason != GateReason.FORCE:
            self.wrong.append(f"{safe.reason.name} in {safe.state.name}")
        if np.isfinite(safe.values).all():
            station.arm.move(np.array(safe.values, float))
        station.clock.advance_s(self.period_s)
        return safe

    def expect(self, holds: bool, what: str) -> None:
        """Note what should have been."""
        if not holds:
            self.wrong.append(what)


def free(**changes: Any) -> Cell:
    """A point without anything in its way."""
    return Cell(kind="tcp_delta", start=(0.0,) * 3, limits=ANYTHING | joints(0) | changes)


def bad_command(name: str) -> Callable[[], Story]:
    """Every variety of one fault of commands, each at full speed."""

    def tell() -> Story:
        story = Story(free())
        make, reason = COMMAND_FAULTS[name]
        for _ in range(12):
            for _ in range(20):
                story.station.used = story.step(1.0) and story.station.sequence
            command = make(story.station, story.station.command(story.ask(1.0)), story.rng)
            # `None` stands for no command given to `step`.
            safe = story.step(command=command if command is not None else 7)
            story.expect(safe.reason == reason, f"{name}: {safe.reason.name}")
            story.gate.resume("Ada")
        return story

    return tell


def bad_observation(name: str) -> Callable[[], Story]:
    """Every variety of one fault of observations, each at full speed."""

    def tell() -> Story:
        story = Story(free())
        make, reason = OBSERVATION_FAULTS[name]
        for _ in range(12):
            for _ in range(20):
                story.step(0.0, 1.0)
            seen = make(story.station, story.station.observe(), story.rng)
            safe = story.step(0.0, 1.0, seen=seen if seen is not None else 7)
            story.expect(safe.reason == reason, f"{name}: {safe.reason.name}")
            story.gate.resume("Ada")
        return story

    return tell


def towards_a_face() -> Story:
    story = Story(free(workspace_max_m=(0.1, 9.0, 9.0)))
    for _ in range(150):
        story.step(1.0)
    story.expect(story.station.arm.position[0] > 0.099, "the face was not reached")
    return story


def along_a_face() -> Story:
    story = Story(free(workspace_max_m=(0.1, 9.0, 9.0)))
    for _ in range(60):
        story.step(0.5, 0.5)
    for _ in range(60):
        before = story.station.arm.position[1]
        story.step(0.5, 0.5)
        moved = story.station.arm.position[1] - before
        story.expect(moved > 0.0014, f"held up at the face: {moved}")
    return story


def towards_a_plane() -> Story:
    plane = {"normal": (-0.6, 0.0, 0.8), "offset_m": -0.06}
    story = Story(free(workspace_planes=(plane,)))
    for _ in range(150):
        story.step(1.0, 0.3)
    story.expect(GateReason.WORKSPACE in story.reasons, "the plane was not met")
    return story


def to_and_fro() -> Story:
    story = Story(CELLS["point"])
    for k in range(400):
        story.step(*np.where(k // 13 % 2, 1.5, -1.5) * np.array([0.6, -1, 0.3, 1, 0, 0.4]))
    return story


def joints_to_and_fro() -> Story:
    story = Story(CELLS["joints"])
    for k in range(600):
        story.step(*np.where(k // np.array([90, 17, 29]) % 2, 1.5, -1.5))
    story.expect(GateReason.JOINT_LIMIT in story.reasons, "no joint came to its end")
    return story


def tcp_against_joint_limits() -> Story:
    cell = CELLS["fr3"]
    lower = (-2.8, -1.7, -2.8, -2.5, -2.8, 0.0, -2.8)
    story = Story(replace(cell, limits=cell.limits | {"joint_lower_rad": lower}), smooth=False)
    for _ in range(150):
        story.step(-1.0, 0.0, -0.5)
    story.expect(GateReason.JOINT_LIMIT in story.reasons, "no joint came to its end")
    return story


def tcp_with_slow_joints() -> Story:
    cell = CELLS["fr3"]
    slow = {"max_joint_velocity_rad_s": (0.2,) * 7}
    story = Story(replace(cell, limits=cell.limits | slow), smooth=False)
    for k in range(100):
        story.step(0.0, np.sin(k / 9), 0.0, 0.5)
    return story


def elbow_with_a_slow_tcp() -> Story:
    cell = CELLS["elbow"]
    slow = {"max_tcp_speed_m_s": 0.05, "max_tcp_angular_speed_rad_s": 0.5}
    story = Story(replace(cell, limits=cell.limits | slow), smooth=False)
    for k in range(200):
        story.step(np.sin(k / 20), np.cos(k / 13))
    return story


def elbow_against_the_box() -> Story:
    cell = replace(CELLS["elbow"], ball=None)
    story = Story(replace(cell, limits=cell.limits | {"workspace_max_m": (0.4, 0.3, 1.0)}))
    story.smooth = False
    for _ in range(200):
        story.step(0.0, -1.0)
    story.expect(GateReason.WORKSPACE in story.reasons, "the box was not met")
    return story


def into_a_ball() -> Story:
    story = Story(CELLS["elbow"], smooth=False)
    for _ in range(150):
        story.step(0.3, -1.0)
    story.expect(GateReason.COLLISION in story.reasons, "the ball was not met")
    return story


def into_a_singularity() -> Story:
    cell = CELLS["fr3"]
    wide = {"workspace_min_m": (-9.0,) * 3, "workspace_max_m": (9.0,) * 3}
    story = Story(replace(cell, limits=cell.limits | wide), smooth=False)
    chain = story.station.arm.chain
    assert chain is not None
    for _ in range(600):
        story.step(1.0, 0.0, 0.3)
        values = np.linalg.svd(chain.jacobian(story.station.arm.q), compute_uv=False)
        story.expect(values[0] / values[-1] < 31.0, f"condition {values[0] / values[-1]:.1f}")
    story.expect(GateReason.SINGULARITY in story.reasons, "the singularity was not met")
    return story


def pressing() -> Story:
    # The tool looks down, and so the table is felt against its own z.
    story = Story(free(), smooth=False)
    for force_n in (0.0, 31.0, 31.0, 45.0, 29.0):
        story.station.arm.force_n = force_n
        for _ in range(15):
            safe = story.step(0.2, 0.0, -1.0)
            if force_n > 30.0:
                story.expect(safe.values[2] >= 0.0, f"pressed on at {force_n} N")
                story.expect(safe.values[0] > 0.0, "did not slide")
    return story


def hit() -> Story:
    story = Story(free(), smooth=False)
    story.step(0.0, 0.0, -1.0)
    story.station.arm.force_n = 61.0
    story.step(0.0, 0.0, -1.0)
    story.station.arm.force_n = 0.0
    for _ in range(5):
        story.gate.resume("Ada")
        story.step(1.0)
    story.expect(story.gate.state == GateState.STOP, f"state {story.gate.state.name}")
    return story


def out_of_range() -> Story:
    quick = {name: 1e6 for name in ANYTHING if name.startswith(("max_tcp", "max_force"))}
    story = Story(free(workspace_min_m=(-1e9,) * 3, workspace_max_m=(1e9,) * 3, **quick))
    for _ in range(3):
        safe = story.step(5.0, -3e4, 0.5)
        scale = np.array(story.gate.action.scale)
        story.expect(bool((np.abs(safe.values) <= scale * 1.001).all()), "out of range")
    return story


def stopped_at_full_speed() -> Story:
    story = Story(free())
    for _ in range(40):
        story.step(1.0)
    story.gate.stop("button")
    for _ in range(30):
        safe = story.step(1.0)
    story.expect(not safe.values.any(), "did not come to rest")
    story.gate.reset()
    story.station.grant(Source.POLICY)
    story.expect(story.step(1.0).state == GateState.STOP, "went on by itself")
    try:
        story.gate.clear(" ")
        story.wrong.append("cleared by nobody")
    except ContractError:
        pass
    return story


def pausing() -> Story:
    story = Story(free())
    story.expect(story.step(0.0).reason == GateReason.PASSED, "rest was refused")
    for _ in range(40):
        story.step(1.0)
    story.station.clock.advance_s(5.0)
    story.oracle.forget()
    story.step(1.0)
    return story


def stale_and_back() -> Story:
    story = Story(free())
    make, _ = COMMAND_FAULTS["old"]
    for _ in range(3):
        story.step(1.0)
        story.step(command=make(story.station, story.station.command(story.ask(1.0)), story.rng))
        states = [story.step(1.0).state for _ in range(3)]
        expected = [GateState.HOLD, GateState.HOLD, GateState.RUN]
        story.expect(states == expected, f"{[s.name for s in states]}")
    return story


def faulty_and_back() -> Story:
    story = Story(free())
    story.step(np.nan)
    for _ in range(20):
        story.expect(story.step(1.0).state == GateState.HOLD, "went on by itself")
    return story


def held_from_outside() -> Story:
    story = Story(free())
    for reason in (GateReason.FROZEN, GateReason.OVERRUN, GateReason.PEER_LOST):
        for _ in range(20):
            story.step(1.0)
        story.gate.hold(reason, "said somebody")
        safe = story.step(1.0)
        story.expect(safe.reason == reason, f"{safe.reason.name} for {reason.name}")
        states = [story.step(1.0).state for _ in range(20)]
        waits = states[-1] == GateState.HOLD
        story.expect(waits == (reason == GateReason.PEER_LOST), f"{reason.name} in {states}")
        story.gate.resume("Ada")
    return story


def _named(make: Callable[[str], Callable[[], Story]], names: Iterable[str]) -> dict[str, Any]:
    return {name: make(name) for name in names}


SCENARIOS: dict[str, Callable[[], Story]] = {
    **{f"command: {n}": tell for n, tell in _named(bad_command, COMMAND_FAULTS).items()},
    **{f"observation: {n}": t for n, t in _named(bad_observation, OBSERVATION_FAULTS).items()},
    **{
        tell.__name__.replace("_", " "): tell
        for tell in (
            towards_a_face,
            along_a_face,
            towards_a_plane,
            to_and_fro,
            joints_to_and_fro,
            tcp_against_joint_limits,
            tcp_with_slow_joints,
            elbow_with_a_slow_tcp,
            elbow_against_the_box,
            into_a_ball,
            into_a_singularity,
            pressing,
            hit,
            out_of_range,
            stopped_at_full_speed,
            pausing,
            stale_and_back,
            faulty_and_back,
            held_from_outside,
        )
    },
}
