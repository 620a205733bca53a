"""Our plans, made of a foreign policy's numbers, and back."""

from __future__ import annotations

import numpy as np

from robot_rl.core.errors import ConfigError, ContractError, did_you_mean
from robot_rl.core.spec import TaskSpec
from robot_rl.core.types import Observation, Vector
from robot_rl.policies.adapters.mapping import ActionOutput, GripperOutput


class PlanOutput:
    """Picks and converts; checked against the cell when it is built.

    Args:
        output: what the policy's numbers mean.
        task: what the cell's actions are.
        size: how many numbers the policy gives for one action.

    Raises:
        ConfigError: listing everything that does not fit.
    """

    def __init__(self, output: ActionOutput, task: TaskSpec, size: int) -> None:
        self._output = output
        self._size = size
        self._arm = task.action.size - (output.gripper is not None)
        self._columns = list(output.columns or _rest(output, size))
        problems = self._problems(task)
        if problems:
            lines = "".join(f"\n- {problem}" for problem in problems)
            raise ConfigError(
                f"the policy's actions and those of the task {task.name} do not fit together; "
                f"change `mapping.action`:{lines}\nThe policy gives {size} numbers. The cell's "
                f"action is {task.action.kind}: {', '.join(task.action.names)}."
            )
        scale = np.asarray(task.action.scale, np.float32)[: self._arm]
        self._scale = np.ones_like(scale) if output.meaning == "normalised" else scale
        used = {*self._columns, *((output.gripper.column,) if output.gripper else ())}
        self.invertible = used == set(range(size))
        """Whether a plan of ours can be told in the policy's numbers: it uses them all."""

    def plan(self, values: Vector, start: Observation) -> Vector:
        """Return a plan float32[h, d] in [-1, 1].

        Args:
            values: float32[h, k], what the policy gave.
            start: the observation that it planned from.

        Raises:
            ContractError: if they are not finite, or not k numbers.
        """
        if values.ndim != 2 or values.shape[1] != self._size or not np.isfinite(values).all():
            raise ContractError(
                f"the policy's plan: got {values.dtype}{list(values.shape)}, expected finite "
                f"numbers [h, {self._size}]"
            )
        arm = values[:, self._columns]
        if self._output.meaning == "joint_position":
            arm = self._steps(arm, start.vectors[self._output.joints])
        else:
            arm = np.clip(arm / self._scale, -1.0, 1.0)
        if self._output.gripper is None:
            return arm.astype(np.float32)
        gripper = _opening(values[:, self._output.gripper.column], self._output.gripper)
        return np.column_stack([arm, gripper]).astype(np.float32)

    def invert(self, plan: Vector, start: Observation) -> Vector:
        """Return what the policy would have had to give for a plan; only if `invertible`.

        Args:
            plan: float32[h, d] in [-1, 1].
            start: the observation of its first action's instant.
        """
        values = np.zeros((len(plan), self._size), np.float32)
        arm = plan[:, : self._arm] * self._scale
        if self._output.meaning == "joint_position":
            arm = start.vectors[self._output.joints] + np.cumsum(arm, axis=0)
        values[:, self._columns] = arm
        gripper = self._output.gripper
        if gripper is not None:
            share = (plan[:, -1] + 1.0) / 2.0
            values[:, gripper.column] = gripper.closed + share * (gripper.open - gripper.closed)
        return values

    def _steps(self, targets: Vector, measured: Vector) -> Vector:
        """Steps in [-1, 1] after each of which the joints are at the target, or on their way.

        What a step cannot reach is left to the next one: the plan catches up and does not drift.
        """
        steps = np.empty_like(targets)
        reached = measured
        for i, target in enumerate(targets):
            steps[i] = np.clip((target - reached) / self._scale, -1.0, 1.0)
            reached = reached + steps[i] * self._scale
        return steps

    def _problems(self, task: TaskSpec) -> list[str]:
        output, names = self._output, task.action.names
        problems: list[str] = []
        outside = [c for c in self._columns if not 0 <= c < self._size]
        if output.gripper is not None and output.gripper.column >= self._size:
            outside.append(output.gripper.column)
        if outside:
            problems.append(f"columns {outside} are not among the policy's {self._size}")
        if len(set(self._columns)) < len(self._columns):
            problems.append(f"columns {self._columns}: one of them is named twice")
        if len(self._columns) != self._arm:
            problems.append(
                f"columns: got {len(self._columns)}, expected {self._arm}, one for each of "
                f"{', '.join(names[: self._arm])}"
            )
        return problems + _gripper_problems(output, names) + _joint_problems(output, task)


def _rest(output: ActionOutput, size: int) -> list[int]:
    """All columns but the gripper's."""
    return [c for c in range(size) if output.gripper is None or c != output.gripper.column]


def _opening(values: Vector, gripper: GripperOutput) -> Vector:
    """-1 closed to +1 open."""
    share = (values - gripper.closed) / (gripper.open - gripper.closed)
    return np.clip(2.0 * share - 1.0, -1.0, 1.0)


def _gripper_problems(output: ActionOutput, names: tuple[str, ...]) -> list[str]:
    if output.gripper is None:
        if output.meaning == "joint_position" and names[-1] == "gripper":
            return ["gripper: missing, say which column it is and its values open and closed"]
        return []
    problems: list[str] = []
    if names[-1] != "gripper":
        problems.append(f"gripper: the cell's action ends in {names[-1]!r}; leave gripper out")
    if output.gripper.open == output.gripper.closed:
        problems.append("gripper: open and closed are the same value")
    if output.gripper.column in output.columns:
        problems.append(f"gripper: column {output.gripper.column} is among `columns` as well")
    return problems


def _joint_problems(output: ActionOutput, task: TaskSpec) -> list[str]:
    if output.meaning != "joint_position":
        return []
    problems: list[str] = []
    if task.action.kind != "joint_delta":
        problems.append(
            f"meaning joint_position: the cell takes {task.action.kind}, expected joint_delta"
        )
    vectors = task.observation.vectors
    arm = task.action.size - (output.gripper is not None)
    if output.joints not in vectors:
        near = did_you_mean(output.joints, vectors)
        problems.append(f"joints: the cell has no vector {output.joints!r}{near}")
    elif vectors[output.joints].size != arm:
        problems.append(
            f"joints: {output.joints} has {vectors[output.joints].size} elements, expected {arm}"
        )
    return problems
