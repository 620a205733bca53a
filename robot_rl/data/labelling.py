"""Labels computed from an episode, or said by a person. Pure: the store keeps what they return.

Not here: labels that need a model or a policy (`robot_rl.runtime`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.episode import Episode
from robot_rl.core.errors import ContractError
from robot_rl.core.types import Outcome, Source
from robot_rl.data.store.label import Label

SUCCESS = "success"
"""Name of the label with a person's judgement, bool[1]."""
SPARSE = "sparse"
"""Name of the label of `sparse_reward`."""
RLIF = "rlif"
"""Name of the label of `rlif_reward`."""
PROGRESS = "progress"
"""Name of the label of `progress_to_success`."""

_HUMAN = (Source.HUMAN, Source.DEMO, Source.RESET)


def sparse_reward(episode: Episode) -> Label:
    """Return float32[T]: 1 on the last step of a success that ended the task, else 0."""
    values = np.zeros(len(episode), np.float32)
    if episode.terminated and episode.outcome == Outcome.SUCCESS:
        values[-1] = 1.0
    return Label(name=SPARSE, values=values, made_by="robot_rl.data.labelling:sparse_reward")


def rlif_reward(episode: Episode, *, late_steps: int = 1, task_scale: float = 0.0) -> Label:
    """Return float32[T]: -1 for what made a person step in, 0 elsewhere.

    Reinforcement learning from interventions (Luo et al. 2023, arXiv 2311.12996, section 4): the
    policy's last action before a take-over is what the person objected to. A person needs time
    to object, so the -1 may be shared by the last `late_steps` policy steps, back to the previous
    take-over at most: each intervention costs 1 in all. One at step 0 costs nothing, nobody but
    the person has acted then.

    Args:
        episode: as recorded.
        late_steps: policy steps that share the blame.
        task_scale: weight of the recorded reward, added to it; 0 is the paper's reward.

    Raises:
        ContractError: if late_steps < 1, or task_scale is not finite.
    """
    if late_steps < 1:
        raise ContractError(f"rlif reward: got late_steps {late_steps}, expected >= 1")
    if not np.isfinite(task_scale):
        raise ContractError(f"rlif reward: got task_scale {task_scale}, expected a finite number")
    values = np.zeros(len(episode), np.float32)
    for start in np.flatnonzero(episode.intervention_start):
        blamed = _policy_steps_before(episode.source, int(start), late_steps)
        values[blamed] -= 1.0 / max(len(blamed), 1)
    if task_scale:
        values += np.float32(task_scale) * episode.reward
    return Label(
        name=RLIF,
        values=values,
        made_by="robot_rl.data.labelling:rlif_reward",
        parameters={"late_steps": late_steps, "task_scale": task_scale},
    )


def progress_to_success(episode: Episode) -> Label:
    """Return float32[T + 1]: 1 - (time to go) / (time of the episode), from 0 up to 1.

    A target for value functions and progress rewards; a failure goes nowhere and has none.

    Raises:
        ContractError: if the episode is no success, or its stamps do not increase.
    """
    if episode.outcome != Outcome.SUCCESS:
        raise ContractError(
            f"episode {episode.episode_id}: outcome {episode.outcome.name.lower()}; only a "
            "success has progress towards one"
        )
    elapsed_ns = episode.stamps_ns - episode.stamps_ns[0]
    if not np.all(np.diff(elapsed_ns) > 0):
        raise ContractError(f"episode {episode.episode_id}: its time stamps do not increase")
    values = (elapsed_ns / elapsed_ns[-1]).astype(np.float32)
    made_by = "robot_rl.data.labelling:progress_to_success"
    return Label(name=PROGRESS, values=values, made_by=made_by)


def human_outcome(outcome: Outcome, by: str) -> Label:
    """Return bool[1]: true if the person `by` saw the episode succeed, false if fail.

    Read an episode with `outcome="success"` to see it as judged.

    Raises:
        ContractError: if the outcome is UNKNOWN, or nobody is named.
    """
    if outcome == Outcome.UNKNOWN:
        raise ContractError("a person's label is success or failure, got unknown")
    if not by.strip():
        raise ContractError("a person's label needs a name: who says so?")
    values = np.array([outcome == Outcome.SUCCESS], np.bool_)
    return Label(name=SUCCESS, values=values, made_by=by.strip())


def _policy_steps_before(source: NDArray[np.uint8], start: int, most: int) -> list[int]:
    """Return the last policy steps before `start`, back to the previous human step."""
    found: list[int] = []
    for step in range(start - 1, -1, -1):
        if source[step] in _HUMAN or len(found) == most:
            break
        if source[step] == Source.POLICY:
            found.append(step)
    return found
