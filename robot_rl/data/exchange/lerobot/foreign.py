"""A dataset that somebody else recorded: its features as a recording's spec, its rows as episodes.

What cannot be known is not made up: units are empty, actions opaque, the outcome unknown unless
the dataset says it, and the last observation stands for the one after it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.spec import ActionSpec, ImageSpec, ObservationSpec, TaskSpec, VectorSpec
from robot_rl.core.types import Image, Outcome, Source, Vector
from robot_rl.data.exchange.imported_episode import imported_episode
from robot_rl.data.exchange.lerobot import format as lf
from robot_rl.data.exchange.lerobot.layout import INFO_FILE, Layout, refusal

_LOG = logging.getLogger(__name__)
_FLOATS = ("float16", "float32", "float64")
_OBSERVATION = "observation."
_KNOWN = {lf.ACTION, lf.REWARD, lf.DONE, lf.SUCCESS, *lf.INDEX_FEATURES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """What a foreign dataset's episodes have in common, and how its rows become episodes.

    Args:
        spec: of the recording.
        sizes: elements a row of the columns that are read, by name.
        tasks: the task of every episode, as the dataset names it or as it was given.
    """

    spec: RecordingSpec
    sizes: Mapping[str, int]
    tasks: tuple[str, ...]

    def episode(
        self, index: int, numbers: Mapping[str, NDArray[Any]], images: Mapping[str, Image]
    ) -> Episode:
        """Turn an episode's rows into an episode.

        Args:
            index: which.
            numbers: the columns of `sizes`, [T] or [T, d].
            images: uint8[T, h, w, 3] by key.

        Raises:
            StorageError: a number is not finite.
        """
        spec, task = self.spec, self.spec.task
        values = {k: _finite(k, index, v).astype(np.float32) for k, v in numbers.items()}
        vectors = {
            k: _repeat_last(values[k].reshape(-1, v.size))
            for k, v in task.observation.vectors.items()
        }
        action = values[lf.ACTION].reshape(-1, task.action.size)
        action = action / np.asarray(task.action.scale, np.float32)
        steps = len(action)
        return imported_episode(
            episode_id=f"lerobot-{index:06d}",
            metadata=EpisodeMetadata(
                task=self.tasks[index], robot=spec.robot, contract=spec.contract
            ),
            outcome=_outcome(values.get(lf.SUCCESS)),
            stamps_ns=_stamps_ns(steps, task.action.period_s),
            ages_s=np.zeros(steps + 1, np.float32),
            vectors=vectors,
            images={key: _repeat_last(seen) for key, seen in images.items()},
            action=action,
            reward=values.get(lf.REWARD, np.zeros(steps, np.float32)),
            source=Source.DEMO,
        )


def understand(
    layout: Layout, *, robot: str, task: str | None, largest: Vector, scale: Sequence[float] | None
) -> Foreign:
    """Make a recording's spec of a dataset's features.

    Args:
        layout: the dataset.
        robot: the robot's name; that of the dataset where empty.
        task: the task's name; that of the dataset, if it has one task, where None.
        largest: largest |action| per element over the dataset, float32[d].
        scale: SI value of a normalised 1 per action element; `largest` where None.

    Raises:
        StorageError: there is no action, or nothing observed.
        ContractError: `scale` is of another length, or an action goes beyond it.
    """
    vectors = {k: _vector(f) for k, f in layout.features.items() if _is_vector(k, f)}
    images = {k: _image(layout, k, f) for k, f in layout.features.items() if _is_image(f)}
    _say_what_is_left_out(layout, {*vectors, *images, *_KNOWN})
    if not vectors and not images:
        raise refusal(layout.root, INFO_FILE, "no observation.*", "float vectors or RGB images")
    names = _names(layout.features[lf.ACTION])
    texts = [" / ".join(row["tasks"]) for row in layout.episodes]
    single = texts[0] if len(set(texts)) == 1 else ""
    spec = RecordingSpec(
        robot=robot or layout.robot or "unknown",
        task=TaskSpec(
            name=task or single or layout.root.name,
            horizon=max(row["length"] for row in layout.episodes),
            observation=ObservationSpec(vectors=vectors, images=images),
            action=ActionSpec(
                kind="opaque",
                names=names,
                scale=_scale(names, largest, scale),
                period_s=1 / layout.fps,
            ),
            instruction=single,
        ),
    )
    read = [*vectors, lf.ACTION, *(k for k in (lf.REWARD, lf.SUCCESS) if k in layout.features)]
    return Foreign(
        spec=spec,
        sizes={key: math.prod(layout.features[key]["shape"]) for key in read},
        tasks=tuple((task if single else None) or text or spec.task.name for text in texts),
    )


def check_action(layout: Layout) -> None:
    """Check that there is an action of float numbers.

    Raises:
        StorageError: there is none.
    """
    feature = layout.features.get(lf.ACTION)
    if not feature or feature["dtype"] not in _FLOATS or len(feature["shape"]) != 1:
        raise refusal(layout.root, INFO_FILE, f"action {feature}", "one vector of float numbers")


def _is_vector(key: str, feature: Mapping[str, Any]) -> bool:
    shape = feature["shape"]
    return (
        key.startswith(_OBSERVATION)
        and feature["dtype"] in _FLOATS
        and len(shape) == 1
        and shape[0] > 0
    )


def _is_image(feature: Mapping[str, Any]) -> bool:
    info: dict[str, Any] = feature.get("info") or {}
    depth = info.get("is_depth_map") or info.get("video.is_depth_map")
    return feature["dtype"] in ("image", "video") and 3 in feature["shape"] and not depth


def _vector(feature: Mapping[str, Any]) -> VectorSpec:
    return VectorSpec(names=_names(feature), unit="")


def _image(layout: Layout, key: str, feature: Mapping[str, Any]) -> ImageSpec:
    shape = list(feature["shape"])
    if len(shape) != 3 or 3 not in (shape[0], shape[2]):
        raise refusal(layout.root, INFO_FILE, f"{key} of shape {shape}", "[height, width, 3]")
    height, width = shape[:2] if shape[2] == 3 else shape[1:]
    return ImageSpec(height=height, width=width)


def _names(feature: Mapping[str, Any]) -> tuple[str, ...]:
    """The feature's element names; their numbers where it has none that fit."""
    names: Any = feature.get("names")
    if isinstance(names, dict):
        groups = list(cast(dict[str, Any], names).values())
        names = groups[0] if len(groups) == 1 else None
    size = int(feature["shape"][0])
    if isinstance(names, list) and len(cast(list[Any], names)) == size:
        return tuple(str(name) for name in cast(list[Any], names))
    return tuple(str(number) for number in range(size))


def _scale(
    names: tuple[str, ...], largest: Vector, scale: Sequence[float] | None
) -> tuple[float, ...]:
    if scale is None:
        return tuple(float(a) if a > 0 else 1.0 for a in largest)
    if len(scale) != len(names):
        raise ContractError(f"scale has {len(scale)} elements, the action {len(names)}: {names}")
    for name, limit, reached in zip(names, scale, largest, strict=True):
        if not reached <= np.float32(limit):
            raise ContractError(
                f"action element {name!r} reaches {reached:g}, beyond its scale {limit:g}; "
                "give a larger scale, or none"
            )
    return tuple(float(s) for s in scale)


def _say_what_is_left_out(layout: Layout, used: set[str]) -> None:
    unused = sorted(set(layout.features) - used)
    if unused:
        _LOG.warning("%s: these columns are not imported: %s", layout.root, ", ".join(unused))


def _outcome(success: Vector | None) -> Outcome:
    if success is None:
        return Outcome.UNKNOWN
    return Outcome.SUCCESS if success.any() else Outcome.FAILURE


def _stamps_ns(steps: int, period_s: float) -> NDArray[np.int64]:
    return np.rint(np.arange(steps + 1) * (period_s * 1e9)).astype(np.int64)


def _repeat_last(values: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([values, values[-1:]])


def _finite(key: str, index: int, values: NDArray[Any]) -> NDArray[Any]:
    if not np.isfinite(values).all():
        raise StorageError(
            f"{key} of episode {index} has a number that is not finite; expected finite numbers; "
            "leave the episode out of the dataset, or mend it"
        )
    return values
