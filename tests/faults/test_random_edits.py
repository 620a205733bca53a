"""Thousands of deletions, undos, labels and invalid acts against the model, beside a reader."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import contents
import pytest
from model import Model, Refused
from oracle import State, look

from robot_rl.core.errors import ContractError, StorageError
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.data.store.episode_store import EpisodeStore

HERE = Path(__file__).parent
EPISODES = 12
PURGE_EVERY = 500


def test_random_edits_do_what_the_model_does(folder, report, repeats):
    count, random, model = repeats(2_000, 10_000), Random(3), Model()
    path, refused = folder / "store", 0
    with EpisodeStore(path, contents.SPEC) as store:
        for number in range(EPISODES):
            store.append(contents.episode(number, 3))
            model.apply(["save", contents.name(number), 3])
        watcher = watch(path)
        for step in range(count):
            act = random_act(random, step, model)
            before = files(path)
            was_refused = do_both(store, model, act)
            refused += was_refused
            assert listing(store) == without_values(model.state()), f"step {step}: {act}"
            if act != ["purge"]:
                assert before - files(path) == set(), f"step {step}: {act} removed files"
            if step % 200 == 199:
                assert look(store) == model.state()
                assert look(EpisodeReader(path)) == model.state()
        reads = stop(watcher)
    with EpisodeStore(path) as store:
        assert look(store) == model.state()
    assert refused > count // 20
    assert reads > 100
    report(
        "random delete, undo, label",
        acts=count,
        refused_by_both=refused,
        reads_beside=reads,
        different=0,
        files_removed_before_purge=0,
    )


def random_act(random: Random, step: int, model: Model) -> list:
    if step % PURGE_EVERY == PURGE_EVERY - 1:
        return ["purge"]
    if len(model.episodes) < EPISODES:
        return ["save", contents.name(EPISODES + step), 3]
    name = random.choice([*model.episodes])
    if random.random() < 0.1:
        name = random.choice(["", "episode", "episode-999999", "../episode-1", *model.purged])
    match random.randrange(6):
        case 0:
            return ["delete", name]
        case 1:
            return ["undo"]
        case 2 | 3:
            return ["undo", name]
        case 4:
            steps = random.choice([1, 3, 3, 4, 5])
            return ["label", name, random.choice(["reward", "rlif"]), float(step), steps]
        case _:
            taken = random.choice([*model.episodes, *model.purged])
            return ["save", taken, 3]


def do_both(store: EpisodeStore, model: Model, act: list) -> bool:
    """Do an act in both; they agree on whether it is refused, which is returned."""
    try:
        model.apply(act)
    except Refused:
        with pytest.raises((StorageError, ContractError)):
            perform(store, act)
        return True
    perform(store, act)
    return False


def perform(store: EpisodeStore, act: list) -> None:
    match act:
        case ["save", name, steps]:
            store.append(contents.episode(int(name.removeprefix("episode-")), steps))
        case ["label", name, of, value, steps]:
            store.add_label(name, contents.label(value, of, steps))
        case [verb, *names]:
            getattr(store, verb)(*names)


def listing(reader: EpisodeReader) -> State:
    """What the index says; no episode and no label is read."""
    entries = [reader.entry(name) for name in reader.ids()]
    labels = [
        (name, of, version, 0.0)
        for name in reader.ids()
        for of, versions in reader.labels(name).items()
        for version in versions
    ]
    return State(
        tuple((e.id, e.steps, e.interrupted) for e in entries),
        tuple(sorted(reader.deleted())),
        tuple(sorted(labels)),
    )


def without_values(state: State) -> State:
    labels = tuple((*label[:3], 0.0) for label in state.labels)
    return dataclasses.replace(state, labels=labels)


def files(path: Path) -> set[str]:
    folders = [os.walk(path / top) for top in ("episodes", "labels")]
    return {f"{where}/{name}" for walk in folders for where, _, names in walk for name in names}


def watch(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, HERE / "watcher.py", path],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stop(watcher: subprocess.Popen[str]) -> int:
    """End the reader beside the writer; how often it read, every time what was recorded."""
    out, complaints = watcher.communicate(input="stop\n", timeout=60)
    assert watcher.returncode == 0, complaints
    return int(out)
