"""Numbers and instants from decoded messages, by dotted path; their names come along.

A message is an object with attributes (ROS) or a mapping (JSON). Not here: images (`images`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from robot_rl.core.errors import StorageError, did_you_mean
from robot_rl.core.types import Vector

DEFAULT_FIELDS = {
    "JointState": "position",
    "WrenchStamped": "wrench",
    "TwistStamped": "twist",
    "PoseStamped": "pose",
    "Float32": "data",
    "Float64": "data",
    "Bool": "data",
    "Float32MultiArray": "data",
    "Float64MultiArray": "data",
}
"""Which field is meant where the map names none; of other types the whole message is."""

_STAMPS = ("header", "timestamp")


def stamp_ns(message: Any) -> int | None:
    """Return the instant at which the message's content was true [ns], if it says so.

    `header.stamp` of ROS, `timestamp` of JSON messages; a stamp of zero was never set.
    """
    header = _get(message, "header")
    stamp = _get(header, "stamp") if header is not None else _get(message, "timestamp")
    seconds = _get(stamp, "sec")
    nanoseconds = _get(stamp, "nanosec")
    nanoseconds = _get(stamp, "nsec") if nanoseconds is None else nanoseconds
    if not isinstance(seconds, int) or not isinstance(nanoseconds, int):
        return None
    return seconds * 1_000_000_000 + nanoseconds or None


def pick(message: Any, path: str) -> Any:
    """Return the field at a dotted path; a number in it counts the elements of a list.

    Raises:
        StorageError: naming the part that is not there and the fields there are.
    """
    value = message
    for part in path.split(".") if path else []:
        inner = _item(value, int(part)) if part.isdecimal() else _get(value, part)
        if inner is None:
            raise StorageError(
                f"no field {part!r} of {path!r} in the message{did_you_mean(part, _names(value))}"
            )
        value = inner
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberField:
    """Which numbers of a topic's messages make one vector.

    Args:
        kind: the message type's last name, e.g. `JointState`.
        path: dotted path; empty for the type's default.
        names: the elements to take, in this order; empty for all.
    """

    kind: str
    path: str
    names: tuple[str, ...]

    def read(self, message: Any) -> tuple[tuple[str, ...], Vector] | None:
        """Return element names and values float32[d].

        None if this message of a shared topic (several publishers of joint states) holds none of
        the named joints, or not all of them.

        Raises:
            StorageError: if the field is missing, not numeric, or has no such elements.
        """
        found, values = _numbers(pick(message, self.path or DEFAULT_FIELDS.get(self.kind, "")))
        joints = _joint_names(message) if self.kind == "JointState" else None
        if joints is not None and len(joints) == len(values):
            found = joints
            if self.names and not {*self.names} <= {*joints}:
                return None
        if not self.names:
            return found, np.asarray(values, np.float32)
        if {*self.names} <= {*found}:
            chosen = [values[found.index(name)] for name in self.names]
            return self.names, np.asarray(chosen, np.float32)
        if joints is None and len(self.names) == len(values):
            return self.names, np.asarray(values, np.float32)
        raise StorageError(
            f"elements {list(self.names)} asked for, the field has {len(values)}: {list(found)}"
        )


def _numbers(value: Any, prefix: str = "") -> tuple[tuple[str, ...], list[float]]:
    """Flatten a field to element names and numbers, in the order of the message."""
    if isinstance(value, bool | int | float | np.number | np.bool_):
        return (prefix or "value",), [float(cast(float, value))]
    if isinstance(value, np.ndarray | list | tuple):
        items = enumerate(cast(Sequence[Any], value))
    elif names := [name for name in _names(value) if name not in _STAMPS]:
        items = ((name, _get(value, name)) for name in names)
    else:
        raise StorageError(
            f"field {prefix or 'of the map'!r} holds {type(value).__name__}, expected numbers"
        )
    found: tuple[str, ...] = ()
    numbers: list[float] = []
    for name, item in items:
        inner_names, inner = _numbers(item, f"{prefix}.{name}" if prefix else str(name))
        found += inner_names
        numbers += inner
    return found, numbers


def _joint_names(message: Any) -> tuple[str, ...] | None:
    names = _get(message, "name")
    return tuple(cast(list[str], names)) if isinstance(names, list) and names else None


def _names(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [str(key) for key in cast(Mapping[Any, Any], value)]
    if not dataclasses.is_dataclass(value):
        return []
    # rosbags' classes declare their constants in a way that dataclasses take for fields.
    return [f.name for f in dataclasses.fields(value) if not str(f.type).startswith("ClassVar")]


def _get(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return cast(Mapping[str, Any], value).get(name)
    return getattr(value, name) if name in _names(value) else None


def _item(value: Any, index: int) -> Any:
    if not isinstance(value, np.ndarray | list | tuple):
        return None
    items = cast(Sequence[Any], value)
    return items[index] if index < len(items) else None
