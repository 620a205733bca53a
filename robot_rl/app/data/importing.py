"""`robot-rl data import`: other people's recordings as a store of episodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from tyro.conf import Positional

from robot_rl.app.data.stores import is_lerobot
from robot_rl.app.terminal import Terminal, count_text
from robot_rl.config.load import load
from robot_rl.core.errors import ConfigError, StorageError
from robot_rl.data.exchange.lerobot.importing import LeRobotSource
from robot_rl.data.exchange.log_source import open_mcap
from robot_rl.data.exchange.robomimic.source import RobomimicSource
from robot_rl.data.exchange.rosbag_source import RosbagSource
from robot_rl.data.exchange.source import Source, import_into
from robot_rl.data.exchange.topics.topic_map import TopicMap

Format = Literal["lerobot", "robomimic", "mcap", "rosbag2"]

OPTIONS: Mapping[str, tuple[str, ...]] = {
    "lerobot": ("robot", "task", "scale"),
    "robomimic": ("robot", "task", "filter_key", "period_s", "flip_images", "skip"),
    "mcap": ("topics",),
    "rosbag2": ("topics",),
}
"""Which options a format takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """Make a new store from a LeRobot v3 data set, a robomimic file, MCAP or rosbag2.

    The store appears whole or not at all. What a recording does not say, the options do; MCAP
    files of robot_rl say everything themselves.

    Examples:
      robot-rl data import plug_in_lerobot runs/plug_in
      robot-rl data import demo.hdf5 runs/can --robot panda --task can
      robot-rl data import bag runs/bag --topics topics.yaml
    """

    source: Positional[Path]
    """A LeRobot folder, an .hdf5 file, an .mcap file or a folder of them, or a rosbag2 folder."""

    target: Positional[Path]
    """The store to make; it must not be there yet."""

    format: Format | None = None
    """Only if the source does not show what it is."""

    topics: Path | None = None
    """mcap, rosbag2: YAML that says which topic is what."""

    robot: str = ""
    """lerobot, robomimic: the robot's name where the data do not say."""

    task: str = ""
    """lerobot, robomimic: the task's name where the data do not say."""

    scale: tuple[float, ...] = ()
    """lerobot: SI value of a normalised 1, per action element."""

    filter_key: str = ""
    """robomimic: take only the demonstrations of this mask."""

    period_s: float | None = None
    """robomimic: the control period where the file does not say."""

    flip_images: bool = False
    """robomimic: images are upside down."""

    skip: tuple[str, ...] = ()
    """robomimic: observations to leave out."""

    def run(self, terminal: Terminal) -> int:
        """Say what the source is, import it, and say how to look at it."""
        name = self.format or guess(self.source)
        terminal.say(f"{self.source}: {name}{'' if self.format else ' by its look'}")
        source = self._open(name)
        with terminal.progress("importing") as advance:
            count = import_into(source, self.target, advance)
        spec = source.spec
        terminal.say(
            f"imported {count_text(count, 'episode')} of {spec.task.name} with "
            f"{spec.robot or 'an unnamed robot'} into {self.target}"
        )
        terminal.say(f"look at them: robot-rl data ls {self.target}")
        return 0

    def _open(self, name: Format) -> Source:
        given = self._given(name)
        topics = load(given.pop("topics"), TopicMap) if "topics" in given else None
        if name == "lerobot":
            return LeRobotSource(self.source, **given)
        if name == "robomimic":
            return RobomimicSource(self.source, **given)
        if name == "mcap":
            return open_mcap(self.source, topics)
        if topics is None:
            raise ConfigError(
                f"{self.source}: a rosbag2 recording does not say which topic is what; write a "
                "topic map (see configs/topics/example.yaml) and name it: --topics MAP.yaml"
            )
        return RosbagSource(self.source, topics)

    def _given(self, name: Format) -> dict[str, Any]:
        """Return the options that were said.

        Raises:
            ConfigError: if the format does not take one of them.
        """
        every = dict.fromkeys(option for options in OPTIONS.values() for option in options)
        given = {option: value for option in every if (value := getattr(self, option))}
        for option in given:
            if option not in OPTIONS[name]:
                takers = [other for other in get_args(Format) if option in OPTIONS[other]]
                raise ConfigError(
                    f"--{option.replace('_', '-')} is for {', '.join(takers)}; this is {name}"
                )
        return given


def guess(path: Path) -> Format:
    """Return the format that a path looks like.

    Raises:
        StorageError: if there is nothing.
        ConfigError: if it looks like none.
    """
    if not path.exists():
        raise StorageError(f"{path}: no such file or folder")
    if is_lerobot(path):
        return "lerobot"
    if path.suffix in (".hdf5", ".h5"):
        return "robomimic"
    if (path / "metadata.yaml").is_file():
        return "rosbag2"
    if path.suffix == ".mcap" or any(path.glob("*.mcap")):
        return "mcap"
    if path.suffix == ".db3":
        raise ConfigError(f"{path} is part of a rosbag2 recording; name its folder: {path.parent}")
    raise ConfigError(
        f"{path} looks like none of {', '.join(get_args(Format))}; say what it is: --format"
    )
