"""A table of settings: declared like a dataclass, judged by pydantic.

A value that is plainly of the declared type, and within its bounds, is taken as it is. Any other is pydantic's
to convert or to refuse, so that there is one authority and no second, weaker one. pydantic is imported only then: it
costs as much as all the rest of a client, and most programs set a key and an address.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import FrozenInstanceError
from functools import cache
from types import MappingProxyType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    NamedTuple,
    NoReturn,
    Self,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)  # fmt: skip

from llmsdk import toml
from llmsdk.errors import ConfigError
from llmsdk.secret import Secret, revealed
from llmsdk.toml import Key

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails

T = TypeVar("T")

REQUIRED: Any = object()
_NONE: Mapping[str, Any] = MappingProxyType({})
_BOUNDS: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt, "ge": operator.ge, "lt": operator.lt, "le": operator.le,
    "min_length": lambda value, least: len(value) >= least,
}  # fmt: skip
"""The words of ``pydantic.Field`` that are understood without pydantic."""


class _Field(NamedTuple):
    """One key of a table."""

    default: Any = REQUIRED
    factory: Callable[[], Any] | None = None
    shown: bool = True
    check: Callable[[Any], Any] | None = None
    bounds: Mapping[str, Any] = _NONE
    hint: Any = None
    kinds: tuple[Any, ...] = ()

    @property
    def required(self) -> bool:
        return self.default is REQUIRED and self.factory is None

    def otherwise(self) -> Any:
        return self.factory() if self.factory else self.default

    def plain(self, value: Any) -> Any:
        """The value, if it needs no conversion and breaks no rule.

        Raises:
            ValueError: it is not plainly right, and may still be.
        """
        if isinstance(value, str) and Secret in self.kinds:
            value = Secret(value)
        if type(value) not in self.kinds and Any not in self.kinds:
            raise ValueError
        for word, bound in self.bounds.items() if value is not None else ():
            if word not in _BOUNDS or not _BOUNDS[word](value, bound):
                raise ValueError
        return self.check(value) if self.check else value


def setting(
    default: Any = REQUIRED,
    *,
    factory: Callable[[], Any] | None = None,
    shown: bool = True,
    check: Callable[[Any], Any] | None = None,
    **bounds: Any,
) -> Any:
    """A key with more to say than its type and default: ``context: int | None = setting(None, gt=0)``.

    ``bounds`` are words of ``pydantic.Field``. ``check`` takes the value and returns it, changed or not, or raises
    ``ValueError``. ``shown=False`` for what may hold a secret.
    """
    return _Field(default, factory, shown, check, bounds)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(setting,))
class Settings:
    """What ``[providers.NAME]`` may hold. Subclass it to add more; an unknown key is an error.

    Raises:
        ConfigError: an unknown key, or a value of the wrong kind.
    """

    def __init__(self, **values: Any) -> None:
        kind: Any = type(self)
        vars(self).update(_checked(kind, values, (), _NONE))

    def replaced(self, **values: Any) -> Self:
        """A copy with other values, which are not checked."""
        made = object.__new__(type(self))
        vars(made).update(vars(self) | values)
        return made

    def __repr__(self) -> str:
        kind: Any = type(self)
        shown = (name for name, field in _fields(kind).items() if field.shown)
        return f"{kind.__qualname__}({', '.join(f'{name}={vars(self)[name]!r}' for name in shown)})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise FrozenInstanceError(f"settings do not change: {name!r} cannot be set")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """A table in a table."""
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(lambda values: cls(**values), handler(_shape(cls)))


def is_table(kind: Any) -> bool:
    """Whether ``kind`` is a class of settings, ours or a pydantic model."""
    return isinstance(kind, type) and (issubclass(kind, Settings) or hasattr(kind, "model_validate"))


def keys(table: Any) -> list[str]:
    """The keys of a class of settings, whether it is ours or a pydantic model."""
    if issubclass(table, Settings):
        return list(_fields(table))
    return [field.alias or name for name, field in table.model_fields.items()]


def validated(table: type[T], data: Mapping[str, Any], key: Key, sources: Mapping[str, str]) -> T:
    """``data`` as ``table``, a class of ``Settings`` or a pydantic model; a fault is a ``ConfigError`` with place and
    key that shows no value.

    Raises:
        ConfigError: an unknown key, or a value of the wrong kind.
    """
    if not issubclass(table, Settings):
        read: Callable[[Any], T] = table.model_validate  # type: ignore[attr-defined]
        return _judged(read, table, data, key, sources)
    made = object.__new__(table)
    vars(made).update(_checked(table, data, key, sources))
    return made


# --- reading ----------------------------------------------------------------------------------------------------


@cache
def _fields(table: type[Any]) -> Mapping[str, _Field]:
    _refuse_pydantics_words(table)
    hints = get_type_hints(table, include_extras=True)
    return {name: _field(table, name, hint) for name, hint in hints.items() if get_origin(hint) is not ClassVar}


def _refuse_pydantics_words(table: type[Any]) -> None:
    """What would be ignored is a mistake of whoever wrote it."""
    for name, value in ((name, value) for kind in table.__mro__ for name, value in vars(kind).items()):
        if name == "model_config" or type(value).__module__.partition(".")[0] == "pydantic":
            instead = "write setting(...) of llmsdk.provider, or make the whole table a pydantic.BaseModel"
            raise TypeError(f"{table.__qualname__}.{name} is pydantic's, and no part of Settings: {instead}")


def _field(table: type[Any], name: str, hint: Any) -> _Field:
    said = getattr(table, name, REQUIRED)
    field = said if isinstance(said, _Field) else _Field(said)
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return field._replace(hint=hint, kinds=kinds)


def _checked(table: Any, data: Mapping[str, Any], key: Key, sources: Mapping[str, str]) -> dict[str, Any]:
    fields = _fields(table)
    given = _plainly(fields, data)
    if given is None:
        given = _judged(_adapter(table).validate_python, table, data, key, sources)
    return {name: given[name] if name in given else field.otherwise() for name, field in fields.items()}


def _plainly(fields: Mapping[str, _Field], data: Mapping[str, Any]) -> dict[str, Any] | None:
    if not data.keys() <= fields.keys() or any(field.required and name not in data for name, field in fields.items()):
        return None
    try:
        return {name: fields[name].plain(value) for name, value in data.items()}
    except ValueError:
        return None


def _shape(table: Any) -> Any:
    """The table in words that pydantic understands, without defaults, which are ours."""
    from typing import Required

    from pydantic import AfterValidator, ConfigDict, Field, with_config
    from typing_extensions import TypedDict

    shape: dict[str, Any] = {}
    for name, field in _fields(table).items():
        hint = Annotated[field.hint, Field(**field.bounds)] if field.bounds else field.hint
        hint = Annotated[hint, AfterValidator(field.check)] if field.check else hint
        shape[name] = Required[hint] if field.required else hint
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True)
    return with_config(config)(TypedDict("Table", shape, total=False))  # type: ignore[operator]


@cache
def _adapter(table: type[Any]) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(_shape(table))


def _judged(
    read: Callable[[Any], T], table: type[Any], data: Mapping[str, Any], key: Key, sources: Mapping[str, str]
) -> T:
    from pydantic import ValidationError

    try:
        return read(revealed(data))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    # raised out here, so that the error that quotes the input is not its __context__
    raise _fault(first, table, data, key, sources)


# --- words for errors -------------------------------------------------------------------------------------------


def _fault(
    error: ErrorDetails, table: type[Any], data: Mapping[str, Any], key: Key, sources: Mapping[str, str]
) -> ConfigError:
    path: Key = key
    at: Any = data
    for part in error["loc"]:  # a step that is not in the data names a branch of a type
        if not (isinstance(at, Mapping) and part in at) and error["type"] != "missing":
            break
        path, at = (*path, str(part)), at.get(part) if isinstance(at, Mapping) else None
    source = next((sources[k] for size in range(len(path), 0, -1) if (k := ".".join(path[:size])) in sources), "")
    if error["type"] == "extra_forbidden":
        return unknown(path, keys(table), source)
    what = "is required" if error["type"] == "missing" else error["msg"].removeprefix("Value error, ")
    what = what.replace("Input should be", "must be", 1)
    hint = "Correct it there; docs/config.md shows every key."
    return ConfigError(f"{placed(source, path)}: {what}", key=".".join(path), hint=hint)


def unknown(key: Key, known: Iterable[str], source: str) -> ConfigError:
    """The error for a key that nobody knows."""
    options = sorted(known)
    hint = did_you_mean(key[-1], options) or f"Known here: {', '.join(options)}."
    return ConfigError(f"{placed(source, key)}: unknown key", hint=hint, key=".".join(key))


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """``Did you mean ...?`` for the nearest option, or an empty string when none is near."""
    near = nearest(word, options)
    return f"Did you mean {near!r}?" if near else ""


def nearest(word: str, options: Iterable[str]) -> str | None:
    """The option most like ``word``, if any is."""
    from difflib import get_close_matches

    by_lower = {option.lower(): option for option in options}
    near = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.7)
    return by_lower[near[0]] if near else None


def placed(source: str, key: Key | str) -> str:
    """A key behind the place where it is set, as it may be printed."""
    dotted = key if isinstance(key, str) else ".".join(key)
    return toml.printable(f"{source}: {dotted}" if source else dotted)


__all__ = ["Settings", "did_you_mean", "is_table", "keys", "nearest", "placed", "setting", "unknown", "validated"]
