"""From a YAML file and command-line overrides to one frozen, fully resolved config, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from robot_rl.config import document
from robot_rl.config.document import Reference, Section
from robot_rl.config.model import Config, resolve
from robot_rl.core.errors import ConfigError


def load[C: Config](path: Path | str, model: type[C], overrides: Sequence[str] = ()) -> C:
    """Load `path` as a `model`.

    A string that ends in `.yaml` where a mapping is expected is read relative to the file that
    names it. An override `a.b.c=value` replaces one value, inside nested components, lists (by
    number) and referenced files too; its value is YAML, and a file it names is relative to the
    working folder. A file with a `type` may hold a subclass of `model`: `load(path, Config)`
    loads any component.

    Raises:
        ConfigError: naming file, dotted key, what came and what was expected, one line each.
    """
    root = document.read(Path(path))
    overridden: dict[str, str] = {}
    for text in overrides:
        key, value = _parse_override(text)
        root = cast(Section, _replaced(root, key.split("."), value, text))
        overridden[key] = text
    try:
        if "type" in root or model is Config:
            return cast(C, resolve(root, model))
        return model.model_validate(root)
    except ValidationError as error:
        lines = [_line(detail, root, overridden) for detail in error.errors()]
        raise ConfigError("\n".join(lines)) from error


def checked[C: Config](model: type[C], values: Mapping[str, Any]) -> C:
    """Make a `model` of values that come from elsewhere than a file, as from a command line.

    Raises:
        ConfigError: naming each value that is wrong.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise ConfigError("; ".join(lines)) from error


def save(config: Config, path: Path) -> None:
    """Write `config`, fully resolved, so that `load` returns an equal one without other files."""
    path.write_text(document.dump(config.model_dump(mode="json")), encoding="utf-8")


def _parse_override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"override {text!r}: expected `a.b.c=value`")
    return key, document.parse(value, f"override {text!r}", ())


def _replaced(node: Any, keys: list[str], value: Any, override: str) -> Any:
    """Return `node` with the value at `keys` replaced; what others share is left as it is."""
    if not keys:
        return value
    key, rest = keys[0], keys[1:]
    node = node.read() if isinstance(node, Reference) else node
    if isinstance(node, Section):
        return node.replaced(key, _replaced(node.get(key), rest, value, override))
    if isinstance(node, list):
        items = cast(list[Any], node)
        if not key.isdecimal() or int(key) >= len(items):
            raise ConfigError(
                f"override {override!r}: got {key!r}, expected a number below {len(items)}"
            )
        index = int(key)
        return [
            *items[:index],
            _replaced(items[index], rest, value, override),
            *items[index + 1 :],
        ]
    if node is None:
        return Section({key: _replaced(None, rest, value, override)}, ())
    raise ConfigError(f"override {override!r}: {key!r} lies inside {node!r}, which is one value")


def _line(error: ErrorDetails, root: Section, overridden: dict[str, str]) -> str:
    keys, place = _locate(error["loc"], root)
    dotted = ".".join(keys)
    for key, text in overridden.items():
        if dotted and (f"{dotted}.".startswith(f"{key}.") or key.startswith(f"{dotted}.")):
            place = f"override {text!r}"
    message = error["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    if message.startswith("missing"):
        return f"{place}: {dotted}: {message}"
    got = error["input"]
    kind = "mapping" if isinstance(got, dict) else type(got).__name__
    return f"{place}: {dotted or 'the whole'}: got {got!r:.80} ({kind}): {message}"


def _locate(loc: tuple[int | str, ...], root: Section) -> tuple[list[str], str]:
    """Return the dotted keys that the user wrote and the file that holds the last of them."""
    node: Any = root
    keys: list[str] = []
    file = root.chain[-1]
    for position, part in enumerate(loc):
        node = node.read() if isinstance(node, Reference) else node
        if isinstance(node, Section):
            file = node.chain[-1] if node.chain else file
            # A name that is no key is pydantic's tag for a member of a union, unless it is the
            # last: then it is a key that is missing.
            if part not in node and position < len(loc) - 1:
                continue
            node = node.get(str(part))
        else:
            node = _item(node, part)
        keys.append(str(part))
    return keys, str(file)


def _item(node: Any, part: int | str) -> Any:
    items = cast(list[Any], node) if isinstance(node, list) else []
    return items[part] if isinstance(part, int) and part < len(items) else None
