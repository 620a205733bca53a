"""Topics: images as arrays, lost frames, a state's way to a command, and what nodes cost.

    .venv/bin/python scripts/bench/ros.py [--quick] [--json FILE]

Images are heard as a recorder hears them, every one, and as a policy does, the newest alone: there
a reader that is kept waiting for the processor misses the one before. Beside each row of ours is
rclpy as it comes: its default quality of service, Fast DDS's own shared memory, the multi-threaded
executor, a copy of each image, and in the gate's place a node that checks nothing. A row tells how
busy the machine was otherwise: figures of one that does other things meanwhile are about those.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from report import Claim, Row, at_most, measured, publish
from ros_figures import PROFILE, call_times, images, state_to_command
from sensor_msgs.msg import Image

from robot_rl_nodes.conversion import ImageWriter, image_from

SIZES = {"640x480": (480, 640), "128x128": (128, 128)}
MOST_US = 50.0
MOST_P50_MS, MOST_P99_MS = 5.0, 15.0
COLUMNS = (
    *("name", "median", "p99", "unit", "lost", "frames", "p50_ms", "p99_ms", "max_ms"),
    *("answered", "states", "cpu", "load"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What may be chosen.

    Args:
        quick: less than two minutes: 300 frames a run instead of 1000, 5 s a row instead of 60 s.
        file: where the result goes as JSON.
    """

    quick: bool = False
    file: Annotated[Path | None, tyro.conf.arg(name="json")] = None


def conversions(calls: int) -> list[Row]:
    """Images to arrays and back, ours and as rclpy's users do it."""
    rows: list[Row] = []
    for name, (height, width) in SIZES.items():
        frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        writer = ImageWriter(Image(), height, width)
        message, plain = writer.write(frame), Image()
        works = {
            "image to array": lambda m=message: image_from(m),
            "image to array, copied": lambda m=message: image_from(m).copy(),
            "array to image": lambda w=writer, f=frame: w.write(f),
            "plain: image to array": lambda m=message, f=frame: np.array(m.data).reshape(f.shape),
            "plain: array to image": lambda m=plain, f=frame: _assign(m, f),
        }
        for what, work in works.items():
            times = call_times(work, calls)
            more = {"p99": float(np.percentile(times, 99)), "load": _load()}
            rows.append(measured(f"{what}, {name}", "us", times, **more))
    return rows


def frames(quick: bool) -> list[Row]:
    """VGA images through two processes."""
    runs, count, fewer = (3, 300, 60) if quick else (3, 1000, 1000)
    every, newest = ("camera", "recording_viewer"), ("camera", "viewer")
    ways = [
        ("VGA images", *every, PROFILE, runs, count),
        ("VGA images, the newest alone", *newest, PROFILE, 1, fewer),
        ("VGA images, without the profile", *every, None, 1, fewer),
        ("plain: VGA images", "plain_camera", "plain_viewer", None, 1, fewer),
        ("VGA images, the newest alone, without the profile", *newest, None, 1, fewer),
    ]
    return [
        {"name": name, **images(_domain(n), *way), "load": _load()}
        for n, (name, *way) in enumerate(ways[: 4 if quick else None])
    ]


def latency(quick: bool) -> list[Row]:
    """From a robot's state to the command that used it."""
    seconds = 5.0 if quick else 60.0
    ways: list[tuple[str, dict[str, bool], bool]] = [
        ("state to command", {}, True),
        ("state to command, learner", {"learner": True}, True),
        ("state to command, recorder", {"recorder": True}, False),
        ("plain: state to command", {"plain": True}, True),
        ("plain: state to command, learner", {"plain": True, "learner": True}, False),
    ]
    return [
        {"name": name, **state_to_command(_domain(10 + n), seconds, **way), "load": _load()}
        for n, (name, way, also_quick) in enumerate(ways)
        if also_quick or not quick
    ]


def claims(rows: list[Row]) -> list[Claim]:
    """What is claimed of the rows that are ours."""
    named: dict[str, Any] = {row["name"]: row for row in rows}
    made = [
        at_most(f"{what}, 640x480", named[f"{what}, 640x480"]["median"], "us", MOST_US)
        for what in ("image to array, copied", "array to image")
    ]
    lost = float(sum(named["VGA images"]["lost"]))
    made.append(at_most("VGA images lost in three runs", lost, "frames", 0.0))
    found = named["state to command"]
    made.append(at_most("state to command, p50", found["p50_ms"], "ms", MOST_P50_MS))
    made.append(at_most("state to command, p99", found["p99_ms"], "ms", MOST_P99_MS))
    share = found["answered"] / found["states"]
    return [
        *made,
        Claim(
            name="states that became a command",
            value=100 * share,
            unit="%",
            target=">= 95",
            holds=share >= 0.95,
        ),
    ]


def main(options: Options) -> None:
    """Measure, print and write."""
    # Off unless asked for, as in production.
    os.environ.pop("ROS_PYTHON_CHECK_FIELDS", None)
    calls = 500 if options.quick else 5000
    rows = [*conversions(calls), *frames(options.quick), *latency(options.quick)]
    publish("ROS 2", rows, claims(rows), options.file, COLUMNS)


def _assign(message: Image, frame: np.ndarray) -> None:
    message.data = frame.tobytes()


def _domain(number: int) -> int:
    """A graph of each row's own, and of each run's."""
    return 1 + (os.getpid() + number) % 99


def _load() -> float:
    """Processes that wanted a core in the last minute; beyond the number of cores some waited."""
    return os.getloadavg()[0]


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
