"""Kills a process that works on a store, again and again, and judges what it left.

Usage: killed.py KIND FOLDER KILLS SEED. Each victim is forked, so that a kill costs no import. It
tells through a pipe what it is about to do and what it has done. Half of them are killed at a
random moment, the others within a random operation of the disk. Prints the counts as JSON.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import contents
from model import Model
from oracle import look, reopened, without_recovered
from traps import TrapDisk, die
from victims import KINDS, Scene

from robot_rl.data.exchange.lerobot.doctor import examine_lerobot
from robot_rl.data.exchange.lerobot.importing import LeRobotSource
from robot_rl.data.exchange.lerobot.library import library
from robot_rl.data.log.export import write_mcap
from robot_rl.data.log.recovery import read_log
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.data.store.episode_store import EpisodeStore

KILLS_A_STORE = 5
EXPORTED = tuple((contents.name(number), 5 + number, False) for number in range(3))
FLUSH_S = 0.5
MARGIN_S = 0.5


@dataclass(slots=True)
class Witness:
    """What a victim said until it was killed.

    Args:
        done: acts acknowledged; doing: the one that was announced and not acknowledged.
        recording: the id of the recording that was open; added: when each of its steps was added.
        told_s, killed_s: time of the last word, and of the kill if it came from here.
    """

    done: list[list] = field(default_factory=list)
    doing: list | None = None
    recording: str = ""
    added: list[float] = field(default_factory=list)
    told_s: float = 0.0
    killed_s: float = 0.0

    def hear(self, line: str) -> None:
        word, value, self.told_s = json.loads(line)
        match word:
            case "do":
                self.doing = value
            case "done":
                self.done.append(value)
                self.doing = None
                self.recording = "" if value[:2] == ["save", self.recording] else self.recording
            case "record":
                self.recording, self.added = value, []
            case "added":
                self.added.append(self.told_s)

    @property
    def flushed(self) -> int:
        """How many steps of the open recording were added long enough before the kill."""
        end = max(self.told_s, self.killed_s) - FLUSH_S - MARGIN_S
        return sum(added <= end for added in self.added)


def kill_one(
    kind: str, store: Path, number: int, random: Random, *, after_a_success: bool
) -> Witness:
    words, mouth = os.pipe()
    how = KINDS[kind]
    at = random.randrange(1, how.operations) if random.random() < 0.5 else 0
    at = 0 if after_a_success else at
    seed, longest_s = random.random(), random.uniform(0, how.longest_s)
    victim = os.fork()
    if victim == 0:
        os.close(words)
        disk = TrapDisk(at, die)
        how.work(Scene(store, store.parent / "exports", disk, Random(seed), number, mouth))
    os.close(mouth)
    witness = listen(words, victim, longest_s if at == 0 else how.longest_s, after_a_success)
    _, status = os.waitpid(victim, 0)
    if not os.WIFSIGNALED(status):
        sys.exit("the victim died by itself")
    return witness


def listen(words: int, victim: int, longest_s: float, after_a_success: bool) -> Witness:
    """Hear a victim out; kill it after a time, counted from when it had opened the store or first
    acknowledged something."""
    witness, heard, deadline = Witness(), b"", None
    while True:
        rest = None if deadline is None else max(0, deadline - time.monotonic())
        if select.select([words], [], [], rest)[0]:
            said = os.read(words, 1 << 16)
            if not said:
                break
            *lines, heard = (heard + said).split(b"\n")
            for line in lines:
                witness.hear(line.decode())
            if witness.done or not after_a_success:
                deadline = deadline or time.monotonic() + longest_s
        elif not witness.killed_s:
            witness.killed_s = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            deadline = time.monotonic() + 60
        else:
            sys.exit("the victim does not die")
    os.close(words)
    return witness


def judge(store: Path, model: Model, witness: Witness, counts: Counter) -> Model:
    """Compare what is there with what was said; return the model of what is there."""
    for act in witness.done:
        model.apply(act)
    found = reopened(store)
    seen = found
    if witness.recording:
        steps = {name: n for name, n, interrupted in found.episodes if interrupted}
        recovered = steps.get(witness.recording)
        if recovered is not None:
            counts["recordings_recovered"] += 1
            counts["steps_recovered"] += recovered
            seen = without_recovered(found, witness.recording, max(1, witness.flushed))
    models = {m.state(): m for m in model.possible_after(witness.doing)}
    assert seen in models, f"found {seen}\nexpected one of {[*models]}\n{witness.doing}"
    chosen = models[seen]
    if witness.recording and seen == found:
        saved = witness.recording in chosen.episodes
        assert saved or not witness.flushed, f"{witness.recording} is lost"
    if seen != found:
        chosen.save(witness.recording, recovered, True)
    return chosen


def judge_exports(kind: str, store: Path, witness: Witness) -> None:
    """Every target is absent or complete. What is left beside them stays for the next victim."""
    exports, told = store.parent / "exports", {act[1] for act in witness.done}
    there = {path.name: path for path in exports.iterdir() if not path.name.startswith(".tmp-")}
    assert told <= set(there), f"acknowledged and not there: {told - set(there)}"
    for name, path in there.items():
        assert name in told or witness.doing == ["export", name], f"{name} from nowhere"
        COMPLETE[kind](path)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def complete_mcap(path: Path) -> None:
    logged = read_log(path)
    assert logged.complete, f"{path} is torn"
    assert logged.episode is not None, f"{path} is empty"
    assert not contents.wrong(logged.episode), contents.wrong(logged.episode)


def complete_store(path: Path) -> None:
    assert look(EpisodeReader(path)).episodes == EXPORTED


def complete_dataset(path: Path) -> None:
    assert examine_lerobot(path) == []
    for episode, (_, steps, _) in zip(LeRobotSource(path).episodes(), EXPORTED, strict=True):
        assert len(episode) == steps
        assert not contents.wrong(episode), contents.wrong(episode)


COMPLETE = {
    "export-mcap": complete_mcap,
    "import": complete_store,
    "export-lerobot": complete_dataset,
}


def prepare(kind: str, store: Path) -> Model:
    (store.parent / "exports").mkdir(parents=True)
    if kind in COMPLETE:
        with EpisodeStore(store, contents.SPEC, disk=TrapDisk()) as opened:
            for number, (_, steps, _) in enumerate(EXPORTED):
                opened.append(contents.episode(number, steps))
    # What is loaded or made ready when first used, is once, here, and not in every victim.
    write_mcap(store.parent / "first.mcap", contents.episode(0), contents.SPEC)
    if kind == "export-lerobot":
        library()
    return Model()


def main() -> None:
    kind, folder, kills, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    random, counts = Random(f"{kind} {seed}"), Counter()
    for kill in range(kills):
        if kill % KILLS_A_STORE == 0:
            store = folder / f"{kind}-{kill}" / "store"
            model = prepare(kind, store)
        first = 0 if kind in COMPLETE else 1_000 * (kill + 1)
        # However slow the machine is, something is acknowledged.
        witness = kill_one(kind, store, first, random, after_a_success=kill == 0)
        counts["killed"] += 1
        counts["acknowledged"] += len(witness.done)
        try:
            if kind in COMPLETE:
                judge_exports(kind, store, witness)
                assert reopened(store).episodes == EXPORTED
            else:
                model = judge(store, model, witness, counts)
        except Exception as error:
            error.add_note(f"kill {kill} of {kind}, seed {seed}; the store is {store}")
            raise
    sys.stdout.write(json.dumps(counts))


main()
