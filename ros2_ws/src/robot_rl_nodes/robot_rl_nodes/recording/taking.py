"""From serialised messages to the episode keeper, and from what it says to an event."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rclpy.serialization import deserialize_message
from robot_rl_msgs.msg import EpisodeEvent

from robot_rl.core.errors import ContractError
from robot_rl_nodes.conversion import image_from, ns_from_stamp
from robot_rl_nodes.recording.episodes import EpisodeKeeper, Kept
from robot_rl_nodes.recording.metadata import Description
from robot_rl_nodes.source import Source
from robot_rl_nodes.topic import CONTROL_STATE, EPISODE_EVENT, EPISODE_STATE, POLICY_STEP, Topic


class Taker:
    """Hands each message to whom it concerns, in one thread.

    Args:
        keeper, description: who hears.
        pictures: where the images of an observation come from, by key.
        complain: hears of an image that cannot be read; its step will lack it.

    Attributes:
        topics: what is to be listened to, by name.
    """

    def __init__(
        self,
        keeper: EpisodeKeeper,
        description: Description,
        pictures: Mapping[str, Source],
        complain: Callable[[str], object],
    ) -> None:
        self._keeper = keeper
        self._description = description
        self._complain = complain
        self._hearers: dict[str, tuple[Topic, Callable[[Any], None]]] = {
            POLICY_STEP.name: (POLICY_STEP, keeper.hear_step),
            EPISODE_STATE.name: (EPISODE_STATE, keeper.hear_state),
            EPISODE_EVENT.name: (EPISODE_EVENT, self._event),
            CONTROL_STATE.name: (CONTROL_STATE, self._control),
        }
        for source in pictures.values():
            self._hearers[source.topic.name] = (source.topic, partial(self._image, source.name))
        self.topics = {name: topic for name, (topic, _) in self._hearers.items()}

    def __call__(self, name: str, data: bytes) -> None:
        """A message of the topic of this name has come."""
        topic, hear = self._hearers[name]
        hear(deserialize_message(data, topic.type))

    def _image(self, stream: str, message: Any) -> None:
        try:
            image = image_from(message)
        except ContractError as error:
            self._complain(f"{stream}: {error}")
            return
        self._keeper.hear_image(stream, ns_from_stamp(message.header.stamp), image)

    def _control(self, message: Any) -> None:
        self._description.person = str(message.person)

    def _event(self, message: Any) -> None:
        if message.kind == EpisodeEvent.BEGUN:
            self._keeper.hear_begun(message)
        elif message.kind == EpisodeEvent.LABELLED:
            self._keeper.hear_label(message)


def event(kept: Kept, task: str, stamp: Any) -> EpisodeEvent:
    """Return what is told of an episode: SAVED, or CANCELLED if it is not in the store."""
    episode = kept.episode
    message = EpisodeEvent(
        kind=EpisodeEvent.CANCELLED if episode is None else EpisodeEvent.SAVED,
        episode_id=kept.start.episode_id,
        task=task,
        seed=kept.start.seed,
        steps=0 if episode is None else len(episode),
        outcome=0 if episode is None else int(episode.outcome),
        terminated=episode is not None and bool(episode.terminated),
        truncated=episode is not None and bool(episode.truncated),
        intervention_steps=kept.intervention_steps,
        by="recorder",
        # The field's bound.
        detail=(kept.detail if episode is not None else f"not recorded: {kept.detail}")[:300],
    )
    message.header.stamp = stamp
    return message
