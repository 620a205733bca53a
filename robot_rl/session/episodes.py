"""An episode of a session, from before its reset to its end: what the loop is told and overruled.

Whether it is recorded: `between` opens one recorded episode at a time, and every other reset is
that of an episode that only counts.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace

from robot_rl.core.errors import HardwareError, RobotRlError
from robot_rl.core.spec import TaskSpec
from robot_rl.core.types import Observation, Outcome, Source, StepResult, Vector
from robot_rl.runtime.record import DEMONSTRATION, ONLINE, name_of
from robot_rl.session.course import Course
from robot_rl.session.devices import Devices
from robot_rl.session.emergency import EmergencyStop
from robot_rl.session.mode import Stage, Verb
from robot_rl.session.needs import Eyes
from robot_rl.session.person import SessionOperator
from robot_rl.session.service import Service
from robot_rl.session.showing import Showing
from robot_rl.session.tally import Tally
from robot_rl.session.teller import Teller

_HEEDED_IN_RESET = frozenset({Verb.STOP, Verb.PAUSE})


class SessionEnded(RobotRlError):
    """A person has ended the session; what it had is saved."""


class Episodes:
    """What `SessionEnv` tells, and asks.

    Attributes:
        opened: the next episode is recorded.
    """

    def __init__(
        self,
        *,
        course: Course,
        service: Service,
        emergency: EmergencyStop,
        person: SessionOperator,
        devices: Devices,
        eyes: Eyes,
        showing: Showing,
        teller: Teller,
        task: TaskSpec,
    ) -> None:
        self._course = course
        self._service = service
        self._emergency = emergency
        self._person = person
        self._devices = devices
        self._eyes = eyes
        self._showing = showing
        self._teller = teller
        self._task = task
        self.opened = False

    @property
    def stopped(self) -> bool:
        """Whether a stop is latched."""
        return self._emergency.latched

    def about_to_reset(self, seed: int) -> None:
        """Wait until nothing hinders the episode.

        Raises:
            SessionEnded: if the person ends the session instead.
        """
        course = self._course
        course.stage = Stage.RESETTING
        if not self._service.wait_for_person(reviewing=False):
            raise SessionEnded("the session was ended by the person; what it has is saved")
        course.stage, course.source = Stage.RESETTING, Source.POLICY
        course.verdict = Outcome.UNKNOWN
        course.tally = Tally(
            episode_id=self._named(seed),
            seed=seed,
            judging=not self.opened,
            horizon=self._task.horizon,
            period_s=self._task.action.period_s,
        )
        self._showing.step = self._showing.transition = None
        self._person.begin()
        self._service.show()

    def resetting(self) -> AbstractContextManager[None]:
        """While the arm goes to its start, which takes seconds, the person is shown so."""
        return self._service.shown_meanwhile()

    def has_begun(self, observation: Observation) -> None:
        """The arm is at its start; the policy drives, unless a person wants the arm at rest.

        A demonstration begins only when `may_run` says so.
        """
        self._course.awaited = self.opened and self._course.demonstrates
        if self._course.awaited:
            self._course.source = Source.HOLD
        self._see(observation)
        # Other buttons that were pressed before are not meant for this episode.
        self._devices.listen(observation, _HEEDED_IN_RESET)
        self._service.serve()
        self._course.stage = Stage.RUNNING
        self._service.show()

    def may_run(self, observation: Observation) -> bool:
        """Whether the episode begins: a demonstration does once the person moves the arm."""
        course = self._course
        try:
            awaited = course.awaited and not self._person.poll(observation).active
        except HardwareError as error:
            self._teller.tell("bad", str(error), "hold")
            awaited = True
        if not awaited:
            self.opened = course.awaited = False
        return not awaited

    def waited(self, action: Vector, result: StepResult) -> bool:
        """While a demonstration is waited for; False if the arm is to be reset first."""
        course = self._course
        course.source = Source.HOLD
        self._see(result.observation)
        # Whoever shows it learns from this what can be driven.
        self._showing.step = (action, result)
        self._service.show()
        over = result.terminated or result.truncated
        if hindered := bool(over or course.paused or course.ended):
            course.awaited = False
        return not hindered

    def stands_still(self, source: Source) -> bool:
        """Whether a step of a demonstration is one in which nobody drives."""
        return self._course.is_demonstration and source == Source.HOLD

    def stepped(self, source: Source, action: Vector, result: StepResult) -> StepResult:
        """Return the step as it counts: the person's judgement goes before any other."""
        course = self._course
        course.source = source
        self._see(result.observation)
        self._service.serve()
        result = self._judged(result)
        self._showing.step = (action, result)
        if course.tally is not None:
            course.tally.horizon += self.stands_still(source)
            course.tally.add(source, result)
        if result.terminated or result.truncated:
            self._end()
        self._service.show()
        return result

    def failed(self, error: RobotRlError) -> None:
        """The episode cannot go on: tell the person, before the run says so."""
        self._teller.tell("bad", f"The episode failed: {error}", "error", "Error")
        self._service.show(at_once=True)

    def _named(self, seed: int) -> str:
        """The id under which the episode is recorded, or only counted."""
        if not self.opened:
            return f"judging-{seed}"
        return name_of(DEMONSTRATION if self._course.demonstrates else ONLINE, seed)

    def _see(self, observation: Observation) -> None:
        self._showing.observation = observation
        self._eyes.observed(observation)

    def _judged(self, result: StepResult) -> StepResult:
        course = self._course
        if course.discards or course.ended:
            return replace(result, terminated=False, truncated=True, outcome=Outcome.UNKNOWN)
        if course.verdict == Outcome.UNKNOWN:
            return result
        return replace(
            result,
            terminated=True,
            truncated=False,
            outcome=course.verdict,
            reward=1.0 if course.verdict == Outcome.SUCCESS else 0.0,
        )

    def _end(self) -> None:
        course = self._course
        course.verdict = Outcome.UNKNOWN
        if course.tally is None or course.tally.judging:
            course.stage = Stage.RESETTING
            return
        course.newest, course.unsettled, course.is_saved = course.tally, True, False
        course.stage = Stage.REVIEW
