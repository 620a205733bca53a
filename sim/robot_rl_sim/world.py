"""A driven arm and the task around it: perception, judgement, and the way back to a start.

Time is what `tick` counts. In real time it runs in `live.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from robot_rl.core.errors import ContractError, HardwareError
from robot_rl.core.protocol import Judgement
from robot_rl.core.types import Observation, Outcome, Vector
from robot_rl_sim import fr3
from robot_rl_sim.backend import Array
from robot_rl_sim.drive import GRIPPER_OPENING_M
from robot_rl_sim.driver import SimDriver
from robot_rl_sim.homing import TOLERANCE, Homing
from robot_rl_sim.tasks.task import HeldGoal

_CLEAR_M = 0.03
"""The tool goes so far above its start before it goes sideways: out of any bore, off any cube."""
_ON_THE_WAY = (3e-3, 0.1)
_OPEN_S, _STILL_S = 0.8, 0.3
_SLOWEST_M_S, _SLACK_S = 0.05, 5.0


@dataclass(slots=True)
class Reset:
    """One way back to a start.

    Args:
        seed: of the start.
        finished: whether it has come to an end.
        error: why it has failed; empty if it has not.
        distance_m: that is left to the start pose.
    """

    seed: int
    finished: bool = False
    error: str = ""
    distance_m: float = 0.0


class SimWorld:
    """The arm with its objects, for one who drives it and sees what a bench's sensors see.

    Args:
        driver: of the arm; its clock is this world's.
    """

    def __init__(self, driver: SimDriver) -> None:
        self.driver = driver
        self.commands = 0
        self._goal = HeldGoal(driver.task, 1)
        self._reset: Reset | None = None
        self._way: Iterator[None] = iter(())

    def obey(self, values: Vector, period_s: float) -> None:
        """See `SimDriver.obey`; while the arm is on its way to a start it obeys nobody.

        Raises:
            ContractError: if the command has the wrong length.
        """
        if values.shape != (self.driver.spec.action.size,):
            raise ContractError(
                f"command has shape {list(values.shape)}, expected "
                f"[{self.driver.spec.action.size}]"
            )
        self.commands += 1
        if self._reset is None:
            self.driver.obey(values, period_s)

    def grip(self, *, opens: bool) -> None:
        """Open or close the gripper, while the arm obeys and is not on its way to a start."""
        if self._reset is None:
            self.driver.grip(opens=opens)

    def reset(self, seed: int) -> Reset:
        """Set out to the start that `seed` stands for; `tick` goes the way.

        The gripper opens, the tool goes up, across and down to its start pose, then the objects
        are put where the seed has them.

        Raises:
            HardwareError: if the arm obeys nobody, or is on its way to another start.
        """
        if self.driver.fault:
            raise HardwareError(f"the arm has stopped: {self.driver.fault}; recover it first")
        if self._reset is not None:
            raise HardwareError(f"the arm is on its way to the start of seed {self._reset.seed}")
        self._reset = Reset(seed)
        self._way = self._back(self._reset)
        return self._reset

    def cancel(self) -> None:
        """Give up the way to a start, if there is one; the arm brakes and holds."""
        self._end("cancelled")

    def stood_still(self, seconds: float) -> None:
        """No time has passed here while others' did; a commanded arm stops for a person."""
        if self._reset is None and self.driver.commanded:
            self.driver.stop(f"the simulation was not let run for {seconds:.1f} s")

    def tick(self) -> Observation:
        """Let one of the driver's periods pass; the arm's own vectors at its end."""
        if self._reset is not None:
            self._go_on()
        return self.driver.tick()

    def estimate(self) -> Vector:
        """What perception says of the objects now, `observation.environment_state`."""
        error = self.driver.start.estimate_error[None]
        return self.driver.task.estimate(self.driver.backend.state(), error)[0]

    def judge(self) -> Judgement:
        """A control period of the task has passed: what the task says of this instant."""
        if self._goal.update(self.driver.backend.state())[0]:
            return Judgement(reward=1.0, outcome=Outcome.SUCCESS)
        return Judgement(reward=0.0, outcome=Outcome.UNKNOWN)

    def _go_on(self) -> None:
        try:
            if self.driver.fault:
                raise HardwareError(f"the arm has stopped: {self.driver.fault}")
            next(self._way, None)
        except HardwareError as error:
            self._end(str(error))

    def _end(self, error: str) -> None:
        if self._reset is not None:
            self._reset.error, self._reset.finished = error, True
            self._reset = None
            self.driver.rest()

    def _back(self, reset: Reset) -> Iterator[None]:
        """Every step of the way, one a tick."""
        rng = np.random.default_rng(reset.seed)
        start = self.driver.task.start(rng)
        target = fr3.pose_from_ctrl(start.ctrl[:6])
        reset.distance_m = float(np.linalg.norm(target[:3] - self.driver.position_m))
        yield from self._open()
        here = self._pose
        top = max(here[2], target[2] + _CLEAR_M)
        for place, near in (
            (np.array([*here[:2], top, *here[3:]]), _ON_THE_WAY),
            (np.array([*target[:2], top, *target[3:]]), _ON_THE_WAY),
            (target, TOLERANCE),
        ):
            yield from self._go(place, near, reset, target)
        yield from self._hold(_STILL_S)
        self.driver.arrange(start, rng)
        self._goal.reset([0])
        self._end("")

    def _open(self) -> Iterator[None]:
        state = self.driver.backend.state()
        if self._has_gripper and state.gripper[0] < 0.9 * GRIPPER_OPENING_M:
            yield from self._hold(_OPEN_S)

    def _hold(self, seconds: float) -> Iterator[None]:
        for _ in range(round(seconds / self.driver.period_s)):
            self._move(np.zeros(6))
            yield

    def _go(
        self, place: Array, near: tuple[float, float], reset: Reset, target: Array
    ) -> Iterator[None]:
        homing = Homing(place, self.driver.period_s, near)
        left_m, left_rad = homing.left(self._pose)
        patience_s = _SLACK_S + max(left_m / _SLOWEST_M_S, left_rad / (3 * _SLOWEST_M_S))
        for _ in range(round(patience_s / self.driver.period_s)):
            reset.distance_m = float(np.linalg.norm(target[:3] - self._pose[:3]))
            twist = homing.next(self._pose)
            if twist is None:
                return
            self._move(twist)
            yield
        left_m, left_rad = homing.left(self._pose)
        raise HardwareError(
            f"the arm has not come to {np.round(place[:3], 3).tolist()} within "
            f"{patience_s:.0f} s: {1e3 * left_m:.1f} mm and {left_rad:.3f} rad are left; what "
            "holds it?"
        )

    def _move(self, twist: Array) -> None:
        delta = twist * self.driver.period_s
        values = np.append(delta, 1.0) if self._has_gripper else delta
        self.driver.obey(values.astype(np.float32), self.driver.period_s)

    @property
    def _has_gripper(self) -> bool:
        return self.driver.spec.action.names[-1] == "gripper"

    @property
    def _pose(self) -> Array:
        return self.driver.backend.state().tcp_pose[0]
