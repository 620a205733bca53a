"""What an episode is called in a LeRobot v3 dataset: features, frame rate, columns.

Format: `codebase_version` v3.0 of lerobot 0.6. Frames are the T steps (o_t, a_t); what LeRobot
has no word for goes to the sidecar (`sidecar`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.episode import Episode
from robot_rl.core.errors import ContractError
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.spec import ActionSpec
from robot_rl.core.types import Outcome, Source

VERSION = "v3.0"
ACTION = "action"
REWARD = "next.reward"
DONE = "next.done"
SUCCESS = "next.success"
INTERVENTION = "complementary_info.is_intervention"
"""Under this prefix HIL-SERL's buffer finds what goes with a step."""
SOURCE = "robot_rl.source"
BASE_ACTION = "robot_rl.base_action"
PROPOSED_ACTION = "robot_rl.proposed_action"
INDEX_FEATURES = ("timestamp", "frame_index", "episode_index", "index", "task_index")

MIN_VIDEO_SIDE = 64
"""Smaller frames end the process in libsvtav1 3.0 (integer division by zero at 16 and 24)."""

_KEY = re.compile(r"observation\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_PERIOD_TOLERANCE = 1e-4

Feature = dict[str, Any]


def frame_rate(action: ActionSpec) -> int:
    """Frames per second [Hz]; LeRobot v3 stores a whole number.

    Raises:
        ContractError: the period is that of no whole number of frames a second.
    """
    rate = 1 / action.period_s
    if not np.isclose(rate, round(rate), rtol=_PERIOD_TOLERANCE) or round(rate) < 1:
        raise ContractError(
            f"control period {action.period_s} s: {rate:.6g} frames a second, LeRobot v3 stores "
            "whole numbers alone; export to MCAP, or resample the recording first"
        )
    return round(rate)


def features(spec: RecordingSpec, *, video: bool) -> dict[str, Feature]:
    """Features of the dataset, in the order of its columns, without LeRobot's own indices.

    Raises:
        ContractError: a key or an image size that LeRobot cannot hold.
    """
    observation, action = spec.task.observation, spec.task.action
    result: dict[str, Feature] = {}
    for key, vector in observation.vectors.items():
        _check_vector(key, vector.size)
        result[key] = _numbers("float32", vector.names)
    for key, image in observation.images.items():
        _check_key(key)
        if video:
            _check_side(key, image.height, image.width)
        result[key] = {
            "dtype": "video" if video else "image",
            "shape": (image.height, image.width, 3),
            "names": ["height", "width", "channels"],
        }
    result[ACTION] = _numbers("float32", action.names)
    result[REWARD] = _numbers("float32")
    for key in (DONE, SUCCESS, INTERVENTION):
        result[key] = _numbers("bool")
    result[SOURCE] = _numbers("int64")
    for key in (BASE_ACTION, PROPOSED_ACTION):
        result[key] = _numbers("float32", action.names)
    return result


def columns(episode: Episode) -> dict[str, NDArray[Any]]:
    """Values of the features that are numbers: [T] or [T, d], images and indices left out.

    Raises:
        ContractError: a number is not finite.
    """
    steps = len(episode)
    last = np.arange(steps) == steps - 1
    result: dict[str, NDArray[Any]] = {
        **{key: vector[:steps] for key, vector in episode.vectors.items()},
        ACTION: episode.action,
        REWARD: episode.reward,
        DONE: last & (episode.terminated or episode.truncated),
        SUCCESS: last & (episode.outcome == Outcome.SUCCESS),
        INTERVENTION: episode.source == Source.HUMAN,
        SOURCE: episode.source.astype(np.int64),
        BASE_ACTION: episode.base_action[:steps],
        PROPOSED_ACTION: episode.proposed_action,
    }
    for key, values in {**result, **episode.vectors}.items():
        if not np.isfinite(values).all():
            raise ContractError(
                f"episode {episode.episode_id!r}: {key} has a number that is not finite, which "
                "LeRobot's statistics do not survive; delete or mend the episode"
            )
    return result


def numeric_shapes(spec: RecordingSpec) -> Mapping[str, int]:
    """Number of elements of the features that are numbers, by name."""
    return {
        key: feature["shape"][0]
        for key, feature in features(spec, video=False).items()
        if feature["dtype"] != "image"
    }


def task_text(spec: RecordingSpec) -> str:
    """The task as LeRobot's policies read it: the instruction, or the name where there is none."""
    return spec.task.instruction or spec.task.name


def _numbers(dtype: str, names: tuple[str, ...] = ()) -> Feature:
    return {"dtype": dtype, "shape": (len(names) or 1,), "names": list(names) or None}


def _check_vector(key: str, size: int) -> None:
    _check_key(key)
    if "image" in key or size < 1:
        raise ContractError(
            f"vector {key!r} of {size} elements: LeRobot takes whatever is named image for a "
            "picture, and knows no empty vector; rename it or leave it out"
        )


def _check_key(key: str) -> None:
    if not _KEY.fullmatch(key):
        raise ContractError(
            f"{key!r} cannot be a LeRobot feature: expected observation.NAME of letters, digits, "
            "'_' and '-', parts joined by '.'"
        )


def _check_side(key: str, height: int, width: int) -> None:
    if min(height, width) < MIN_VIDEO_SIDE:
        raise ContractError(
            f"camera {key!r}: {height} x {width} is too small for video, which needs at least "
            f"{MIN_VIDEO_SIDE} x {MIN_VIDEO_SIDE}; export with images instead (video=False)"
        )
