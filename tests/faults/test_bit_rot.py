"""One bit of one file of a store flips: doctor names the file, and the others stay readable."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import contents
import pytest
from oracle import look

from robot_rl.core.errors import StorageError
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.data.store.repair import doctor

EPISODES = 3


@pytest.fixture
def store(folder) -> Path:
    path = folder / "store"
    with EpisodeStore(path, contents.SPEC) as opened:
        for number in range(EPISODES):
            opened.append(contents.episode(number, 3 + number))
            opened.add_label(contents.name(number), contents.label(7.0, count=1))
        opened.add_label(contents.name(0), contents.label(8.0, count=1))
    return path


def test_a_whole_store_has_no_findings(store):
    assert doctor.examine(store) == []
    assert len(look(EpisodeReader(store)).labels) == EPISODES + 1


def test_every_flipped_bit_is_found_and_named(store, report):
    files = sorted(p for p in store.rglob("*") if p.is_file() and p.name != "lock")
    random, kinds = Random(4), Counter()
    for _ in range(1_000):
        path = random.choice(files)
        whole = path.read_bytes()
        at = random.randrange(8 * len(whole))
        flipped = bytearray(whole)
        flipped[at // 8] ^= 1 << at % 8
        path.write_bytes(flipped)
        try:
            kinds[judge(store, path)] += 1
        except Exception as error:
            error.add_note(f"bit {at} of {len(whole) * 8} in {path}")
            raise
        path.write_bytes(whole)
    assert doctor.examine(store) == []
    assert min(kinds.values()) > 20
    report("one flipped bit", **kinds, undetected=0)


def test_the_newline_of_the_last_line_counts_too(store):
    manifest = store / "manifest.jsonl"
    whole = manifest.read_bytes()
    for bit in range(8):
        manifest.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1 << bit]))
        assert manifest in {finding.path for finding in doctor.examine(store)}


def judge(store: Path, path: Path) -> str:
    findings = doctor.examine(store)
    named = [finding for finding in findings if finding.path == path]
    assert named, f"{path.name} is not named in {findings}"
    assert all(finding.remedy for finding in findings)
    if path.name == "manifest.jsonl":
        return "manifest"
    hurt = path.parent.name if path.parent.parent.name == "labels" else path.name.split(".")[0]
    assert {finding.episode for finding in findings} == {hurt}
    label = path.parent.parent.name == "labels"
    reader = EpisodeReader(store)
    for name in reader.ids():
        if name == hurt and not label:
            assert not reader.verify(name)
            with pytest.raises(StorageError, match=name):
                reader.read(name)
        else:
            assert not contents.wrong(reader.read(name))
    if label:
        of, version = path.name.split(".")[0].rsplit("-", 1)
        with pytest.raises(StorageError, match=path.name):
            reader.label(hurt, of, int(version))
    return "labels" if label else "episodes"
