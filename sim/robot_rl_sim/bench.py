"""A simulated bench: arm, perception, cameras, scene and clock, connected for one task."""

from __future__ import annotations

import numpy as np

from robot_rl.config.model import Component, Config
from robot_rl.core.clock import Clock
from robot_rl.core.protocol import Judgement, Robot, Sensor
from robot_rl.core.spec import IMAGE_PREFIX, ObservationSpec, RobotSpec
from robot_rl.core.types import Image, Outcome
from robot_rl_sim.backend import MujocoBackend
from robot_rl_sim.camera import Camera
from robot_rl_sim.clock import RealTimeSimClock, SimClock
from robot_rl_sim.painter import Painter
from robot_rl_sim.robot import SimArm, SimCamera, SimPerception
from robot_rl_sim.tasks.task import HeldGoal, SimTask


class SimBenchConfig(Config):
    """A bench in MuJoCo.

    Args:
        real_time: run at the pace of the machine's clock instead of as fast as possible, with
            pictures that are cheap enough to be drawn twenty times a second meanwhile.
    """

    real_time: bool = False

    def build(self, task: Component) -> SimBench:
        """Set the bench up for the task that the component builds."""
        return SimBench(task.build(), real_time=self.real_time)


class SimScene:
    """Start states and judgement of one simulation."""

    def __init__(
        self,
        backend: MujocoBackend,
        task: SimTask,
        arm: SimArm,
        perception: SimPerception,
        clock: SimClock | RealTimeSimClock,
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._task = task
        self._arm = arm
        self._perception = perception
        self._goal = HeldGoal(task, backend.nsim)
        self.seed = 0

    def reset(self, seed: int) -> None:
        """Draw the start state of `seed`; sensor noise is drawn from the same seed."""
        self.seed = seed
        self._goal.reset([0])
        rng = np.random.default_rng(seed)
        start = self._task.start(rng)
        self._backend.reset(0, start)
        self._arm.begin(rng)
        self._perception.begin(start.estimate_error)
        self._clock.resume()

    def judge(self) -> Judgement:
        """Success once the goal has been held for `hold_s`, with reward 1; nothing else pays."""
        if self._goal.update(self._backend.state())[0]:
            return Judgement(reward=1.0, outcome=Outcome.SUCCESS)
        return Judgement(reward=0.0, outcome=Outcome.UNKNOWN)


class SimBench:
    """Implements `core.protocol.Bench`; `backend` and `sim_task` are for simulated people only."""

    def __init__(self, task: SimTask, *, real_time: bool = False) -> None:
        self.sim_task = task
        self.task = task.spec
        self.backend = MujocoBackend(task.model, task.frames, joints=task.drive.joints)
        clock = (RealTimeSimClock if real_time else SimClock)(self.backend)
        self.clock: Clock = clock
        observation = task.spec.observation
        spec = RobotSpec(name=task.drive.name, observation=observation, action=task.spec.action)
        arm = SimArm(self.backend, task.drive, spec, self.clock)
        perception = SimPerception(self.backend, task, self.clock)
        self._painter = Painter(self.backend, "fast" if real_time else "fine")
        self._eye: Camera | None = None
        self.robot: Robot = arm
        self.sensors: tuple[Sensor, ...] = (perception, *self._cameras(observation))
        self.scene = SimScene(self.backend, task, arm, perception, clock)
        if real_time:
            # Somebody looks at it before the first episode, and checks what it tells.
            self.scene.reset(0)

    def render(self, width: int, height: int) -> Image:
        """Return a picture from the `front` camera, uint8[height, width, 3]; from any thread.

        Raises:
            DependencyError: there is no OpenGL; the message names the packages to install.
            HardwareError: the bench is closed.
        """
        return self._painter.draw("front", width, height)

    def close(self) -> None:
        """Free the renderers."""
        self._painter.close()
        if self._eye is not None:
            self._eye.close()

    def _cameras(self, observation: ObservationSpec) -> list[Sensor]:
        if not observation.images:
            return []
        size = next(iter(observation.images.values()))
        camera = self._eye = Camera(self.backend.model, size.width, size.height)
        names = [key.removeprefix(IMAGE_PREFIX) for key in observation.images]
        return [SimCamera(name, self.backend, camera, self.clock) for name in names]
