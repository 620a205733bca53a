"""Debian's Chromium at the page, with a probe in it that says when what was heard and painted."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from robot_rl.core.errors import DependencyError

PACKAGES = ("fastapi", "uvicorn", "websockets", "simplejpeg", "playwright")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_MS = 30_000
PROBE = """(() => {
  const empty = () => ({ painted: [], views: [], keys: [], words: [] });
  let seen = empty();
  const pictures = new Map();
  const now = () => performance.timeOrigin + performance.now();
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    if (typeof data === "string" && data.startsWith('{"type":"painted"')) {
      const { camera, number } = JSON.parse(data);
      const picture = pictures.get(`${camera} ${number}`);
      if (picture !== undefined) seen.painted.push([camera, ...picture, now()]);
      pictures.delete(`${camera} ${number}`);
    } else if (typeof data === "string" && data.includes('"active":true')) {
      seen.words.push(now());
    }
    return send.call(this, data);
  };
  function hear(data) {
    if (data instanceof ArrayBuffer) {
      const head = new DataView(data, 0, 24);
      const times = [head.getFloat64(8, true), head.getFloat64(16, true), now()];
      pictures.set(`${head.getUint32(0, true)} ${head.getUint32(4, true)}`, times);
    } else if (data.startsWith('{"type":"view"')) {
      const number = Number(/"number":(\\d+)/.exec(data)[1]);
      requestAnimationFrame(() => seen.views.push([number, now()]));
    }
  }
  const Plain = WebSocket;
  window.WebSocket = class extends Plain {
    constructor(...words) {
      super(...words);
      this.addEventListener("message", (event) => hear(event.data));
    }
  };
  window.addEventListener("keydown", (event) => {
    if (!event.repeat) seen.keys.push(performance.timeOrigin + event.timeStamp);
  }, true);
  window.takeSeen = () => {
    const taken = seen;
    seen = empty();
    return taken;
  };
})();"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a tab has seen; all instants are unix time [ms].

    Args:
        painted: camera, then when a picture was taken, sent, heard and painted.
        views: number of a view, and when it was shown.
        keys: when a key went down.
        words: when the page has said that a key is held.
    """

    painted: list[list[float]] = field(default_factory=list)
    views: list[list[float]] = field(default_factory=list)
    keys: list[float] = field(default_factory=list)
    words: list[float] = field(default_factory=list)


class Tab:
    """One tab of the page."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def take(self) -> Seen:
        """What was seen since this was last asked."""
        return Seen(**self.page.evaluate("takeSeen()"))


class Browser:
    """A browser whose tabs are all seen, as those of persons at different machines."""

    def __init__(self, chromium: Any) -> None:
        self._chromium = chromium

    @contextlib.contextmanager
    def tab(self, url: str, sign: str = "body[data-live=true]") -> Iterator[Tab]:
        """Open an address in a tab of its own, and wait for a sign that it lives."""
        context = self._chromium.new_context(viewport={"width": 1280, "height": 800})
        try:
            context.set_default_timeout(WAIT_MS)
            context.add_init_script(PROBE)
            page = context.new_page()
            page.goto(url)
            page.wait_for_selector(sign)
            yield Tab(page)
        finally:
            context.close()


@contextlib.contextmanager
def open_browser() -> Iterator[Browser]:
    """Start Chromium.

    Raises:
        DependencyError: if it, its driver or the page's packages are not there.
        RuntimeError: if a page in it does not do what is waited for.
    """
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise DependencyError(
                f"no Python package {package}: .venv/bin/pip install -c constraints.txt "
                "-e '.[dev]'"
            )
    chromium = shutil.which("chromium")
    if chromium is None:
        raise DependencyError("no program chromium: sudo apt-get install chromium")
    playwright: Any = importlib.import_module("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        try:
            started = driver.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        except playwright.Error as error:
            raise DependencyError(f"{chromium} does not start: {error}") from error
        try:
            yield Browser(started)
        except playwright.Error as error:
            raise RuntimeError(f"the browser: {error}") from error
        finally:
            started.close()
