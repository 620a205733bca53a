"""Steps to learn from, in memory. Rebuilt from the episode store; never saved itself.

A step names its own two frames, so nothing is inferred from the slot beside it. What is drawn
from a buffer, and how often, is decided in `sampling`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.episode import Episode
from robot_rl.core.errors import ContractError, did_you_mean
from robot_rl.core.spec import ObservationSpec
from robot_rl.core.types import Image, Observation, Source, Transition, Vector
from robot_rl.data.replay.frame_ring import FrameRing
from robot_rl.data.replay.step_columns import (
    ACTION_COLUMNS,
    SCALAR_COLUMNS,
    check_row,
    empty_columns,
    episode_row,
    transition_row,
)
from robot_rl.data.replay.window import Window


class ReplayBuffer:
    """A ring of steps over a ring of frames.

    It holds at most `capacity` steps. Frames have room for `capacity` steps and a quarter as many
    episodes; where episodes are shorter than four steps the frames run out first, and the oldest
    steps go earlier. A step goes before either of its frames does.

    Args:
        capacity: steps kept at most.
        observation: what is kept of an observation; other keys are left out.
        action_dim: length of an action.
        offline: these are demonstrations or other data that this run did not make.

    Raises:
        ContractError: if `capacity` or `action_dim` is below one.
    """

    def __init__(
        self,
        capacity: int,
        observation: ObservationSpec,
        action_dim: int,
        *,
        offline: bool = False,
    ) -> None:
        if capacity < 1 or action_dim < 1:
            raise ContractError(
                f"replay buffer: got capacity {capacity} and action_dim {action_dim}, "
                "expected at least 1 of each"
            )
        self.capacity = capacity
        self.observation = observation
        self.action_dim = action_dim
        self.offline = offline
        self._frames = FrameRing(capacity + capacity // 4 + 1, observation)
        self._columns = empty_columns(capacity, action_dim)
        self._first = 0
        self._end = 0
        self._episode_ids: list[str] = []
        self._last_observation: Observation | None = None
        self._last_frame = -1

    def __len__(self) -> int:
        return self._end - self._first

    def add(self, transition: Transition) -> None:
        """Add one step. Steps may be left out; those that are there keep their own next frame.

        The frame is shared if `observation` is the very object that the step added before this
        one, of the same episode, had as its `next_observation`.

        Raises:
            ContractError: if shapes, keys or dtypes differ from the spec, or a number is not
                finite; nothing is added then.
        """
        row = transition_row(transition)
        check_row(row, self.action_dim)
        before, after = transition.observation, transition.next_observation
        frame = self._frame(before.vectors, before.images)
        next_frame = self._frame(after.vectors, after.images)
        if self._last_observation is None or (self._episode_ids[-1] != transition.episode_id):
            self._begin_episode(transition.episode_id)
        if before is not self._last_observation:
            self._last_frame = self._frames.put(*frame)
        self._append(row, next_frame)
        self._last_observation = after

    def add_episode(self, episode: Episode) -> None:
        """Add all steps of an episode.

        Raises:
            ContractError: as `add`; nothing is added then.
        """
        rows = [episode_row(episode, t) for t in range(len(episode))]
        frames = [
            self._frame(
                {key: column[t] for key, column in episode.vectors.items()},
                {key: column[t] for key, column in episode.images.items()},
            )
            for t in range(len(episode) + 1)
        ]
        for row in rows:
            check_row(row, self.action_dim)
        self._begin_episode(episode.episode_id)
        self._last_frame = self._frames.put(*frames[0])
        for row, next_frame in zip(rows, frames[1:], strict=True):
            self._append(row, next_frame)
        self._last_observation = None

    def column(self, name: str) -> NDArray[Any]:
        """Return a copy of one column, oldest step first.

        Columns: `action`, `base_action`, `next_base_action`, `proposed_action`, `reward`,
        `terminated`, `truncated`, `source`, `intervention_start`, `episode`, `step`,
        `policy_version`, `frame`, `next_frame`, and `continues`: this step follows the one
        before it in the same episode without a gap.

        Raises:
            ContractError: if there is no such column.
        """
        if name not in self._columns:
            raise ContractError(f"no column {name!r}{did_you_mean(name, self._columns)}")
        return self._columns[name][np.arange(self._first, self._end) % self.capacity]

    @property
    def state(self) -> dict[str, Any]:
        """What a buffer refilled for a resume must equal: size, episodes in order, and a digest.

        JSON values; buffers with equal states give a sampler the same batches. Images are not
        in the digest.
        """
        digest = hashlib.sha256()
        for name in (*ACTION_COLUMNS, *SCALAR_COLUMNS):
            digest.update(self.column(name).tobytes())
        for frames in (self.column("frame"), self.column("next_frame")):
            digest.update(self._frames.vectors(frames).tobytes())
        # The oldest step's own link leads to a step that is gone.
        digest.update(self.column("continues")[1:].tobytes())
        numbers: list[int] = self.column("episode").tolist()
        return {
            "steps": len(self),
            "episodes": [self._episode_ids[number] for number in dict.fromkeys(numbers)],
            "sha256": digest.hexdigest(),
        }

    def windows(self, positions: NDArray[np.int64], n_step: int, gamma: float) -> Window:
        """Return the n-step windows that begin at `positions` int64[b], 0 being the oldest step.

        R = sum over i < k of gamma^i r_{t+i}. k is `n_step`, or less where the episode ends or
        its next step is not there. The window bootstraps from the next observation and next base
        action of its own last step with discount gamma^k, which is 0 only after termination.
        """
        columns, ahead = self._columns, np.arange(n_step)
        powers = gamma ** np.arange(n_step + 1)
        first = (self._first + positions) % self.capacity
        slots = (first[:, None] + ahead) % self.capacity
        going = columns["continues"].take(slots)
        going[:, 0] = True
        going &= positions[:, None] + ahead < len(self)
        going = np.logical_and.accumulate(going, axis=1)
        rewards = columns["reward"].take(slots).astype(np.float64)
        reward = (rewards * (powers[:-1] * going)).sum(axis=1)
        length = going.sum(axis=1)
        last = (first + length - 1) % self.capacity
        discount = np.where(columns["terminated"].take(last), 0.0, powers.take(length))
        return self._window(first, last, reward, discount)

    def _window(
        self,
        first: NDArray[np.int64],
        last: NDArray[np.int64],
        reward: NDArray[np.floating[Any]],
        discount: NDArray[np.floating[Any]],
    ) -> Window:
        columns = self._columns
        frames, next_frames = columns["frame"].take(first), columns["next_frame"].take(last)
        return Window(
            observation=self._frames.vectors(frames),
            next_observation=self._frames.vectors(next_frames),
            images=self._frames.images(frames),
            next_images=self._frames.images(next_frames),
            action=columns["action"].take(first, axis=0),
            base_action=columns["base_action"].take(first, axis=0),
            next_base_action=columns["next_base_action"].take(last, axis=0),
            proposed_action=columns["proposed_action"].take(first, axis=0),
            reward=reward.astype(np.float32),
            discount=discount.astype(np.float32),
            human=columns["source"].take(first) == Source.HUMAN,
            offline=np.full(len(first), self.offline),
        )

    def _begin_episode(self, episode_id: str) -> None:
        self._episode_ids.append(episode_id)
        self._last_observation = None

    def _frame(
        self, vectors: Mapping[str, Vector], images: Mapping[str, Image]
    ) -> tuple[Vector, dict[str, Image]]:
        kept = {key: vectors[key] for key in self.observation.vectors if key in vectors}
        kept_images = {key: images[key] for key in self.observation.images if key in images}
        self.observation.check(kept, kept_images)
        packed = self.observation.pack(kept)
        if not np.isfinite(packed).all():
            bad = [key for key, vector in kept.items() if not np.isfinite(vector).all()]
            raise ContractError(f"observation is not finite in {', '.join(bad)}")
        return packed, kept_images

    def _append(self, row: Mapping[str, Any], next_frame: tuple[Vector, dict[str, Image]]) -> None:
        """Add a step from the frame that was put last to one that is put now."""
        frame, self._last_frame = self._last_frame, self._frames.put(*next_frame)
        continues = len(self) > 0 and self._continues(row["step"])
        if len(self) == self.capacity:
            self._first += 1
        whole = {
            **row,
            "frame": frame,
            "next_frame": self._last_frame,
            "episode": len(self._episode_ids) - 1,
            "continues": continues,
        }
        slot = self._end % self.capacity
        for name, value in whole.items():
            self._columns[name][slot] = value
        self._end += 1
        while self._columns["frame"][self._first % self.capacity] < self._frames.oldest:
            self._first += 1

    def _continues(self, step: int) -> bool:
        columns, slot = self._columns, (self._end - 1) % self.capacity
        ended = columns["terminated"][slot] or columns["truncated"][slot]
        follows = (
            columns["episode"][slot] == len(self._episode_ids) - 1
            and columns["step"][slot] + 1 == step
        )
        return bool(follows and not ended)
