"""Bringing the arm to where an episode starts: one action per period, through the same gate.

A plan is jerk-limited, uses a share of the cell's limits and starts from what was measured. Each
action asks to be, one period later, where the plan will be then, from where the arm is measured
now: what the arm stayed behind is asked for again, out of the share that the plan leaves free.
That it was commanded is never taken for having happened. If the arm is off the plan by too much it
plans anew, and after some plans it gives up.

The caller sends each action to the gate as `Source.RESET` and asks for the next one with the
observation that followed.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field, model_validator

from robot_rl.config.model import Config
from robot_rl.control.cartesian.refusal import Array
from robot_rl.control.cartesian.way.contract import Distance, Way, Ways
from robot_rl.control.cartesian.way.joint_way import JointWays
from robot_rl.control.cartesian.way.pose_way import PoseWays
from robot_rl.control.kinematics import SerialChain
from robot_rl.control.limits import SafetyLimits
from robot_rl.core.errors import ConfigError, ContractError, HardwareError
from robot_rl.core.spec import ActionSpec
from robot_rl.core.types import Observation, Vector


class ResetMotionConfig(Config):
    """How an arm is brought to a place.

    Args:
        share: of every limit of speed, acceleration and jerk, and of the action's range, that
            plans may use; the rest is there to catch up.
        tolerance_rad, tolerance_m: measured within it, the arm has arrived.
        max_error_rad, max_error_m: farther off the plan, it plans anew.
        settle_s: how long after the end of a plan the arm may take to arrive.
        plans: it gives up when the last of so many has failed.
    """

    share: float = Field(gt=0, le=1)
    tolerance_rad: float = Field(gt=0)
    tolerance_m: float = Field(gt=0)
    max_error_rad: float = Field(gt=0)
    max_error_m: float = Field(gt=0)
    settle_s: float = Field(ge=0)
    plans: int = Field(ge=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for unit in ("rad", "m"):
            tolerance: float = getattr(self, f"tolerance_{unit}")
            error: float = getattr(self, f"max_error_{unit}")
            if not tolerance < error:
                raise ValueError(
                    f"tolerance_{unit} {tolerance} must be below max_error_{unit} {error}"
                )
        return self

    def build(
        self, limits: SafetyLimits, action: ActionSpec, chain: SerialChain | None
    ) -> ResetMotion:
        """Return the motion of one arm; see `ResetMotion`."""
        return ResetMotion(self, limits, action, chain)


class ResetMotion:
    """Drives the arm to one target after the other.

    Args:
        config: settings.
        limits: of the cell.
        action: joint deltas make ways of the joints, tcp deltas straight ways of the tool.
        chain: the arm's kinematics; ways of the joints then keep the tool in its box as well.

    Raises:
        ConfigError: if nothing is known of such actions.
    """

    def __init__(
        self,
        config: ResetMotionConfig,
        limits: SafetyLimits,
        action: ActionSpec,
        chain: SerialChain | None,
    ) -> None:
        self._config = config
        self._action = action
        self._ways = _ways_of(config, limits, action, chain)
        self._tolerance = Distance(rad=config.tolerance_rad, m=config.tolerance_m)
        self._most_off = Distance(rad=config.max_error_rad, m=config.max_error_m)
        self._target: Array | None = None
        self.done = True
        """Whether the arm was measured at the target after the plan's end; also before `begin`."""
        self.plans = 0
        """How often it has planned since `begin`."""

    def begin(self, target: Array, observation: Observation) -> None:
        """Plan the way from where the arm is measured.

        Args:
            target: float64[n] joint positions [rad], or for tcp deltas a pose float64[7] in the
                base frame.
            observation: the newest there is; position and velocity are taken from it.

        Raises:
            ContractError: if target or way is beyond a limit, naming joint or axis, or the
                observation does not say where the arm is.
        """
        self._target, self.plans = None, 0
        self._ways.check(target)
        self._plan(observation, target.astype(np.float64))

    def next(self, observation: Observation) -> Vector:
        """The next action float32[d], normalised; zeros (hold) once it is done.

        Args:
            observation: the newest there is.

        Raises:
            ContractError: before `begin`, or if the observation does not say where the arm is.
            HardwareError: if the arm did not follow `plans` plans.
        """
        if self._target is None:
            raise ContractError("next before begin: a reset needs a target")
        place = self._ways.measured(observation.vectors)
        over_s = self._time_s - self._way.duration_s
        if over_s >= -_ROUNDING_S and self._away(self._target, place).within(self._tolerance):
            self.done = True
        if self.done:
            return np.zeros(self._action.size, np.float32)
        off = self._away(self._way.at(self._time_s), place)
        if not off.within(self._most_off) or over_s > self._config.settle_s:
            self._check_plans_left(off)
            self._plan(observation, self._target)
        self._time_s += self._action.period_s
        return self._normalised(self._ways.delta(self._way.at(self._time_s), place))

    def _away(self, goal: Array, place: Array) -> Distance:
        return self._ways.size(self._ways.delta(goal, place))

    def _check_plans_left(self, off: Distance) -> None:
        if self.plans >= self._config.plans:
            raise HardwareError(
                f"the arm does not follow: after {self.plans} plans it is {off.m:.4f} m and "
                f"{off.rad:.4f} rad off; look at the gate's state and cause, at what may hold "
                "the arm, and at tolerance_*, max_error_* and settle_s"
            )

    def _plan(self, observation: Observation, target: Array) -> None:
        self._way: Way = self._ways.plan(observation.vectors, target)
        self._target, self._time_s = target, 0.0
        self.done = False
        self.plans += 1

    def _normalised(self, delta: Array) -> Vector:
        """Within the action's range; a gripper is left as it is."""
        values = np.zeros(self._action.size, np.float32)
        values[: len(delta)] = delta
        return np.clip(self._action.from_si(values), np.float32(-1), np.float32(1))


_ROUNDING_S = 1e-9


def _ways_of(
    config: ResetMotionConfig, limits: SafetyLimits, action: ActionSpec, chain: SerialChain | None
) -> Ways:
    if action.kind == "joint_delta":
        return JointWays(limits, action, config.share, chain)
    if action.kind == "tcp_delta":
        return PoseWays(limits, action, config.share)
    raise ConfigError(f"no reset by actions of kind {action.kind!r}: expected joint or tcp deltas")
