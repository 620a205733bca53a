"""A sink that draws a run's numbers in TensorBoard."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import TracebackType
from typing import Any

from robot_rl.core.errors import DependencyError, StorageError
from robot_rl.runtime.events import Event
from robot_rl.runtime.scalars import ScalarView

_WAITING = 10_000
_FLUSH_S = 10


class TensorBoardSink:
    """Appends to `folder`, through a thread of TensorBoard's own, so that nobody waits.

    A run that is resumed goes on in the same curves. Look at them with
    `tensorboard --logdir <folder>`.

    Raises:
        DependencyError: if the package tensorboard is not installed.
        StorageError: if the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._view = ScalarView()
        module = _module()
        try:
            self._writer: Any = module.SummaryWriter(
                str(folder), max_queue=_WAITING, flush_secs=_FLUSH_S
            )
        except OSError as error:
            raise self._unwritable(error) from error

    def __call__(self, event: Event) -> None:
        """Take one event in."""
        told = self._view.scalars(event)
        try:
            for name, value in told.values.items() if told else ():
                self._writer.add_scalar(name, value, told.step if told else 0)
        except OSError as error:
            raise self._unwritable(error) from error

    def __enter__(self) -> TensorBoardSink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()

    def _unwritable(self, error: OSError) -> StorageError:
        return StorageError(f"{self._folder}: cannot write TensorBoard's events: {error}")


def _module() -> Any:
    try:
        return importlib.import_module("torch.utils.tensorboard")
    except ImportError as error:
        raise DependencyError(
            f"metrics: tensorboard is asked for but does not load ({error}); "
            "pip install 'robot_rl[metrics]', or take it off `metrics`"
        ) from error
