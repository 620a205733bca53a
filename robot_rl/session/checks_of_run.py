"""Checks of what a run needs beside the bench: disk, policy, reward, learner, person's devices."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from robot_rl.control.watchdog import watched
from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.errors import RobotRlError
from robot_rl.core.protocol import Operator, OperatorEvent
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.spec import ActionSpec
from robot_rl.core.types import Observation
from robot_rl.data.disk.durable import Disk
from robot_rl.data.store.recording import expected_bytes
from robot_rl.rewards.model import RewardModel
from robot_rl.session.preflight import Finding

_LOOK_S = 0.02
_WITHIN_S = 1.0
_SILENT_S = watched("device", "gate").limit_s


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskCheck:
    """There is room for some episodes of full length.

    Args:
        store: folder of the episodes; it need not be there yet.
        recording: what is recorded.
        disk: that it is on.
        episodes: that must fit.
    """

    store: Path
    recording: RecordingSpec
    disk: Disk
    episodes: int = 20
    name: str = "disk"

    def run(self) -> Finding:
        """See `Check`."""
        there = self.store.absolute()
        while not there.exists():
            there = there.parent
        if not os.access(there, os.W_OK):
            return Finding(
                good=False,
                words=f"{there} may not be written to",
                remedy="record to a folder of yours, or change its owner",
            )
        each, free = expected_bytes(self.recording), self.disk.free_bytes(there)
        # While an episode runs, its log is there too.
        fit = max(0, free // each - 1)
        words = f"room for {fit} episodes ({free / 1e9:.1f} GB in {there})"
        if fit >= self.episodes:
            return Finding(good=True, words=words)
        return Finding(
            good=False,
            words=f"{words}, expected at least {self.episodes}",
            remedy=f"free the disk (robot-rl data purge {self.store} removes deleted episodes), "
            "or record to another",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyCheck:
    """The policy plans in time.

    Args:
        plan: plans once and returns how long that took [s]; called twice, since the first plan
            may load and compile.
        within_s: that a plan may take.
    """

    plan: Callable[[], float]
    within_s: float
    name: str = "policy"

    def run(self) -> Finding:
        """See `Check`."""
        self.plan()
        took_s = self.plan()
        words = f"a plan takes {1e3 * took_s:.1f} ms, at most {1e3 * self.within_s:.0f} ms"
        if took_s <= self.within_s:
            return Finding(good=True, words=words)
        return Finding(
            good=False,
            words=words,
            remedy="plan with fewer calls or on a faster device, or play chunks while the next "
            "one is planned (the run's `chunking`)",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardCheck:
    """The reward model judges what is observed now.

    Args:
        model: loaded.
        observe: returns what is observed now.
        machine: the machine's monotonic clock.
    """

    model: RewardModel
    observe: Callable[[], Observation]
    machine: Clock
    name: str = "reward"

    def run(self) -> Finding:
        """See `Check`."""
        observation = self.observe()
        self.model.reset()
        began_ns = self.machine.now_ns()
        try:
            judgement = self.model.score(observation)
        except RobotRlError as error:
            remedy = "see that its weights belong to this task"
            return Finding(good=False, words=f"{self.model.name}: {error}", remedy=remedy)
        finally:
            self.model.reset()
        took_s = (self.machine.now_ns() - began_ns) / NS_PER_S
        if not math.isfinite(judgement.reward):
            words = f"{self.model.name} judges the present with {judgement.reward}"
            return Finding(good=False, words=words, remedy="see that its weights are whole")
        outcome = judgement.outcome.name.lower()
        words = f"{self.model.name} judges within {1e3 * took_s:.0f} ms: {outcome}"
        return Finding(good=True, words=words)


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerCheck:
    """Somebody improves the policy.

    Args:
        loss: why the learner is lost, in words; empty while it lives.
    """

    loss: Callable[[], str]
    name: str = "learner"

    def run(self) -> Finding:
        """See `Check`."""
        if why := self.loss():
            remedy = "end the session and start it anew: it goes on from its last checkpoint"
            return Finding(good=False, words=why, remedy=remedy)
        return Finding(good=True, words="alive")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCheck:
    """A person's device is open, is heard, and rests.

    Args:
        device: at the bench.
        name: unlike those of other devices.
        clock: of the bench, which stamps what is heard.
        machine: the machine's monotonic clock.
        observe: returns what is observed now, for devices that follow the arm.
        stop: latches the emergency stop: it counts here, too.
        action: of the task.
    """

    device: Operator
    name: str
    action: ActionSpec
    clock: Clock
    machine: Clock
    observe: Callable[[], Observation]
    stop: Callable[[str], None]

    def run(self) -> Finding:
        """See `Check`."""
        deadline_ns = self.machine.now_ns() + round(_WITHIN_S * NS_PER_S)
        while True:
            finding = self._look()
            if finding.good or self.machine.now_ns() >= deadline_ns:
                return finding
            self.machine.sleep_until_ns(self.machine.now_ns() + round(_LOOK_S * NS_PER_S))

    def _look(self) -> Finding:
        try:
            said = self.device.poll(self._observed())
        except RobotRlError as error:
            remedy = "see that it is connected, and that you may open it"
            return Finding(good=False, words=str(error), remedy=remedy)
        if OperatorEvent.STOP in said.events:
            self.stop(f"{self.name}: stop pressed while the devices were checked")
        if why := self.action.misfit(said.action):
            remedy = "name the task's elements in the device's `action`"
            return Finding(good=False, words=f"it {why}", remedy=remedy)
        if said.active:
            return Finding(good=False, words="it moves", remedy="let go of it")
        if said.heard_ns is None:
            return Finding(good=True, words="open and at rest")
        age_s = (self.clock.now_ns() - said.heard_ns) / NS_PER_S
        if not 0 <= age_s <= _SILENT_S:
            return Finding(
                good=False,
                words=f"heard {age_s:.2f} s ago, at most {_SILENT_S:g} s are borne",
                remedy="see that it is connected and switched on",
            )
        return Finding(good=True, words="heard and at rest")

    def _observed(self) -> Observation:
        try:
            return self.observe()
        except RobotRlError:
            # Told by the check of the streams; a device that follows no arm does without.
            return Observation(stamp_ns=self.clock.now_ns(), vectors={})
