"""A session with everything real but the bench, the store and the page, in time that is slept."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from robot_rl.config.model import Config
from robot_rl.control.arbiter import Arbiter, HandOver
from robot_rl.control.limits import SafetyLimits
from robot_rl.control.safety import SafetyGate
from robot_rl.core.clock import ManualClock
from robot_rl.core.episode import Episode
from robot_rl.core.errors import ConfigError, HardwareError, StorageError
from robot_rl.core.protocol import Judgement, OperatorEvent, OperatorInput
from robot_rl.core.spec import (
    JOINT_POSITION,
    WRENCH,
    ActionSpec,
    ObservationSpec,
    RobotSpec,
    TaskSpec,
    VectorSpec,
)
from robot_rl.core.types import Observation, Outcome, SafeAction, Source, StepResult, Vector
from robot_rl.envs.robot_env import RobotEnv
from robot_rl.runtime.events import EpisodeEnded, PhaseProgress
from robot_rl.session.command import Answer, Command, Gone, Motion
from robot_rl.session.config import SessionConfig
from robot_rl.session.mode import Verb
from robot_rl.session.seam import Learner
from robot_rl.session.session import Session
from robot_rl.session.view import CheckView, DataView, EpisodeRow, View

PERIOD_S = 0.1
ACTION = ActionSpec(kind="joint_delta", names=("a", "b"), scale=(0.1, 0.1), period_s=PERIOD_S)
TACTILE = "observation.tactile.left"
OBSERVATION = ObservationSpec(
    vectors={
        JOINT_POSITION: VectorSpec(names=("q0", "q1"), unit="rad"),
        WRENCH: VectorSpec(names=("fx", "fy", "fz", "tx", "ty", "tz"), unit="N"),
        TACTILE: VectorSpec(names=("shear", "normal"), unit="N"),
    }
)
LIMITS: dict[str, Any] = {
    "workspace_min_m": (-9.0,) * 3,
    "workspace_max_m": (9.0,) * 3,
    "joint_lower_rad": (-99.0,) * 2,
    "joint_upper_rad": (99.0,) * 2,
    "max_joint_velocity_rad_s": (9.0,) * 2,
    "max_joint_acceleration_rad_s2": (9999.0,) * 2,
    "max_joint_jerk_rad_s3": (999999.0,) * 2,
    "max_tcp_speed_m_s": 9.0,
    "max_tcp_angular_speed_rad_s": 99.0,
    "max_tcp_acceleration_m_s2": 999.0,
    "max_tcp_angular_acceleration_rad_s2": 999.0,
    "max_tcp_jerk_m_s3": 99999.0,
    "max_tcp_angular_jerk_rad_s3": 99999.0,
    "slow_at_condition": 1e6,
    "hold_at_condition": 1e7,
    "min_distance_m": 0.0,
    "max_force_n": 30.0,
    "max_torque_n_m": 5.0,
    "max_observation_age_s": 0.15,
    "max_command_age_s": 0.05,
    "max_late_ticks": 9,
    "fresh_samples_to_resume": 1,
}
POLICY = np.array([0.1, 0.0], np.float32)


class Line:
    """Two joints that reach their command evenly over one period; 0.3 rad is the goal."""

    def __init__(self, horizon: int) -> None:
        self.task = TaskSpec(name="line", horizon=horizon, observation=OBSERVATION, action=ACTION)
        self.spec = RobotSpec(name="line", observation=OBSERVATION, action=ACTION)
        self.robot = self.scene = self
        self.sensors = ()
        self.clock = LineClock(self)
        self.q = np.zeros(2)
        self.force_n = 0.0
        self.touch = np.zeros(2, np.float32)
        self.breaks = False
        self.stops = 0
        self.seeds: list[int] = []
        self.on_reset: Callable[[], None] = lambda: None
        self.on_read: Callable[[], None] = lambda: None
        self._velocity = np.zeros(2)

    def read(self) -> Observation:
        self.on_read()
        if self.breaks:
            raise HardwareError("the line is silent")
        wrench = np.array([self.force_n, 0, 0, 0, 0, 0], np.float32)
        vectors = {JOINT_POSITION: self.q.astype(np.float32), WRENCH: wrench, TACTILE: self.touch}
        return Observation(stamp_ns=self.clock.now_ns(), vectors=vectors)

    def command(self, action: SafeAction) -> None:
        self._velocity = action.values / PERIOD_S

    def stop(self) -> None:
        self.stops += 1
        self._velocity = np.zeros(2)

    def move(self, seconds: float) -> None:
        self.q = self.q + self._velocity * seconds
        self._velocity = np.zeros(2)

    def reset(self, seed: int) -> None:
        self.seeds.append(seed)
        self.on_reset()
        self.q = np.zeros(2)
        self._velocity = np.zeros(2)

    def judge(self) -> Judgement:
        if self.q[0] >= 0.3 - 1e-6:
            return Judgement(reward=1.0, outcome=Outcome.SUCCESS)
        return Judgement(reward=0.0, outcome=Outcome.UNKNOWN)


class LineClock(ManualClock):
    def __init__(self, bench: Line) -> None:
        super().__init__(start_ns=10**9)
        self._bench = bench

    def sleep_until_ns(self, deadline_ns: int) -> None:
        self._bench.move(max(0, deadline_ns - self.now_ns()) / 1e9)
        super().sleep_until_ns(deadline_ns)


class Checks:
    """Good once `confirmed` has what is asked for and nothing is `broken`."""

    def __init__(self, ask: Sequence[str] = ()) -> None:
        self.ask = tuple(ask)
        self.confirmed: dict[str, str] = {}
        self.broken = ""
        self.runs = 0

    @property
    def good(self) -> bool:
        return not self.broken and self.confirmed.keys() >= set(self.ask)

    def run(self) -> None:
        self.runs += 1

    def confirm(self, name: str, by: str) -> None:
        if name not in self.ask:
            raise ConfigError(f"nothing called {name!r} is to be tried")
        self.confirmed[name] = by

    def views(self) -> tuple[CheckView, ...]:
        asked = [
            CheckView(name=n, state="good" if n in self.confirmed else "ask", words="try it")
            for n in self.ask
        ]
        if self.broken:
            asked.append(CheckView(name="camera", state="bad", words=self.broken))
        return tuple(asked)


class Eyes:
    def __init__(self) -> None:
        self.seen: list[Observation] = []

    def observed(self, observation: Observation) -> None:
        self.seen.append(observation)

    def views(self) -> tuple[()]:
        return ()


class Screen:
    def __init__(self) -> None:
        self.views: list[View] = []

    def show(self, view: View) -> None:
        self.views.append(view)

    def picture(self, frame: object) -> None:
        pass


class Store:
    """A store and its review in one, in memory: `rows` by id, oldest first."""

    path = Path("online")

    def __init__(self) -> None:
        self.episodes: dict[str, EpisodeRow] = {}
        self.log: list[str] = []
        self.before: list[EpisodeRow] = []
        self.broken = False

    def save(self, episode_id: str, outcome: str, steps: int, *, assisted: bool = False) -> None:
        self.episodes[episode_id] = EpisodeRow(
            episode_id=episode_id,
            outcome=outcome,
            assisted=assisted,
            steps=steps,
            seconds=steps * PERIOD_S,
        )

    def change(self, episode_id: str, word: str, **fields: object) -> str:
        if self.broken or episode_id not in self.episodes:
            raise StorageError(f"no episode {episode_id!r} is here")
        row = self.episodes[episode_id]
        kept = {f: getattr(row, f) for f in row.__struct_fields__}
        self.episodes[episode_id] = EpisodeRow(**(kept | fields))
        self.log.append(f"{word} {episode_id}")
        self.before.append(row)
        return f"{episode_id}: {word}"

    def relabel(self, episode_id: str, outcome: Outcome) -> str:
        name = outcome.name.lower()
        return self.change(episode_id, name, outcome=name)

    def trim(self, episode_id: str, begin: int, end: int) -> str:
        return self.change(episode_id, f"trim {begin} {end}")

    def delete(self, episode_id: str) -> str:
        return self.change(episode_id, "delete", discarded=True)

    def note(self, episode_id: str, text: str) -> str:
        return self.change(episode_id, f"note {text}", note=text)

    def undo(self) -> str:
        if self.broken or not self.log:
            raise StorageError("there is nothing to undo")
        row = self.before.pop()
        self.episodes[row.episode_id] = row
        return f"undone: {self.log.pop()}"

    def rows(self, most: int = 50) -> tuple[EpisodeRow, ...]:
        return tuple(reversed(list(self.episodes.values())))[:most]

    def data(self, folder: Path, target: int) -> DataView:
        rows = self.rows()
        return DataView(
            folder=str(folder),
            episodes=len(rows),
            discarded=sum(r.discarded for r in rows),
            target=target,
            successes_autonomous=0,
            successes_assisted=0,
            steps=sum(r.steps for r in rows),
            human_steps=0,
            free_bytes=10**9,
            room_episodes=100,
        )


class Pupil:
    """A learner that learns nothing; lost once there are words for it in `loss`."""

    def __init__(self) -> None:
        self.loss = ""

    def amend(self, episode_id: str, episode: Episode | None) -> None:
        """Nothing to forget."""


class Stick:
    """A device: `next` is what it says in the next polls."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.next = OperatorInput(active=False, action=np.zeros(2, np.float32))
        self.gone = ""

    def reset(self, seed: int) -> None:
        pass

    def press(self, *events: OperatorEvent, **fields: object) -> None:
        action = np.array([-1.0, 0.0], np.float32)
        self.next = OperatorInput(
            **({"active": False, "action": action, "events": events} | fields)
        )

    def poll(self, observation: Observation) -> OperatorInput:
        if self.gone:
            raise HardwareError(self.gone)
        said = self.next
        self.next = OperatorInput(active=said.active, action=said.action, heard_ns=said.heard_ns)
        return said


class StickConfig(Config):
    name: str = "stick"
    built: ClassVar[list[Stick]] = []

    def build(self, bench: object) -> Stick:
        self.built.append(Stick(self.name))
        return self.built[-1]


class World:
    """A session around a line; `say`, `move` and `tick` are what happens in it.

    `link`: whom the session is told to be the learner; one that is never lost, if nobody sets it.
    `scripted`: the session waits as long as the script says, else as long as it really does.
    `script`: what is done while the session waits, one entry a turn; a session that waits for
    longer than the script fails.
    """

    def __init__(
        self,
        *,
        horizon: int = 20,
        review_s: float | None = 0.0,
        ask: Sequence[str] = (),
        sticks: int = 0,
        scripted: bool = True,
        **options: Any,
    ) -> None:
        self.bench = Line(horizon)
        self.clock = self.bench.clock
        self.gate = SafetyGate(SafetyLimits(**LIMITS), ACTION, self.clock, None)
        self.checks, self.eyes, self.screen, self.store = Checks(ask), Eyes(), Screen(), Store()
        self.link: Learner = Pupil()
        self.script: deque[Callable[[], object]] = deque()
        self.answers: list[Answer] = []
        self.asked = 0
        self.moved = 0
        StickConfig.built.clear()
        config = SessionConfig(operator="Ada", review_s=review_s)
        self.session = Session(
            config,
            run="run-1",
            task=self.bench.task,
            gate=self.gate,
            stop=self.bench.stop,
            clock=self.clock,
            limits=self.gate.limits,
            preflight=self.checks,
            eyes=self.eyes,
            outlets=[self.screen],
            devices=[StickConfig().build(self.clock) for _ in range(sticks)],
            reviewing=lambda store, link: store,
            wait=(lambda seconds: self.wait(seconds)) if scripted else None,
            **options,
        )
        self.sticks = list(StickConfig.built)
        self.env = self.session.wrap(RobotEnv(self.bench, self.gate))
        rule = HandOver(release_s=0.0, after_release="hold", dead_man_s=0.28)
        self.arbiter = Arbiter(ACTION, self.clock, rule, operator="Ada")
        self.policy: Vector | None = POLICY
        self.observation: Observation | None = None
        self.seed = -1
        self.sources: list[Source] = []
        self.result: StepResult | None = None

    @property
    def view(self) -> View:
        return self.screen.views[-1]

    @property
    def answer(self) -> Answer:
        return self.answers[-1]

    def look(self) -> View:
        """The view that is due after a tenth of a second."""
        self.clock.advance_s(0.1)
        self.session.heard(PhaseProgress(phase="improve", done=1))
        return self.view

    def wait(self, seconds: float) -> None:
        self.clock.advance_s(seconds)
        if not self.script:
            raise AssertionError(f"the session waits in {self.view.mode}: {self.view.why}")
        self.script.popleft()()

    def idle(self, seconds: float) -> None:
        """Let the session wait for so long, in turns of 20 ms."""
        self.script.extend([lambda: None] * round(seconds / 0.02))

    def say(self, verb: Verb, client: str = "page-1", **arguments: object) -> None:
        self.asked += 1
        command = Command(client=client, number=self.asked, verb=verb, arguments=arguments)
        self.session.submit(command, self.answers.append)

    def then(self, verb: Verb, client: str = "page-1", **arguments: object) -> None:
        """Say it while the session waits."""
        self.script.append(lambda: self.say(verb, client, **arguments))

    def move(self, *action: float, client: str = "page-1", active: bool = True) -> None:
        self.moved += 1
        motion = Motion(
            client=client,
            number=self.moved,
            heard_ns=self.clock.now_ns(),
            active=active,
            action=action or (0.0, 0.0),
        )
        self.session.move(motion)

    def gone(self, client: str = "page-1") -> None:
        self.session.gone(Gone(client=client, why="closed"))

    def open(self) -> bool:
        self.then(Verb.START)
        return self.session.open()

    def between(self) -> bool:
        return self.session.between(self.store, self.link)

    def begin(self, *, recorded: bool = True) -> None:
        """Begin the next episode, recorded or judging."""
        if recorded:
            assert self.between()
        self.reset()

    def reset(self) -> None:
        """Begin the next episode, as a rollout does."""
        self.seed += 1
        self.observation = self.env.reset(self.seed)
        self.arbiter.reset()
        self.session.operator.reset(self.seed)
        self.sources, self.result = [], None

    def tick(self, count: int = 1) -> StepResult:
        """Let the loop make steps, as a rollout does."""
        for _ in range(count):
            assert self.observation is not None
            try:
                said = self.session.operator.poll(self.observation)
            except HardwareError as error:
                self.arbiter.lose(str(error))
                said = None
            decision = self.arbiter.decide(self.policy, said)
            self.sources.append(decision.source)
            self.result = self.env.step(decision.action, decision.source)
            self.observation = self.result.observation
        assert self.result is not None
        return self.result

    @property
    def running(self) -> bool:
        result = self.result
        return result is None or not (result.terminated or result.truncated)

    def end(self) -> None:
        """The run stores the episode and tells of it."""
        assert self.result is not None
        episode_id, steps = f"online-{self.seed}", len(self.sources)
        human = self.sources.count(Source.HUMAN)
        outcome = self.result.outcome
        self.store.save(episode_id, outcome.name.lower(), steps, assisted=human > 0)
        self.session.heard(ended(episode_id, self.seed, outcome == Outcome.SUCCESS, human, steps))

    def run(self, verb: Verb | None = Verb.SUCCESS) -> None:
        """Run a recorded episode of a few steps that ends in what is said."""
        self.begin()
        self.tick()
        if verb is not None:
            self.say(verb)
        while self.running:
            self.tick()
        self.end()


def ended(episode_id: str, seed: int, success: bool, human: int, steps: int) -> EpisodeEnded:
    return EpisodeEnded(
        phase="improve",
        episode_id=episode_id,
        seed=seed,
        success=success,
        assisted=human > 0,
        steps=steps,
        human_steps=human,
        env_steps_total=steps,
        max_force_n=0.0,
        mean_force_n=0.0,
        gate_refused=0,
        gate_holds=0,
        wall_s=1.0,
    )


@pytest.fixture
def make_world() -> Callable[..., World]:
    return World


@pytest.fixture
def world() -> World:
    """A session that was opened: the first episode may begin."""
    made = World()
    assert made.open()
    return made


@pytest.fixture
def demos() -> Store:
    """A store beside that of the world."""
    return Store()
