from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--soak",
        action="store_true",
        help="repeat injected faults as often as the evidence asks for (minutes to an hour)",
    )
