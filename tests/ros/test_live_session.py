"""A correction session in a live graph: simulated arm, gate and session are real processes."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from robot_rl.app.run_config import RunConfig
from robot_rl.app.run_folder import RunFolder
from robot_rl.config.load import load
from robot_rl.core.types import Source
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.session.client.address import Address
from robot_rl.session.client.line import Heard, Line
from robot_rl.session.command import Answer
from robot_rl.session.mode import Mode, Verb
from robot_rl.session.view import View

pytestmark = [pytest.mark.ros, pytest.mark.sim, pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
CODE = "import sys; from robot_rl.app.main import main; sys.exit(main(sys.argv[1:]))"
COMMAND = (sys.executable, "-c", CODE)
SMALL = (
    "demonstrator=null",
    "collect.episodes=2",
    "imitate.steps=300",
    "improve.judge_episodes=1",
    "schedule.prefill_steps=30",
    "schedule.warmup_updates=8",
    "session.review_s=null",
    "session.page.port=0",
)


class Person:
    """Somebody at the session, with keys."""

    def __init__(self, url: str) -> None:
        self.view: View | None = None
        self._answers: dict[int, Answer] = {}
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._line = Line(Address.parse(url), "test")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.until(lambda: self.view is not None, 60)

    def ask(self, verb: Verb, **arguments: str) -> Answer:
        async def command() -> int:
            return self._line.command(verb, arguments)

        number = asyncio.run_coroutine_threadsafe(command(), self._loop).result(5)
        self.until(lambda: number in self._answers, 60)
        return self._answers[number]

    def hold_key(self, action: tuple[float, ...], while_not: Callable[[], object]) -> None:
        end_s = time.monotonic() + 20
        while not while_not():
            assert time.monotonic() < end_s, self.view
            self._move(active=True, action=action)
            time.sleep(0.03)

    def release(self) -> None:
        assert self.view is not None
        assert self.view.action is not None
        self._move(active=False, action=(0.0,) * len(self.view.action.names))

    @property
    def mode(self) -> Mode:
        assert self.view is not None
        return self.view.mode

    def until(self, happened: Callable[[], object], seconds: float = 30) -> None:
        end_s = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < end_s, self.view
            time.sleep(0.02)

    def drive_for(self, seconds: float) -> None:
        """Drive sideways, and let go; who was silent has to be seen at rest first."""
        self.until(lambda: self.view and self.view.action)
        for _ in range(10):
            self.release()
            time.sleep(0.03)
        sideways = (0.0, 0.3, 0.0, 0.0, 0.0, 0.0)
        self.hold_key(sideways, lambda: self.mode == Mode.HUMAN)
        until_s = time.monotonic() + seconds
        self.hold_key(sideways, lambda: time.monotonic() > until_s)
        self.release()
        self.until(lambda: self.mode == Mode.HOLD)

    def until_demonstration(self, number: int) -> None:
        """Do what a person does meanwhile: clear, start and go on."""
        awaited = f"demonstration {number} of 2: drive"
        self._until_in_view(lambda view: awaited in view.why, Verb.RESUME)

    def until_policy_drives(self, episode: str = "") -> None:
        """Do what a person does meanwhile: clear, start, give back and go on."""

        def drives(view: View) -> bool:
            is_it = view.episode is not None and view.episode.episode_id.startswith(episode)
            return view.mode == Mode.AUTO and is_it

        self._until_in_view(drives, Verb.GIVE_BACK)

    def _until_in_view(self, happened: Callable[[View], bool], held: Verb) -> None:
        steps = {Mode.READY: Verb.START, Mode.HOLD: held, Mode.REVIEW: Verb.NEXT}

        def looks() -> bool:
            view = self.view
            assert view is not None
            if view.mode == Mode.STOP and Verb.CLEAR in view.legal:
                self.ask(Verb.CLEAR, by="anna", cause=view.why)
            elif view.mode in steps and steps[view.mode] in view.legal:
                self.ask(steps[view.mode])
            return happened(view)

        self.until(looks, 180)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def _move(self, *, active: bool, action: tuple[float, ...]) -> None:
        self._loop.call_soon_threadsafe(self._line.move, active, action)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._attend())

    async def _attend(self) -> None:
        talking = asyncio.create_task(self._line.run(self._hear))
        await self._closing.wait()
        talking.cancel()
        await asyncio.wait({talking})
        await self._line.close()

    def _hear(self, heard: Heard) -> None:
        if isinstance(heard, View):
            self.view = heard
        elif isinstance(heard, Answer):
            self._answers[heard.number] = heard


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that nobody has demonstrated yet."""
    config = load(ROOT / "configs/runs/peg_insert_session.yaml", RunConfig, SMALL)
    return RunFolder.create(tmp_path / "runs", config).path


@pytest.fixture
def session(graph: Any, tmp_path: Path, run: Path) -> Iterator[Callable[[], str]]:
    """A graph with the run's session in it; returns what it has said so far."""
    text = (ROOT / "configs/ros/sim_fr3_peg.yaml").read_text()
    # A camera needs OpenGL.
    text = text.replace("../", f"{ROOT}/configs/").replace("  cameras: [front]\n", "")
    file, log = tmp_path / "graph.yaml", tmp_path / "log"
    file.write_text(text)
    words = ["ros", "up", str(file), "--train", str(run), "--person", "anna"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*COMMAND, *words, "--runs", str(tmp_path / "up")],
            env=graph.environment,
            stdout=out,
            stderr=out,
        )
    try:
        yield log.read_text
    finally:
        process.send_signal(signal.SIGINT)
        status = process.wait(90)
        sys.stderr.write(log.read_text())
    assert status == 0


def test_a_person_at_the_page_demonstrates_and_corrects_at_an_arm_in_a_live_graph(
    session: Callable[[], str], run: Path
) -> None:
    end_s = time.monotonic() + 120
    while not (address := re.search(r"http://\S+", session())):
        assert time.monotonic() < end_s, session()
        time.sleep(0.2)
    person = Person(address[0])
    try:
        corrected = correct_judge_and_stop(person)
    finally:
        person.close()
    end_s = time.monotonic() + 60
    while "stopped; continue with" not in session():
        assert time.monotonic() < end_s, session()
        time.sleep(0.2)

    shown = EpisodeReader(run / "demos")
    assert len(shown) == 2
    for demonstration in shown:
        by_person = demonstration.source == int(Source.DEMO)
        assert by_person[0]
        assert demonstration.action[by_person][:, 1].max() > 0.1
        assert not (demonstration.source == int(Source.POLICY)).any()
    store = EpisodeReader(run / "online")
    episode = store.read(corrected)
    by_person = episode.source == int(Source.HUMAN)
    assert by_person.any()
    # What the gate executed, which lets a sudden motion begin slowly.
    assert episode.action[by_person][:, 1].max() > 0.1


def correct_judge_and_stop(person: Person) -> str:
    """A session from the first check to its end; returns the episode that was corrected."""
    person.until(lambda: person.view and all(c.state != "waiting" for c in person.view.checks), 60)
    assert person.mode == Mode.STOP
    assert person.view is not None
    assert "the gate has just been started" in person.view.why
    assert person.ask(Verb.CLEAR, by="anna", cause=person.view.why).done
    for name in ("emergency stop tried", "dead-man tried"):
        person.until(lambda: person.mode == Mode.PREFLIGHT)
        assert person.ask(Verb.CONFIRM, name=name).done
    if person.mode == Mode.PREFLIGHT:
        person.ask(Verb.CHECK)
    for number in (1, 2):
        person.until_demonstration(number)
        person.drive_for(2.0)
        assert person.ask(Verb.SUCCESS).done
        person.until(lambda: person.mode == Mode.REVIEW)
        assert person.ask(Verb.NEXT).done
    person.until(lambda: person.mode == Mode.LEARNING)
    person.until_policy_drives("online-")

    person.drive_for(1.0)
    person.until_policy_drives()
    corrected = person.view.episode
    assert corrected is not None
    assert person.ask(Verb.SUCCESS).done
    person.until(lambda: person.mode == Mode.REVIEW)
    person.until_policy_drives("online-")

    assert person.ask(Verb.STOP).done
    person.until(
        lambda: person.mode == Mode.STOP and person.view and Verb.CLEAR in person.view.legal
    )
    person.until_policy_drives()
    assert person.ask(Verb.FAILURE).done
    person.until(lambda: person.mode == Mode.REVIEW)
    assert person.ask(Verb.END).done
    return corrected.episode_id
