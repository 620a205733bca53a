"""Views to be shown, and a terminal in front of a page that is served for real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from page_rig import Page, view
from textual import events
from textual.pilot import Pilot

from robot_rl.session.client.address import Address
from robot_rl.session.client.line import Line
from robot_rl.session.mode import Mode
from robot_rl.session.terminal.screen import SessionScreen
from robot_rl.session.view import (
    ActionView,
    CheckView,
    DataView,
    ForceView,
    LearnerView,
    RatesPoint,
    View,
)

WAIT_S = 20.0
SHOW_S = 0.1
ACTION = ActionView(
    names=("dx", "dy", "dz", "gripper"),
    base=(0.0, 0.0, 0.0, 1.0),
    proposed=(0.0, 0.0, 0.0, 1.0),
    executed=(0.0, 0.0, 0.0, 1.0),
    gate_reason="FORCE",
)
CHECKS = (
    CheckView(name="disk", state="good", words="41 GB free"),
    CheckView(name="force zero", state="bad", words="4.2 N at rest", remedy="Tare the sensor."),
    CheckView(name="emergency stop tried", state="ask", words="press it once"),
    CheckView(name="dead-man tried", state="ask", words="let go once"),
)


def full(mode: Mode = Mode.AUTO, **fields: Any) -> View:
    """A view that has everything."""
    whole = view(
        1,
        mode=mode,
        action=ACTION,
        force=ForceView(
            force_n=(3.0, 0.0, 4.0), torque_n_m=(0.3, 0.0, 0.4), limit_n=40.0, limit_n_m=3.0
        ),
        learner=LearnerView(
            state="learning",
            updates=1204,
            updates_per_s=21.5,
            version=41,
            weights_age_s=3.2,
            env_steps=4810,
        ),
        data=DataView(
            folder="/data",
            episodes=23,
            discarded=2,
            target=50,
            successes_autonomous=12,
            successes_assisted=6,
            steps=4810,
            human_steps=620,
            free_bytes=41_300_000_000,
            room_episodes=900,
        ),
        rates=(
            RatesPoint(
                episode=23,
                autonomous=(0.6, 0.39, 0.78),
                assisted=(0.3, 0.15, 0.52),
                intervention=(0.35, 0.18, 0.57),
            ),
        ),
        checks=CHECKS,
        cameras=("wrist",),
    )
    return msgspec.structs.replace(whole, **fields)


class Seat:
    """Somebody at a terminal; the page goes on showing the view that was set last."""

    def __init__(self, page: Page, line: Line, pilot: Pilot[int]) -> None:
        self.page = page
        self.line = line
        self.pilot = pilot
        self.app = pilot.app
        self.is_showing = True
        self.bells = 0
        self.app.bell = self._ring  # type: ignore[method-assign]
        self._view = full()

    @property
    def text(self) -> str:
        """All that is on the screen."""
        lines = self.app.screen._compositor.render_strips()
        return "\n".join(strip.text for strip in lines).replace("\N{NO-BREAK SPACE}", " ")

    async def show(self, shown: View) -> None:
        self._view = shown
        word = " ".join(shown.mode.value.upper())
        await self.until(lambda: word in self.text)

    async def until(self, is_so: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(WAIT_S):
                while not is_so():
                    await self.pilot.pause(0.02)
        except TimeoutError:
            raise AssertionError(self.text) from None

    def type(self, character: str, when_s: float) -> None:
        """A key is pressed at that time of the machine's monotonic clock."""
        key = events.Key(character, character)
        key.time = when_s
        self.app.post_message(key)

    async def heard[N](self, kind: type[N], where: Callable[[N], bool] = lambda _: True) -> N:
        """Wait until such a thing is handed in, and return the first."""
        notes = self.page.desk.notes
        await self.until(lambda: any(where(n) for n in notes(kind, self.line.client)))
        return next(n for n in notes(kind, self.line.client) if where(n))

    async def play(self) -> None:
        number = 1
        while True:
            number += 1
            if self.is_showing:
                shown = msgspec.structs.replace(self._view, number=number)
                self.page.process.show(shown)
            await asyncio.sleep(SHOW_S)

    def _ring(self) -> None:
        self.bells += 1


@asynccontextmanager
async def seat(page: Page, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Seat]:
    line = Line(Address.parse(page.process.url), "terminal")
    await line.open()
    async with SessionScreen(line).run_test(size=size) as pilot:
        sitting = Seat(page, line, pilot)
        playing = asyncio.create_task(sitting.play())
        try:
            await sitting.show(full())
            yield sitting
        finally:
            playing.cancel()
            await line.close()
