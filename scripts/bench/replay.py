"""How fast a learner gets its images, what a step takes of memory, and how long inserting takes.

Usage: .venv/bin/python scripts/bench/replay.py [--quick] [--json FILE]

Two cameras of 128 x 128 pixels, batches of 256, randomly shifted, as floats, on the processor. On
one thread the time is CPU time, on two it is the wall's; all contenders take turns.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from replay_data import Shape, transitions
from replay_peers import INSTALL, LEROBOT, Peer, our_augmentation, peers, usual_shift
from report import Claim, Row, at_least, at_most, measured, publish, skipped

from robot_rl.core.types import Transition
from robot_rl.data.replay.augmentation import AugmentationConfig
from robot_rl.data.replay.batch import Batch
from robot_rl.data.replay.replay_buffer import ReplayBuffer
from robot_rl.data.replay.sampling import Sampler

OURS = "robot_rl"
COPY = "copy of the same bytes"
OWN, LENT, USUAL = "its own", "ours", "as usually written"
COLUMNS = ("name", "augmentation", "median", "p10", "p90", "unit", "skipped")
Findings = tuple[list[Row], list[Claim]]


class Storing(Protocol):
    """What can be filled."""

    def add(self, step: Transition, /) -> None:
        """Store one step."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long to measure."""

    shape: Shape
    rounds: int
    insertions: int
    compiled: bool


FULL = Effort(shape=Shape(steps=3000), rounds=15, insertions=4000, compiled=True)
QUICK = Effort(shape=Shape(steps=600), rounds=4, insertions=1000, compiled=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """Measure replay side by side with others' buffers."""

    quick: bool = False
    """Fewer rounds and steps, and lerobot's shift not compiled: less than two minutes."""

    json: Path | None = None
    """Where rows and claims go."""


def main() -> None:
    """Measure, print, write."""
    arguments = tyro.cli(Arguments, description=__doc__)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    rows, claims = measure(QUICK if arguments.quick else FULL)
    torch.set_num_threads(1)
    publish("replay", rows, claims, arguments.json, COLUMNS)


def measure(effort: Effort) -> Findings:
    """Fill all buffers, then time inserting and sampling."""
    shape = effort.shape
    logging.info("filling %s", OURS)
    ours, rows, memory = fill(OURS, our_buffer, shape)
    claims = [at_most("memory of a step in copies of its frame", memory, "x", 1.05)]
    others: dict[str, Peer] = {}
    for name, make in peers(compiled=effort.compiled).items():
        logging.info("filling %s", name)
        try:
            others[name], more, _ = fill(name, make, shape)
        except ImportError:
            rows.append(skipped(name, INSTALL))
            continue
        rows += more
    findings = [insertion(ours, effort)]
    for threads in (1, 2):
        logging.info("sampling with %d thread(s)", threads)
        torch.set_num_threads(threads)
        findings.append(sampling(ours, others, effort, threads))
    for more_rows, more_claims in findings:
        rows += more_rows
        claims += more_claims
    return rows, claims


def fill[T: Storing](
    name: str, make: Callable[[Shape], T], shape: Shape
) -> tuple[T, list[Row], float]:
    """Make a buffer and overfill it.

    Returns:
        the buffer; rows of what inserting takes and what a step takes of memory; and the latter,
        resident, in copies of a frame.
    """
    stream = transitions(shape)
    next(stream)
    # What making it brings in for good, such as its package, is not the buffer's.
    make(Shape(side=8, steps=8))
    before = _resident_bytes()
    buffer = make(shape)
    spent_s = [_seconds(partial(buffer.add, step)) for step in islice(stream, 2 * shape.steps)]
    copies = (_resident_bytes() - before) / shape.steps / shape.frame_bytes
    rows = [
        measured(f"{name}: memory of a step in copies of its frame", "x", [copies]),
        measured(f"{name}: inserting a step", "ms", 1e3 * np.array(spent_s)),
    ]
    return buffer, rows, copies


def our_buffer(shape: Shape) -> ReplayBuffer:
    """Our buffer, in memory."""
    return ReplayBuffer(shape.steps, shape.observation, shape.action)


def insertion(buffer: ReplayBuffer, effort: Effort) -> Findings:
    """Slowest per cent of insertions, alone and while another thread samples all the time."""
    rows: list[Row] = []
    claims: list[Claim] = []
    torch.set_num_threads(1)
    for busy in (False, True):
        name = "inserting a step, p99" + (" while a thread samples" if busy else "")
        spent_ms = 1e3 * np.array(_insertions(buffer, effort, busy=busy))
        blocks = np.percentile(spent_ms.reshape(10, -1), 99, axis=1)
        rows.append(measured(f"{OURS}: {name}", "ms", blocks))
        claims.append(at_most(name, float(np.percentile(spent_ms, 99)), "ms", 1.0))
    return rows, claims


def sampling(
    buffer: ReplayBuffer, others: Mapping[str, Peer], effort: Effort, threads: int
) -> Findings:
    """Rates of all contenders in turn, and what ours is to the others."""
    sampler = _sampler(buffer, effort.shape.batch)
    lent = our_augmentation()
    work: dict[tuple[str, str], Callable[[], object]] = {
        (OURS, OWN): sampler.sample,
        (COPY, ""): copy_of(sampler.sample(), threads),
    }
    own = f"{OWN}, {'' if effort.compiled else 'not '}compiled"
    for name, peer in others.items():
        work[name, own if name == LEROBOT else LENT] = partial(peer.sample, lent)
    spent_s = _in_turn(work, effort.rounds, threads)
    ours, copy = spent_s[OURS, OWN], spent_s[COPY, ""]
    # The usual shift is slow enough to try it with the quickest peer alone.
    ratios = {name: np.median(s / ours) for (name, how), s in spent_s.items() if how == LENT}
    best = min(ratios, key=lambda name: ratios[name], default=None)
    usual = np.nan
    if best is not None:
        pair = {
            (OURS, OWN): sampler.sample,
            (best, USUAL): partial(others[best].sample, usual_shift),
        }
        again = _in_turn(pair, effort.rounds, threads)
        spent_s[best, USUAL] = again[best, USUAL]
        usual = np.median(again[best, USUAL] / again[OURS, OWN])
    label = f"{threads} thread{'s' if threads > 1 else ''}"
    rows = [
        measured(f"{name}, {label}", "samples/s", effort.shape.batch / s, augmentation=how)
        for (name, how), s in spent_s.items()
    ]
    lerobot = np.median(spent_s[LEROBOT, own] / ours) if LEROBOT in others else np.nan
    claims = [
        at_least(f"{label}: against lerobot with its own shift", float(lerobot), "x", 5),
        at_least(
            f"{label}: against {best} with our shift, the best of the others",
            float(min(ratios.values(), default=np.nan)),
            "x",
            3,
        ),
        at_least(f"{label}: against {best}, shift as usually written", float(usual), "x", 3),
        at_most(f"{label}: time to a {COPY}", float(np.median(ours / copy)), "x", 2),
    ]
    return rows, claims


def copy_of(batch: Batch, threads: int) -> Callable[[], object]:
    """Return what copies a batch's arrays as they were delivered into memory that is in use."""
    sources = [
        t.permute(0, 2, 3, 1).numpy()
        for images in (batch.images, batch.next_images)
        for t in images.values()
    ] + [batch.observation.numpy(), batch.next_observation.numpy(), batch.action.numpy()]
    pairs: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = [
        (target, source)
        for whole in sources
        for target, source in zip(
            np.array_split(np.ones_like(whole), threads),
            np.array_split(whole, threads),
            strict=True,
        )
    ]
    pool = ThreadPoolExecutor(threads)
    if threads == 1:
        return lambda: [np.copyto(*pair) for pair in pairs]
    return lambda: list(pool.map(lambda pair: np.copyto(*pair), pairs))


def _sampler(buffer: ReplayBuffer, size: int) -> Sampler:
    augmentation = AugmentationConfig().build(0)
    return Sampler([buffer], [1.0], size, 1, 0.99, 0, augmentation=augmentation)


def _in_turn(
    work: Mapping[tuple[str, str], Callable[[], object]], rounds: int, threads: int
) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Seconds of one call of each, in rounds in which each has its turn, after one to warm up."""
    clock = time.process_time if threads == 1 else time.perf_counter
    for call in work.values():
        call()
    spent = [{name: _seconds(call, clock) for name, call in work.items()} for _ in range(rounds)]
    return {name: np.array([one[name] for one in spent]) for name in work}


def _insertions(buffer: ReplayBuffer, effort: Effort, *, busy: bool) -> list[float]:
    """Seconds of each insertion, one every two milliseconds."""
    stop = threading.Event()
    sampler = _sampler(buffer, effort.shape.batch)

    def sample() -> None:
        while not stop.is_set():
            sampler.sample()

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(sample) if busy else None
        spent_s: list[float] = []
        try:
            for step in islice(transitions(effort.shape), effort.insertions):
                spent_s.append(_seconds(partial(buffer.add, step)))
                time.sleep(0.002)
        finally:
            stop.set()
        if reader is not None:
            reader.result()
    return spent_s


def _seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    start_s = clock()
    work()
    return clock() - start_s


def _resident_bytes() -> int:
    """Bytes of this process that are in memory, without what it has freed."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


if __name__ == "__main__":
    main()
