"""`robot-rl session`: a run with a person at a page, who demonstrates, corrects and judges."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from robot_rl.app.base import load_base
from robot_rl.app.collect import collect
from robot_rl.app.imitate import imitate
from robot_rl.app.improve import improve
from robot_rl.app.metric_sinks import open_metric_sinks
from robot_rl.app.opening import StopOnSignal, open_folder
from robot_rl.app.progress import RunProgress
from robot_rl.app.run_config import RunConfig
from robot_rl.app.run_context import RunContext, Stopped
from robot_rl.app.run_folder import DIRECT, ROS, RunFolder
from robot_rl.app.station import Station, blocking_player, opened
from robot_rl.app.terminal import INTERRUPTED, Terminal
from robot_rl.app.through import open_station
from robot_rl.config.load import checked
from robot_rl.control.arbiter import HandOver
from robot_rl.control.watchdog import watched
from robot_rl.core.clock import require_machine_clock
from robot_rl.core.errors import ConfigError, LearnerLostError, RobotRlError
from robot_rl.core.protocol import Bench, Operator
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.runtime.events import EventLog, Sink
from robot_rl.runtime.improve import PHASE
from robot_rl.session.checks import checks_of
from robot_rl.session.checks_of_run import PolicyCheck
from robot_rl.session.checks_of_streams import Streams
from robot_rl.session.config import SessionConfig
from robot_rl.session.episodes import SessionEnded
from robot_rl.session.eyes import Eyes
from robot_rl.session.page.process import PageProcess
from robot_rl.session.preflight import Preflight
from robot_rl.session.review import Review
from robot_rl.session.seam import Outlet
from robot_rl.session.session import Session
from robot_rl.session.terminal.process import start_terminal
from robot_rl.session.view import Frame, View

_LOG = logging.getLogger(__name__)
_MOST_LEARNERS = 5
"""So many are begun; then something is wrong that beginning anew does not mend."""
_BEFORE = {"collect": collect, "imitate": imitate}
"""What the online phase needs, in this order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """Improve a policy with a person at a page, who corrects it and judges.

    Demonstrations and base policy are made first where the run has none yet: by the run's
    `demonstrator`, or, where it names none, by the person at the page.

    Examples:
      robot-rl session configs/runs/peg_insert_session.yaml --operator anna
      robot-rl session configs/runs/peg_insert_session.yaml demonstrator=null collect.episodes=10
      robot-rl session --resume runs/peg_insert_session-20261122-101500-seed0
      robot-rl session --resume runs/peg_insert_session-20261122-101500-seed0 --headless
    """

    config: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """A run's YAML file with a `session`, then overrides `key=value`; nothing with --resume."""

    resume: Path | None = None
    """Continue in this run's folder with the config it was started with."""

    runs: Path = Path("runs")
    """Where new runs' folders are made."""

    through: str | None = None
    """A graph's YAML, e.g. configs/ros/sim_fr3.yaml: the session is of that live graph, which is
    up, and the person has the person's seat at its gate. `direct`: the bench is in this process.
    Runs remember it."""

    operator: str = ""
    """Name of the person, recorded with every episode; that of the config's `session` without."""

    port: int | None = None
    """Of the page, in place of the config's; 0 takes a free one."""

    headless: bool = False
    """The session in this terminal, with the same keys: over SSH, where there is no browser."""

    threads: int = 1
    """Threads of one torch operation; the networks are too small to gain from more."""


def main(argv: Sequence[str] | None = None) -> int:
    """Sit at a run; returns the exit status: 0, 1 on an error, 130 if interrupted."""
    arguments = tyro.cli(Arguments, args=argv, prog="robot-rl session")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    logging.getLogger("robot_rl").setLevel(logging.INFO)
    torch.set_num_threads(arguments.threads)
    try:
        where = (arguments.resume, arguments.runs, arguments.through)
        folder = open_folder(arguments.config, *where)
        config = _config(folder, arguments)
        _sit(_never_waiting(folder), config, headless=arguments.headless)
    except Stopped as stopped:
        again = str(stopped).replace("robot-rl run", "robot-rl session")
        Terminal.standard().error(again, style="yellow")
        return INTERRUPTED
    except RobotRlError as error:
        Terminal.standard().error(f"robot-rl: {type(error).__name__}: {error}")
        return 1
    return 0


def _config(folder: RunFolder, arguments: Arguments) -> SessionConfig:
    """What the run's config and the command line say of the session together.

    Raises:
        ConfigError: if nobody is named, or the run's bench is elsewhere.
    """
    if folder.through == ROS:
        raise ConfigError(
            f"{folder.path} goes through {ROS}, where time waits for the simulator; sit at it "
            f"with --through {DIRECT}, or in a live graph: --through configs/ros/sim_fr3.yaml"
        )
    demonstrator = folder.config.demonstrator
    if folder.through != DIRECT and demonstrator and folder.summary_of("collect") is None:
        raise ConfigError(
            f"{folder.path} has no demonstrations yet, and its `demonstrator` is not at the live "
            f"graph; first: robot-rl collect --resume {folder.path}, with --through {DIRECT} for "
            "a simulated arm; or begin a run with demonstrator=null and demonstrate at the page"
        )
    if folder.summary_of(PHASE) is not None:
        raise ConfigError(
            f"{folder.path} has finished its online phase; begin another run, with more "
            "improve.env_steps"
        )
    said = folder.config.session
    if not (arguments.operator or said):
        raise ConfigError("who sits at the session? Say --operator NAME")
    words: dict[str, Any] = said.model_dump() if said else {}
    if arguments.operator:
        words["operator"] = arguments.operator
    if arguments.port is not None:
        words["page"] = {**words.get("page", {}), "port": arguments.port}
    return checked(SessionConfig, words)


def _never_waiting(folder: RunFolder) -> RunFolder:
    """The run's folder, with a learner that the loop never waits for: a person is at the arm."""
    learner = {"learner_process": True, "learner_lag_updates": None}
    return _with(folder, folder.config.model_copy(update=learner))


def _in_real_time(folder: RunFolder) -> RunFolder:
    """The run's folder; a simulated bench that can keep the time of the wall is told to."""
    config = folder.config
    bench: Any = config.cell.bench
    if "real_time" not in type(bench).model_fields:
        return folder
    cell = config.cell.model_copy(update={"bench": bench.model_copy(update={"real_time": True})})
    return _with(folder, config.model_copy(update={"cell": cell}))


def _with(folder: RunFolder, config: RunConfig) -> RunFolder:
    return RunFolder(folder.path, config, folder.through)


def _sit(folder: RunFolder, config: SessionConfig, *, headless: bool) -> None:
    with ExitStack() as stack:
        log = stack.enter_context(EventLog(folder.events))
        folder.remember_through()
        curves = stack.enter_context(open_metric_sinks(folder))
        asked = StopOnSignal()
        if folder.config.demonstrator:
            _prepare(folder, [log, *curves], asked)
        station = stack.enter_context(open_station(_in_real_time(folder), config.operator))
        stack.enter_context(station.bench.robot)
        require_machine_clock(station.bench.clock)
        devices = [stack.enter_context(opened(d, station.bench)) for d in config.devices]
        outlets = _Outlets()
        eyes = Eyes(station.bench, config, outlets.picture, station.watched)
        preflight = _preflight(folder, config, station, eyes, devices)
        session = _session(folder, config, station, eyes, devices, outlets, preflight)
        stack.callback(session.close)
        asked.told = session.end
        page = PageProcess(
            config.page,
            session,
            stores=(folder.online, folder.demos),
            film=folder.path / "film",
            log=folder.path / "page.log",
            key_size=station.bench.task.action.size,
        )
        stack.callback(page.close)
        outlets.append(page)
        eyes.start()
        stack.callback(eyes.close)
        stack.enter_context(_terminal(page.url, folder.path / "session.log", headless=headless))
        sinks: list[Sink] = [log, session.heard, *curves]
        if not headless:
            sinks.append(stack.enter_context(RunProgress()))
        seated = replace(
            station,
            env=session.wrap(station.env),
            hand_over=_hand_over(folder.config),
            seats=dict.fromkeys(("demonstrator", "supervisor"), session.operator),
            watcher=session.operator,
            awaits_person=True,
        )
        run = RunContext(folder, seated, sinks, lambda: asked() or session.ended())
        try:
            if folder.summary_of("imitate") is None:
                _demonstrate(run, session)
            preflight.add(_policy_check(folder, station.bench))
            _open(session)
            _improve(run, session)
        except SessionEnded:
            run.check_stop()


def _open(session: Session) -> None:
    if not session.open():
        raise SessionEnded("the person did not begin")


def _demonstrate(run: RunContext, session: Session) -> None:
    """Demonstrations by the person who sits here, as far as the run has none, and the base."""

    def between(store: EpisodeStore) -> None:
        if not session.between(store, None):
            raise SessionEnded("the session was ended between two demonstrations")

    if run.folder.summary_of("collect") is None:
        _open(session)
        collect(run, between, session.acted)
    with session.learning():
        imitate(run)


def _improve(run: RunContext, session: Session) -> None:
    """The online phase; a learner that is lost is begun anew from what is on the disk."""
    for learner in range(1, _MOST_LEARNERS + 1):
        try:
            improve(run, session.between, session.acted)
        except LearnerLostError as error:
            session.learner_lost(str(error))
            if learner == _MOST_LEARNERS:
                raise
            _LOG.warning("%s; a new one is begun", error)
        else:
            return


def _prepare(folder: RunFolder, sinks: list[Sink], stop: Callable[[], bool]) -> None:
    """Demonstrations and base policy, where the run has none yet; as fast as the bench can."""
    lacking = [name for name in _BEFORE if folder.summary_of(name) is None]
    if not lacking:
        return
    with open_station(folder) as station, station.bench.robot, RunProgress() as progress:
        run = RunContext(folder, station, [*sinks, progress], stop)
        for name in lacking:
            _BEFORE[name](run)


def _preflight(
    folder: RunFolder,
    config: SessionConfig,
    station: Station,
    eyes: Eyes,
    devices: Sequence[Operator],
) -> Preflight:
    """What is checked whoever is to drive."""
    checks = checks_of(
        station.bench,
        config,
        eyes=eyes,
        gate=station.gate,
        limits=station.limits,
        store=folder.online,
        recording=station.recording,
        devices=devices,
    )
    return Preflight(checks, config.confirmations)


def _session(
    folder: RunFolder,
    config: SessionConfig,
    station: Station,
    eyes: Eyes,
    devices: Sequence[Operator],
    outlets: _Outlets,
    preflight: Preflight,
) -> Session:
    bench = station.bench
    return Session(
        config,
        run=folder.path.name,
        task=bench.task,
        gate=station.gate,
        stop=bench.robot.stop,
        clock=bench.clock,
        limits=station.limits,
        preflight=preflight,
        eyes=eyes,
        outlets=[outlets],
        devices=devices,
        reviewing=lambda store, amends: Review(store, amends, config.operator),
    )


def _policy_check(folder: RunFolder, bench: Bench) -> PolicyCheck:
    """Whether the base policy plans in time, from what the bench observes now."""
    player = blocking_player(load_base(folder, bench.task))
    streams = Streams(task=bench.task, robot=bench.robot, sensors=bench.sensors, clock=bench.clock)

    def plan() -> float:
        player.reset(0)
        observation = streams.observation()
        began_s = time.monotonic()
        player.next(observation)
        return time.monotonic() - began_s

    return PolicyCheck(plan=plan, within_s=bench.task.action.period_s)


def _hand_over(config: RunConfig) -> HandOver:
    """Who lets go or is lost leaves the arm held; a page is heard less often than a device."""
    return HandOver(
        release_s=config.release_s,
        after_release="hold",
        dead_man_s=watched("page", "gate").limit_s,
    )


@contextmanager
def _terminal(url: str, log: Path, *, headless: bool) -> Iterator[None]:
    """Tell where the page is; or give the terminal to the session, and the log to a file."""
    if not headless:
        Terminal.standard().say(f"the session is at {url}", style="bold")
        yield
        return
    root = logging.getLogger()
    before = list(root.handlers)
    try:
        _hand_log_to(logging.FileHandler(log))
        with start_terminal(url):
            yield
    finally:
        _hand_log_to(*before)


def _hand_log_to(*handlers: logging.Handler) -> None:
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    for new in handlers:
        root.addHandler(new)


class _Outlets(list[Outlet]):
    """Everybody who shows the session; who comes later is shown it too."""

    def show(self, view: View) -> None:
        """See `Outlet`."""
        for outlet in self:
            outlet.show(view)

    def picture(self, frame: Frame) -> None:
        """See `Outlet`."""
        for outlet in self:
            outlet.picture(frame)
