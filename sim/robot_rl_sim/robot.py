"""The simulated arm, its perception and its cameras, behind the protocols of real devices."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import numpy as np

from robot_rl.core.clock import Clock
from robot_rl.core.errors import ContractError
from robot_rl.core.spec import ENVIRONMENT, IMAGE_PREFIX, RobotSpec
from robot_rl.core.types import Observation, SafeAction, Vector
from robot_rl_sim.backend import Array, MujocoBackend
from robot_rl_sim.camera import Camera
from robot_rl_sim.drive import Drive
from robot_rl_sim.tasks.task import SimTask


class SimArm:
    """The arm of a backend of one simulation."""

    def __init__(
        self, backend: MujocoBackend, drive: Drive, spec: RobotSpec, clock: Clock
    ) -> None:
        self.spec = spec
        self._backend = backend
        self._drive = drive
        self._clock = clock
        self._rng = np.random.default_rng(0)
        self._tare = np.zeros((1, 6))
        self._arm = spec.action.size - (spec.action.names[-1] == "gripper")
        self._rests = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def begin(self, rng: np.random.Generator) -> None:
        """A new episode: draw sensor noise from `rng` and tare the wrench, arm at rest."""
        self._rng = rng
        self._tare = self._backend.state().force_torque
        self._rests = False

    def read(self) -> Observation:
        """Return the arm's own vectors."""
        noise = self._rng.normal(size=(1, self._drive.noise_size))
        vectors = self._drive.vectors(self._backend.state(), self._tare, noise)
        return Observation(
            stamp_ns=self._clock.now_ns(),
            vectors={key: v[0].astype(np.float32) for key, v in vectors.items()},
        )

    def command(self, action: SafeAction) -> None:
        """Give the controller a new target; it holds until the next one.

        Raises:
            ContractError: if the command has the wrong length.
        """
        self.obey(action.values)

    def obey(self, told: Vector) -> None:
        """Follow what the controller is told, float32[d] in SI units per period.

        For whoever stands in for the controller, behind a gate in another process.

        Raises:
            ContractError: if the command has the wrong length.
        """
        if told.shape != (self.spec.action.size,):
            raise ContractError(
                f"command has shape {list(told.shape)}, expected [{self.spec.action.size}]"
            )
        ctrl, values = self._backend.ctrl, told[None].astype(np.float64)
        with self._backend.lock:
            target = ctrl[:, : self._arm].copy()
            self._drive.obey(ctrl, self._backend.state(), values)
            rests = not values[:, : self._arm].any()
            if rests and self._rests:
                # Taking the measured pose anew in every period would let the arm creep.
                ctrl[:, : self._arm] = target
            self._rests = rests

    def stop(self) -> None:
        """Hold where the arm is measured."""
        # Controls that another thread writes while physics is stepped would be lost.
        with self._backend.lock:
            self._drive.hold(self._backend.ctrl, self._backend.state())
            self._rests = True


class SimPerception:
    """Stands in for object detection: the task's estimate, wrong by a constant in each episode."""

    name = "perception"

    def __init__(self, backend: MujocoBackend, task: SimTask, clock: Clock) -> None:
        self._backend = backend
        self._task = task
        self._clock = clock
        self._error = np.zeros(0)

    def begin(self, error: Array) -> None:
        """A new episode with its own constant error float64[m]."""
        self._error = error

    def latest(self) -> Observation:
        """Return the task's `observation.environment_state`."""
        estimate = self._task.estimate(self._backend.state(), self._error[None])
        return Observation(stamp_ns=self._clock.now_ns(), vectors={ENVIRONMENT: estimate[0]})


class SimCamera:
    """One camera of the scene, 128 x 128."""

    def __init__(self, name: str, backend: MujocoBackend, camera: Camera, clock: Clock) -> None:
        self.name = name
        self._backend = backend
        self._camera = camera
        self._clock = clock

    def latest(self) -> Observation:
        """Render now."""
        image = self._camera.render(self._backend.data(0), self.name)
        return Observation(
            stamp_ns=self._clock.now_ns(),
            vectors={},
            images={f"{IMAGE_PREFIX}{self.name}": image},
        )
