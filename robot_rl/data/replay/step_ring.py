"""Steps of a replay buffer, each a row of columns, named by a number that never repeats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.errors import ContractError, did_you_mean
from robot_rl.core.types import Source
from robot_rl.data.replay.step_columns import Row, empty_columns

Numbers = NDArray[np.int64]


class StepRing:
    """The newest `capacity` steps; step s is in slot s % capacity.

    A step is retired before anything of it is overwritten, and counts as added after all of it is
    written, so that another thread may read meanwhile. A forgotten step keeps its slot until that
    is overwritten, and is not `alive`.

    Args:
        capacity: steps kept; the oldest is overwritten by the next.
        action_dim, latent_size: lengths of what is kept of a step.
    """

    def __init__(self, capacity: int, action_dim: int, latent_size: int) -> None:
        self.capacity = capacity
        self.columns = empty_columns(capacity, action_dim, latent_size)
        self._first = 0
        self._end = 0
        self._forgotten = 0
        self._emptied = False

    @property
    def span(self) -> tuple[int, int]:
        """Numbers of the oldest step and of the one that comes next."""
        # In this order: an end that is read later is further on, so it is never before the first.
        return self._first, self._end

    @property
    def count(self) -> int:
        """Steps that are there and not forgotten."""
        # While another thread retires forgotten steps they may be taken off twice for a moment.
        return max(0, self._end - self._first - self._forgotten)

    @property
    def has_been_filled(self) -> bool:
        """Whether there is a step, or was one before room was made for the next.

        False again once all that are there were forgotten.
        """
        return self._end > 0 and not self._emptied

    @property
    def nbytes(self) -> int:
        """Bytes of all columns."""
        return sum(column.nbytes for column in self.columns.values())

    def alive(self, steps: Numbers) -> NDArray[np.bool_]:
        """Which of steps int64[b] have been neither retired nor forgotten."""
        if not self._forgotten:
            return steps >= self._first
        # In this order: of a step that was there after the look at its slot, that was its own.
        kept = ~self.columns["forgotten"].take(steps % self.capacity)
        return kept & (steps >= self._first)

    def drawable(self) -> Numbers | None:
        """Numbers int64[k] of the steps that are not forgotten; None if that is all of them."""
        if not self._forgotten:
            return None
        steps = np.arange(*self.span)
        return steps[~self.columns["forgotten"].take(steps % self.capacity)]

    def forget(self, episodes: Sequence[int]) -> None:
        """Let no step of these episodes, by number, be `alive`; their slots stay for now."""
        slots = np.arange(self._first, self._end) % self.capacity
        gone = slots[np.isin(self.columns["episode"].take(slots), episodes)]
        self.columns["forgotten"][gone] = True
        self._forgotten = self._forgotten_between(self._first, self._end)
        self._emptied = self._forgotten == len(slots)

    def _forgotten_between(self, first: int, end: int) -> int:
        slots = np.arange(first, end) % self.capacity
        return int(self.columns["forgotten"].take(slots).sum())

    def column(self, name: str) -> NDArray[Any]:
        """Return a copy of one column, oldest step first.

        Raises:
            ContractError: if there is no such column.
        """
        if name not in self.columns:
            raise ContractError(f"no column {name!r}{did_you_mean(name, self.columns)}")
        return self.columns[name][np.arange(self._first, self._end) % self.capacity]

    def retire(self, steps: int, oldest_frame: int) -> None:
        """Let go of what so many more steps will overwrite, and of steps of older frames."""
        first, frames = max(self._first, self._end + steps - self.capacity), self.columns["frame"]
        while first < self._end and frames[first % self.capacity] < oldest_frame:
            first += 1
        gone = self._forgotten_between(self._first, first) if self._forgotten else 0
        # In this order: whoever sees that none is forgotten must not find one of them alive.
        self._first = first
        self._forgotten -= gone

    def put(self, row: Row) -> None:
        """Store one step, one value a column."""
        slot = self._end % self.capacity
        for name, value in row.items():
            self.columns[name][slot] = value
        self._end += 1
        self._emptied = False

    def put_all(self, rows: Row, part: slice) -> None:
        """Store the steps `part` of `rows`, one array a column, in order."""
        count: int = part.stop - part.start
        slots = np.arange(self._end, self._end + count) % self.capacity
        for name, values in rows.items():
            self.columns[name][slots] = values[part]
        self._end += count
        self._emptied = False

    def links(self, row: Row, *, planned: bool) -> Row:
        """Return how the step that comes next hangs together with the one before it.

        Args:
            row: with `episode`, `step`, `source` and `latent`.
            planned: whether a latent was recorded.

        Returns:
            `continues`, `forgotten`, and what `plans.plan_columns` says of many steps.
        """
        columns, slot = self.columns, (self._end - 1) % self.capacity
        continues = bool(
            self._end
            and not columns["forgotten"][slot]
            and columns["episode"][slot] == row["episode"]
            and columns["step"][slot] + 1 == row["step"]
            and not (columns["terminated"][slot] or columns["truncated"][slot])
        )
        goes_on = (
            continues
            and Source.HUMAN not in (columns["source"][slot], row["source"])
            and np.array_equal(columns["latent"][slot], row["latent"])
        )
        plan = columns["plan"][slot] if goes_on and planned else self._end
        return {
            "continues": continues,
            "plan": plan,
            "plan_goes_on": goes_on,
            "forgotten": False,
        }

    def plan_starts(self, steps: Numbers) -> Numbers:
        """Return the steps int64[b] at which the plans of steps int64[b], by number, began.

        A start that is gone, and that of a step that is gone, is not `alive`.

        Raises:
            ContractError: if one plan is longer than the ring.
        """
        (first, end), plans = self.span, self.columns["plan"]
        kept = self.drawable() if self._forgotten else None
        newest = end - 1 if kept is None or not len(kept) else int(kept[-1])
        if first < end and plans[newest % self.capacity] < first:
            raise ContractError(
                f"replay buffer: its {self.count} steps are of one plan whose beginning is gone; "
                f"expected a capacity above the length of a plan, got {self.capacity}"
            )
        starts = plans.take(steps % self.capacity)
        # A step that went meanwhile may have left another's start, of which not all is written.
        return np.where(self.alive(steps), starts, -1)
