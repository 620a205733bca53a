"""A task of a real cell, told in YAML: there is no simulator that would know it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from robot_rl.config.model import Config
from robot_rl.core.spec import (
    IMAGE_PREFIX,
    TCP_POSE,
    ActionSpec,
    ImageSpec,
    ObservationSpec,
    TaskSpec,
    VectorSpec,
)

_KEY = "observation."


class VectorConfig(Config):
    """One vector of the observation; see `VectorSpec`.

    Args:
        names: of the elements, in order.
        unit: of the elements, e.g. `m, rad`.
        frame: in which they are; empty where there is none.
    """

    names: tuple[str, ...] = Field(min_length=1)
    unit: str
    frame: str = ""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        _refuse_repeated(self.names)
        return self


class ImageConfig(Config):
    """Size of one camera's pictures [pixels]."""

    height: int = Field(ge=1)
    width: int = Field(ge=1)


class ActionConfig(Config):
    """The action space; see `ActionSpec`.

    Args:
        kind: `tcp_delta` or `joint_delta`.
        names: of the elements, in order; a gripper is the last one and named `gripper`.
        scale: what a normalised 1 stands for, per element [m, rad; 1 for the gripper].
        period_s: control period.
    """

    kind: Literal["tcp_delta", "joint_delta"]
    names: tuple[str, ...] = Field(min_length=1)
    scale: tuple[float, ...]
    period_s: float = Field(gt=0, le=1)

    @model_validator(mode="after")
    def _fits_itself(self) -> Self:
        _refuse_repeated(self.names)
        if len(self.scale) != len(self.names):
            raise ValueError(
                f"scale: got {len(self.scale)} elements, expected {len(self.names)}, one for each "
                "of names"
            )
        if min(self.scale) <= 0:
            raise ValueError(f"scale: got {self.scale}, expected positive numbers")
        if "gripper" in self.names[:-1]:
            raise ValueError("names: the gripper stands elsewhere, expected it as the last one")
        arm = len(self.names) - (self.names[-1] == "gripper")
        if self.kind == "tcp_delta" and arm != 6:
            raise ValueError(
                f"names: a tcp_delta has {arm} elements without the gripper, expected 6: three of "
                "translation, three of rotation"
            )
        return self


class TaskSpecConfig(Config):
    """A task of a real cell, as far as loop, data and learning must know it.

    What resets it and what judges it are other components.

    Args:
        name: the task's name.
        horizon: time limit in control periods.
        instruction: the task in words.
        vectors: by key of the observation, in the order in which they are packed; those that a
            robot delivers are named in `robot_rl.core.spec`.
        images: by camera, without the prefix of the key.
        action: what policies and persons decide.
    """

    name: str = Field(min_length=1, max_length=64)
    horizon: int = Field(ge=1)
    instruction: str = ""
    vectors: Mapping[str, VectorConfig]
    images: Mapping[str, ImageConfig] = {}
    action: ActionConfig

    @model_validator(mode="after")
    def _keys_are_keys(self) -> Self:
        for key in self.vectors:
            if not key.startswith(_KEY) or key.startswith(IMAGE_PREFIX) or key == _KEY:
                raise ValueError(
                    f"vectors: got the key {key!r}, expected one such as {TCP_POSE!r}; cameras "
                    "are named under images"
                )
        for camera in self.images:
            if not camera.isidentifier():
                raise ValueError(
                    f"images: got the camera {camera!r}, expected its name alone, e.g. front"
                )
        if not self.vectors and not self.images:
            raise ValueError("vectors, images: nothing is observed, expected at least one of them")
        return self

    def build(self) -> TaskSpec:
        """Return the task."""
        return TaskSpec(
            name=self.name,
            horizon=self.horizon,
            instruction=self.instruction,
            observation=ObservationSpec(
                vectors={
                    key: VectorSpec(names=vector.names, unit=vector.unit, frame=vector.frame)
                    for key, vector in self.vectors.items()
                },
                images={
                    f"{IMAGE_PREFIX}{camera}": ImageSpec(height=image.height, width=image.width)
                    for camera, image in self.images.items()
                },
            ),
            action=ActionSpec(
                kind=self.action.kind,
                names=self.action.names,
                scale=self.action.scale,
                period_s=self.action.period_s,
            ),
        )


def _refuse_repeated(names: tuple[str, ...]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"names: {', '.join(repeated)} comes twice, expected each once")
