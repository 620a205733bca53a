"""A person's judgement of an episode: of one that runs it is the end, of others a label."""

from __future__ import annotations

from typing import Any

from rclpy.publisher import Publisher
from robot_rl_msgs.srv import LabelEpisode

from robot_rl.core.types import Outcome
from robot_rl_nodes.episode.message import event_message, judgement_message
from robot_rl_nodes.episode.state import EpisodeMachine, Happening, Phase, Run


class Labels:
    """Serves `episode/label`.

    Args:
        machine: knows which episode runs.
        task: its name.
        events, rewards: where labels and judgements go.
        stamp: ROS time now, as messages carry it.
    """

    def __init__(
        self, machine: EpisodeMachine, task: str, events: Publisher, rewards: Publisher, stamp: Any
    ) -> None:
        self._machine, self._task = machine, task
        self._events, self._rewards, self._stamp = events, rewards, stamp

    def label(
        self, request: LabelEpisode.Request, response: LabelEpisode.Response
    ) -> LabelEpisode.Response:
        """Tell of the label; an empty name means the episode that runs, or ran last."""
        run, by = self._machine.run, str(request.by).strip()
        episode_id = str(request.episode_id) or (run.episode_id if run else "")
        if not by or not episode_id or request.outcome not in (Outcome.SUCCESS, Outcome.FAILURE):
            response.message = (
                f"got episode {episode_id!r}, by {by!r}, outcome {request.outcome}; expected an "
                "episode, a person, and 1 for success or 2 for failure"
            )
            return response
        outcome = Outcome(request.outcome)
        runs = self._machine.phase == Phase.RUNNING and run and run.episode_id == episode_id
        if runs:
            self._rewards.publish(judgement_message(outcome, by, self._stamp()))
        label = Run(episode_id=episode_id, seed=0, by=by, outcome=outcome)
        label.detail = str(request.comment)
        self._events.publish(event_message(Happening.LABELLED, label, self._task, self._stamp()))
        response.success = True
        response.message = f"{episode_id}: {outcome.name}{', which ends it' if runs else ''}"
        return response
