"""What an MCAP file says of a message type, read from where its package is installed.

A `.msg` file has the units and the meaning of each field, which a reader years later needs.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from robot_rl.core.errors import DependencyError

_TYPE = re.compile(r"([a-z]\w*)/([A-Z]\w*)")
_RULE = "=" * 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """A message type as a file tells it.

    Args:
        name: e.g. `sensor_msgs/msg/Image`.
        definition: its text and that of every type in it, in the form of rosbag2.
        is_stamped: it begins with a `std_msgs/Header`.
    """

    name: str
    definition: str
    is_stamped: bool


@cache
def schema(kind: Any) -> Schema:
    """Return the schema of a message class.

    Raises:
        DependencyError: if a package is installed without its `.msg` files.
    """
    package, name = kind.__module__.split(".")[0], kind.__name__
    parts = {f"{package}/{name}": _text(package, name)}
    _add_inner(kind, parts)
    first, *others = parts.items()
    inner = "".join(f"\n{_RULE}\nMSG: {other}\n{text}" for other, text in others)
    fields = list(kind.get_fields_and_field_types().items())
    return Schema(
        name=f"{package}/msg/{name}",
        definition=first[1] + inner,
        is_stamped=fields[:1] == [("header", "std_msgs/Header")],
    )


def _add_inner(kind: Any, parts: dict[str, str]) -> None:
    """Add the text of each type within `kind` that is not there yet."""
    for field in kind.get_fields_and_field_types().values():
        for package, name in _TYPE.findall(field):
            if f"{package}/{name}" not in parts:
                parts[f"{package}/{name}"] = _text(package, name)
                _add_inner(getattr(import_module(f"{package}.msg"), name), parts)


def _text(package: str, name: str) -> str:
    module = sys.modules.get(package) or import_module(package)
    # PREFIX/lib/pythonX.Y/site-packages/PACKAGE beside PREFIX/share/PACKAGE, however installed.
    prefixes = [Path(place).parents[depth] for place in module.__path__ for depth in (3, 4)]
    files = [prefix / "share" / package / "msg" / f"{name}.msg" for prefix in prefixes]
    for file in files:
        if file.is_file():
            return file.read_text(encoding="utf-8")
    raise DependencyError(
        f"{package} is installed without the definition of {name}: looked for "
        f"{', '.join(map(str, files))}. Install the package as a whole (`make ros` for "
        "robot_rl_msgs), or leave its topics out of what is recorded"
    )
