"""The gate's process without processes: see `scripts/bench/gate_rig.py`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "scripts" / "bench"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a path short enough for the address of a socket."""
    with TemporaryDirectory(prefix="rrl-") as name:
        yield Path(name)
