"""What is recorded with every episode: what was configured, and what the graph says of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robot_rl.config.load import load
from robot_rl.config.provenance import provenance
from robot_rl.core.episode import EpisodeMetadata
from robot_rl.core.errors import ConfigError
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.spec import contract_hash
from robot_rl.runtime.gate.cell import GateCell
from robot_rl_nodes.recording.episodes import Start


def robot_name(named: str, namespace: str) -> str:
    """Return the robot's name: as it is named, or its namespace's last part.

    Raises:
        ConfigError: if it has neither.
    """
    name = named or namespace.rpartition("/")[2]
    if not name:
        raise ConfigError(
            "parameter robot is empty and the node has no namespace; expected a name under which "
            "its episodes belong together, e.g. robot:=fr3"
        )
    return name


@dataclass(slots=True, kw_only=True)
class Description:
    """Makes the metadata of episodes.

    Args:
        spec: of the store.
        cell: whose limits are in force.
        run, base_fingerprint: as in `EpisodeMetadata`.
        settings: of whoever records, for the hash by which two recordings compare.

    Attributes:
        person: who sits in the person's seat of the gate; empty if nobody does.
    """

    spec: RecordingSpec
    cell: GateCell
    run: str
    base_fingerprint: str
    settings: Mapping[str, Any]
    person: str = ""

    @classmethod
    def of(cls, spec: RecordingSpec, values: Mapping[str, Any]) -> Description:
        """From a recorder's parameters.

        Raises:
            ConfigError: if the cell's file is wrong.
        """
        return cls(
            spec=spec,
            cell=load(Path(values["cell"]), GateCell),
            run=values["run"] or Path(values["folder"]).resolve().name,
            base_fingerprint=values["base_fingerprint"],
            settings=values,
        )

    def __call__(self, start: Start) -> EpisodeMetadata:
        """The metadata of an episode that starts now, or has."""
        return EpisodeMetadata(
            task=self.spec.task.name,
            cell=self.cell.name,
            robot=self.spec.robot,
            run=self.run,
            operator=start.by or self.person,
            seed=start.seed,
            contract=self.spec.contract,
            base_fingerprint=self.base_fingerprint,
            config_hash=contract_hash(dict(self.settings), self.cell.model_dump(mode="json")),
            code_version=provenance().code_version,
            created_unix_s=time.time(),
            limits=self.cell.limits.model_dump(mode="json"),
        )
