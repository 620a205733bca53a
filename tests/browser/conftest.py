"""A browser, the page that is served for real, and behind it a session that is made up."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from made_up_session import NAMES, MadeUpSession
from recorded import record

from robot_rl.session.config import PageConfig
from robot_rl.session.page.process import PageProcess

CHROMIUM = shutil.which("chromium")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_MS = 15_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs the program chromium")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.fixture(scope="module")
def page_config() -> PageConfig:
    """A module of tests may have another one."""
    return PageConfig(port=0)


@pytest.fixture(scope="module")
def session(
    tmp_path_factory: pytest.TempPathFactory, page_config: PageConfig
) -> Iterator[MadeUpSession]:
    for package in ("fastapi", "uvicorn", "simplejpeg"):
        pytest.importorskip(package, reason=f"the page needs the package {package}")
    folder = tmp_path_factory.mktemp("session")
    made_up = MadeUpSession(record(folder / "store", folder / "film"))
    outlet = PageProcess(
        page_config,
        made_up,
        stores=[folder / "store"],
        film=folder / "film",
        log=folder / "page.log",
        key_size=len(NAMES),
    )
    made_up.start(outlet, outlet.url)
    made_up.page_pid = lambda: outlet.pid
    yield made_up
    made_up.close()
    outlet.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complains about; a test that expects complaints clears it."""
    return []


@pytest.fixture
def context(browser: Any) -> Iterator[Any]:
    made = browser.new_context(viewport={"width": 1280, "height": 800})
    made.set_default_timeout(WAIT_MS)
    yield made
    made.close()


@pytest.fixture
def open_page(
    session: MadeUpSession, context: Any, complaints: list[str]
) -> Iterator[Callable[..., Any]]:
    """`open_page()`: one more tab of the page, as it is once it hears the session."""
    session.begin()

    yield lambda url="": _opened(context, complaints, url or session.url, lives=not url)
    assert complaints == []


@pytest.fixture
def page(open_page: Callable[..., Any]) -> Any:
    return open_page()


@pytest.fixture(scope="module")
def tab(browser: Any, session: MadeUpSession) -> Iterator[Any]:
    """A page that the tests of a module share that only look at it."""
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    yield _opened(context, complaints, session.url, lives=True)
    context.close()
    # One of them ends the server.
    assert [words for words in complaints if "WebSocket" not in words] == []


def _opened(context: Any, complaints: list[str], url: str, *, lives: bool) -> Any:
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: _note(complaints, said.type, said.text))
    page.goto(url)
    if lives:
        page.wait_for_selector("body[data-live=true]")
    return page


def _note(complaints: list[str], kind: str, text: str) -> None:
    # Only the tests read canvases back.
    if kind in ("error", "warning") and "getImageData" not in text:
        complaints.append(f"{kind}: {text}")
