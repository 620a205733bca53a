"""A session's loop process: peg insertion in real time, whose policy rests, and who counts ticks.

What is real: bench, gate, environment, recording of the episode, session, cameras and page. What
is not: the learner, and a policy that has anything to say. It is asked through `page_helper`.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from page_helper import answer_lines
from page_stamps import Stamps

from robot_rl.app.run_config import RunConfig
from robot_rl.app.station import Station
from robot_rl.config.load import load
from robot_rl.control.arbiter import HandOver
from robot_rl.control.watchdog import watched
from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.types import Observation
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.envs.robot_env import RobotEnv
from robot_rl.runtime.record import record_episode
from robot_rl.session.command import Answer, Command, Gone, Motion
from robot_rl.session.config import PageConfig, SessionConfig
from robot_rl.session.eyes import Eyes
from robot_rl.session.mode import Verb
from robot_rl.session.page.process import PageProcess
from robot_rl.session.preflight import Preflight
from robot_rl.session.review import Review
from robot_rl.session.session import Session
from robot_rl.session.view import CameraView, Frame, View

RUN = Path(__file__).parents[2] / "configs/runs/peg_insert_session.yaml"
CHANGES = ("cell.bench.real_time=true", "task.horizon=1000000")
_HANG_UP_S = 10.0


class Lids:
    """Eyes that may be shut: nothing is drawn then."""

    def __init__(self) -> None:
        self.eyes: Eyes | None = None

    def observed(self, observation: Observation) -> None:
        """See `Eyes`."""
        if eyes := self.eyes:
            eyes.observed(observation)

    def views(self) -> tuple[CameraView, ...]:
        """See `Eyes`."""
        return eyes.views() if (eyes := self.eyes) else ()


class Counter:
    """The session's desk, with a stamp on each motion (implements `seam.Desk`)."""

    def __init__(self, session: Session, stamps: Stamps) -> None:
        self._session = session
        self._stamps = stamps

    def submit(self, command: Command, answer: Callable[[Answer], None]) -> None:
        """See `Desk`."""
        self._session.submit(command, answer)

    def move(self, motion: Motion) -> None:
        """See `Desk`."""
        self._stamps.hears(motion)
        self._session.move(motion)

    def gone(self, gone: Gone) -> None:
        """See `Desk`."""
        self._session.gone(gone)


class Loop:
    """The session and, while it is wanted, its page.

    Args:
        folder: for store and log.

    Attributes:
        loss: of the learner that this stands for, see `session.seam.Learner`.
    """

    loss = ""

    def __init__(self, folder: Path) -> None:
        self._folder, self._stands = folder, ""
        self._config = load(RUN, RunConfig, CHANGES)
        self._station = station = Station.of_run(self._config)
        self._session_config = SessionConfig(operator="bench", page=PageConfig(port=0))
        env, bench = station.env, station.bench
        assert isinstance(env, RobotEnv)
        self._stamps = Stamps(env, bench.clock)
        self._lids, self._page = Lids(), None
        self.session = Session(
            self._session_config,
            run="bench",
            task=bench.task,
            gate=env.gate,
            stop=bench.robot.stop,
            clock=bench.clock,
            limits=self._config.cell_in_force.limits,
            preflight=Preflight([], []),
            eyes=self._lids,
            outlets=[self],
            reviewing=lambda store, amends: Review(store, amends, "bench"),
        )

    def show(self, view: View) -> None:
        """See `Outlet`."""
        self._stands = f"{view.mode}: {view.why}"
        if page := self._page:
            page.show(view)

    def picture(self, frame: Frame) -> None:
        """See `Outlet`."""
        if page := self._page:
            page.picture(frame)

    def amend(self, episode_id: str, episode: Episode | None) -> None:
        """Nobody learns (implements `seam.Amends`)."""

    def open_page(self) -> str:
        """Serve the page and draw pictures; return its address."""
        self._page = page = PageProcess(
            self._session_config.page,
            Counter(self.session, self._stamps),
            stores=[self._folder / "store"],
            film=self._folder / "film",
            log=self._folder / "page.log",
            key_size=self._station.bench.task.action.size,
        )
        self._lids.eyes = Eyes(self._station.bench, self._session_config, self.picture)
        self._lids.eyes.start()
        return page.url

    def close_page(self) -> None:
        """No page, no pictures."""
        eyes, self._lids.eyes = self._lids.eyes, None
        if eyes is not None:
            eyes.close()
        page, self._page = self._page, None
        if page is not None:
            page.close()

    def told(self) -> dict[str, Any]:
        """What was stamped since `begin`, and how the session stands."""
        return {**self._stamps.told(), "stands": self._stands}

    def run(self) -> None:
        """Be the loop until the session is ended."""
        bench, session = self._station.bench, self.session
        rule = HandOver(
            release_s=self._config.release_s,
            after_release="hold",
            dead_man_s=watched("page", "gate").limit_s,
        )
        seated = {"env": session.wrap(self._station.env), "hand_over": rule}
        station = replace(self._station, **seated)
        rollout = station.rollout(station.agent(), operator=session.operator)
        start = Command(client="bench", number=1, verb=Verb.START)
        session.submit(start, lambda _: None)
        with bench.robot, EpisodeStore(self._folder / "store", station.recording) as store:
            metadata = EpisodeMetadata(task=bench.task.name, contract=bench.task.contract)
            seed, goes_on = 0, session.open()
            while goes_on and session.between(store, self):
                record_episode(rollout, store, f"online-{seed}", seed, metadata, session.acted)
                seed += 1

    def close(self) -> None:
        """End the page and the bench."""
        self.close_page()
        self.session.close()
        self._station.bench.close()

    def serve(self) -> None:
        """Do what is asked for; then let the loop end."""
        try:
            answer_lines(
                {
                    "open page": self.open_page,
                    "close page": self.close_page,
                    "begin": self._stamps.begin,
                    "told": self.told,
                }
            )
        finally:
            self.session.end()


def main() -> None:
    """Run the loop in this thread, and hear what is asked for in another."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="robot-rl-page-"))
        loop = Loop(Path(folder))
        stack.callback(loop.close)
        ears = threading.Thread(target=loop.serve, daemon=True)
        ears.start()
        loop.run()
        ears.join(_HANG_UP_S)
