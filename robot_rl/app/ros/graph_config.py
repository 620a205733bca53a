"""The YAML of one cell's graph: which robot, sensors, policy and recorder it has, and where.

Not here: which nodes that makes (`node_table`), and in which order they start (`plan`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from robot_rl.config.document import Reference
from robot_rl.config.model import Config

Value = bool | int | float | str | list[str] | list[float]
"""A parameter of a node."""


def _beside(value: object) -> object:
    """A file that a YAML names lies beside it; one of the command line, in the working folder."""
    if isinstance(value, Reference):
        folder = value.chain[-1].parent if value.chain else Path()
        return str((folder / str(value)).resolve())
    return value


def _existing(path: str) -> str:
    if not Path(path).is_file():
        raise ValueError(f"no such file: {path}")
    return path


File = Annotated[str, BeforeValidator(_beside), AfterValidator(_existing)]
"""Path of a YAML file that exists."""
Extra = Annotated[Value, BeforeValidator(_beside)]
"""A parameter that a YAML gives; one that names a YAML file lies beside it."""
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
"""Of a node, camera or finger: what ROS takes as one token of a name."""

Pixels = Annotated[int, Field(ge=8, le=256)]


class CameraConfig(Config):
    """A camera.

    Args:
        device: YAML of `configs/devices/`.
        calibration: its file, as camera_calibration writes it, or `none` where nobody needs one.
        rate_hz: of the images [Hz].
        size: width and height of what the policy sees [px].
    """

    device: File
    calibration: File | Literal["none"]
    rate_hz: float = Field(default=30.0, gt=0, le=240)
    size: tuple[Pixels, Pixels] = (128, 128)


class ForceTorqueConfig(Config):
    """A force/torque sensor at the wrist.

    Args:
        device: YAML of `configs/devices/`.
        compensation: YAML of `configs/devices/`: what hangs on it and where it sits.
    """

    device: File
    compensation: File


class FingerConfig(Config):
    """A tactile finger.

    Args:
        device: YAML of `configs/devices/`.
    """

    device: File


class OperatorConfig(Config):
    """A person who may take over.

    Args:
        device: YAML of `configs/devices/`: what they hold in the hand.
        person: their name, recorded with what they do.
    """

    device: File
    person: str = Field(min_length=1, max_length=60)


class RobotConfig(Config):
    """The arm.

    Args:
        kind: `sim` starts a simulated one; of the others the maker's own driver is running.
        name: recorded with the episodes; the graph's namespace without it.
        driver: of the simulated one, a YAML of `configs/drivers/`.
        cameras: of the simulated scene, that are seen.
    """

    kind: Literal["sim", "franka", "ur"]
    name: str = Field(default="", max_length=64)
    driver: File | None = None
    cameras: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _only_the_simulated_one_is_started(self) -> Self:
        if self.kind == "sim" and self.driver is None:
            raise ValueError("driver is missing; name one, e.g. ../drivers/sim_fr3.yaml")
        if self.kind != "sim" and (self.driver or self.cameras):
            raise ValueError(
                f"driver and cameras are the simulated robot's; got kind {self.kind!r}: start "
                "its own driver, and name real cameras under `cameras` of the graph"
            )
        return self


class PolicyConfig(Config):
    """Where the policy is.

    Args:
        uri: of a policy server, e.g. ws://127.0.0.1:8000 or unix:/run/user/1000/policy.sock.
        name: which of its policies; the first without it.
    """

    uri: str = Field(pattern=r"^(wss?://|unix:).+")
    name: str = ""


class RecorderConfig(Config):
    """Where recordings go.

    Args:
        folder: of the episodes and MCAP files; relative to the working folder.
    """

    folder: str = Field(min_length=1)


class GraphConfig(Config):
    """One cell's graph.

    Args:
        name: of the graph; its run folders carry it.
        namespace: of all its nodes and topics, e.g. fr3.
        cell: YAML of `configs/cells/`, with the limits that the gate keeps.
        task: YAML of `configs/tasks/`.
        robot: the arm.
        cameras: by name.
        force_torque: the sensor at the wrist, if there is one beside the robot's own estimate.
        tactile: fingers by name.
        operator: a person with a device; without one nobody can take over.
        policy: where the policy is; without it only a person can drive.
        sources: streams of the observation beside the robot and the devices named here, e.g.
            `perception`; see `robot_rl_nodes.source`.
        reward: YAML of `configs/rewards/models/`, for a node that judges beside the task.
        recorder: where recordings go.
        parameters: more parameters, by node and name; they win over those made from the rest.
    """

    name: Name
    namespace: Name
    cell: File
    task: File
    robot: RobotConfig
    cameras: dict[Name, CameraConfig] = Field(default_factory=dict)
    force_torque: ForceTorqueConfig | None = None
    tactile: dict[Name, FingerConfig] = Field(default_factory=dict)
    operator: OperatorConfig | None = None
    policy: PolicyConfig | None = None
    sources: tuple[str, ...] = ()
    reward: File | None = None
    recorder: RecorderConfig | None = None
    parameters: dict[str, dict[str, Extra]] = Field(default_factory=dict)
