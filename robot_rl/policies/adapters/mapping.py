"""How a foreign policy's names, shapes and numbers relate to those of a cell: settings alone.

Nothing here is computed: `cell_input` makes what the policy looks at, `plan_output` makes our
plans of its numbers. What is not mapped is taken over as it is: LeRobot's names are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from robot_rl.config.model import Config
from robot_rl.core.spec import JOINT_POSITION
from robot_rl.policies.adapters.resize import Resize


class ImageInput(Config):
    """Where one of the policy's images comes from.

    Args:
        camera: key of the cell's image.
        height, width: what the policy is to get; None for what it says that it wants, and where
            it does not say, for the camera's own size.
        resize: see `resize.resize`; `exact` refuses a camera of another size.
    """

    camera: str
    height: int | None = Field(default=None, ge=1)
    width: int | None = Field(default=None, ge=1)
    resize: Resize = "exact"


class VectorInput(Config):
    """Where one of the policy's vectors comes from.

    Args:
        sources: keys of the cell's vectors, put one behind the other.
        columns: which of their elements, in this order; empty for all.
    """

    sources: tuple[str, ...] = Field(min_length=1)
    columns: tuple[int, ...] = ()


class InstructionInput(Config):
    """What tells the policy its task in words.

    Args:
        key: the policy's name for it; empty for the usual one of such policies.
        text: always this; empty for the observation's instruction, and where that is empty, the
            task's.
    """

    key: str = ""
    text: str = ""


class GripperOutput(Config):
    """How the policy commands the gripper, the last element of the cell's action.

    Args:
        column: which of the policy's numbers it is.
        open, closed: its values for an open and a closed gripper; what lies between is between.
    """

    column: int = Field(ge=0)
    open: float
    closed: float


class ActionOutput(Config):
    """What the policy's numbers mean. It has no default: a wrong meaning moves the arm wrongly.

    Args:
        meaning: `normalised`: our own actions in [-1, 1]; `si`: our actions before they were
            divided by the scale of the `ActionSpec`; `joint_position`: joint angles [rad] to be
            at after each period, for a cell that takes `joint_delta`.
        columns: which of the policy's numbers are the elements of the cell's action, in its
            order, without the gripper where `gripper` is given; empty for all.
        gripper: how the gripper is commanded, where it is not one of `columns`.
        joints: the cell's vector of measured joint angles [rad], for `joint_position`.
    """

    meaning: Literal["normalised", "si", "joint_position"]
    columns: tuple[int, ...] = ()
    gripper: GripperOutput | None = None
    joints: str = JOINT_POSITION


class MappingConfig(Config):
    """From the cell to the policy and back. Only what differs in name or shape is written down.

    Args:
        images: by the policy's keys; null shows the policy that this camera is not there, which
            some can take.
        vectors: by the policy's keys.
        instruction: the task in words.
        action: what the policy's numbers mean.
    """

    images: dict[str, ImageInput | None] = Field(default_factory=dict)
    vectors: dict[str, VectorInput] = Field(default_factory=dict)
    instruction: InstructionInput = InstructionInput()
    action: ActionOutput


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a policy says that it looks at.

    Args:
        images: height and width by key.
        vectors: size by key.
        optional: images that it can do without.
    """

    images: Mapping[str, tuple[int, int]]
    vectors: Mapping[str, int]
    optional: frozenset[str] = frozenset()
