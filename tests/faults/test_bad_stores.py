"""What is no store, or a damaged or forged one, is refused in words that help."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from bad_stores import BAD, escaping_id, escaping_label, sound

from robot_rl.core.errors import ContractError, StorageError
from robot_rl.data.store.episode_store import EpisodeStore

HERE = Path(__file__).parent
NAMES = {re.sub(r"\W+", "-", name): name for name in BAD}
MOST_MEMORY = 48 << 20


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[tuple[str, str], dict]:
    root = tmp_path_factory.mktemp("bad")
    for folder, name in NAMES.items():
        (root / folder).mkdir()
        BAD[name](sound(root / folder / "store"))
    process = subprocess.run(
        [sys.executable, HERE / "open_bad_stores.py", root],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    lines = [json.loads(line) for line in process.stdout.splitlines()]
    return {(NAMES[folder], how): result for folder, how, result in lines}


@pytest.mark.parametrize("how", ["read", "own"])
@pytest.mark.parametrize("name", BAD)
def test_it_is_refused_with_the_file_what_was_expected_and_what_helps(results, name, how):
    result = results[name, how]

    assert result["error"] in ("StorageError", "ContractError"), result["message"]
    assert "/store" in result["message"]
    assert re.search(r"robot-rl|[Nn]ame|restore|update|read it with", result["message"])


@pytest.mark.parametrize("name", BAD)
def test_doctor_finds_it(results, name):
    result = results[name, "examine"]

    assert result["error"] in ("", "StorageError", "ContractError"), result["message"]
    assert result["findings"] or result["error"]


@pytest.mark.parametrize("name", BAD)
def test_it_takes_no_more_memory_than_a_sound_one(results, name):
    for how in ("read", "own", "examine"):
        assert results[name, how]["peak"] < MOST_MEMORY, how


@pytest.mark.parametrize("forge", [escaping_id, escaping_label])
def test_a_purge_removes_nothing_outside_the_store(folder, forge):
    store = sound(folder / "store")
    forge(store)
    outside = [path for path in folder.iterdir() if path.is_file()]
    assert len(outside) == 1

    with contextlib.suppress(StorageError, ContractError), EpisodeStore(store) as opened:
        for name in opened.ids():
            opened.delete(name)
        opened.purge()

    assert outside[0].exists()


def test_all_were_opened(results, report):
    assert len(results) == 3 * len(BAD)
    peak = max(result["peak"] for result in results.values())
    report("bad and forged stores", kinds=len(BAD), crashes=0, peak_MiB=peak >> 20)
