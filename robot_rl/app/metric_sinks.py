"""Opens the sinks that a run's config asks for, beside its event log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from robot_rl.app.run_folder import RunFolder
from robot_rl.runtime.events import Sink
from robot_rl.runtime.tensorboard_sink import TensorBoardSink
from robot_rl.runtime.trackio_sink import TrackioSink


@contextmanager
def open_metric_sinks(folder: RunFolder) -> Iterator[list[Sink]]:
    """The sinks of `RunConfig.metrics`, each with its data in a folder of its name in the run's.

    Raises:
        DependencyError: if a package that is asked for is not installed.
    """
    config = folder.config
    with ExitStack() as stack:
        sinks: list[Sink] = []
        if "tensorboard" in config.metrics:
            sinks.append(stack.enter_context(TensorBoardSink(folder.path / "tensorboard")))
        if "trackio" in config.metrics:
            settings = config.model_dump(mode="json")
            sink = TrackioSink(folder.path / "trackio", folder.path.name, settings)
            sinks.append(stack.enter_context(sink))
        yield sinks
