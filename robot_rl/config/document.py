"""YAML documents that remember where they came from, and references from one file to another.

Only safe YAML is read: a file can hold data, never code. What the data mean is not decided here.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, cast

import yaml

from robot_rl.core.errors import ConfigError, did_you_mean

_FLOAT_TAG = "tag:yaml.org,2002:float"
_EXPONENT_FLOAT = re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$")
_STARTS_NUMBER = list("-+0123456789")


class Section(dict[str, Any]):
    """A mapping in a YAML document.

    Attributes:
        chain: the files that led here, the one that holds this mapping last.
    """

    def __init__(self, data: dict[str, Any], chain: tuple[Path, ...]) -> None:
        super().__init__(data)
        self.chain = chain

    def replaced(self, key: str, value: object) -> Section:
        """Return a copy in which `key` holds `value`."""
        return Section({**self, key: value}, self.chain)


class Reference(str):
    """A string that ends in `.yaml`: names another file where a mapping is expected.

    Attributes:
        chain: the files that led here; empty for a command-line override.
    """

    __slots__ = ("chain",)
    chain: tuple[Path, ...]

    def __new__(cls, text: str, chain: tuple[Path, ...]) -> Reference:
        """Remember the text and the files that led to it."""
        reference = super().__new__(cls, text)
        reference.chain = chain
        return reference

    def read(self) -> Section:
        """Read the file, relative to the one that names it (to the working folder if none does).

        Raises:
            ConfigError: if it is missing, not a mapping, or refers to itself.
        """
        folder = self.chain[-1].parent if self.chain else Path()
        return read(folder / str(self), self.chain)


def read(path: Path, chain: tuple[Path, ...] = ()) -> Section:
    """Read one YAML file that holds a mapping; references in it stay references.

    Raises:
        ConfigError: if the file is missing, is no YAML mapping, repeats a key, or is part of a
            circle of references.
    """
    seen = [p.resolve() for p in chain]
    if path.resolve() in seen:
        circle = " -> ".join(str(p) for p in (*chain, path))
        raise ConfigError(f"{path}: the files refer to each other in a circle: {circle}")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(_unreadable(path, chain, error)) from error
    content = parse(text, str(path), (*chain, path))
    if not isinstance(content, Section):
        raise ConfigError(
            f"{path}: got {type(content).__name__}, expected a mapping of `key: value` lines"
        )
    return content


def parse(text: str, name: str, chain: tuple[Path, ...]) -> Any:
    """Parse YAML text; `name` stands for it in errors.

    Raises:
        ConfigError: if it is not valid YAML or repeats a key.
    """
    loader = _Loader(text)
    loader.chain = chain
    try:
        return loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{name}:{mark.line + 1}" if mark else name
        raise ConfigError(f"{place}: {error.problem or 'not valid YAML'}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{name}: not valid YAML: {error}") from error
    finally:
        loader.dispose()  # pyright: ignore[reportUnknownMemberType]


def dump(data: object) -> str:
    """Write plain data as YAML text that `parse` reads back identically."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _unreadable(path: Path, chain: tuple[Path, ...], error: Exception) -> str:
    referrer = f", referred to by {chain[-1]}" if chain else ""
    if isinstance(error, FileNotFoundError):
        siblings = [p.name for p in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        return f"{path}: no such file{referrer}{did_you_mean(path.name, siblings)}"
    return f"{path}: cannot be read{referrer}: {error}"


class _Loader(yaml.SafeLoader):
    chain: tuple[Path, ...] = ()

    def construct_located_mapping(self, node: yaml.MappingNode) -> Section:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = cast(Hashable, self.construct_object(key_node))  # pyright: ignore[reportUnknownMemberType]
            if not isinstance(key, str):
                raise _error_at(key_node, f"key {key!r} is not a word; put it in quotes")
            if key in seen and key != "<<":
                raise _error_at(key_node, f"key {key!r} appears twice; keep one of them")
            seen.add(key)
        self.flatten_mapping(node)
        data = cast(dict[str, Any], self.construct_mapping(node, deep=True))
        return Section(data, self.chain)

    def construct_located_text(self, node: yaml.ScalarNode) -> str:
        text = str(self.construct_scalar(node))
        return Reference(text, self.chain) if text.endswith(".yaml") else text


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Write repeated values out, so that each can be edited by itself."""
        return True


def _error_at(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.construct_located_mapping)
_Loader.add_constructor("tag:yaml.org,2002:str", _Loader.construct_located_text)
# YAML 1.1 reads `3e-4` as text; everybody who writes a learning rate means a number.
for _reader_or_writer in (_Loader, _Dumper):
    _reader_or_writer.add_implicit_resolver(  # pyright: ignore[reportUnknownMemberType]
        _FLOAT_TAG, _EXPONENT_FLOAT, _STARTS_NUMBER
    )
