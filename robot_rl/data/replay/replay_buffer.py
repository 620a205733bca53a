"""Steps to learn from. Rebuilt from the episode store; never saved itself.

A step names its own two frames, so nothing is inferred from the slot beside it. What is drawn
from a buffer, and how often, is decided in `sampling`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.episode import Episode
from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.core.spec import ObservationSpec
from robot_rl.core.types import Observation, Source, Transition
from robot_rl.data.replay.array_pool import ArrayPool
from robot_rl.data.replay.feature_cache import FeatureCache
from robot_rl.data.replay.frame_ring import FrameRing, Ids
from robot_rl.data.replay.frames import Frames
from robot_rl.data.replay.gathering import FIELDS, FeatureGather, ImageGather, PlainGather, Rows
from robot_rl.data.replay.n_step import actions_of, fold
from robot_rl.data.replay.plans import plan_columns
from robot_rl.data.replay.step_columns import (
    ACTION_COLUMNS,
    SCALAR_COLUMNS,
    check_row,
    check_rows,
    episode_rows,
    transition_row,
)
from robot_rl.data.replay.step_ring import StepRing
from robot_rl.data.replay.window import Window, WindowRule


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
        latent_size: length of the latent kept of each step; a step that was recorded without one
            has zeros.
        backing: folder whose disk images and features are paged to, for more than fits into
            memory; it must be there. Nothing is left in it.
        features: keeps features of the images, beside them or in their place, and gives them to
            batches; None keeps the images.

    Raises:
        ConfigError: if `features` are of other cameras.
        ContractError: if `capacity` or `action_dim` is below one.
        StorageError: if `backing` is missing or has too little room.
    """

    def __init__(
        self,
        capacity: int,
        observation: ObservationSpec,
        action_dim: int,
        *,
        offline: bool = False,
        latent_size: int = 0,
        backing: Path | None = None,
        features: FeatureCache | None = None,
    ) -> None:
        if capacity < 1 or action_dim < 1 or latent_size < 0:
            raise ContractError(
                f"replay buffer: got capacity {capacity}, action_dim {action_dim} and latent_size "
                f"{latent_size}, expected at least 1, 1 and 0"
            )
        self.capacity = capacity
        self.observation = observation
        self.action_dim = action_dim
        self.offline = offline
        self.latent_size = latent_size
        self.features = features
        self._frames = FrameRing(capacity + capacity // 32 + 1, observation, backing, features)
        self._steps = StepRing(capacity, action_dim, latent_size)
        self._episode_ids: list[str] = []
        self._last_observation: Observation | None = None

    def __len__(self) -> int:
        """Steps that can be drawn."""
        return self._steps.count

    @property
    def has_been_filled(self) -> bool:
        """Whether there is something to draw, or will be as soon as what is being added is."""
        return self._steps.has_been_filled

    @property
    def span(self) -> tuple[int, int]:
        """Numbers of the oldest step and of the one that comes next. Numbers never repeat."""
        return self._steps.span

    def alive(self, steps: Ids) -> NDArray[np.bool_]:
        """Which of steps int64[b] are neither retired nor forgotten: what was read is whole."""
        return self._steps.alive(steps)

    def drawable(self) -> Ids | None:
        """Numbers int64[k] of the steps that are not forgotten; None if that is all of them."""
        return self._steps.drawable()

    @property
    def nbytes(self) -> int:
        """Bytes of all steps and frames, whether filled yet or not."""
        return self._frames.nbytes + self._steps.nbytes

    def add(self, transition: Transition) -> None:
        """Add one step. Steps may be left out; those that are there keep their own next frame.

        The frame is shared if `observation` is the very object that the step added before this
        one, of the same episode, had as its `next_observation`.

        Raises:
            ContractError: if shapes, keys or dtypes differ from the spec, or a number is not
                finite; nothing is added then.
        """
        row = transition_row(transition, self.latent_size)
        check_row(row, self.action_dim, self.latent_size)
        before, after = transition.observation, transition.next_observation
        frames = Frames.of(after, self.observation)
        last, ids = self._last_observation, self._episode_ids
        begins = last is None or ids[-1] != transition.episode_id
        if begins or before is not last:
            frames = Frames.of(before, self.observation).then(frames)
        features = self._frames.encode(frames)
        if begins:
            ids.append(transition.episode_id)
        self._steps.retire(1, self._frames.oldest_after(len(frames)))
        self._frames.put(frames, features)
        row["episode"] = len(ids) - 1
        row["next_frame"] = self._frames.next_id - 1
        row["frame"] = self._frames.next_id - 2
        row |= self._steps.links(row, planned=transition.latent.size > 0)
        self._steps.put(row)
        self._last_observation = after

    def add_episode(self, episode: Episode) -> None:
        """Add all steps of an episode.

        Raises:
            ContractError: as `add`; nothing is added then, or, where features are wrong, what
                came before them.
        """
        rows = episode_rows(episode, self.latent_size)
        seen = Frames.of_episode(episode, self.observation)
        check_rows(rows, self.action_dim, self.latent_size)
        self._episode_ids.append(episode.episode_id)
        first_frame, steps = self._frames.next_id, len(episode)
        rows["frame"] = first_frame + np.arange(steps)
        rows["next_frame"] = rows["frame"] + 1
        rows["episode"] = np.full(steps, len(self._episode_ids) - 1)
        rows["forgotten"] = np.zeros(steps, np.bool_)
        rows["continues"] = np.arange(steps) > 0
        rows |= plan_columns(
            rows["latent"],
            rows["source"],
            rows["continues"],
            self.span[1] + np.arange(steps),
            planned=episode.latent.shape[1] > 0,
        )
        # In pieces, so that a thread that samples meanwhile always finds steps, and features of
        # few frames are on their way.
        piece = max(1, self.capacity // 8)
        if self.features is not None:
            piece = min(piece, self.features.frames_at_once)
        for start in range(0, steps, piece):
            part = slice(start, min(start + piece, steps))
            # The first piece brings the frame that its first step begins with.
            frames = seen[part.start + (start > 0) : part.stop + 1]
            features = self._frames.encode(frames)
            oldest = self._frames.oldest_after(len(frames))
            self._steps.retire(part.stop - part.start, oldest)
            self._frames.put(frames, features)
            self._steps.put_all(rows, part)
        self._last_observation = None

    def forget(self, episode_id: str) -> None:
        """Let no step of an episode be drawn again; one that is not there is no error.

        For the thread that adds. Its steps stay in their places, in `column` and `windows` too,
        until newer ones need them. What is added of the episode from then on begins anew.
        """
        ids = self._episode_ids
        numbers = [number for number, known in enumerate(ids) if known == episode_id]
        if not numbers:
            return
        self._steps.forget(numbers)
        if numbers[-1] == len(ids) - 1:
            self._last_observation = None

    def refresh(self, count: int) -> None:
        """Draw the features of the `count` frames whose turn it is anew, shifted otherwise.

        For the thread that adds. The turns go from the oldest frame to the newest, again and
        again; `refreshed` is where they have come to.

        Raises:
            ConfigError: if images, or features, are not kept.
        """
        self._check_refresh()
        self._frames.refresh(count)

    @property
    def refreshed(self) -> list[int]:
        """What `restore` takes: JSON values."""
        return self._frames.refreshed

    def restore(self, refreshed: Sequence[int]) -> None:
        """Make the features what they were when `refreshed` was taken.

        The buffer has been refilled with the same steps in the same order, by the same calls.

        Raises:
            ConfigError: if images, or features, are not kept.
        """
        self._check_refresh()
        self._frames.restore(refreshed)

    def column(self, name: str) -> NDArray[Any]:
        """Return a copy of one column, oldest step first.

        Those of a `Transition`, and those that say where the step is, see `step_columns`.

        Raises:
            ContractError: if there is no such column.
        """
        return self._steps.column(name)

    @property
    def state(self) -> dict[str, Any]:
        """What a buffer refilled for a resume must equal: size, episodes in order, and a digest.

        JSON values; buffers with equal states give a sampler the same batches. Images are not
        in the digest; of features it is said what they are made by.
        """
        digest = hashlib.sha256()
        for name in (*ACTION_COLUMNS, *SCALAR_COLUMNS, "latent"):
            digest.update(self.column(name).tobytes())
        for frames in (self.column("frame"), self.column("next_frame")):
            digest.update(self._frames.vectors(frames).tobytes())
        # The oldest step's own link leads to a step that is gone.
        digest.update(self.column("continues")[1:].tobytes())
        first, end = self.span
        if len(self) < end - first:
            digest.update(self.column("forgotten").tobytes())
        # Counted from the oldest step; which steps have lost the beginning of their plan.
        digest.update(np.maximum(self.column("plan") - first, -1).tobytes())
        numbers: list[int] = self.column("episode").tolist()
        state: dict[str, Any] = {
            "steps": len(self),
            "episodes": [self._episode_ids[number] for number in dict.fromkeys(numbers)],
            "sha256": digest.hexdigest(),
        }
        if (made := self.features) is not None:
            fingerprint = made.encoder.fingerprint
            state["features"] = [fingerprint, made.variants, made.pad, made.seed, self.refreshed]
        return state

    def windows(self, positions: Ids, n_step: int, gamma: float) -> Window:
        """Return the n-step windows that begin at `positions` int64[b], 0 being the oldest step.

        A window has `n_step` steps, or less where the episode ends or its next step is not there.
        It bootstraps from the next observation and next base action of its own last step with
        discount gamma^k, which is 0 only after termination (see `n_step.fold`). The actions of
        all its steps are with it. Of features it has the first variant.
        """
        images = self._plain_gather(len(positions))
        steps = self.span[0] + positions
        rule = WindowRule(n_step=n_step, gamma=gamma, actions=True)
        part = self.read(steps, rule, images, slice(0, len(steps)))
        return Window.concatenate([part], images)

    def plan_starts(self, steps: Ids) -> Ids:
        """Return the steps int64[b] at which the plans of steps int64[b], by number, began.

        A start that is gone, and that of a step that is gone, is not `alive`.

        Raises:
            ContractError: if one plan is longer than the buffer.
        """
        return self._steps.plan_starts(steps)

    def read(self, steps: Ids, rule: WindowRule, images: ImageGather, rows: Rows) -> Window:
        """Return the windows, without images, that begin at steps int64[b], by number.

        The images go to `rows` of `images`. What is read while another thread adds is whole for
        the steps that are `alive` afterwards, and meaningless for the others.
        """
        columns = self._steps.columns
        window = fold(columns, steps, self.span[1], rule)
        first, last = window.first, window.last
        ahead = rule.n_step if rule.actions else 0
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
            latent=columns["latent"].take(first, axis=0),
            actions=actions_of(columns["action"], window, ahead),
            steps=window.steps,
        )

    def _plain_gather(self, size: int) -> ImageGather:
        pool = ArrayPool(keep=0)
        if self.features is None:
            return PlainGather(size, self.observation.images, pool)
        first = {field: np.zeros(size, np.int64) for field in FIELDS}
        return FeatureGather(first, self.features.encoder.shapes, pool)

    def _check_refresh(self) -> None:
        if self.features is None or not self.features.keep_images:
            raise ConfigError(
                "replay buffer: features are drawn anew from images, and this one keeps not both; "
                "give it a FeatureCache with keep_images"
            )
