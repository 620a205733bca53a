"""How fast episodes get to disk and back: our store and log, and LeRobot datasets both ways.

Usage: .venv/bin/python scripts/bench/dataset_io.py [--quick] [--json FILE]

Two cameras of 128 x 128 pixels at 20 Hz, 20 numbers of state. lerobot's own writer gets the same
episodes, features and codec settings, in each of its modes; it takes turns with our export, whose
time includes reading the store, fsync and the comparison with what went in. Wall time.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from report import Claim, Row, at_least, measured, publish, skipped

from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.errors import DependencyError
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.spec import ActionSpec, ImageSpec, ObservationSpec, TaskSpec, VectorSpec
from robot_rl.core.types import Image, Outcome
from robot_rl.data.exchange.lerobot import format as lf
from robot_rl.data.exchange.lerobot.exporting import export_lerobot
from robot_rl.data.exchange.lerobot.importing import LeRobotSource
from robot_rl.data.exchange.lerobot.library import library
from robot_rl.data.log.episode_log import EpisodeLog
from robot_rl.data.log.recovery import read_log
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.data.store.episode_store import EpisodeStore

REPO_ID = "bench/dataset"
OURS = "export, compared and synced"
IMPORT = "import"
PEERS: Mapping[str, Mapping[str, Any]] = {
    "lerobot's writer as shipped": {},
    "lerobot's writer, streaming": {"streaming_encoding": True},
}
Findings = tuple[list[Row], list[Claim]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much to measure."""

    episodes: int
    steps: int
    repeats: int
    side: int = 128


FULL = Effort(episodes=40, steps=200, repeats=5)
QUICK = Effort(episodes=8, steps=60, repeats=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """Measure reading and writing of datasets, beside lerobot's own writer."""

    quick: bool = False
    """Fewer and shorter episodes: less than two minutes on two cores."""

    json: Path | None = None
    """Where rows and claims go."""


def main() -> None:
    """Measure, print, write."""
    arguments = tyro.cli(Arguments, description=__doc__)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="robot-rl-bench-") as folder:
        rows, claims = measure(QUICK if arguments.quick else FULL, Path(folder))
    publish("dataset input and output, wall time", rows, claims, arguments.json)


def measure(effort: Effort, folder: Path) -> Findings:
    """Measure store, log, and LeRobot export and import."""
    spec = recording(effort)
    episodes = [record(spec, effort, number) for number in range(effort.episodes)]
    rows = [*store_rows(spec, episodes, effort, folder), *log_rows(spec, episodes, folder)]
    try:
        library()
    except DependencyError as error:
        return [*rows, skipped("export to LeRobot and import", str(error))], []
    more, claims = lerobot(episodes, effort, folder)
    return [*rows, *more], claims


def recording(effort: Effort) -> RecordingSpec:
    """Two cameras, 20 numbers of state, 7 of action."""
    side = ImageSpec(height=effort.side, width=effort.side)
    observation = ObservationSpec(
        vectors={"observation.state": VectorSpec(names=_names("joint", 20), unit="rad")},
        images={"observation.images.wrist": side, "observation.images.side": side},
    )
    action = ActionSpec(
        kind="joint_delta", names=_names("joint", 7), scale=(0.1,) * 7, period_s=0.05
    )
    task = TaskSpec(name="bench", horizon=effort.steps, observation=observation, action=action)
    return RecordingSpec(robot="bench", task=task)


def record(spec: RecordingSpec, effort: Effort, number: int) -> Episode:
    """One episode of moving patterns with the noise of a camera."""
    rng = np.random.default_rng(number)
    steps, task = effort.steps, spec.task

    def uniform(*shape: int) -> Any:
        return rng.uniform(-1, 1, shape).astype(np.float32)

    action = uniform(steps, task.action.size)
    return Episode(
        episode_id=f"bench-{number:04d}",
        metadata=EpisodeMetadata(task=task.name, contract=spec.contract),
        outcome=Outcome.SUCCESS,
        terminated=True,
        truncated=False,
        stamps_ns=np.arange(steps + 1) * 50_000_000,
        ages_s=np.zeros(steps + 1, np.float32),
        vectors={k: uniform(steps + 1, v.size) for k, v in task.observation.vectors.items()},
        images={key: film(rng, steps + 1, effort.side) for key in task.observation.images},
        action=action,
        base_action=uniform(steps + 1, task.action.size),
        proposed_action=action,
        reward=np.zeros(steps, np.float32),
        source=np.zeros(steps, np.uint8),
        intervention_start=np.zeros(steps, np.bool_),
        gate_reason=np.zeros(steps, np.uint8),
        inference_s=np.zeros(steps, np.float32),
        lateness_s=np.zeros(steps, np.float32),
        policy_version=np.zeros(steps, np.int64),
    )


def film(rng: np.random.Generator, count: int, side: int) -> Image:
    """Waves that move, in three colours, with noise: uint8[count, side, side, 3]."""
    y, x = np.mgrid[0:side, 0:side] / side
    slopes, speeds = rng.uniform(3, 15, (3, 2)), rng.uniform(0.05, 0.3, 3)
    frames = np.empty((count, side, side, 3), np.uint8)
    for t in range(count):
        waves = [
            np.sin(a * x + b * y + speed * t) for (a, b), speed in zip(slopes, speeds, strict=True)
        ]
        noise = rng.integers(-6, 7, (side, side, 3))
        frames[t] = np.clip(128 + 90 * np.stack(waves, axis=-1) + noise, 0, 255)
    return frames


def store_rows(
    spec: RecordingSpec, episodes: list[Episode], effort: Effort, folder: Path
) -> list[Row]:
    """Append and read rates of the store, in bytes of the episodes' arrays."""
    appended: list[float] = []
    read: list[float] = []
    path = folder / "store"
    for _ in range(effort.repeats):
        shutil.rmtree(path, ignore_errors=True)
        with EpisodeStore(path, spec) as store:
            appended += [megabytes(e) / _seconds(partial(store.append, e)) for e in episodes]
            read += [megabytes(e) / _seconds(partial(store.read, e.episode_id)) for e in episodes]
    return [measured("store: append", "MB/s", appended), measured("store: read", "MB/s", read)]


def log_rows(spec: RecordingSpec, episodes: list[Episode], folder: Path) -> list[Row]:
    """What a step costs the control loop, and how fast a torn log becomes an episode again."""
    added_s: list[float] = []
    recovered: list[float] = []
    path = folder / "log.mcap"
    for episode in episodes:
        log = EpisodeLog(path, spec, episode.episode_id, episode.metadata)
        added_s += [_seconds(partial(log.add, step)) for step in episode.transitions()]
        log.close()
        os.truncate(path, path.stat().st_size * 9 // 10)
        spent_s = _seconds(partial(read_log, path))
        recovered.append(path.stat().st_size / 1e6 / spent_s)
        path.unlink()
    return [
        measured("log: add", "ms", 1e3 * np.array(added_s)),
        measured("log: recover a torn one", "MB/s", recovered),
    ]


def lerobot(episodes: list[Episode], effort: Effort, folder: Path) -> Findings:
    """Export beside lerobot's writer, in turn, and import."""
    reader = EpisodeReader(folder / "store")
    turns: list[dict[str, float]] = []
    for number in range(effort.repeats):
        place = folder / f"turn-{number}"
        turns.append(turn(reader, place))
        if number > 0:
            shutil.rmtree(place)
    spent = {name: np.array([t[name] for t in turns]) for name in turns[0]}
    frames = sum(len(e) for e in episodes)
    rows = [measured(f"{name}: frames", "1/s", frames / s) for name, s in spent.items()]
    psnr_db = likeness(episodes, folder / "turn-0" / "ours")
    rows.append(measured("likeness of the images after both", "dB PSNR", psnr_db))
    claims: list[Claim] = []
    for name in PEERS:
        ratios = spent[name] / spent[OURS]
        rows.append(measured(f"{OURS} against {name}", "x", ratios))
        claims.append(at_least(f"{OURS} against {name}", float(np.median(ratios)), "x", 1.0))
    return rows, claims


def turn(reader: EpisodeReader, folder: Path) -> dict[str, float]:
    """Export, import and write with lerobot once; durations by name [s]."""
    export = partial(export_lerobot, reader, folder / "ours", repo_id=REPO_ID)
    spent_s = {OURS: _seconds(export), IMPORT: _seconds(lambda: list(read(folder / "ours")))}
    for number, (name, mode) in enumerate(PEERS.items()):
        root = folder / f"peer-{number}"  # lerobot 0.6 cannot join videos in a folder with a quote
        spent_s[name] = _seconds(partial(write_with_lerobot, reader, root, mode))
    return spent_s


def read(root: Path) -> Iterator[Episode]:
    """Import a dataset."""
    return LeRobotSource(root).episodes()


def likeness(episodes: list[Episode], root: Path) -> list[float]:
    """PSNR of each episode's images after export as videos and import [dB]."""
    result: list[float] = []
    for before, after in zip(episodes, read(root), strict=True):
        for key, images in before.images.items():
            error = images[:-1].astype(np.float32) - after.images[key][:-1]
            result.append(float(10 * np.log10(255**2 / np.mean(error**2))))
    return result


def write_with_lerobot(reader: EpisodeReader, root: Path, mode: Mapping[str, Any]) -> None:
    """Write the same features with lerobot: create, add_frame, save_episode, finalize."""
    spec = reader.spec
    features = lf.features(spec, video=True)
    if mode:
        # Frames that do not fit into its queue in 0.1 s it drops.
        mode = {**mode, "encoder_queue_maxsize": 100_000}
    dataset = library().lerobot.LeRobotDataset.create(
        REPO_ID, lf.frame_rate(spec.task.action), features, root=root, robot_type="bench", **mode
    )
    for episode in reader:
        numbers = {k: v.reshape(len(v), -1) for k, v in lf.columns(episode).items()}
        for t in range(len(episode)):
            images = {key: images[t] for key, images in episode.images.items()}
            values = {key: column[t] for key, column in numbers.items()}
            dataset.add_frame({**values, **images, "task": lf.task_text(spec)})
        dataset.save_episode()
    dataset.finalize()


def megabytes(episode: Episode) -> float:
    """Size of the arrays of an episode."""
    columns = [getattr(episode, field.name) for field in dataclasses.fields(episode)]
    columns += [*episode.vectors.values(), *episode.images.values()]
    return sum(c.nbytes for c in columns if isinstance(c, np.ndarray)) / 1e6


def _seconds(work: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    work()
    return time.perf_counter() - start_s


def _names(name: str, count: int) -> tuple[str, ...]:
    return tuple(f"{name}{number}" for number in range(count))


if __name__ == "__main__":
    main()
