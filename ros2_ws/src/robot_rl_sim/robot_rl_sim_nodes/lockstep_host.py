"""A bench and its people in lockstep: every instant is looked at once, in the order of the loop.

`envs.robot_env` reads the arm, then each sensor, then lets the task judge; `runtime.rollout` asks
the person before the next step. Whoever draws random numbers draws the same ones here. Knows no
middleware.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from robot_rl.core.errors import ConfigError, ContractError, HardwareError
from robot_rl.core.protocol import Bench, Judgement, Operator, OperatorInput
from robot_rl.core.types import Observation, Vector
from robot_rl_nodes.lockstep.config import LockstepConfig, LockstepOffer, source_of
from robot_rl_sim.robot import SimArm


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """All that is said of one instant.

    Args:
        stamp_ns: simulated time.
        robot: the arm's own sample.
        samples: of each sensor, by name.
        judgement: what the task says; None of the first instant, which nobody judges.
        people: what each person does now, by seat.
    """

    stamp_ns: int
    robot: Observation
    samples: Mapping[str, Observation]
    judgement: Judgement | None
    people: Mapping[str, OperatorInput]


class LockstepHost:
    """Builds the bench, seats the people, and lets time pass when asked to.

    Args:
        config: of bench, task and people.

    Attributes:
        bench: the very one that runs without topics are on.
        offer: what there is.

    Raises:
        ConfigError: if the arm is no simulated one, or the bench's clock does not stand still by
            itself.
    """

    def __init__(self, config: LockstepConfig) -> None:
        self.bench: Bench = config.bench.build(config.task)
        if not isinstance(robot := self.bench.robot, SimArm):
            raise ConfigError(f"lockstep needs a simulated arm; the bench has {robot.spec.name!r}")
        self._obey = robot.obey
        self._refuse_time_that_passes()
        self.people: Mapping[str, Operator] = {
            seat: person.build(self.bench) for seat, person in config.people.items()
        }
        task, images = self.bench.task, self.bench.task.observation.images
        self.offer = LockstepOffer(
            task=task.name,
            contract=task.contract,
            robot=self.bench.robot.spec.name,
            sensors={s.name: source_of(s.name, images) for s in self.bench.sensors},
            people={seat: person.name for seat, person in self.people.items()},
        )
        self._began = False

    @property
    def now_ns(self) -> int:
        """Simulated time [ns]."""
        return self.bench.clock.now_ns()

    def reset(self, seed: int) -> Instant:
        """Begin the episode of `seed` for the scene and everybody in it."""
        self.bench.scene.reset(seed)
        robot, samples = self._observe()
        for person in self.people.values():
            person.reset(seed)
        self._began = True
        return self._instant(robot, samples, None)

    def command(self, values: Vector) -> None:
        """Give the arm a command float32[d] in SI units, which a gate let through."""
        self._obey(values)

    def advance(self, until_ns: int) -> Instant:
        """Let time pass until then [ns].

        Raises:
            ContractError: if no episode has begun.
            HardwareError: if the simulation fails.
        """
        if not self._began:
            raise ContractError("there is no episode to go on with: reset the scene first")
        self.bench.clock.sleep_until_ns(until_ns)
        robot, samples = self._observe()
        return self._instant(robot, samples, self.bench.scene.judge())

    def _observe(self) -> tuple[Observation, Mapping[str, Observation]]:
        robot = self.bench.robot.read()
        samples: dict[str, Observation] = {}
        for sensor in self.bench.sensors:
            sample = sensor.latest()
            if sample is None:
                raise HardwareError(f"sensor {sensor.name!r} has no sample")
            samples[sensor.name] = sample
        return robot, samples

    def _instant(
        self,
        robot: Observation,
        samples: Mapping[str, Observation],
        judgement: Judgement | None,
    ) -> Instant:
        people = {seat: person.poll(robot) for seat, person in self.people.items()}
        for seat, does in people.items():
            if does.give_back or does.heard_ns is not None:
                raise ContractError(
                    f"the {seat} gives the arm back or can be lost: no message in lockstep says so"
                )
        return Instant(
            stamp_ns=self.now_ns,
            robot=robot,
            samples=samples,
            judgement=judgement,
            people=people,
        )

    def _refuse_time_that_passes(self) -> None:
        before_ns = self.now_ns
        time.sleep(0.002)
        if self.now_ns != before_ns:
            raise ConfigError(
                "the bench's clock goes on by itself; lockstep needs one that waits: leave out "
                "`real_time` of a simulated bench"
            )
