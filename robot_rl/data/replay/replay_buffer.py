"""Steps to learn from. Rebuilt from the episode store; never saved itself.

A step names its own two frames, so nothing is inferred from the slot beside it. What is drawn
from a buffer, and how often, is decided in `sampling`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.episode import Episode
from robot_rl.core.errors import ContractError, did_you_mean
from robot_rl.core.spec import ObservationSpec
from robot_rl.core.types import Image, Observation, Source, Transition, Vector
from robot_rl.data.replay.array_pool import ArrayPool
from robot_rl.data.replay.frame_ring import FrameRing, Ids
from robot_rl.data.replay.gathering import ImageGather, PlainGather, Rows
from robot_rl.data.replay.n_step import fold
from robot_rl.data.replay.step_columns import (
    ACTION_COLUMNS,
    SCALAR_COLUMNS,
    check_row,
    check_rows,
    empty_columns,
    episode_rows,
    transition_row,
)
from robot_rl.data.replay.window import Window


class ReplayBuffer:
    """A ring of steps over a ring of frames.

    It holds at most `capacity` steps. An episode of T steps has T + 1 frames; there is room for
    `capacity` frames and one more for every 32. Where runs of steps that follow each other are
    shorter than 32 steps the frames run out first, and the oldest steps go earlier.

    One thread may add while another one samples, without a lock: a step is retired before
    anything of it or of its frames is overwritten, and counts as added after all of it is
    written. What was read of steps that are still `alive` afterwards is therefore whole.

    Args:
        capacity: steps kept at most.
        observation: what is kept of an observation; other keys are left out.
        action_dim: length of an action.
        offline: these are demonstrations or other data that this run did not make.
        backing: folder whose disk the images are paged to, for more than fits into memory; it
            must be there. Nothing is left in it.

    Raises:
        ContractError: if `capacity` or `action_dim` is below one.
        StorageError: if `backing` is missing or has too little room for all images.
    """

    def __init__(
        self,
        capacity: int,
        observation: ObservationSpec,
        action_dim: int,
        *,
        offline: bool = False,
        backing: Path | None = None,
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
        self._frames = FrameRing(capacity + capacity // 32 + 1, observation, backing)
        self._columns = empty_columns(capacity, action_dim)
        self._first = 0
        self._end = 0
        self._episode_ids: list[str] = []
        self._last_observation: Observation | None = None

    def __len__(self) -> int:
        first, end = self.span
        return end - first

    @property
    def span(self) -> tuple[int, int]:
        """Numbers of the oldest step and of the one that comes next. Numbers never repeat."""
        # In this order: an end that is read later is further on, so it is never before the first.
        return self._first, self._end

    def alive(self, steps: Ids) -> NDArray[np.bool_]:
        """Which of steps int64[b] have not been retired; what was read of them before is whole."""
        return steps >= self._first

    @property
    def nbytes(self) -> int:
        """Bytes of all steps and frames, whether filled yet or not."""
        return self._frames.nbytes + sum(column.nbytes for column in self._columns.values())

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
        shared = before is self._last_observation
        self._retire(1, 1 if shared else 2)
        if not shared:
            self._frames.put(*frame)
        self._frames.put(*next_frame)
        following = {
            "next_frame": self._frames.next_id - 1,
            "frame": self._frames.next_id - 2,
            "episode": len(self._episode_ids) - 1,
            "continues": self._continues(row["step"]),
        }
        slot = self._end % self.capacity
        for name, value in (row | following).items():
            self._columns[name][slot] = value
        self._end += 1
        self._last_observation = after

    def add_episode(self, episode: Episode) -> None:
        """Add all steps of an episode.

        Raises:
            ContractError: as `add`; nothing is added then.
        """
        rows = episode_rows(episode)
        packed, images = self._frame_columns(episode)
        check_rows(rows, self.action_dim)
        self._begin_episode(episode.episode_id)
        first_frame, steps = self._frames.next_id, len(episode)
        rows["frame"] = first_frame + np.arange(steps)
        rows["next_frame"] = rows["frame"] + 1
        rows["episode"] = np.full(steps, len(self._episode_ids) - 1)
        rows["continues"] = np.arange(steps) > 0
        # In pieces, so that a thread that samples meanwhile always finds steps.
        piece = max(1, self.capacity // 8)
        for start in range(0, steps, piece):
            part = slice(start, min(start + piece, steps))
            # The first piece brings the frame that its first step begins with.
            frames = slice(part.start + (start > 0), part.stop + 1)
            self._retire(part.stop - part.start, frames.stop - frames.start)
            self._frames.put_all(packed[frames], {k: kept[frames] for k, kept in images.items()})
            slots = (self._end + np.arange(part.stop - part.start)) % self.capacity
            for name, values in rows.items():
                self._columns[name][slots] = values[part]
            self._end += len(slots)
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

    def windows(self, positions: Ids, n_step: int, gamma: float) -> Window:
        """Return the n-step windows that begin at `positions` int64[b], 0 being the oldest step.

        A window has `n_step` steps, or less where the episode ends or its next step is not there.
        It bootstraps from the next observation and next base action of its own last step with
        discount gamma^k, which is 0 only after termination (see `n_step.fold`).
        """
        images = PlainGather(len(positions), self.observation.images, ArrayPool(keep=0))
        steps = self.span[0] + positions
        part = self.read(steps, n_step, gamma, images, slice(0, len(steps)))
        return Window.concatenate([part], images)

    def read(
        self, steps: Ids, n_step: int, gamma: float, images: ImageGather, rows: Rows
    ) -> Window:
        """Return the windows, without images, that begin at steps int64[b], by number.

        The images go to `rows` of `images`. What is read while another thread adds is whole for
        the steps that are `alive` afterwards, and meaningless for the others.
        """
        columns = self._columns
        window = fold(columns, steps, self._end, n_step, gamma)
        first, last = window.first, window.last
        frames, next_frames = columns["frame"].take(first), columns["next_frame"].take(last)
        self._frames.gather(frames, next_frames, images, rows)
        return Window(
            observation=self._frames.vectors(frames),
            next_observation=self._frames.vectors(next_frames),
            action=columns["action"].take(first, axis=0),
            base_action=columns["base_action"].take(first, axis=0),
            next_base_action=columns["next_base_action"].take(last, axis=0),
            proposed_action=columns["proposed_action"].take(first, axis=0),
            reward=window.reward,
            discount=window.discount,
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
        return self._packed(kept), kept_images

    def _frame_columns(self, episode: Episode) -> tuple[Vector, dict[str, Image]]:
        """Return the packed vectors float32[T + 1, n] and the images of all frames, checked."""
        kept = {k: episode.vectors[k] for k in self.observation.vectors if k in episode.vectors}
        images = {k: episode.images[k] for k in self.observation.images if k in episode.images}
        self.observation.check(_first_of(kept), _first_of(images))
        return self._packed(kept), images

    def _packed(self, kept: Mapping[str, Vector]) -> Vector:
        packed = self.observation.pack(kept)
        if not np.isfinite(packed).all():
            bad = [key for key, vector in kept.items() if not np.isfinite(vector).all()]
            raise ContractError(f"observation is not finite in {', '.join(bad)}")
        return packed

    def _retire(self, steps: int, frames: int) -> None:
        """Let go of what so many more steps and frames will overwrite."""
        first = max(self._first, self._end + steps - self.capacity)
        oldest = self._frames.oldest_after(frames)
        while first < self._end and self._columns["frame"][first % self.capacity] < oldest:
            first += 1
        self._first = first

    def _continues(self, step: int) -> bool:
        """Whether a step of the newest episode follows the one that was added last."""
        if self._end == 0:
            return False
        columns, slot = self._columns, (self._end - 1) % self.capacity
        ended = columns["terminated"][slot] or columns["truncated"][slot]
        follows = (
            columns["episode"][slot] == len(self._episode_ids) - 1
            and columns["step"][slot] + 1 == step
        )
        return bool(follows and not ended)


def _first_of(columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {key: column[0] for key, column in columns.items()}
