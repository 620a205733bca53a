from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from page_rig import Page


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """`serve(**config)`: a page that ends with the test."""
    with ExitStack() as stack:

        def start(**config: object) -> Page:
            page = Page(tmp_path, **config)
            stack.callback(page.process.close)
            return page

        yield start


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page that the tests share: each is a client of its own."""
    shared = Page(tmp_path_factory.mktemp("page"), most_clients=16)
    yield shared
    shared.process.close()
