import sys
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from wire_toys import serving  # noqa: E402

OPENPI = HERE.parents[2] / ".venv" / "openpi-client"
"""The client of openpi's authors, unmodified; `pip install --no-deps --target` puts it there."""


@pytest.fixture(scope="session")
def openpi() -> ModuleType:
    """openpi's own client package."""
    if not OPENPI.is_dir():
        pytest.skip(f"openpi-client is not installed in {OPENPI}")
    sys.path.insert(0, str(OPENPI))
    try:
        import openpi_client.msgpack_numpy
        import openpi_client.websocket_client_policy
    finally:
        sys.path.remove(str(OPENPI))
    return openpi_client


@pytest.fixture
def start():
    """Start servers that end with the test; returns the port of each."""
    with ExitStack() as stack:
        yield lambda handler, **options: stack.enter_context(serving(handler, **options))
