"""What every phase of a run needs: its folder and station, who listens, and when to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from robot_rl.app.base import load_base
from robot_rl.app.run_folder import RunFolder
from robot_rl.app.station import Station
from robot_rl.config.provenance import config_hash, provenance
from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.errors import ConfigError, RobotRlError
from robot_rl.core.protocol import Operator
from robot_rl.core.spec import TaskSpec
from robot_rl.data.judged import as_judged, successes
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.policies.ready_base import RunBase
from robot_rl.runtime.events import Event, PhaseEnded, PhaseStarted, Sink, send


class Stopped(RobotRlError):
    """The run was asked to stop; what it had is saved."""


class RunContext:
    """One run in progress.

    Args:
        folder: the run's folder.
        station: bench, gate and environment.
        sinks: who hears events.
        stop: True once the run has been asked to stop.
    """

    def __init__(
        self,
        folder: RunFolder,
        station: Station,
        sinks: Sequence[Sink],
        stop: Callable[[], bool],
    ) -> None:
        self.folder = folder
        self.config = folder.config
        self.station = station
        self.sinks = sinks
        self.stop = stop

    @property
    def task(self) -> TaskSpec:
        """The task's spec."""
        return self.station.bench.task

    def tell(self, event: Event) -> None:
        """Send an event to everybody who listens."""
        send(event, self.sinks)

    def check_stop(self) -> None:
        """Raise `Stopped` if the run has been asked to stop."""
        if self.stop():
            raise Stopped(f"stopped; continue with: robot-rl run --resume {self.folder.path}")

    @contextmanager
    def phase(self, name: str, total: int, unit: str) -> Iterator[dict[str, Any]]:
        """Announce a phase, time it, and remember the yielded summary once it is finished.

        A phase that stops early, by request or error, is not remembered; its time so far is.
        """
        self.tell(PhaseStarted(phase=name, total=total, unit=unit))
        summary: dict[str, Any] = {}
        start_s = time.monotonic()
        try:
            yield summary
        finally:
            self.folder.spend(name, time.monotonic() - start_s)
        self.folder.finish(name, summary)
        self.tell(PhaseEnded(phase=name, summary=summary))

    def store(self, name: str) -> EpisodeStore:
        """Open one of the run's episode stores for writing."""
        return EpisodeStore(
            self.folder.path / name, self.station.recording, log_images=self.config.log_images
        )

    def demonstrations(self) -> list[Episode]:
        """The demonstrations that succeeded, as judged, in the order in which they were recorded.

        Raises:
            ConfigError: if none are recorded yet.
        """
        with self.store("demos") as store:
            good = [as_judged(store, episode_id) for episode_id in successes(store)]
        if not good:
            raise ConfigError(f"{self.folder.path} has no demonstrations: run `robot-rl collect`")
        return good

    def base(self) -> RunBase:
        """The base policy, trained or ready.

        Raises:
            ConfigError: if it is not trained yet.
            FingerprintError: if it is of another task.
        """
        return load_base(self.folder, self.task)

    def metadata(
        self, seed: int, base: RunBase | None = None, operator: Operator | None = None
    ) -> EpisodeMetadata:
        """What is recorded with an episode that starts now."""
        return EpisodeMetadata(
            task=self.task.name,
            cell=self.config.cell.name,
            robot=self.station.bench.robot.spec.name,
            run=self.folder.path.name,
            operator=operator.name if operator else "",
            seed=seed,
            contract=self.task.contract,
            base_fingerprint=base.fingerprint if base else "",
            config_hash=self._config_hash,
            code_version=self._code_version,
            created_unix_s=time.time(),
            limits=self.config.limits_in_force.to_json(),
        )

    @cached_property
    def _config_hash(self) -> str:
        return config_hash(self.config)

    @cached_property
    def _code_version(self) -> str:
        return provenance().code_version
