"""Episodes from a recording of topics: streams sampled at the control rate, as a map says.

The recording is read once for its numbers, and once per episode for the images that count; no
more than one episode's images are in memory. Not here: file formats (`mcap_source`,
`rosbag_source`) and where episodes begin (`windows`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np

from robot_rl.config.provenance import config_hash
from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.spec import (
    ActionSpec,
    ImageSpec,
    ObservationSpec,
    TaskSpec,
    VectorSpec,
)
from robot_rl.core.types import Image, Outcome, Source, Vector
from robot_rl.data.exchange.imported_episode import imported_episode
from robot_rl.data.exchange.topics.alignment import Stamps, hold
from robot_rl.data.exchange.topics.bag import Bag, check_topics
from robot_rl.data.exchange.topics.images import read_image
from robot_rl.data.exchange.topics.streams import (
    ImageStream,
    Streams,
    message_stamp,
    read_streams,
)
from robot_rl.data.exchange.topics.topic_map import TopicMap
from robot_rl.data.exchange.topics.windows import Window, find_windows

_ROUNDING = 1e-6
_DECIDED_BY = {"demo": Source.DEMO, "policy": Source.POLICY}


class BagSource:
    """Episodes of one recording; a `Source`.

    The action of a step is the newest one commanded by its first instant. An episode ends with a
    reward of 1 if the success topic said so; every other reward is 0.

    Args:
        bag: the recording.
        topics: which of its topics become what.

    Raises:
        StorageError: if the recording is damaged or lacks a mapped topic.
        ContractError: if the streams do not fit together in time or shape.
    """

    def __init__(self, bag: Bag, topics: TopicMap) -> None:
        self._bag = bag
        self._topics = topics
        check_topics(bag, topics.topics())
        self._streams = read_streams(bag, topics)
        self._windows = find_windows(self._streams, topics)
        self.spec = _spec(self._streams, topics, max(len(w.ticks) for w in self._windows) - 1)

    def __len__(self) -> int:
        return len(self._windows)

    def episodes(self) -> Iterator[Episode]:
        """Read the episodes in order.

        Raises:
            ContractError: naming topic and instant, if a sample is too old or out of range.
            StorageError: if an image cannot be decoded.
        """
        return (self._episode(number, w) for number, w in enumerate(self._windows))

    def _episode(self, number: int, window: Window) -> Episode:
        at, max_age = window.ticks, round(self._topics.max_age_s * 1e9)
        streams = {**self._streams.numbers, **self._streams.images}
        index = {k: hold(s.label, s.stamps, at, max_age) for k, s in streams.items()}
        oldest = np.zeros(len(at), np.int64)
        for key, rows in index.items():
            if not key.startswith("action"):
                oldest = np.maximum(oldest, at - streams[key].stamps[rows])
        action = self._action(index, at)
        reward = np.zeros(len(action), np.float32)
        reward[-1] = window.outcome == Outcome.SUCCESS
        return imported_episode(
            episode_id=f"{_id(self._bag.path.stem)}-{number:04d}",
            metadata=EpisodeMetadata(
                task=self.spec.task.name,
                robot=self.spec.robot,
                contract=self.spec.contract,
                config_hash=config_hash(self._topics),
                created_unix_s=float(at[0] / 1e9),
            ),
            outcome=window.outcome,
            stamps_ns=at,
            ages_s=(oldest / 1e9).astype(np.float32),
            vectors={
                key: self._streams.numbers[f"vectors.{key}"].values[index[f"vectors.{key}"]]
                for key in self._topics.vectors
            },
            images=self._images({k: index[k] for k in self._streams.images}),
            action=action,
            reward=reward,
            source=_DECIDED_BY[self._topics.decided_by],
        )

    def _action(self, index: Mapping[str, Stamps], at: Stamps) -> Vector:
        stream, gripper = self._streams.numbers["action"], self._topics.action.gripper
        scale = np.asarray(self.spec.task.action.scale, np.float32)
        action = stream.values[index["action"][:-1]]
        label = stream.label
        if gripper:
            opening = self._streams.numbers["action.gripper"]
            label = f"{label} or {opening.label}"
            width = opening.values[index["action.gripper"][:-1]]
            action = np.concatenate([action, _gripper(width, gripper.open, gripper.closed)], 1)
        action = action / scale
        beyond = np.argwhere(np.abs(action) > 1 + _ROUNDING)
        if len(beyond):
            step, element = (int(i) for i in beyond[0])
            raise ContractError(
                f"{label} at {at[step]} ns: element {self.spec.task.action.names[element]!r} is "
                f"{action[step, element]:.6g} times its scale {scale[element]:.6g}, expected at "
                f"most 1 (and so in {len(beyond)} places); correct scale, open and closed in the "
                "topic map"
            )
        return np.clip(action, -1, 1).astype(np.float32)

    def _images(self, index: Mapping[str, Stamps]) -> dict[str, Image]:
        """Read the images that count, one pass over the part of the file that holds them."""
        found: dict[str, Image] = {}
        # (topic, recorded, stamp) -> where that image goes
        wanted: dict[tuple[str, int, int], list[tuple[str, Stamps]]] = defaultdict(list)
        for key, rows in index.items():
            stream = self._streams.images[key]
            found[key] = np.empty((len(rows), stream.height, stream.width, 3), np.uint8)
            for row in np.unique(rows):
                name = (stream.topic, int(stream.logged[row]), int(stream.stamps[row]))
                wanted[name].append((key, np.flatnonzero(rows == row)))
        if wanted:
            self._fill(found, wanted)
        return {key.removeprefix("images."): image for key, image in found.items()}

    def _fill(
        self,
        found: Mapping[str, Image],
        wanted: dict[tuple[str, int, int], list[tuple[str, Stamps]]],
    ) -> None:
        logged = [recorded for _, recorded, _ in wanted]
        names = {topic for topic, _, _ in wanted}
        for message in self._bag.messages(names, min(logged), max(logged)):
            stamp = message_stamp(message, self._topics)
            for key, places in wanted.pop((message.topic, message.log_ns, stamp), ()):
                stream = self._streams.images[key]
                found[key][places] = self._image(message.content, stream, stamp)
        if wanted:
            topic, recorded, _ = next(iter(wanted))
            raise StorageError(
                f"{self._bag.path} has changed while it was read: the image of {topic} recorded "
                f"at {recorded} ns is gone; import it again"
            )

    def _image(self, content: object, stream: ImageStream, stamp: int) -> Image:
        size = self._topics.images[stream.label.partition(" ")[0].removeprefix("images.")]
        try:
            image = read_image(content, size.height, size.width)
        except StorageError as error:
            raise StorageError(
                f"{self._bag.path}: {stream.label} at {stamp} ns: {error}"
            ) from error
        if image.shape[:2] != (stream.height, stream.width):
            raise ContractError(
                f"{stream.label} at {stamp} ns: got {image.shape[0]} x {image.shape[1]}, the "
                f"first had {stream.height} x {stream.width}; set height and width in the topic "
                "map"
            )
        return image


def _spec(streams: Streams, topics: TopicMap, horizon: int) -> RecordingSpec:
    vectors = {
        key: VectorSpec(
            names=streams.numbers[f"vectors.{key}"].names, unit=vector.unit, frame=vector.frame
        )
        for key, vector in topics.vectors.items()
    }
    images = {
        key: ImageSpec(
            height=streams.images[f"images.{key}"].height,
            width=streams.images[f"images.{key}"].width,
        )
        for key in topics.images
    }
    task = TaskSpec(
        name=topics.task,
        horizon=horizon,
        observation=ObservationSpec(vectors=vectors, images=images),
        action=_action_spec(streams, topics),
        instruction=topics.instruction,
    )
    return RecordingSpec(robot=topics.robot, task=task)


def _action_spec(streams: Streams, topics: TopicMap) -> ActionSpec:
    stream, action = streams.numbers["action"], topics.action
    names, scale = stream.names, action.scale
    if scale is None:
        largest = np.abs(stream.values).max(0)
        scale = tuple(float(x) for x in np.where(largest > 0, largest, 1))
    elif not isinstance(scale, tuple):
        scale = (scale,) * len(names)
    if len(scale) != len(names):
        raise ContractError(
            f"action.scale has {len(scale)} elements, {stream.label} has {len(names)}: "
            f"{', '.join(names)}; correct the topic map"
        )
    if action.gripper:
        opening = streams.numbers["action.gripper"]
        if len(opening.names) != 1:
            raise ContractError(
                f"{opening.label} has {len(opening.names)} elements, expected 1; choose one of "
                f"{', '.join(opening.names)} through `names`"
            )
        names, scale = (*names, "gripper"), (*scale, 1.0)
    return ActionSpec(kind=action.kind, names=names, scale=scale, period_s=1 / topics.rate_hz)


def _gripper(width: Vector, opened: float, closed: float) -> Vector:
    """Opening float32[..., 1] to +1 open, -1 closed."""
    return (2 * (width - closed) / (opened - closed) - 1).astype(np.float32)


def _id(name: str) -> str:
    """Characters that an episode's id may have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:150] or "recording"
