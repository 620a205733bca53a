"""What one says at a graph's start beside its YAML: the same for launch files and `ros up`."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from robot_rl.app.ros.graph_config import GraphConfig
from robot_rl.config.load import load
from robot_rl.core.errors import ConfigError, did_you_mean

HELP = {
    "robot": "which graph: NAME of CONFIG_DIR/ros/NAME.yaml, or the path of a YAML file",
    "ns": "namespace instead of the graph's own",
    "config_dir": "folder of the configurations",
    "use_sim_time": "true: the nodes' time is that of /clock",
    "autostart": "true: a lifecycle manager configures and activates the nodes in order",
    "train": "for hil: YAML of a run that acts, learns and records in the graph, in place of "
    "policy and recorder; or the folder of one to go on with",
    "person": "with train: name of whoever sits at the run's correction session, at its page, in "
    "place of the graph's device",
    "record": "true or false: whether to record; auto: as the group does",
    "log_level": "debug, info, warn, error or fatal",
    "dds_profile": "shm: shared memory of 16 MB; none: Fast DDS's own; or the path of an XML file",
    "discovery": "localhost, or subnet for graphs on several machines",
}
"""Of each argument, what it means."""

_CHOICES = {
    "record": ("auto", "true", "false"),
    "log_level": ("debug", "info", "warn", "error", "fatal"),
    "discovery": ("localhost", "subnet"),
}
_TRUE_OR_FALSE = {"true": True, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """See `HELP`."""

    robot: str = "sim_fr3"
    ns: str = ""
    config_dir: str = "configs"
    use_sim_time: bool = False
    autostart: bool = True
    train: str = ""
    person: str = ""
    record: str = "auto"
    log_level: str = "info"
    dds_profile: str = "shm"
    discovery: str = "localhost"

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigError(
                    f"{name}: got {getattr(self, name)!r}, expected one of: {', '.join(choices)}"
                )
        if self.person and not self.train:
            raise ConfigError("person: sits at a run's session; name the run with `train`")
        if self.train and self.ns:
            raise ConfigError(
                "train: the run finds the graph by its YAML; give `ns` there as `namespace`"
            )
        if self.train and not Path(self.train).exists():
            raise ConfigError(f"train: no such file or folder: {self.train}")
        if self.ns and not re.fullmatch(r"/?[a-z][a-z0-9_]*(/[a-z][a-z0-9_]*)*", self.ns):
            raise ConfigError(f"ns: got {self.ns!r}, expected a ROS namespace such as fr3")

    @classmethod
    def of_text(cls, given: dict[str, str]) -> Self:
        """Return the arguments of a launch file or command line, where all values are text.

        Raises:
            ConfigError: for a name or value that is not valid.
        """
        values: dict[str, Any] = {}
        for name, text in given.items():
            if name not in HELP:
                raise ConfigError(f"unknown argument {name!r}{did_you_mean(name, HELP)}")
            if name in ("use_sim_time", "autostart"):
                if text.lower() not in _TRUE_OR_FALSE:
                    raise ConfigError(f"{name}: got {text!r}, expected true or false")
                values[name] = _TRUE_OR_FALSE[text.lower()]
            else:
                values[name] = text.lower() if name in _CHOICES else text
        return replace(cls(), **values)

    @property
    def file(self) -> Path:
        """The graph's YAML."""
        if self.robot.endswith(".yaml"):
            return Path(self.robot)
        return Path(self.config_dir) / "ros" / f"{self.robot}.yaml"

    def text(self) -> dict[str, str]:
        """All of them as text, as a launch file declares them."""
        return {field.name: _text(getattr(self, field.name)) for field in fields(self)}


def load_graph(arguments: Arguments, overrides: tuple[str, ...] = ()) -> GraphConfig:
    """Load the YAML that the arguments name.

    Raises:
        ConfigError: naming file, key, what came and what was expected.
    """
    return load(arguments.file, GraphConfig, overrides)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
