"""The correction session: stands between a run's loop and the person, in the loop's thread.

Built and joined here. Not here: what each command does (`verbs`), who has the arm (`person`), how
the person is waited for (`service`), what is seen (`showing`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from robot_rl.control.limits import SafetyLimits
from robot_rl.core.clock import Clock
from robot_rl.core.episode import Episode
from robot_rl.core.protocol import Env, Operator
from robot_rl.core.spec import TaskSpec
from robot_rl.core.types import Transition
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.runtime.events import (
    EpisodeEnded,
    Evaluated,
    Event,
    LearnerMetrics,
    PhaseProgress,
    PhaseStarted,
)
from robot_rl.session.aftermath import Aftermath
from robot_rl.session.command import Answer, Command, Gone, Motion
from robot_rl.session.config import SessionConfig
from robot_rl.session.course import Course
from robot_rl.session.desk import FrontDesk, Reply
from robot_rl.session.devices import Devices
from robot_rl.session.emergency import EmergencyStop
from robot_rl.session.env import SessionEnv
from robot_rl.session.episodes import Episodes
from robot_rl.session.legality import Legality
from robot_rl.session.mode import Stage, Verb
from robot_rl.session.motions import Motions
from robot_rl.session.needs import Eyes, Preflight, Reviewing, SessionGate
from robot_rl.session.person import SessionOperator
from robot_rl.session.pupil import Pupil
from robot_rl.session.seam import Amends, Learner, Outlet
from robot_rl.session.service import Service
from robot_rl.session.showing import Showing
from robot_rl.session.teller import ModeChange, Teller
from robot_rl.session.verbs import Verbs
from robot_rl.session.view import RewardView


class _Nobody:
    """Learns nothing (implements `seam.Amends`)."""

    def amend(self, episode_id: str, episode: Episode | None) -> None:
        """Nobody has learned from it yet."""


_NOBODY = _Nobody()


class Session:
    """A person, a page and a run (implements `seam.Desk`).

    `submit`, `move`, `gone` and `learner_lost` may be called from any thread, everything else
    from the loop's alone.

    Args:
        config: of the session.
        run: name of the run.
        task: that the bench is set up for.
        gate: that every command passes; `stop`: brings the robot to rest, from any thread.
        clock: of the control loop, and the machine's (`core.clock`).
        limits: where the gate holds, to show forces against.
        preflight: what is checked before the start.
        eyes: the cameras; started and closed by whoever made them.
        outlets: who is shown the session.
        reviewing: makes what changes the episodes of a store, and tells the learner.
        devices: that the person has at the bench; they are open.
        reward: what judges success, if anything says so.
        wait: returns after so many seconds, or when something comes in.

    Attributes:
        operator: for the supervisor's seat.
    """

    def __init__(
        self,
        config: SessionConfig,
        *,
        run: str,
        task: TaskSpec,
        gate: SessionGate,
        stop: Callable[[], None],
        clock: Clock,
        limits: SafetyLimits | None,
        preflight: Preflight,
        eyes: Eyes,
        outlets: Sequence[Outlet],
        reviewing: Callable[[EpisodeStore, Amends], Reviewing],
        devices: Sequence[Operator] = (),
        reward: Callable[[], RewardView | None] = lambda: None,
        wait: Callable[[float], None] | None = None,
    ) -> None:
        self._preflight = preflight
        self._reviewing = reviewing
        self._reviewed: tuple[EpisodeStore, Amends, Reviewing] | None = None
        self._learns = False
        self._numbers = itertools.count(1)
        self._course = course = Course()
        self._teller = teller = Teller(clock, config.operator)
        self._pupil = pupil = Pupil(clock, teller)
        self._emergency = emergency = EmergencyStop(gate, stop)
        motions = Motions(task.action.size)
        self._desk = FrontDesk(motions, self._stop, lambda words: teller.tell("bad", words))
        held = Devices(devices, clock, self._ask)
        self.operator = person = SessionOperator(
            config.operator, task.action.size, clock, motions, held, lambda: service.serve()
        )
        legality = Legality(course, gate)
        verbs = Verbs(course, legality, gate, emergency, person, preflight, clock, config.operator)
        self._showing = showing = Showing(
            run=run,
            task=task,
            limits=limits,
            key_speed=config.key_speed,
            course=course,
            person=person,
            teller=teller,
            pupil=pupil,
            preflight=preflight,
            eyes=eyes,
            reward=reward,
        )
        self._aftermath = Aftermath(
            course=course,
            verbs=verbs,
            legality=legality,
            showing=showing,
            teller=teller,
            clock=clock,
            period_s=task.action.period_s,
            target=config.episodes,
        )
        self._service = service = Service(
            course=course,
            desk=self._desk,
            verbs=verbs,
            legality=legality,
            gate=gate,
            emergency=emergency,
            person=person,
            devices=held,
            preflight=preflight,
            teller=teller,
            pupil=pupil,
            showing=showing,
            outlets=outlets,
            clock=clock,
            review_s=config.review_s,
            refresh=self._aftermath.refresh,
            wait=wait or self._desk.wait,
        )
        self._episodes = Episodes(
            course=course,
            service=service,
            emergency=emergency,
            person=person,
            devices=held,
            eyes=eyes,
            showing=showing,
            teller=teller,
            task=task,
        )

    @property
    def changes(self) -> tuple[ModeChange, ...]:
        """The newest changes of the mode with their reasons, oldest first."""
        return self._teller.changes

    @property
    def refused_motions(self) -> int:
        """Motions that were none."""
        return self._desk.refused

    def wrap(self, env: Env) -> SessionEnv:
        """Return the environment with the person at hand."""
        return SessionEnv(env, self._episodes)

    def open(self) -> bool:
        """Check, wait until all is well and the person starts; False if they end it instead.

        Called again before something else begins than what they started.
        """
        self._course.waits_for_start = True
        self._service.show()
        with self._service.shown_meanwhile():
            self._preflight.run()
        return self._service.wait_for_person(reviewing=False)

    def between(self, store: EpisodeStore, link: Learner | None) -> bool:
        """Before each episode that is recorded: review the one before; False if all is to end.

        From then on `link` is watched: its loss is told at once, also while an episode runs.
        Without one the episodes are demonstrations.
        """
        self._course.demonstrates = link is None
        if link is not None:
            self._pupil.follow(link)
        review = self._review(store, _NOBODY if link is None else link)
        self._aftermath.settle(review, store.path)
        self._episodes.opened = self._service.wait_for_person(reviewing=True)
        return self._episodes.opened

    @contextmanager
    def learning(self) -> Iterator[None]:
        """The base policy learns meanwhile, in this thread, and what was started has ended.

        A policy that is to be tried on the way is started by the person, too.
        """
        self._course.stage, self._course.waits_for_start = Stage.LEARNING, True
        self._episodes.opened = False
        self.operator.begin()
        self._learns = True
        try:
            with self._service.shown_meanwhile():
                yield
        finally:
            self._learns = False

    def heard(self, event: Event) -> None:
        """Hear what the run tells (a `runtime.events.Sink`)."""
        if isinstance(event, PhaseStarted):
            self._course.progress = 0, event.total
        elif isinstance(event, PhaseProgress):
            self._progressed(event.done)
        if isinstance(event, EpisodeEnded):
            self._aftermath.ended(event)
            self._pupil.ended(event)
        elif isinstance(event, LearnerMetrics):
            self._pupil.measured(event)
        elif isinstance(event, Evaluated):
            self._teller.tell(
                "info",
                f"Judged from {event.episodes} matched starts: base {event.base_success:.0%}, "
                f"improved {event.improved_success:.0%}; deployed: {event.deployed}",
            )
        self._service.show()

    def acted(self, transition: Transition) -> None:
        """Show what base and policy asked for in the step that was recorded just now."""
        self._showing.transition = transition
        self._pupil.acts(transition.policy_version)

    def learner_lost(self, words: str) -> None:
        """The run has lost its learner; told unless its loss was told already."""
        self._pupil.lose(words)

    def end(self) -> None:
        """End the session, from any thread or a signal handler: what it has is saved."""
        self._course.ended = True

    def ended(self) -> bool:
        """Whether the person wants the session to end."""
        return self._course.ended

    def close(self) -> None:
        """End the session: whoever still asks for something is told so; a stop still stops."""
        self._desk.close()

    def submit(self, command: Command, answer: Reply) -> None:
        """Ask for something, from any thread; `answer` is called once."""
        self._desk.submit(command, answer)

    def move(self, motion: Motion) -> None:
        """Say what the keys want now, from any thread."""
        self._desk.move(motion)

    def gone(self, gone: Gone) -> None:
        """Say that somebody can no longer be heard, from any thread."""
        self._desk.gone(gone)

    def _progressed(self, done: int) -> None:
        course = self._course
        course.progress = done, course.progress[1]
        if self._learns:
            # Nothing else looks at the desk meanwhile.
            course.stage = Stage.LEARNING
            self._service.serve()

    def _review(self, store: EpisodeStore, link: Amends) -> Reviewing:
        """The same one for the same store: it knows what there is to undo."""
        if self._reviewed is not None and self._reviewed[0] != store:
            self._aftermath.turn_over()
        if self._reviewed is None or self._reviewed[:2] != (store, link):
            self._reviewed = store, link, self._reviewing(store, link)
        return self._reviewed[2]

    def _stop(self, command: Command) -> str:
        return self._emergency.press(f"{command.client} pressed stop")

    def _ask(self, device: str, verb: Verb) -> None:
        number = next(self._numbers)
        self.submit(Command(client=device, number=number, verb=verb), self._told)

    def _told(self, answer: Answer) -> None:
        if not answer.done:
            self._teller.tell("info", f"{answer.client}: {answer.words}")
