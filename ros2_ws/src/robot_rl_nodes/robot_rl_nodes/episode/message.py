"""What the episode manager says and hears, as messages."""

from __future__ import annotations

import math
from typing import Any

from robot_rl_msgs.action import RunEpisode
from robot_rl_msgs.msg import EpisodeEvent, EpisodeState, PolicyStep, RewardStamped

from robot_rl.core.spec import TaskSpec
from robot_rl.core.types import Outcome, Source
from robot_rl_nodes.episode.state import WORDS, Ending, EpisodeMachine, Happening, Run, Step


def state_message(machine: EpisodeMachine, task: TaskSpec, stamp: Any) -> EpisodeState:
    """Return where the machine is."""
    run = machine.run or Run(episode_id="", seed=0)
    message = EpisodeState(
        phase=int(machine.phase),
        episode_id=run.episode_id,
        task=task.name[:64],
        seed=int(run.seed),
        step=int(run.steps),
        horizon=int(task.horizon),
        outcome=int(run.outcome),
        detail=machine.detail[:WORDS],
    )
    message.header.stamp = stamp
    return message


def event_message(happening: Happening, run: Run, task: str, stamp: Any) -> EpisodeEvent:
    """Return what has happened to an episode."""
    message = EpisodeEvent(
        kind=int(happening),
        episode_id=run.episode_id,
        task=task[:64],
        seed=int(run.seed),
        steps=int(run.steps),
        outcome=int(run.outcome),
        terminated=bool(run.terminated),
        truncated=bool(run.truncated),
        intervention_steps=int(run.intervention_steps),
        by=run.by[:64],
        detail=run.detail[:WORDS],
    )
    message.header.stamp = stamp
    return message


def judgement_message(outcome: Outcome, by: str, stamp: Any) -> RewardStamped:
    """Return a person's judgement of this instant: success is worth 1."""
    message = RewardStamped(
        reward=float(outcome == Outcome.SUCCESS),
        probability=math.nan,
        outcome=int(outcome),
        model_id=f"person:{by}"[:64],
    )
    message.header.stamp = stamp
    return message


def step_from(message: PolicyStep) -> Step:
    """Return what a step adds to its episode."""
    return Step(
        episode_id=str(message.episode_id),
        index=int(message.index),
        reward=float(message.reward),
        source=Source(message.source),
        outcome=Outcome(message.outcome),
        terminated=bool(message.terminated),
        truncated=bool(message.truncated),
    )


def result_message(run: Run) -> RunEpisode.Result:
    """Return how an episode has ended."""
    return RunEpisode.Result(
        reason=int(Ending.FAILED if run.ending is None else run.ending),
        outcome=int(run.outcome),
        terminated=bool(run.terminated),
        truncated=bool(run.truncated),
        steps=int(run.steps),
        intervention_steps=int(run.intervention_steps),
        reward=float(run.reward),
        episode_id=run.episode_id,
        detail=run.detail[:WORDS],
    )
