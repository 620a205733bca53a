"""What a robot in lockstep is made of, and what it says of itself. Knows no middleware."""

from __future__ import annotations

from collections.abc import Mapping

from robot_rl.config.model import Component, Config
from robot_rl.core.errors import ContractError
from robot_rl.core.spec import IMAGE_PREFIX, ImageSpec, TaskSpec

OFFER = "offer"
"""The parameter in which the robot's node says what it offers."""


class LockstepConfig(Config):
    """A simulated bench and the people at it.

    Args:
        bench: a component whose `build(task)` returns a `core.protocol.Bench` on a clock that
            stands still unless it is slept on.
        task: what the bench is set up for.
        demonstrator, supervisor: components whose `build(bench)` returns a `core.protocol.
            Operator`. They sit here because they look at what only the simulator knows.
    """

    bench: Component
    task: Component
    demonstrator: Component | None = None
    supervisor: Component | None = None

    @property
    def people(self) -> Mapping[str, Component]:
        """Who sits where."""
        seats = {"demonstrator": self.demonstrator, "supervisor": self.supervisor}
        return {seat: person for seat, person in seats.items() if person is not None}


class LockstepOffer(Config):
    """What there is behind the topics, as JSON in the node's parameter `offer`.

    Args:
        task, contract: name and hash of the task that the bench is set up for.
        robot: its name.
        sensors: `{name: source}` of the bench's sensors, in order, as `source.source` takes them.
        people: `{seat: name}`.
    """

    task: str
    contract: str
    robot: str
    sensors: dict[str, str]
    people: dict[str, str]

    def check(self, task: TaskSpec) -> None:
        """Refuse a bench of another task.

        Raises:
            ContractError: naming both tasks.
        """
        if self.contract != task.contract:
            raise ContractError(
                f"the simulator is set up for {self.task!r} (contract {self.contract}), this run "
                f"is of {task.name!r} (contract {task.contract}): start it for the same task, "
                "with the same settings"
            )


def source_of(sensor: str, images: Mapping[str, ImageSpec]) -> str:
    """The source (see `source`) that carries a bench's sensor.

    Args:
        sensor: its name.
        images: that are observed, by key.
    """
    if f"{IMAGE_PREFIX}{sensor}" in images:
        return f"camera:{sensor}"
    return sensor if sensor == "perception" else f"tactile:{sensor}"
