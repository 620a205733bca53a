"""One camera as a person sees it: the rate and age of its pictures, and whether it is frozen.

Not here: where the pictures come from (`eyes`).
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.clock import NS_PER_S
from robot_rl.core.errors import ContractError
from robot_rl.core.types import Image
from robot_rl.sensing.freshness import Repetition
from robot_rl.session.arm import SeenArm
from robot_rl.session.config import SessionConfig
from robot_rl.session.view import CameraView, Frame

_WINDOW_NS = 2 * NS_PER_S
"""Rates are of the pictures of so long."""
_MOST_STAMPS = 256


class LiveCamera:
    """Takes the pictures of one camera, from one thread, and makes frames of them, in another.

    Args:
        name: of the camera.
        size: width and height that are expected [pixels]; None if only its pictures tell.
        config: of the session.
        arm: that it sees.
    """

    def __init__(
        self,
        name: str,
        size: tuple[int, int] | None,
        config: SessionConfig,
        arm: SeenArm,
    ) -> None:
        self.name = name
        self.size = size
        """Width and height of its pictures [pixels]; None while nobody knows."""
        self.complaint = ""
        """What is wrong with it, beside its pictures."""
        self._frozen_s, self._still_s = config.camera_frozen_s, config.camera_still_s
        self._period_ns = round(NS_PER_S / config.camera_rate_hz)
        self._arm = arm
        self._motion = arm.motion
        self._while_moving = Repetition(name, arm.motion)
        self._ever = Repetition(name, None)
        self._lock = threading.Lock()
        self._stamps: deque[int] = deque(maxlen=_MOST_STAMPS)
        self._newest: tuple[Image, int] | None = None
        self._last: Image | None = None
        self._due_ns = 0
        self._number = 0
        self._still = ""
        self._failure = ""

    def take(self, image: Image, stamp_ns: int) -> bool:
        """Take a picture in, taken at `stamp_ns`; whether it is another one than the last."""
        with self._lock:
            if image is self._last or (self._stamps and stamp_ns <= self._stamps[-1]):
                return False
            self._last = image
            self._stamps.append(stamp_ns)
            self._newest = (image, stamp_ns)
            return True

    def frame(self) -> Frame | None:
        """The newest picture for whoever looks; None if there is none, or not yet time for it.

        Raises:
            ContractError: if it is no picture.
        """
        with self._lock:
            newest, self._newest = self._newest, None
            if newest is None or newest[1] < self._due_ns:
                return None
            image, stamp_ns = newest
            self._due_ns = max(self._due_ns + self._period_ns, stamp_ns)
        _check(self.name, image)
        self._still = self._judge(image, stamp_ns)
        self._failure = ""
        self._number += 1
        height, width = image.shape[:2]
        self.size = (width, height)
        return Frame(
            camera=self.name,
            number=self._number,
            stamp_ns=stamp_ns,
            width=width,
            height=height,
            rgb=image.tobytes(),
        )

    def fail(self, words: str) -> bool:
        """Note why no picture can be shown, until one can; whether that is news."""
        before, self._failure = self._failure, words
        return before != words

    def view(self, now_ns: int) -> CameraView:
        """How it stands at this instant of the bench's clock [ns]."""
        with self._lock:
            stamps = [s for s in self._stamps if now_ns - s <= _WINDOW_NS]
            newest_ns = self._stamps[-1] if self._stamps else None
        span_ns = stamps[-1] - stamps[0] if stamps else 0
        wrong = [words for words in (self._failure, self._still, self.complaint) if words]
        width, height = self.size or (0, 0)
        return CameraView(
            name=self.name,
            width=width,
            height=height,
            rate_hz=(len(stamps) - 1) * NS_PER_S / span_ns if span_ns else 0.0,
            age_s=None if newest_ns is None else max(0, now_ns - newest_ns) / NS_PER_S,
            frozen=bool(self._failure or self._still),
            words="; ".join(wrong),
        )

    def _judge(self, image: Image, stamp_ns: int) -> str:
        """Why the picture counts as frozen; empty if it does not."""
        motion = self._arm.motion
        if motion is not self._motion:
            self._motion, self._while_moving = motion, Repetition(self.name, motion)
        moving_s = self._while_moving.seconds(image, stamp_ns)
        still_s = self._ever.seconds(image, stamp_ns)
        if moving_s > self._frozen_s:
            return f"the same picture for {moving_s:.1f} s while the arm has moved"
        if self._still_s is not None and still_s > self._still_s:
            return f"the same picture for {still_s:.1f} s"
        return ""


def _check(name: str, image: NDArray[Any]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ContractError(
            f"camera {name!r} gives {image.dtype}{list(image.shape)}, expected "
            "uint8[height, width, 3]"
        )
