"""The work during which a process is killed. Each function goes on for ever."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import contents
from traps import TrapDisk

from robot_rl.core.episode import Episode
from robot_rl.core.recording import RecordingSpec
from robot_rl.data.exchange.lerobot.exporting import export_lerobot
from robot_rl.data.exchange.source import import_into
from robot_rl.data.log.export import write_mcap
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.data.store.episode_store import EpisodeStore

PERIOD_S = 0.002


@dataclass(slots=True)
class Scene:
    """What a victim works with.

    Args:
        store: the store's folder; target: a folder for exports.
        disk: on which everything is done.
        random: its dice.
        number: from which its episodes are numbered.
        mouth: the pipe to whoever judges.
    """

    store: Path
    target: Path
    disk: TrapDisk
    random: Random
    number: int
    mouth: int

    def tell(self, word: str, value: object) -> None:
        os.write(self.mouth, (json.dumps([word, value, time.monotonic()]) + "\n").encode())

    def act(self, act: list, do: Callable[[], object]) -> None:
        """Announce an act, do it, acknowledge it."""
        self.tell("do", act)
        do()
        self.tell("done", act)

    def open(self) -> EpisodeStore:
        store = EpisodeStore(self.store, contents.SPEC, disk=self.disk)
        self.tell("opened", None)
        return store

    def next(self) -> int:
        self.number += 1
        return self.number


def record(scene: Scene) -> None:
    """Record long episodes at 500 Hz."""
    with scene.open() as store:
        while True:
            record_one(scene, store, count=scene.random.randrange(100, 1_500), period_s=PERIOD_S)


def seal(scene: Scene) -> None:
    """Record short episodes as fast as they come, and save others without a log."""
    with scene.open() as store:
        while True:
            record_one(scene, store, count=scene.random.randrange(1, 6))
            save(scene, store)


def record_one(scene: Scene, store: EpisodeStore, count: int, period_s: float = 0.0) -> None:
    number = scene.next()
    name = contents.name(number)
    scene.tell("record", name)
    with store.record(name, contents.metadata()) as recording:
        for step in contents.steps(number, count):
            recording.add(step)
            scene.tell("added", step.step)
            if period_s:
                time.sleep(period_s)
        episode = contents.episode(number, count)
        scene.act(["save", name, count], lambda: recording.seal(episode))


def save(scene: Scene, store: EpisodeStore) -> None:
    number, count = scene.next(), scene.random.randrange(1, 6)
    episode = contents.episode(number, count)
    scene.act(["save", episode.episode_id, count], lambda: store.append(episode))


def edit(scene: Scene) -> None:
    """Delete, undo and label at random."""
    with scene.open() as store:
        while True:
            save(scene, store)
            for _ in range(6):
                edit_one(scene, store)


def edit_one(scene: Scene, store: EpisodeStore) -> None:
    name = scene.random.choice(store.ids() or [""])
    match scene.random.randrange(4):
        case 0 if name:
            scene.act(["delete", name], lambda: store.delete(name))
        case 1 if name:
            count, value = len(store.read(name)), float(scene.random.randrange(1_000))
            label = contents.label(value, scene.random.choice(["reward", "rlif"]), count)
            act = ["label", name, label.name, value, count]
            scene.act(act, lambda: store.add_label(name, label))
        case 2 if store.deleted():
            gone = scene.random.choice(store.deleted())
            scene.act(["undo", gone], lambda: store.undo(gone))


def purge(scene: Scene) -> None:
    """Save, delete some, purge."""
    with scene.open() as store:
        while True:
            for _ in range(3):
                save(scene, store)
            for name in scene.random.sample(store.ids(), 2):
                scene.act(["delete", name], lambda name=name: store.delete(name))
            scene.act(["purge"], store.purge)


def export(scene: Scene, suffix: str, write: Callable[[EpisodeReader, Path], object]) -> None:
    """Export again and again, each time to another name, beginning with those tried before."""
    reader = EpisodeReader(scene.store)
    while True:
        target = scene.target / f"export-{scene.next()}{suffix}"
        scene.act(["export", target.name], lambda target=target: write(reader, target))


def export_mcap(scene: Scene) -> None:
    def write(reader: EpisodeReader, target: Path) -> None:
        episode = reader.read(scene.random.choice(reader.ids()))
        write_mcap(target, episode, reader.spec, images="png", disk=scene.disk)

    export(scene, ".mcap", write)


def export_lerobot_images(scene: Scene) -> None:
    def write(reader: EpisodeReader, target: Path) -> None:
        export_lerobot(reader, target, repo_id="robot/plug", video=False, disk=scene.disk)

    export(scene, "", write)


@dataclass(frozen=True, slots=True)
class StoreSource:
    """A store as a source of episodes."""

    reader: EpisodeReader

    @property
    def spec(self) -> RecordingSpec:
        return self.reader.spec

    def __len__(self) -> int:
        return len(self.reader)

    def episodes(self) -> Iterator[Episode]:
        return iter(self.reader)


def import_episodes(scene: Scene) -> None:
    """Make stores of a source."""

    def write(reader: EpisodeReader, target: Path) -> None:
        import_into(StoreSource(reader), target, disk=scene.disk)

    export(scene, "", write)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of work, and how its victims are killed.

    Args:
        work: what they do.
        longest_s: until when at the latest they are killed, counted from their first word.
        operations: up to which of their operations on the disk they may be killed.
    """

    work: Callable[[Scene], None]
    longest_s: float = 0.4
    operations: int = 150


KINDS = {
    "record": Kind(record, longest_s=2.2, operations=60),
    "seal": Kind(seal),
    "edit": Kind(edit),
    "purge": Kind(purge),
    "export-mcap": Kind(export_mcap, longest_s=0.3),
    "import": Kind(import_episodes),
    "export-lerobot": Kind(export_lerobot_images, longest_s=3.0, operations=25),
}
