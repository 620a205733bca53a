"""Pictures at 30 Hz, 640x480, to the page through its process; and to a peer, as others do it.

The peer is Motion JPEG over HTTP: `multipart/x-mixed-replace`, shown by an `<img>`, which is how
web_video_server and most scripts show a robot's camera. It has the same pictures and the same
encoder, in threads of one process. A browser tells nobody when it paints such an `<img>`, so each
picture carries its number in its first rows, which the peer's page reads back in each animation
frame. It is asked through `page_helper`.
"""

from __future__ import annotations

import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from page_helper import answer_lines
from page_peer import Peer, mark

from robot_rl.core.types import Image
from robot_rl.session.command import Command, Gone, Motion
from robot_rl.session.config import PageConfig
from robot_rl.session.mode import LEGAL, Mode
from robot_rl.session.page.picture import encode_jpeg, unix_ms_of
from robot_rl.session.page.process import PageProcess
from robot_rl.session.view import CameraView, Frame, View

WIDTH, HEIGHT = 640, 480
RATE_HZ = 30.0
_POOL = 30
_VIEW_EVERY = 3
_PERIOD_S = 1.0 / RATE_HZ


def scenes() -> list[Image]:
    """Pictures uint8[480, 640, 3] that go round: surfaces, a moving edge, noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    made: list[Image] = []
    for turn in range(_POOL):
        shade = 110 + 60 * np.sin(x / 90 + y / 140) + 30 * np.cos(y / 23)
        shade = np.where((x - 20 * turn) % WIDTH < 120, 220 - shade / 2, shade)
        colour = np.stack([shade, 0.8 * shade + 20, 200 - 0.5 * shade], axis=-1)
        noisy = colour + rng.normal(0, 3, colour.shape)
        made.append(np.clip(noisy, 0, 255).astype(np.uint8))
    return made


class Quiet:
    """A desk where nobody listens (implements `seam.Desk`)."""

    def submit(self, command: Command, answer: object) -> None:
        """See `Desk`."""

    def move(self, motion: Motion) -> None:
        """See `Desk`."""

    def gone(self, gone: Gone) -> None:
        """See `Desk`."""


class Source:
    """A camera that shows its pictures to one of the two, or rests."""

    def __init__(self, folder: Path) -> None:
        config = PageConfig(port=0)
        self._scenes = scenes()
        self.jpeg_bytes = len(encode_jpeg(_frame(self._scenes[0], 0, 0), config.jpeg_quality))
        self._page = PageProcess(
            config,
            Quiet(),
            stores=[folder / "store"],
            film=folder / "film",
            log=folder / "page.log",
            key_size=1,
        )
        self._peer = Peer(config.jpeg_quality)
        self._shown: PageProcess | Peer | None = None
        self._taken: dict[int, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def about(self) -> dict[str, Any]:
        """Where both are, and how large a picture is."""
        return {"page": self._page.url, "peer": self._peer.url, "bytes": self.jpeg_bytes}

    def show(self, to: str) -> None:
        """Show pictures to `page` or `peer` from now on, or to nobody."""
        self._shown = {"page": self._page, "peer": self._peer}.get(to)
        self._taken = {}

    def taken(self) -> list[tuple[int, float]]:
        """Number and instant [unix ms] of each picture since `show`."""
        return list(self._taken.items())

    def close(self) -> None:
        """End both."""
        self._ended.set()
        self._thread.join()
        self._peer.close()
        self._page.close()

    def _play(self) -> None:
        number, due_s = 0, time.monotonic()
        while not self._ended.wait(max(0.0, due_s - time.monotonic())):
            due_s = max(due_s + _PERIOD_S, time.monotonic() - _PERIOD_S)
            number += 1
            shown = self._shown
            if shown is None:
                continue
            stamp_ns = time.monotonic_ns()
            self._taken[number & 0xFFFF] = unix_ms_of(stamp_ns)
            image = self._scenes[number % _POOL]
            mark(image, number & 0xFFFF)
            shown.picture(_frame(image, number, stamp_ns))
            if isinstance(shown, PageProcess) and number % _VIEW_EVERY == 0:
                shown.show(_view(number))


def _frame(image: Image, number: int, stamp_ns: int) -> Frame:
    height, width = image.shape[:2]
    return Frame(
        camera="front",
        number=number,
        stamp_ns=stamp_ns,
        width=width,
        height=height,
        rgb=image.tobytes(),
    )


def _view(number: int) -> View:
    camera = CameraView(
        name="front", width=WIDTH, height=HEIGHT, rate_hz=RATE_HZ, age_s=0.0, frozen=False
    )
    return View(
        number=number,
        run="bench",
        task="stream",
        mode=Mode.READY,
        mode_s=0.0,
        driver="nobody",
        holder="",
        why="",
        legal=tuple(sorted(LEGAL[Mode.READY])),
        period_s=0.1,
        cameras=(camera,),
    )


def main() -> None:
    """Play, and hear what is asked for."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="robot-rl-page-"))
        source = Source(Path(folder))
        stack.callback(source.close)
        answer_lines({"about": source.about, "show": source.show, "taken": source.taken})
