"""A leader arm in the person's hand, which the robot follows while the dead-man is held."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from robot_rl.config.model import Component, ComponentField, Config
from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.errors import ContractError
from robot_rl.core.protocol import Clocked, Operator, OperatorInput
from robot_rl.core.spec import GRIPPER
from robot_rl.core.types import Observation, Vector
from robot_rl_hardware.operators.clock import machine_clock
from robot_rl_hardware.operators.follow import Angles, Follow, FollowConfig
from robot_rl_hardware.operators.lerobot_leader import LerobotLeader, Setting, maker
from robot_rl_hardware.operators.listener import REST, Held, Listener

Motors = Mapping[str, float]

_HYSTERESIS = 0.2
"""Of half the way between closed and open."""


class LeaderGripperConfig(Config):
    """The leader's own gripper.

    Args:
        motor: its name.
        closed, open: what it says then.
        open_above_m: the robot's gripper counts as open if it is measured wider than this.
    """

    motor: str
    closed: float
    open: float
    open_above_m: float = Field(gt=0)

    @model_validator(mode="after")
    def _moves(self) -> Self:
        if self.open == self.closed:
            raise ValueError(f"closed and open are both {self.open:g}, expected two values")
        return self


class LeaderArmConfig(Config):
    """A leader arm by LeRobot, calibrated with `lerobot-calibrate`.

    Args:
        teleoperator: its class, `package.module:Class`; naming it imports its module.
        settings: what its config class takes: the port, the id.
        unit: of its motors' angles.
        follow: joints or tool, and how.
        dead_man: another device in the person's other hand or under the foot, whose dead-man and
            buttons count; null takes the leader's own motion for it: also an arm that sinks when
            it is let go moves, so this is for one that stays where it is.
        gripper: null if the task has none.
        band_rad: without a dead-man, motion of less than this is none.
        still_s: without a dead-man, an arm that has not moved for so long was let go.
        retry_s: an arm that is gone is looked for so often.
    """

    teleoperator: str
    settings: Mapping[str, Setting]
    unit: Literal["deg", "rad"]
    follow: Annotated[FollowConfig, ComponentField()]
    dead_man: Component | None
    gripper: LeaderGripperConfig | None = None
    band_rad: float = Field(default=0.03, gt=0)
    still_s: float = Field(default=0.3, gt=0)
    retry_s: float = Field(default=1.0, gt=0)

    def build(self, at: Clocked | None = None) -> LeaderArm:
        """Return the person who holds it, nothing opened yet.

        Args:
            at: the bench that it is held at; without it this machine's clock counts.

        Raises:
            ConfigError: if the bench's clock is not the machine's.
        """
        clock = machine_clock(at)
        other = self.dead_man.build(at) if self.dead_man is not None else None
        reader = LerobotLeader(maker(self.teleoperator, self.settings))
        return LeaderArm(self, reader, other, clock)


class LeaderArm:
    """Implements `core.protocol.Operator`.

    Args:
        config: what follows what.
        reader: of the arm's motors.
        other: device with the dead-man, if there is one.
        clock: monotonic, of this machine.
    """

    name = "leader_arm"

    def __init__(
        self, config: LeaderArmConfig, reader: LerobotLeader, other: Operator | None, clock: Clock
    ) -> None:
        self._other = other
        self._reader = reader
        self._rad = math.pi / 180 if config.unit == "deg" else 1.0
        self._listener = Listener(reader, clock, config.retry_s)
        self._follow: Follow = config.follow.build()
        self._stirs = _Stir(config.band_rad, config.still_s, clock)
        self._gripper = _Grip(config.gripper) if config.gripper else None
        self._size = self._follow.size + (config.gripper is not None)
        self._closed = False
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if isinstance(self._other, AbstractContextManager):
                stack.enter_context(self._other)
            self._listener.start()
            stack.callback(self._listener.stop)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def reset(self, seed: int) -> None:
        """A new episode begins: where the arm is now is where it follows from."""
        self._closed = False
        if self._other is not None:
            self._other.reset(seed)

    def poll(self, observation: Observation) -> OperatorInput:
        """Return what the person does now.

        Raises:
            HardwareError: once, when the arm or the other device is lost.
            ContractError: if the leader or the robot does not tell what is followed.
        """
        heard = self._listener.take()
        other = self._other.poll(observation) if self._other is not None else None
        motors = self._motors(heard.held)
        active = bool(motors) and (other.active if other else self._stirs(self._angles(motors)))
        action = np.zeros(self._size, np.float32)
        if active:
            self._drive(motors, observation, action)
        self._closed = active
        others_ns = other.heard_ns if other else None
        return OperatorInput(
            active=active,
            action=action,
            heard_ns=min(heard.report_ns, others_ns or heard.report_ns),
            give_back=other.give_back if other else False,
            hold=other.hold if other else False,
            events=other.events if other else (),
        )

    def _drive(self, motors: Motors, observation: Observation, action: Vector) -> None:
        angles = self._angles(motors)
        if not self._closed:
            self._follow.close(angles, observation)
        action[: self._follow.size] = self._follow.action(angles, observation)
        if self._gripper is not None:
            action[-1] = self._gripper(motors, observation, begins=not self._closed)

    def _motors(self, held: Held) -> Motors:
        """What each motor says; nothing while the arm is gone."""
        return {} if held is REST else dict(zip(self._reader.motors, held.axes, strict=True))

    def _angles(self, motors: Motors) -> Angles:
        return {name: value * self._rad for name, value in motors.items()}


class _Stir:
    """Whether a hand moves the arm: it has left where it was, not long ago."""

    def __init__(self, band_rad: float, still_s: float, clock: Clock) -> None:
        self._band_rad = band_rad
        self._still_ns = round(still_s * NS_PER_S)
        self._clock = clock
        self._anchor: Angles = {}
        self._moved_ns: int | None = None

    def __call__(self, angles: Angles) -> bool:
        now_ns = self._clock.now_ns()
        if angles.keys() != self._anchor.keys():
            self._anchor = angles
        if any(abs(angles[name] - self._anchor[name]) > self._band_rad for name in angles):
            self._anchor, self._moved_ns = angles, now_ns
        return self._moved_ns is not None and now_ns - self._moved_ns < self._still_ns


class _Grip:
    """Keeps the robot's gripper as it is until the leader's has been where that is."""

    def __init__(self, config: LeaderGripperConfig) -> None:
        self._config = config
        self._wanted = self._played = 1.0
        self._met = False

    def __call__(self, motors: Motors, observation: Observation, *, begins: bool) -> float:
        """Return +1 to open, -1 to close."""
        c = self._config
        if c.motor not in motors:
            raise ContractError(
                f"the leader arm has no motor {c.motor!r}; it has: {', '.join(sorted(motors))}"
            )
        share = 2.0 * (motors[c.motor] - c.closed) / (c.open - c.closed) - 1.0
        if abs(share) > _HYSTERESIS:
            self._wanted = math.copysign(1.0, share)
        if begins:
            self._met = False
            opening = observation.vectors.get(GRIPPER)
            if opening is not None:
                self._played = 1.0 if opening[0] > c.open_above_m else -1.0
        self._met |= self._wanted == self._played
        if self._met:
            self._played = self._wanted
        return self._played
