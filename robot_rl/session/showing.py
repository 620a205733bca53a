"""Makes the view of a session: gathers what there is to see, and decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from robot_rl.control.limits import SafetyLimits
from robot_rl.core.spec import WRENCH, TaskSpec
from robot_rl.core.types import Observation, StepResult, Transition, Vector
from robot_rl.session.course import Course
from robot_rl.session.mode import Mode, Verb
from robot_rl.session.needs import Eyes, Preflight
from robot_rl.session.person import SessionOperator
from robot_rl.session.pupil import Pupil
from robot_rl.session.teller import Teller
from robot_rl.session.view import (
    ActionView,
    DataView,
    EpisodeRow,
    ForceView,
    Numbers,
    RatesPoint,
    RewardView,
    View,
)

_TACTILE = "observation.tactile."


class Showing:
    """What a person sees.

    Args:
        run, task: what it is that runs.
        limits: where the gate holds; without them forces are shown with limits of 0.
        key_speed: what a held key asks for, normalised.
        reward: what judges success, if anything says so.

    Attributes:
        observation: the newest.
        step: what was asked for in the newest step, and what came of it.
        transition: the newest, as it was recorded; its base and proposed actions are shown.
        data, rows: of the store.
        rates, hints: after the newest episode.
    """

    def __init__(
        self,
        *,
        run: str,
        task: TaskSpec,
        limits: SafetyLimits | None,
        key_speed: float,
        course: Course,
        person: SessionOperator,
        teller: Teller,
        pupil: Pupil,
        preflight: Preflight,
        eyes: Eyes,
        reward: Callable[[], RewardView | None],
    ) -> None:
        self._run = run
        self._task = task
        self._limits = limits
        self._key_speed = key_speed
        self._course = course
        self._person = person
        self._teller = teller
        self._pupil = pupil
        self._preflight = preflight
        self._eyes = eyes
        self._reward = reward
        self._number = 0
        self.observation: Observation | None = None
        self.step: tuple[Vector, StepResult] | None = None
        self.transition: Transition | None = None
        self.data: DataView | None = None
        self.rows: tuple[EpisodeRow, ...] = ()
        self.rates: tuple[RatesPoint, ...] = ()
        self.hints: tuple[str, ...] = ()

    def view(self, mode: Mode, why: str, legal: Sequence[Verb]) -> View:
        """Return how all stands now."""
        self._number += 1
        course, teller = self._course, self._teller
        return View(
            number=self._number,
            run=self._run,
            task=self._task.name,
            mode=mode,
            mode_s=teller.mode_s,
            driver=self._driver(mode),
            holder=self._person.holder,
            why=why,
            legal=tuple(legal),
            period_s=self._task.action.period_s,
            episode=course.tally.view() if course.tally else None,
            cameras=self._eyes.views(),
            force=self._force(),
            action=self._action(),
            reward=self._reward(),
            learner=None if course.demonstrates else self._pupil.view(),
            data=self.data,
            rates=self.rates,
            checks=self._preflight.views(),
            hints=self.hints,
            rows=self.rows,
            notices=teller.notices,
            key_speed=self._key_speed,
        )

    def _driver(self, mode: Mode) -> str:
        if mode == Mode.HUMAN:
            return self._person.name
        return "policy" if mode == Mode.AUTO else "nobody"

    def _force(self) -> ForceView | None:
        if self.observation is None or WRENCH not in self.observation.vectors:
            return None
        vectors, limits = self.observation.vectors, self._limits
        wrench = numbers(vectors[WRENCH])
        if len(wrench) != 6:
            return None
        return ForceView(
            force_n=wrench[:3],
            torque_n_m=wrench[3:],
            limit_n=limits.max_force_n if limits else 0.0,
            limit_n_m=limits.max_torque_n_m if limits else 0.0,
            tactile={
                key.removeprefix(_TACTILE): numbers(vector)
                for key, vector in vectors.items()
                if key.startswith(_TACTILE)
            },
        )

    def _action(self) -> ActionView | None:
        if self.step is None:
            return None
        asked, result = self.step
        told = self.transition
        return ActionView(
            names=self._task.action.names,
            base=numbers(told.base_action) if told else (),
            proposed=numbers(told.proposed_action if told else asked),
            executed=numbers(result.executed_action),
            gate_reason=result.gate_reason.name,
        )


def numbers(vector: Vector) -> Numbers:
    """Return a vector as plain numbers; none at all if one of them is not finite."""
    return tuple(vector.tolist()) if bool(np.isfinite(vector).all()) else ()
