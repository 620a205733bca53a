"""robomimic HDF5 files (Mandlekar et al. 2021, arXiv 2108.03298; robomimic.github.io) as a source.

A file holds `data/demo_N` with `actions`, `obs/<key>`, optionally `next_obs/<key>`, `rewards`,
`dones`, and `mask/<key>`, lists of demos. Not here: one demo (`demo`), what the actions
mean (`action`), and the simulator's `states` and `model_file`, for which an episode has
no place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.errors import StorageError, did_you_mean
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.spec import IMAGE_PREFIX, ImageSpec, ObservationSpec, TaskSpec
from robot_rl.core.types import Outcome, Source, Vector
from robot_rl.data.exchange.imported_episode import imported_episode
from robot_rl.data.exchange.robomimic.action import action_spec, normalise
from robot_rl.data.exchange.robomimic.demo import RobomimicDemo, vector_spec
from robot_rl.data.exchange.robomimic.hdf5_file import Hdf5Group, open_hdf5

_DEMO = re.compile(r"demo_([0-9]{1,18})")


class RobomimicSource:
    """Episodes of one robomimic file; a `Source`.

    The last observation is that of `next_obs`; where a file has none, it is the one before it
    again. Success is a last reward above 0 (without rewards: a last `dones`); of shaped rewards
    nobody knows the outcome.

    Args:
        path: the file.
        robot: its name; empty for that which the file gives.
        task: its name; empty for that of the file's environment.
        filter_key: which list under `mask/` to take; None for all demos.
        period_s: the control period where the file gives no `control_freq`.
        flip_images: turn images upside down. robomimic's own are upright; other programs that
            write this format store robosuite's as it renders them, bottom row first.
        skip: observations to leave out.

    Raises:
        StorageError: naming demo and key of what is missing, of another shape, not finite, or
            not in the file itself.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        robot: str = "",
        task: str = "",
        filter_key: str | None = None,
        period_s: float = 0.05,
        flip_images: bool = False,
        skip: Sequence[str] = (),
    ) -> None:
        self._path = Path(path)
        self._flip = flip_images
        self._skip = frozenset(skip)
        with open_hdf5(self._path) as root:
            data = root.group("data")
            self._names = _demos(self._path, root, data, filter_key)
            env_args = _env_args(self._path, data)
            kwargs = _mapping(env_args.get("env_kwargs"))
            frequency = kwargs.get("control_freq")
            if isinstance(frequency, int | float) and frequency > 0:
                period_s = 1 / frequency
            self._shaped = kwargs.get("reward_shaping") is True
            horizon, largest = self._measure(data)
            task_spec = TaskSpec(
                name=task or str(env_args.get("env_name") or self._path.stem),
                horizon=horizon,
                observation=_observation_spec(self._demo(data, self._names[0])),
                action=action_spec(kwargs, largest, period_s),
                instruction=str(kwargs.get("lang") or env_args.get("lang") or ""),
            )
        self.spec = RecordingSpec(robot=robot or _robot(kwargs), task=task_spec)

    def __len__(self) -> int:
        return len(self._names)

    def episodes(self) -> Iterator[Episode]:
        """Read the demos in the order of their numbers.

        Raises:
            StorageError: as the constructor, of a later demo.
        """
        with open_hdf5(self._path) as root:
            data = root.group("data")
            for name in self._names:
                yield self._episode(name, self._demo(data, name))

    def _demo(self, data: Hdf5Group, name: str) -> RobomimicDemo:
        group = data.group(name)
        return RobomimicDemo(self._path, name, group, flip=self._flip, skip=self._skip)

    def _measure(self, data: Hdf5Group) -> tuple[int, Vector]:
        """Steps of the longest demo, and float32[d] the greatest magnitudes of all actions."""
        horizon, peaks = 0, list[Vector]()
        for name in self._names:
            demo = self._demo(data, name)
            actions = demo.actions()
            if peaks and len(peaks[0]) != actions.shape[1]:
                raise demo.error("actions", f"{actions.shape[1]} elements", f"{len(peaks[0])}")
            peaks.append(np.abs(actions).max(0))
            horizon = max(horizon, len(actions))
        return horizon, np.max(peaks, axis=0)

    def _episode(self, name: str, demo: RobomimicDemo) -> Episode:
        task = self.spec.task
        actions = demo.actions()
        columns = self._whole(demo, len(actions))
        reward, outcome = self._judged(demo, len(actions))
        stamps = np.rint(np.arange(len(actions) + 1) * (task.action.period_s * 1e9))
        return imported_episode(
            episode_id=f"{_id(self._path.stem)}-{name}",
            metadata=EpisodeMetadata(
                task=task.name, robot=self.spec.robot, contract=task.contract
            ),
            outcome=outcome,
            stamps_ns=stamps.astype(np.int64),
            ages_s=np.zeros(len(stamps), np.float32),
            vectors={k: columns[k] for k in task.observation.vectors},
            images={k: columns[k] for k in task.observation.images},
            action=normalise(actions, task.action),
            reward=reward,
            source=Source.DEMO,
        )

    def _whole(self, demo: RobomimicDemo, steps: int) -> dict[str, NDArray[Any]]:
        """Observations at all T + 1 instants, of the shapes that the spec says."""
        observation = self.spec.task.observation
        shapes: dict[str, tuple[int, ...]] = {
            **{k: (steps, v.size) for k, v in observation.vectors.items()},
            **{k: (steps, i.height, i.width, 3) for k, i in observation.images.items()},
        }
        columns = demo.observations()
        last = demo.observations("next_obs") if demo.has_next else columns
        for group, found in (("obs", columns), ("next_obs", last)):
            for key in sorted({*shapes, *found}):
                got = list(found[key].shape) if key in found else "nothing"
                expected = list(shapes[key]) if key in shapes else "nothing"
                if got != expected:
                    raise demo.error(
                        f"{group} ({key})", f"{got}", f"{expected}, as in {self._names[0]}"
                    )
        return {k: np.concatenate([v, last[k][-1:]]) for k, v in columns.items()}

    def _judged(self, demo: RobomimicDemo, steps: int) -> tuple[Vector, Outcome]:
        rewards, dones = demo.column("rewards", steps), demo.column("dones", steps)
        reward = np.zeros(steps, np.float32) if rewards is None else rewards
        judge = dones if rewards is None else rewards
        if judge is None or self._shaped:
            return reward, Outcome.UNKNOWN
        return reward, Outcome.SUCCESS if judge[-1] > 0 else Outcome.FAILURE


def _demos(path: Path, root: Hdf5Group, data: Hdf5Group, filter_key: str | None) -> list[str]:
    """Names of the demos to read, in the order of their numbers."""
    there = {name for name in data.names() if _DEMO.fullmatch(name)}
    wanted = there if filter_key is None else {*_mask(path, root, filter_key)}
    if missing := sorted(wanted - there):
        raise StorageError(
            f"{path}: mask/{filter_key} names {missing[0]!r}, which is not in data; correct the "
            "mask, or use another filter key"
        )
    if not wanted:
        raise StorageError(f"{path}: there are no demos data/demo_N; name a robomimic file")
    return sorted(wanted, key=lambda name: (int(name.removeprefix("demo_")), name))


def _mask(path: Path, root: Hdf5Group, filter_key: str) -> list[str]:
    masks = root.group("mask") if "mask" in root else None
    keys = masks.names() if masks else []
    if masks is None or filter_key not in keys:
        raise StorageError(
            f"{path}: no filter key {filter_key!r}"
            f"{did_you_mean(filter_key, keys) or '; the file has none'}"
        )
    listed = masks.array(filter_key).reshape(-1).tolist()
    return [n.decode(errors="replace") if isinstance(n, bytes) else str(n) for n in listed]


def _observation_spec(demo: RobomimicDemo) -> ObservationSpec:
    columns = demo.observations()
    return ObservationSpec(
        vectors={
            key: vector_spec(key, column.shape[1])
            for key, column in columns.items()
            if not key.startswith(IMAGE_PREFIX)
        },
        images={
            key: ImageSpec(height=column.shape[1], width=column.shape[2])
            for key, column in columns.items()
            if key.startswith(IMAGE_PREFIX)
        },
    )


def _env_args(path: Path, data: Hdf5Group) -> Mapping[str, Any]:
    text = data.attribute("env_args")
    try:
        return {} if text is None else _mapping(json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise StorageError(
            f"{path}: attribute env_args of /data is no JSON text: {error}; correct it"
        ) from error


def _robot(kwargs: Mapping[str, Any]) -> str:
    robots = kwargs.get("robots")
    names = cast(list[Any], robots) if isinstance(robots, list) else [robots or "unknown"]
    return "+".join(str(name) for name in names)


def _mapping(value: object) -> Mapping[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _id(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:150] or "robomimic"
