from __future__ import annotations

import os
from pathlib import Path

import pytest

# Read when torch and numpy are imported. The tests' workers share the cores among themselves.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--soak",
        action="store_true",
        help="repeat injected faults as often as the evidence asks for (minutes to an hour)",
    )
    parser.addoption(
        "--pictures", type=Path, help="a folder: keep screenshots of the session's page in it"
    )
