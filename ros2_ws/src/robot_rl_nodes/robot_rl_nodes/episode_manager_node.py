"""Runs episodes: resets robot and task, lets the policy bridge begin, waits until all is saved."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from robot_rl_msgs.msg import EpisodeEvent, PolicyStep, SafetyState
from robot_rl_msgs.srv import LabelEpisode

from robot_rl.core.types import GateState
from robot_rl_nodes.diagnostic import Level
from robot_rl_nodes.episode.action import EpisodeActions
from robot_rl_nodes.episode.label import Labels
from robot_rl_nodes.episode.message import event_message, state_message, step_from
from robot_rl_nodes.episode.parameter import MANAGER, patience
from robot_rl_nodes.episode.state import EpisodeMachine, Happening, Phase
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.process import main
from robot_rl_nodes.task import task_spec
from robot_rl_nodes.topic import (
    EPISODE_EVENT,
    EPISODE_LABEL,
    EPISODE_STATE,
    POLICY_STEP,
    REWARD,
    SAFETY_STATE,
)

_TICK_S = 0.05
_REPEAT_S = 1.0


class EpisodeManagerNode(ManagedNode):
    """Serves `episode/run`, one episode at a time, and tells of each on `episode/state`."""

    PARAMETERS = MANAGER

    def __init__(self, **of: Any) -> None:
        super().__init__("episode_manager", **of)

    def setup(self, values: Mapping[str, Any]) -> None:
        """See `ManagedNode`."""
        self.task = task_spec(values["task"])
        self.states = self.publish_on(EPISODE_STATE)
        self.events = self.publish_on(EPISODE_EVENT)
        wait = patience(values)
        self.machine = EpisodeMachine(wait, self.monotonic, self._happened, self._changed)
        self.actions = EpisodeActions(self, self.machine, self.task.name)
        labels = Labels(
            self.machine, self.task.name, self.events, self.publish_on(REWARD), self._stamp
        )
        self.told_s = 0.0
        self.listen_to(POLICY_STEP, self._hear_step)
        self.listen_to(SAFETY_STATE, self._hear_gate)
        self.listen_to(EPISODE_EVENT, self._hear_event)
        self.serve(LabelEpisode, EPISODE_LABEL, labels.label)
        self.every(_TICK_S, self._tick)

    def begin(self) -> None:
        """See `ManagedNode`."""
        self._changed()

    def rest(self) -> None:
        """End the episode; that it has ended still goes out."""
        self.machine.abandon("the episode manager was deactivated")
        self.actions.tick()

    def _tick(self) -> None:
        self.machine.tick()
        self.actions.tick()
        if time.monotonic() - self.told_s > _REPEAT_S:
            self._changed()

    def _changed(self) -> None:
        self.told_s = time.monotonic()
        machine = self.machine
        self.states.publish(state_message(machine, self.task, self._stamp()))
        level = Level.ERROR if machine.phase == Phase.FAULT else Level.OK
        self.diagnostics.set("episode", level, f"{machine.phase.name}: {machine.detail}")

    def _happened(self, happening: Happening) -> None:
        assert self.machine.run is not None
        self.events.publish(
            event_message(happening, self.machine.run, self.task.name, self._stamp())
        )

    def _stamp(self) -> Any:
        return self.get_clock().now().to_msg()

    def _hear_step(self, message: PolicyStep) -> None:
        self.machine.hear_step(step_from(message))
        self.actions.tell_progress()

    def _hear_gate(self, message: SafetyState) -> None:
        self.machine.hear_gate(GateState(message.state), str(message.cause))

    def _hear_event(self, message: EpisodeEvent) -> None:
        """The recorder's word; our own comes back here too, and is no news."""
        saved = message.kind == EpisodeEvent.SAVED
        if saved or (message.kind == EpisodeEvent.CANCELLED and message.by == "recorder"):
            self.machine.hear_recorder(str(message.episode_id), saved, str(message.detail))


if __name__ == "__main__":
    raise SystemExit(main(lambda context: EpisodeManagerNode(context=context)))
