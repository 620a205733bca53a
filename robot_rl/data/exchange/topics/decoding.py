"""From the bytes of one recorded message to an object with fields: CDR and JSON.

A recording brings its own message definitions. The parser compiles them to Python classes, so
names and array sizes are checked before it sees them. Not here: what the fields mean
(`values`, `images`) and files (`mcap_source`, `rosbag_source`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from rosbags.serde import SerdeError
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore

from robot_rl.core.errors import StorageError

Decode = Callable[[bytes], Any]
"""Turns a message's bytes into an object whose fields are attributes or keys."""

_TYPE_NAME = re.compile(r"[a-z][a-z0-9_]*(/msg)?/[A-Za-z][A-Za-z0-9_]*")
_FIXED_SIZE = re.compile(r"\[(\d+)\]")
_MAX_DEFINITION = 1 << 20
_MAX_FIXED_SIZE = 100_000
_DAMAGED = (SerdeError, AssertionError, IndexError, KeyError, RecursionError, OverflowError)


def decoder(
    name: str, message_encoding: str, schema_encoding: str = "", definition: str = ""
) -> Decode:
    """Return what decodes messages of one type.

    Args:
        name: the type's name, e.g. `sensor_msgs/msg/JointState`.
        message_encoding: `cdr` or `json`.
        schema_encoding: how the definition is written; `ros2msg` can be read.
        definition: from the recording. Without one the type must come with ROS 2.

    Raises:
        StorageError: if the encoding is another, or the definition is missing or not sound.
    """
    if message_encoding == "json":
        return _from_json
    if message_encoding != "cdr":
        raise StorageError(
            f"messages of type {name!r} are encoded as {message_encoding!r}, expected 'cdr' "
            "(ROS 2) or 'json'; convert the recording"
        )
    store = get_typestore(Stores.LATEST)
    canonical = name if "/msg/" in name else name.replace("/", "/msg/", 1)
    if definition and schema_encoding in ("", "ros2msg"):
        store = get_typestore(Stores.EMPTY)
        _register(store, canonical, definition)
    if canonical not in store.fielddefs:
        raise StorageError(
            f"the recording holds no readable definition of {name!r} (got "
            f"{schema_encoding or 'none'!r}, expected 'ros2msg') and it is no standard type; "
            "record it again with a newer rosbag2, or map other topics"
        )

    def decode(data: bytes) -> Any:
        try:
            return store.deserialize_cdr(data, canonical)
        except _DAMAGED as error:
            raise ValueError(f"not a message of type {name}: {error!r}") from error

    return decode


def _register(store: Any, name: str, definition: str) -> None:
    sizes = [int(size) for size in _FIXED_SIZE.findall(definition)]
    if (
        not _TYPE_NAME.fullmatch(name)
        or len(definition) > _MAX_DEFINITION
        or max(sizes, default=0) > _MAX_FIXED_SIZE
    ):
        raise StorageError(
            f"the definition of {name[:80]!r} in the recording is not sound: expected a type name "
            f"like 'package/msg/Type', at most {_MAX_DEFINITION} characters and fixed arrays of "
            f"at most {_MAX_FIXED_SIZE} elements"
        )
    try:
        store.register(get_types_from_msg(definition, name))
        store.get_msgdef(name)
    except (TypesysError, SyntaxError, *_DAMAGED) as error:
        raise StorageError(
            f"the definition of {name!r} in the recording cannot be read: {error!r:.300}"
        ) from error


def _from_json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("not a JSON message: it is nested too deeply") from error
