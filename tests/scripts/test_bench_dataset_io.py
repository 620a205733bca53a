from __future__ import annotations

import sys

import dataset_io
import numpy as np
import pytest

from robot_rl.core.errors import DependencyError
from robot_rl.data.exchange.lerobot import library

TINY = dataset_io.Effort(episodes=2, steps=3, repeats=2, side=64)


@pytest.fixture
def no_lerobot(monkeypatch):
    """As if it were not installed."""
    monkeypatch.setitem(sys.modules, "lerobot.datasets.lerobot_dataset", None)
    library.library.cache_clear()
    yield
    library.library.cache_clear()


def test_megabytes_of_an_episode_by_hand():
    spec = dataset_io.recording(TINY)
    episode = dataset_io.record(spec, TINY, 0)
    # 4 instants: stamp 8, age 4, 20 numbers of state, 7 of base action, two images; 3 steps:
    # 7 + 7 numbers of action, reward, inference and lateness 12, three bytes, version 8.
    expected = 4 * (8 + 4 + 80 + 28 + 2 * 64 * 64 * 3) + 3 * (56 + 12 + 3 + 8)
    assert dataset_io.megabytes(episode) == pytest.approx(expected / 1e6)


def test_episodes_of_different_numbers_differ_and_equal_ones_do_not():
    spec = dataset_io.recording(TINY)
    first, again, other = (dataset_io.record(spec, TINY, n) for n in (0, 0, 1))
    np.testing.assert_array_equal(first.action, again.action)
    assert not np.array_equal(first.action, other.action)


def test_without_lerobot_store_and_log_are_measured_and_the_rest_is_reported(no_lerobot, tmp_path):
    rows, claims = dataset_io.measure(TINY, tmp_path)
    names = [row["name"] for row in rows if "median" in row]
    assert names == ["store: append", "store: read", "log: add", "log: recover a torn one"]
    assert all(row["median"] > 0 for row in rows if "median" in row)
    (absent,) = [row for row in rows if "skipped" in row]
    assert "pip install 'robot_rl[lerobot]'" in absent["skipped"]
    assert claims == []


def test_absent_lerobot_is_named_with_what_to_install(no_lerobot):
    with pytest.raises(DependencyError, match=r"not installed.*pip install 'robot_rl\[lerobot\]'"):
        library.library()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_export_is_measured_beside_each_mode_of_lerobots_writer(tmp_path):
    pytest.importorskip("lerobot", reason="the extra lerobot is not installed")
    rows, claims = dataset_io.measure(TINY, tmp_path)
    assert len(claims) == len(dataset_io.PEERS) == 2
    assert all(claim.target == ">= 1" for claim in claims)
    psnr = [row for row in rows if row.get("unit") == "dB PSNR"]
    assert psnr[0]["repeats"] == 4
    assert psnr[0]["median"] > 20
