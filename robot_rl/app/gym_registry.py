"""The simulated tasks under gymnasium ids, as the configs describe them, behind the cell's gate.

Importing this module registers them; gymnasium does it by itself when the id names the module:

    gymnasium.make("robot_rl.app.gym_registry:robot_rl/PegInsert-v0")

`make_env` states the arguments that `gymnasium.make` takes besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from gymnasium.envs.registration import register, registry

from robot_rl.app.run_config import CellConfig
from robot_rl.app.station import gate_of
from robot_rl.config.load import load
from robot_rl.config.model import Buildable, Config
from robot_rl.core.errors import ConfigError
from robot_rl.core.protocol import Bench
from robot_rl.envs.gymnasium_env import GymnasiumEnv

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
"""The repository's configs, where the package is installed in place."""

ENVIRONMENTS = {
    "robot_rl/PegInsert-v0": {"task": "peg_insert", "cell": "sim_fr3"},
    "robot_rl/PickCube-v0": {"task": "pick_cube", "cell": "sim_fr3"},
    "robot_rl/PointReach-v0": {"task": "point_reach", "cell": "sim_point"},
}
"""Task and cell of each id."""


def register_environments() -> None:
    """Register all ids; those that are registered already stay as they are."""
    for name, parts in ENVIRONMENTS.items():
        if name not in registry:
            register(id=name, entry_point=f"{__name__}:make_env", kwargs=dict(parts))


def make_env(
    task: str, cell: str, overrides: Sequence[str] = (), render_mode: str | None = None
) -> GymnasiumEnv:
    """Connect a cell for a task, behind the cell's safety gate.

    Args:
        task: a task's YAML file, or the name of one in the repository's `configs/tasks`.
        cell: likewise, in `configs/cells`.
        overrides: `a.b.c=value` for the task, e.g. `cameras=true`.
        render_mode: None or `rgb_array`.

    Raises:
        ConfigError: if a file is not there, or wrong.
    """
    # A file with a `type` is a component: its config can be built.
    component = cast(Buildable, load(_path("tasks", task), Config, overrides))
    config = load(_path("cells", cell), CellConfig)
    bench = cast(Bench, config.bench.build(component))
    return GymnasiumEnv(bench, gate_of(config, bench), render_mode)


def _path(folder: str, name: str) -> Path:
    path = Path(name) if name.endswith(".yaml") else CONFIGS / folder / f"{name}.yaml"
    if not path.is_file():
        keyword = folder.removesuffix("s")
        raise ConfigError(
            f"{keyword}: got {name!r}, but there is no file {path}; the package brings no configs "
            f"along: expected {keyword}='path/to/a.yaml'"
        )
    return path


register_environments()
