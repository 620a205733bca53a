"""The simulated FR3 as a robot controller would offer it: velocities in, watchdog inside.

Time is what `tick` counts, so the arm can be run in real time or faster. Not here: sockets and
processes, which are the library's.

A command is a motion per period and is carried out as a velocity: a reference pose moves at it,
and the arm's impedance law follows the reference, helped by what the velocity and its change will
cost. An arm that is held back presses no harder than `most_force`, and its reference does not run
away from it: else the help alone would press with 170 N at 85 mm/s. A command
that no other follows does not last: the arm slows down, and once the watchdog has lost patience
it stays where it comes to rest until a person says otherwise.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydantic import Field

from robot_rl.config.model import Component, Config
from robot_rl.core.errors import ConfigError
from robot_rl.core.geometry import pose_minus_pose, pose_plus_delta
from robot_rl.core.spec import ObservationSpec, RobotSpec
from robot_rl.core.types import Observation, Vector
from robot_rl_sim import fr3
from robot_rl_sim.backend import Array, MujocoBackend, Start
from robot_rl_sim.drive import GRIPPER_OPENING_M, ImpedanceDrive
from robot_rl_sim.tasks.task import SimTask

_CONTROL_AXES = np.array([1.0, -1.0, -1.0] * 2)
"""The controls' frame is the base's, turned by half a turn about x."""
_PATIENCE = 1.5
"""Periods of a command before it counts as the last one."""
_AT_REST_M_S = 1e-3
_NS = 1_000_000_000


class SimDriverConfig(Config):
    """The controller of a simulated FR3.

    Args:
        task: whose scene the arm stands in and whose actions it takes.
        seed: of the start state.
        period_s: of the controller.
        watchdog_s: it latches a protective stop if no command came for so long. A UR bears 40 ms
            or more as configured, an FR3 20 packets of 1 ms.
        brake_m_s2, brake_rad_s2: deceleration if commands stay away.
        stiffness: with which the arm follows its reference [N/m, N m/rad]: that of a
            position-controlled arm, whatever the task's own.
        most_force: with which it follows its reference [N, N m], beyond what motion costs.
    """

    task: Component
    seed: int = Field(default=0, ge=0)
    period_s: float = Field(default=0.004, gt=0)
    watchdog_s: float = Field(default=0.1, gt=0)
    brake_m_s2: float = Field(default=4.0, gt=0)
    brake_rad_s2: float = Field(default=20.0, gt=0)
    stiffness: tuple[float, float] = (100_000.0, 2_000.0)
    most_force: tuple[float, float] = (25.0, 3.0)

    def build(self) -> SimDriver:
        """Compile the scene and put the arm into its start state."""
        return SimDriver(self, self.task.build())


class SimDriver:
    """Implements `runtime.gate.driver.server.Driver`, critically damped near home.

    Attributes:
        task: whose scene the arm stands in.
        start: where the scene's objects were put last.

    Raises:
        ConfigError: if the task's arm is no FR3, or its physics does not fit into the period.
    """

    def __init__(self, config: SimDriverConfig, task: SimTask) -> None:
        drive = task.drive
        if not isinstance(drive, ImpedanceDrive):
            raise ConfigError(f"the task's arm is {drive.name!r}, expected an FR3 (fr3_sim)")
        gains = np.repeat(config.stiffness, 3)
        inertia = np.array(fr3.APPARENT_INERTIA)
        damping = 2.0 * np.sqrt(gains * inertia)
        task.model.actuator_gainprm[:6, 0] = gains
        task.model.actuator_biasprm[:6, 1] = -gains
        task.model.actuator_biasprm[:6, 2] = -damping
        # The target leads the reference by what damping [s] and inertia [s^2] will take away; it
        # stands still for a period, so that it is the target of the period's middle.
        self._velocity_lead = damping / gains - config.period_s / 2
        self._velocity_cost = damping / gains + config.period_s / 2
        self._leash = np.repeat(np.array(config.most_force) / config.stiffness, 3)
        self._change_lead = inertia / gains
        self.backend = MujocoBackend(task.model, task.frames, joints=drive.joints)
        self._substeps = round(config.period_s / self.backend.timestep_s)
        if (
            self._substeps < 1
            or abs(self._substeps * self.backend.timestep_s - config.period_s) > 1e-9
        ):
            raise ConfigError(
                f"period_s is {config.period_s}, expected a multiple of {self.backend.timestep_s}"
            )
        self.task = task
        self._config = config
        self._drive = drive
        self._rng = np.random.default_rng(config.seed)
        self.start = task.start(self._rng)
        self.backend.reset(0, self.start)
        self._tare = self.backend.state().force_torque
        spec = task.spec.observation.vectors
        own = drive.vectors(self.backend.state(), self._tare, np.zeros((1, drive.noise_size)))
        self.spec = RobotSpec(
            name=drive.name,
            observation=ObservationSpec(vectors={key: spec[key] for key in own}),
            action=task.spec.action,
        )
        self.period_s = config.period_s
        self.fault = ""
        self._brake = np.array([config.brake_m_s2] * 3 + [config.brake_rad_s2] * 3)
        self._ticks = 0
        self._heard: int | None = None
        self._ramp = 0
        self._lasting = 0
        self._wish = np.zeros(6)
        self._twist = np.zeros(6)
        self._pose = self.backend.state().tcp_pose[0].copy()

    @property
    def speed_m_s(self) -> float:
        """Of the tool, true and now."""
        return float(np.linalg.norm(self.backend.state().tcp_twist[0, :3]))

    @property
    def position_m(self) -> Array:
        """Of the tool in the base frame, true and now, float64[3]."""
        return self.backend.state().tcp_pose[0, :3].copy()

    @property
    def commanded(self) -> bool:
        """Whether commands are expected: from the first until `rest`."""
        return self._heard is not None

    def obey(self, values: Vector, period_s: float) -> None:
        """See `Driver.obey`: tcp deltas [m, rad], then the gripper, if there is one."""
        if self.fault:
            return
        if not np.isfinite(values).all():
            self.stop("a command was not finite")
            return
        self._heard = self._ticks
        self._wish = values[:6].astype(np.float64) / period_s
        # A step of the velocity in every period would shake the arm; it is spread over it.
        self._ramp = max(1, round(period_s / self.period_s))
        self._lasting = round(_PATIENCE * period_s / self.period_s)
        if self._drive.gripper and values[6]:
            self.grip(opens=bool(values[6] > 0.0))

    def grip(self, *, opens: bool) -> None:
        """Open or close the gripper, unless the arm has stopped by itself."""
        if not self.fault:
            self.backend.ctrl[0, 6] = GRIPPER_OPENING_M * opens

    def rest(self) -> None:
        """See `Driver.rest`."""
        self._heard = None

    def stop(self, cause: str) -> None:
        """See `Driver.stop`; the first cause stands."""
        self.fault = self.fault or f"PROTECTIVE_STOP: {cause}"

    def clear(self, by: str) -> None:
        """See `Driver.clear`."""
        if self.speed_m_s < _AT_REST_M_S:
            self.rest()
            self.fault = ""

    def arrange(self, start: Start, rng: np.random.Generator) -> None:
        """Put everything but the arm into a start state, and tare the wrench; no time passes.

        Args:
            start: of the scene; the arm and its fingers stay where they are measured, at rest.
            rng: sensor noise is drawn from it from now on.
        """
        own = self._drive.joints + 2 * self._drive.gripper
        qpos = start.qpos.copy()
        qpos[:own] = self.backend.qpos[0, :own]
        self.backend.reset(0, replace(start, qpos=qpos, ctrl=self.backend.ctrl[0].copy()))
        self._rng, self.start = rng, start
        self._tare = self.backend.state().force_torque

    def tick(self) -> Observation:
        """See `Driver.tick`."""
        self._ticks += 1
        self._watch()
        before = self._twist
        self._twist = self._braked() if self.fault or self._silent else self._followed()
        self._advance(self._twist, (self._twist - before) / self.period_s)
        self.backend.step(self._substeps)
        return self._sample()

    def _watch(self) -> None:
        silent_s = 0.0 if self._heard is None else (self._ticks - self._heard) * self.period_s
        if silent_s > self._config.watchdog_s:
            self.stop(f"no command for {silent_s:.3f} s")

    @property
    def _silent(self) -> bool:
        """Whether no command is in force any more."""
        return self._heard is None or self._ticks - self._heard > self._lasting

    def _followed(self) -> Array:
        twist = self._twist + (self._wish - self._twist) / max(1, self._ramp)
        self._ramp -= 1
        return twist

    def _braked(self) -> Array:
        # Each part along its own direction: a stop does not leave the path.
        return self._twist - _within(self._twist, self._brake * self.period_s)

    def _advance(self, twist: Array, change: Array) -> None:
        if not (twist.any() or change.any()):
            return
        state = self.backend.state()
        measured, moving = state.tcp_pose[0], state.tcp_twist[0]
        self._pose = self._leashed(
            pose_plus_delta(self._pose, twist * self.period_s),
            pose_plus_delta(measured, moving * self.period_s),
        )
        middle = twist - change * self.period_s / 2
        here = fr3.ctrl_from_pose(measured) + _CONTROL_AXES * self._velocity_cost * moving
        there = fr3.ctrl_from_pose(self._pose) + _CONTROL_AXES * self._velocity_lead * middle
        pull = _within(there - here, self._leash)
        self.backend.ctrl[0, :6] = here + pull + _CONTROL_AXES * self._change_lead * change

    def _leashed(self, reference: Array, measured: Array) -> Array:
        """The reference, no farther from the arm than it may pull."""
        away = pose_minus_pose(reference, measured)
        return pose_plus_delta(measured, _within(away, self._leash))

    def _sample(self) -> Observation:
        noise = self._rng.normal(size=(1, self._drive.noise_size))
        vectors = self._drive.vectors(self.backend.state(), self._tare, noise)
        return Observation(
            stamp_ns=round(self._ticks * self.period_s * _NS),
            vectors={key: v[0].astype(np.float32) for key, v in vectors.items()},
        )


def _within(twist: Array, most: Array) -> Array:
    """`twist` float64[6] with both parts, each along its own direction, no longer than `most`."""
    norms = np.repeat(np.linalg.norm(twist.reshape(2, 3), axis=1), 3)
    return twist * np.minimum(1.0, most / np.maximum(norms, 1e-12))
