"""What a configuration is: a frozen model that refuses unknown keys, and fields filled by type.

A component's config lives beside its component and subclasses `Config`. A YAML names it by import
path (`type: package.module:Class`), so nothing is registered anywhere. Naming a type imports its
module: load only files that you would also run.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import types
from collections.abc import Iterable
from typing import Annotated, Any, Protocol, cast, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from robot_rl.config.document import Reference
from robot_rl.core.errors import ConfigError, did_you_mean

_IMPORT_PATH = re.compile(r"\w+(\.\w+)*:\w+")
_NUMBERS = {int, float, types.NoneType, ...}


class Config(BaseModel):
    """Root of all configs: frozen, typed, complete; unknown keys are errors.

    A config with a `build` method is a component: its dump carries its `type`, so that it loads
    again wherever it stands. A number that can hurt has no default.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "type" in cls.model_fields:
            raise TypeError(f"{import_path(cls)}: `type` names the class; rename the field")

    @model_validator(mode="before")
    @classmethod
    def _open_and_check_keys(cls, data: Any) -> Any:
        """Follow a reference, drop a fitting `type`, and name unknown and missing keys."""
        data = data.read() if isinstance(data, Reference) else data
        if not isinstance(data, dict):
            return data
        given = dict(cast(dict[str, Any], data))
        named = given.pop("type", None)
        if named is not None and named != import_path(cls):
            raise _error(("type",), named, f"expected {import_path(cls)!r}")
        errors = [
            _detail((key,), value, f"unknown key{did_you_mean(key, cls.model_fields)}")
            for key, value in given.items()
            if key not in cls.model_fields
        ] + [
            _detail((name,), None, f"missing, expected {_words(field.annotation)}")
            for name, field in cls.model_fields.items()
            if field.is_required() and name not in given
        ]
        if errors:
            raise ValidationError.from_exception_data(cls.__name__, errors)
        return given

    @field_validator("*", mode="before")
    @classmethod
    def _keep_numbers_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse `true` and quoted text for numbers: pydantic would convert them in silence."""
        annotation = cls.model_fields[info.field_name or ""].annotation
        if set(_leaf_types(annotation)) <= _NUMBERS:
            for leaf in _leaves(value):
                if isinstance(leaf, bool | str):
                    raise PydanticCustomError("config", f"expected {_words(annotation)}")  # pyright: ignore[reportArgumentType]
        return value

    @model_serializer(mode="wrap")
    def _name_type(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Put the import path of a component in front of its fields."""
        fields = handler(self)
        return {"type": import_path(type(self)), **fields} if _is_component(type(self)) else fields


class Buildable(Protocol):
    """A config whose component can be built; the component's docstring states the arguments."""

    def build(self, *args: Any, **kwargs: Any) -> Any:
        """Return the component."""
        ...


class ComponentField:
    """Makes a field accept `{type: package.module:Class, ...}`, a reference or a ready config.

    Annotate a `Config` subclass to accept only it and its subclasses.
    """

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Validate by importing the named class; serialise with the class's own fields."""
        bound = source if isinstance(source, type) and issubclass(source, Config) else Config

        def validate(value: Any) -> Config:
            return resolve(value, cast(type[Config], bound))

        return core_schema.no_info_plain_validator_function(
            validate, serialization=core_schema.plain_serializer_function_ser_schema(_dump)
        )


Component = Annotated[Buildable, ComponentField()]
"""A field that YAML fills with any component."""


def resolve(value: object, bound: type[Config]) -> Config:
    """Turn `{type: ..., ...}`, a reference to such a file, or a ready config into a config.

    Raises:
        pydantic.ValidationError: naming the key, what came and what was expected.
        ConfigError: if a referenced file cannot be read.
    """
    if isinstance(value, Reference):
        value = value.read()
    if isinstance(value, Config):
        if not isinstance(value, bound):
            raise _error((), type(value).__name__, f"expected {import_path(bound)}")
        return value
    if not isinstance(value, dict):
        raise _error((), value, "expected a mapping with `type: package.module:Class`")
    fields = dict(cast(dict[str, Any], value))
    named = fields.get("type")
    try:
        cls = import_type(named)
    except ConfigError as error:
        raise _error(("type",), named, str(error)) from error
    if not issubclass(cls, bound):
        raise _error(("type",), named, f"expected {import_path(bound)} or a subclass of it")
    return cls.model_validate(fields)


def import_type(named: object) -> type[Config]:
    """Import the component config that `package.module:Class` names.

    Raises:
        ConfigError: naming the module or class that is not there and the valid ones.
    """
    if named is None:
        raise ConfigError("missing, expected `type: package.module:Class`")
    if not isinstance(named, str) or not _IMPORT_PATH.fullmatch(named):
        raise ConfigError("expected `type: package.module:Class`")
    module_name, class_name = named.split(":")
    module = _import_module(module_name)
    valid = [name for name, value in vars(module).items() if _is_component(value)]
    if class_name not in valid:
        raise ConfigError(
            f"module {module_name} has no component config {class_name!r}"
            + (did_you_mean(class_name, valid) or "; it has none")
        )
    return getattr(module, class_name)


def import_path(cls: type) -> str:
    """Return `package.module:Class`."""
    return f"{cls.__module__}:{cls.__qualname__}"


def _import_module(name: str) -> types.ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if not (name == missing or name.startswith(f"{missing}.")):
            raise ConfigError(
                f"module {name} needs {missing!r}, which is not installed"
            ) from error
        raise ConfigError(f"no module named {missing!r}{_similar_modules(missing)}") from error
    except ImportError as error:
        raise ConfigError(f"module {name!r} cannot be imported: {error}") from error


def _similar_modules(name: str) -> str:
    package, _, last = name.rpartition(".")
    if not package:
        return ""
    paths: Iterable[str] = getattr(importlib.import_module(package), "__path__", [])
    return did_you_mean(last, [m.name for m in pkgutil.iter_modules(list(paths))])


def _is_component(value: object) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, Config)
        and callable(getattr(value, "build", None))
    )


def _dump(config: Config) -> dict[str, Any]:
    return config.model_dump(mode="json")


def _detail(loc: tuple[str, ...], got: object, message: str) -> InitErrorDetails:
    # The message is the template; braces in it would be taken for fields.
    template = message.replace("{", "(").replace("}", ")")
    return InitErrorDetails(type=PydanticCustomError("config", template), loc=loc, input=got)  # pyright: ignore[reportArgumentType]


def _error(loc: tuple[str, ...], got: object, message: str) -> ValidationError:
    return ValidationError.from_exception_data("config", [_detail(loc, got, message)])


def _words(annotation: Any) -> str:
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    return text.replace("typing.", "")


def _leaf_types(annotation: Any) -> list[Any]:
    inner = get_args(annotation)
    return [leaf for a in inner for leaf in _leaf_types(a)] if inner else [annotation]


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return [leaf for v in cast(list[Any], value) for leaf in _leaves(v)]
    return [value]
