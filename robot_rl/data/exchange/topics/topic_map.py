"""Which topic of a recording becomes which part of an episode: a YAML that a person writes.

The alignment that it describes is in `alignment`; the reading in `bag_source`. An annotated
example is `configs/topics/example.yaml`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Self

from pydantic import Field, model_validator

from robot_rl.config.model import Config
from robot_rl.core.spec import IMAGE_PREFIX, ActionKind


class VectorTopic(Config):
    """One vector of the observation.

    Args:
        topic: its name in the recording.
        unit: of the values after `factor`, e.g. `rad`.
        field: dotted path in the message, e.g. `position` or `wrench.force`; empty for the
            type's own (`values.DEFAULT_FIELDS`).
        names: elements to take, in this order: joints by name, fields by path, or names for
            values that have none; empty for all.
        frame: in which the values are expressed.
        factor: multiplies the values, e.g. 0.001 from millimetres to metres.
    """

    topic: str
    unit: str
    field: str = ""
    names: tuple[str, ...] = ()
    frame: str = ""
    factor: float = 1.0


class ImageTopic(Config):
    """One camera; resized (both given) or as recorded (neither)."""

    topic: str
    height: int | None = Field(default=None, ge=1, le=8192)
    width: int | None = Field(default=None, ge=1, le=8192)

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.height is None) != (self.width is None):
            raise ValueError("expected both height and width, or neither")
        return self


class GripperTopic(Config):
    """The action's last element, +1 open and -1 closed.

    Args:
        open, closed: the recorded values that mean fully open and fully closed.
    """

    topic: str
    open: float
    closed: float
    field: str = ""
    names: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if self.open == self.closed:
            raise ValueError("open and closed are the same value")
        return self


class ActionTopic(Config):
    """What was commanded.

    Args:
        scale: the value, after `factor`, that becomes a normalised 1, per element or for all.
            Left out (opaque actions alone): the greatest magnitude in the recording.
        kind: what the values mean, see `ActionSpec`.
        gripper: appended as the last element.
    """

    topic: str
    field: str = ""
    names: tuple[str, ...] = ()
    factor: float = 1.0
    kind: ActionKind = "opaque"
    scale: float | tuple[float, ...] | None = None
    gripper: GripperTopic | None = None

    @model_validator(mode="after")
    def _deltas_have_a_scale(self) -> Self:
        if self.scale is None and self.kind != "opaque":
            raise ValueError(f"an action of kind {self.kind} needs a scale")
        values = self.scale if isinstance(self.scale, tuple) else (self.scale or 1.0,)
        if not all(value > 0 for value in values):
            raise ValueError("expected a scale above zero")
        return self


class FlagTopic(Config):
    """A topic of true and false (`std_msgs/Bool`, or a number that is zero for false)."""

    topic: str
    field: str = ""


class EpisodeCut(Config):
    """How a recording falls into episodes.

    Args:
        by: `recording`: it is one episode. `flag`: one from each false-to-true of `flag` to the
            next true-to-false. `gap`: cut where all mapped topics are silent longer than `gap_s`.
    """

    by: Literal["recording", "flag", "gap"] = "recording"
    flag: FlagTopic | None = None
    gap_s: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.flag is not None) != (self.by == "flag"):
            raise ValueError("expected `flag` exactly where `by: flag` is")
        if (self.gap_s is not None) != (self.by == "gap"):
            raise ValueError("expected `gap_s` exactly where `by: gap` is")
        return self


class TopicMap(Config):
    """Which topics make the observations, the action and the end of an episode.

    Args:
        rate_hz: at which the streams are sampled: the control rate.
        max_age_s: the oldest a sample may be at the tick that uses it.
        clock: `header`: a message counts from its `header.stamp` where it has one that is set;
            `log`: from when it was recorded, if the stamps come from clocks that disagree.
        success: the last value heard from an episode's start to the next one's judges it.
        decided_by: who drove.
        allow_partial: import what can be read of a damaged recording, or of one in which a topic
            falls silent before the others.
    """

    robot: str
    task: str
    rate_hz: float = Field(gt=0, le=1000)
    max_age_s: float = Field(gt=0)
    action: ActionTopic
    vectors: dict[str, VectorTopic] = Field(default_factory=dict[str, VectorTopic])
    images: dict[str, ImageTopic] = Field(default_factory=dict[str, ImageTopic])
    instruction: str = ""
    episode: EpisodeCut = EpisodeCut()
    success: FlagTopic | None = None
    clock: Literal["header", "log"] = "header"
    decided_by: Literal["demo", "policy"] = "demo"
    allow_partial: bool = False

    @model_validator(mode="after")
    def _keys_are_observations(self) -> Self:
        for key in self.vectors:
            if not key.startswith("observation.") or key.startswith(IMAGE_PREFIX):
                raise ValueError(f"vector {key!r}: expected a name like 'observation.state'")
        for key in self.images:
            if not key.startswith(IMAGE_PREFIX):
                raise ValueError(f"image {key!r}: expected a name like '{IMAGE_PREFIX}wrist'")
        if not self.vectors:
            raise ValueError("expected at least one vector")
        return self

    def topics(self) -> Iterator[tuple[str, str]]:
        """Yield (dotted key of the map, topic) for everything that is mapped."""
        for key, vector in self.vectors.items():
            yield f"vectors.{key}", vector.topic
        for key, image in self.images.items():
            yield f"images.{key}", image.topic
        yield "action", self.action.topic
        if self.action.gripper:
            yield "action.gripper", self.action.gripper.topic
        if self.episode.flag:
            yield "episode.flag", self.episode.flag.topic
        if self.success:
            yield "success", self.success.topic
