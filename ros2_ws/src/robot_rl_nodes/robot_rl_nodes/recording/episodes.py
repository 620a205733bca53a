"""Episodes as the graph tells of them, kept in a store: each step in its log while it runs.

What ends in another way than by a step that says so, or lacks an image, is kept as interrupted,
up to there. Pure: knows messages by their fields. Not here: threads, topics, files' formats.
"""

from __future__ import annotations

import collections
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.types import Image, Outcome, Source, Transition
from robot_rl.data.labelling import human_outcome
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.data.store.recording import Recording
from robot_rl.data.store.recovery import interrupted
from robot_rl_nodes.recording.steps import ImageShelf, StepReader, known

WAIT_S = 1.0
"""So long is waited for the images of a step, for the manager's word on an episode, and for the
last steps of one that it says is over."""

_LOG = logging.getLogger(__name__)
_REMEMBERED = 8
_RUNNING = 3
"""`EpisodeState.RUNNING`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What the episode manager says of an episode that begins."""

    episode_id: str
    task: str
    seed: int
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What became of an episode.

    Args:
        start: what was said of it.
        episode: as it is in the store; None if it is not there.
        detail: why it was interrupted, or is not in the store; empty for a whole one.
    """

    start: Start
    episode: Episode | None
    detail: str

    @property
    def intervention_steps(self) -> int:
        """Steps that a person drove."""
        if self.episode is None:
            return 0
        return int(np.isin(self.episode.source, (Source.HUMAN, Source.DEMO)).sum())


@dataclass(slots=True, kw_only=True)
class _Running:
    start: Start
    reader: StepReader
    outcome: Outcome = Outcome.UNKNOWN
    recording: Recording | None = None
    transitions: list[Transition] = field(default_factory=list[Transition])
    waiting: collections.deque[tuple[Any, int]] = field(
        default_factory=collections.deque[tuple[Any, int]]
    )
    over_ns: int | None = None


class EpisodeKeeper:
    """Hears of episodes in one thread, and keeps them.

    Args:
        store: open for writing.
        streams: which stream each image comes from, by its key.
        describe: makes the metadata of an episode; asked again when it is complete.
        tell: hears what became of each episode.
        clock: by which is waited.
    """

    def __init__(
        self,
        store: EpisodeStore,
        streams: Mapping[str, str],
        describe: Callable[[Start], EpisodeMetadata],
        tell: Callable[[Kept], None],
        clock: Clock,
    ) -> None:
        self._store, self._streams = store, streams
        self._describe, self._tell, self._clock = describe, tell, clock
        self._shelf = ImageShelf()
        self._starts: collections.OrderedDict[str, Start] = collections.OrderedDict()
        self._running: _Running | None = None
        self._closed = ""
        self._labels: list[Any] = []

    @property
    def situation(self) -> tuple[str, int, int]:
        """The episode that runs (empty if none does), its steps so far, and how many wait."""
        run = self._running
        return (
            (run.start.episode_id, len(run.transitions), len(run.waiting)) if run else ("", 0, 0)
        )

    def hear_image(self, stream: str, stamp_ns: int, image: Image) -> None:
        """An image has come."""
        self._shelf.put(stream, stamp_ns, image)
        self._advance()

    def hear_state(self, message: Any) -> None:
        """The episode manager says where it is (`EpisodeState`)."""
        self._remember(message, "")
        run = self._running
        if run and run.start.episode_id == message.episode_id and message.phase == _RUNNING:
            run.over_ns = None
        elif run and run.over_ns is None:
            run.over_ns = self._clock.now_ns()
        self._advance()

    def hear_begun(self, message: Any) -> None:
        """An episode has begun (`EpisodeEvent`)."""
        self._remember(message, str(message.by))
        self._advance()

    def hear_label(self, message: Any) -> None:
        """A person has judged an episode (`EpisodeEvent`)."""
        if self._running and self._running.start.episode_id == message.episode_id:
            self._labels.append(message)
            return
        try:
            label = human_outcome(known(Outcome, message.outcome), str(message.by))
            self._store.add_label(str(message.episode_id), label)
        except (ContractError, StorageError) as error:
            _LOG.error("the label of %s is not kept: %s", message.episode_id, error)

    def hear_step(self, message: Any) -> None:
        """An observation and the period before it (`PolicyStep`)."""
        name = str(message.episode_id)
        if name == self._closed:
            return
        run = self._running
        if run and run.start.episode_id != name:
            self._interrupt(run, f"{name} began before it had ended")
            run = None
        if run is None:
            start = Start(episode_id=name, task="", seed=0)
            reader = StepReader(self._store.spec.task, self._streams, self._shelf)
            run = self._running = _Running(start=start, reader=reader)
        run.waiting.append((message, self._clock.now_ns()))
        self._advance()

    def tick(self) -> None:
        """Time has passed: what is waited for may not come any more."""
        self._advance()
        run = self._running
        if run and run.over_ns is not None and self._is_long_ago(run.over_ns):
            self._interrupt(run, "it was ended before a step had terminated or truncated it")

    def end(self, why: str) -> None:
        """Nothing more will be heard."""
        if self._running:
            self._interrupt(self._running, why)

    def _remember(self, message: Any, by: str) -> None:
        name = str(message.episode_id)
        before = self._starts.pop(name, None)
        by = by or (before.by if before else "")
        self._starts[name] = Start(
            episode_id=name, task=str(message.task), seed=int(message.seed), by=by
        )
        while len(self._starts) > _REMEMBERED:
            self._starts.popitem(last=False)

    def _advance(self) -> None:
        """Take in the steps for which all is there."""
        while (run := self._running) and run.waiting:
            message, heard_ns = run.waiting[0]
            try:
                if lacking := self._lacking(run, message):
                    if self._is_long_ago(heard_ns):
                        raise ContractError(
                            f"step {message.index} lacks {', '.join(lacking)}, which did not come "
                            f"within {WAIT_S:g} s"
                        )
                    return
                run.waiting.popleft()
                self._take(run, message)
            except (ContractError, StorageError) as error:
                self._interrupt(run, str(error))

    def _lacking(self, run: _Running, message: Any) -> list[str]:
        name = run.start.episode_id
        if run.recording is None and name not in self._starts:
            return ["the episode manager's word on its task and seed"]
        return run.reader.missing(message)

    def _take(self, run: _Running, message: Any) -> None:
        run.start = self._starts.get(run.start.episode_id, run.start)
        transition = run.reader.read(message)
        if run.recording is None:
            self._check_task(run.start)
            run.recording = self._store.record(run.start.episode_id, self._describe(run.start))
        if transition is None:
            return
        run.recording.add(transition)
        run.transitions.append(transition)
        if transition.terminated or transition.truncated:
            outcome = known(Outcome, message.outcome)
            self._finish(run, self._episode(run, outcome), "")

    def _check_task(self, start: Start) -> None:
        if start.task and start.task != self._store.spec.task.name:
            raise ContractError(
                f"the episode is of task {start.task!r}, recorded is "
                f"{self._store.spec.task.name!r}; configure all nodes for one task"
            )

    def _episode(self, run: _Running, outcome: Outcome) -> Episode:
        return Episode.from_transitions(run.transitions, outcome, self._describe(run.start))

    def _interrupt(self, run: _Running, why: str) -> None:
        _LOG.warning("%s after %d steps: %s", run.start.episode_id, len(run.transitions), why)
        episode = interrupted(self._episode(run, Outcome.UNKNOWN)) if run.transitions else None
        self._finish(run, episode, why)

    def _finish(self, run: _Running, episode: Episode | None, detail: str) -> None:
        self._running, self._closed = None, run.start.episode_id
        try:
            with contextlib.ExitStack() as stack:
                if run.recording is not None:
                    stack.enter_context(run.recording)
                    if episode is not None:
                        run.recording.seal(episode)
        except (ContractError, StorageError) as error:
            _LOG.error("%s is not saved: %s", run.start.episode_id, error)
            episode, detail = None, "; ".join(filter(None, (detail, str(error))))
        self._tell(Kept(start=run.start, episode=episode, detail=detail))
        labels, self._labels = self._labels, []
        for label in labels:
            self.hear_label(label)

    def _is_long_ago(self, then_ns: int) -> bool:
        return self._clock.now_ns() - then_ns > WAIT_S * NS_PER_S
