"""Sits at a session as a person at the page does, all but the driving: that is a device's part.

The session is the command's own process; what is clicked goes through the page, as from anybody.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from ablation import COMMAND

from robot_rl.core.errors import RobotRlError
from robot_rl.session.client.address import Address
from robot_rl.session.client.line import Argument, Heard, Line
from robot_rl.session.command import Answer
from robot_rl.session.mode import Mode, Verb
from robot_rl.session.view import View

NAME = "bench"
_RUNNING = (Mode.AUTO, Mode.HUMAN, Mode.HOLD)
_LOOK_S = 0.1
_AGAIN_S = 0.5
_MOST_CHECKS = 3
_MOST_STOPS = 5
_OPENS_S = 120.0
_SILENT_S = 120.0
"""The learner's process begins, or a checkpoint is written: nothing is shown meanwhile."""
_ENDS_S = 60.0
_LAST_LINES = 15

Click = tuple[Verb, Mapping[str, Argument]]


@dataclass(slots=True, kw_only=True)
class Glimpse:
    """What the page showed of one recorded episode.

    Args:
        weights_age_s: of the weights that acted, in each view.
        load: processes that wanted a core, as of the last view.
    """

    weights_age_s: list[float] = field(default_factory=list[float])
    load: float = 0.0


@dataclass(slots=True, kw_only=True)
class Visit:
    """What a session showed from its beginning to its end.

    Args:
        episodes: recorded ones, by id, in their order.
        clicks: how often each verb was asked for; refused: in the session's words.
        stops: that latched; lost: how often the learner was.
        period_s: of a control tick.
    """

    episodes: dict[str, Glimpse] = field(default_factory=dict[str, Glimpse])
    clicks: dict[Verb, int] = field(default_factory=dict[Verb, int])
    refused: list[str] = field(default_factory=list[str])
    stops: int = 0
    lost: int = 0
    period_s: float = 0.0


def environment() -> dict[str, str]:
    """What the command's process is to know beside: where the simulated person is."""
    places = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}


def next_click(view: View) -> Click | None:
    """What a person clicks who sees this, to get on; None where all goes on by itself.

    An episode that ran out of time stays unjudged: whether it would have come to something nobody
    knows.
    """
    click: Click | None = None
    match view.mode:
        case Mode.PREFLIGHT:
            asked = [check.name for check in view.checks if check.state == "ask"]
            looked = all(check.state != "waiting" for check in view.checks)
            if asked:
                click = Verb.CONFIRM, {"name": asked[0]}
            elif looked:
                click = Verb.CHECK, {}
        case Mode.READY:
            click = Verb.START, {}
        case Mode.HOLD:
            click = Verb.GIVE_BACK, {}
        case Mode.REVIEW:
            click = Verb.NEXT, {}
        case Mode.STOP:
            click = Verb.CLEAR, {"by": NAME, "cause": view.why}
        case _:
            pass
    return click if click and click[0] in view.legal else None


class Visitor:
    """Looks at each view, clicks what is next, and remembers.

    Args:
        line: to the session.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._asked: tuple[Click, float] | None = None
        self._mode: Mode | None = None
        self._is_lost = False
        self.heard_s = time.monotonic()
        self.visit = Visit()

    def hear(self, said: Heard) -> None:
        """Take in what the session says.

        Raises:
            RobotRlError: if the session cannot be got on with.
        """
        if isinstance(said, Answer):
            self.visit.refused += [] if said.done else [said.words]
        elif isinstance(said, View):
            self.heard_s = time.monotonic()
            self._remember(said)
            if click := next_click(said):
                self._click(said, click)

    def _remember(self, view: View) -> None:
        visit, learner, episode = self.visit, view.learner, view.episode
        visit.period_s = view.period_s
        visit.stops += view.mode == Mode.STOP and self._mode != Mode.STOP
        is_lost = learner is not None and learner.state == "lost"
        visit.lost += is_lost and not self._is_lost
        self._mode, self._is_lost = view.mode, is_lost
        if visit.stops > _MOST_STOPS:
            raise RobotRlError(f"the session stops again and again: {view.why}")
        if view.mode not in _RUNNING or episode is None or episode.judging:
            return
        glimpse = visit.episodes.setdefault(episode.episode_id, Glimpse())
        glimpse.load = os.getloadavg()[0]
        # Who shows nothing has no weights yet, but the base policy alone.
        if learner is not None and learner.version and learner.weights_age_s is not None:
            glimpse.weights_age_s.append(learner.weights_age_s)

    def _click(self, view: View, click: Click) -> None:
        now_s = time.monotonic()
        # The views of the next instants do not know of it yet.
        if self._asked and self._asked[0] == click and now_s - self._asked[1] < _AGAIN_S:
            return
        verb, arguments = click
        clicks = self.visit.clicks
        if verb == Verb.CHECK and clicks.get(verb, 0) == _MOST_CHECKS:
            raise RobotRlError(f"the session cannot begin: {view.why}")
        if self._line.command(verb, arguments):
            self._asked = click, now_s
            clicks[verb] = clicks.get(verb, 0) + 1


class Sitting:
    """A session's process; it is ended with the context, if it has not ended by itself.

    Args:
        run: the run's folder, with demonstrations and base policy.

    Raises:
        RobotRlError: if it does not say where its page is; with its last words.
    """

    def __init__(self, run: Path) -> None:
        self._log = run / "session-bench.log"
        words = ["session", "--resume", run, "--operator", NAME, "--port", "0"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [COMMAND, *words], stdout=log, stderr=log, env=environment()
            )
        try:
            self._address = self._announced()
        except RobotRlError:
            self._end()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def attend(self) -> Visit:
        """Sit there until the session ends by itself.

        Raises:
            RobotRlError: if it fails, shows nothing for long, or cannot be got on with.
        """
        try:
            visit = asyncio.run(self._attend())
        except RobotRlError as error:
            raise RobotRlError(self._fate(str(error))) from error
        if self._process.returncode:
            raise RobotRlError(self._fate(f"it ended with status {self._process.returncode}"))
        return visit

    async def _attend(self) -> Visit:
        line = Line(self._address, NAME)
        visitor = Visitor(line)
        talk = asyncio.create_task(line.run(visitor.hear))
        try:
            while self._process.poll() is None:
                if talk.done():
                    talk.result()
                    raise RobotRlError(line.status.words)
                if time.monotonic() - visitor.heard_s > _SILENT_S:
                    raise RobotRlError(f"it has shown nothing for {_SILENT_S:g} s")
                await asyncio.sleep(_LOOK_S)
        finally:
            talk.cancel()
            with contextlib.suppress(asyncio.CancelledError, RobotRlError):
                await talk
            await line.close()
        return visitor.visit

    def _announced(self) -> Address:
        deadline_s = time.monotonic() + _OPENS_S
        while time.monotonic() < deadline_s and self._process.poll() is None:
            if found := re.search(r"http://\S+", self._log.read_text(errors="replace")):
                return Address.parse(found[0])
            time.sleep(_LOOK_S)
        raise RobotRlError(self._fate("it says of no page"))

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(_ENDS_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _fate(self, words: str) -> str:
        last = self._log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        return "\n".join([f"the session: {words}; the last that {self._log} says:", *last])
