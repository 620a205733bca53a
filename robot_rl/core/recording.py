"""What the episodes of one store have in common, written with them and compared on resume."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

from robot_rl.core.errors import ContractError
from robot_rl.core.spec import ActionSpec, ImageSpec, ObservationSpec, TaskSpec, VectorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSpec:
    """Which robot does which task, with which observations and actions.

    Args:
        robot: the robot's name (`RobotSpec.name`).
        task: name, horizon, instruction, observation and action; the horizon and the instruction
            are labels, recordings that differ in them alone belong together.
    """

    robot: str
    task: TaskSpec

    @property
    def contract(self) -> str:
        """The task's contract hash."""
        return self.task.contract

    def differences(self, other: RecordingSpec) -> list[str]:
        """Return what keeps two recordings apart, one line each; empty if they belong together.

        Each line names robot, task, rate, camera, vector, unit or frame, with the value here and
        the value in `other`.
        """
        lines = [
            *_differ("robot", self.robot, other.robot),
            *_differ("task", self.task.name, other.task.name),
        ]
        for name, here in asdict(self.task.action).items():
            label = "control period [s]" if name == "period_s" else f"action {name}"
            lines += _differ(label, here, getattr(other.task.action, name))
        mine, theirs = self.task.observation, other.task.observation
        lines += _differ_by_key("vector", mine.vectors, theirs.vectors)
        lines += _differ_by_key("camera", mine.images, theirs.images)
        return lines or [
            *_differ("order of vectors", [*mine.vectors], [*theirs.vectors]),
            *_differ("order of cameras", [*mine.images], [*theirs.images]),
        ]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values from which `from_json` makes an equal spec."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RecordingSpec:
        """Make a spec from what `to_json` returned.

        Raises:
            ContractError: if a field is missing, unknown or of the wrong kind.
        """
        try:
            task = dict(values["task"])
            observation, action = task.pop("observation"), task.pop("action")
            return cls(
                robot=str(values["robot"]),
                task=TaskSpec(
                    **task,
                    observation=ObservationSpec(
                        vectors={k: _vector(v) for k, v in observation["vectors"].items()},
                        images={k: ImageSpec(**v) for k, v in observation["images"].items()},
                    ),
                    action=_action(action),
                ),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ContractError(f"this is no recording's spec: {error!r}") from error


def _vector(values: Mapping[str, Any]) -> VectorSpec:
    fields: dict[str, Any] = {**values, "names": tuple(values["names"])}
    return VectorSpec(**fields)


def _action(values: Mapping[str, Any]) -> ActionSpec:
    fields: dict[str, Any] = {key: _tuple(value) for key, value in values.items()}
    return ActionSpec(**fields)


def _tuple(value: Any) -> Any:
    return tuple(cast(list[Any], value)) if isinstance(value, list) else value


def _differ(what: str, here: object, there: object) -> Iterator[str]:
    if here != there:
        yield f"{what}: {here!r} here, {there!r} there"


def _differ_by_key(what: str, here: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for key in sorted({*here, *there}):
        if key not in here or key not in there:
            lines.append(f"{what} {key!r} is only {'here' if key in here else 'there'}")
            continue
        other = asdict(there[key])
        for name, value in asdict(here[key]).items():
            lines += _differ(f"{what} {key!r}, {name}", value, other[name])
    return lines
