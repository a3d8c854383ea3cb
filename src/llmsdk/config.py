"""Configuration: one TOML file, the environment and arguments, merged into typed data.

What wins, from the top: arguments (``overrides=``, and a mapping given as ``config=``), ``LLMSDK_*`` variables, the
file, the vendor's own key variable, defaults. The file is ``config=``, else ``$LLMSDK_CONFIG``, else the first found
among ``llmsdk.toml`` from the working directory up to the root of its repository and ``config.toml`` in the user's
folder. Variables: ``LLMSDK_MODEL`` is ``default``; ``LLMSDK_<SECTION>_<KEY>`` (budget, cache, circuit, ledger, retry,
timeouts), ``LLMSDK_LIMITS_<NAME>_<KEY>`` and ``LLMSDK_PROVIDERS_<NAME>_<KEY>`` set one string, number or boolean of
that table.

Secrets stay out of here: ``{ env = "X" }`` is looked up by the registry, when that provider is first needed.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from llmsdk import toml
from llmsdk.accounting.budget import Budget, Period
from llmsdk.errors import ConfigError, InputError
from llmsdk.health import CircuitPolicy
from llmsdk.io import Timeouts
from llmsdk.limits import Limits
from llmsdk.options import TEXT, CallSettings, call_settings, request_fields
from llmsdk.pipeline import CachePolicy, RetryPolicy
from llmsdk.toml import Key
from llmsdk.trust import is_trusted, project_file, shown, user_file, writable

M = TypeVar("M", bound=BaseModel)

SECTIONS = (
    "budget", "cache", "circuit", "default", "ledger", "limits", "models", "providers", "retry", "timeouts",
)  # fmt: skip
FLAT = ("budget", "cache", "circuit", "ledger", "retry", "timeouts")
"""Sections of keys, not of tables: a variable may set each key."""
PREFIX = "LLMSDK_"
VARIABLES = ("LLMSDK_CONFIG", "LLMSDK_DEBUG", "LLMSDK_MODEL")
ROOM = 64 * 2**20
"""Bytes of replies that a cache keeps."""
FOREIGN = ("LLMSDK_TEST_", "LLMSDK_REQUIRE_")
"""Prefixes of variables that belong to the test suite."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class ModelAlias:
    """A name for one or more models. ``targets`` are tried in order; ``options`` are defaults for every call."""

    name: str
    targets: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration.

    ``sources`` says for each dotted key where its value came from (``llmsdk.toml:7``, ``env LLMSDK_MODEL``); a key
    that is not there has its default. ``untrusted`` holds the keys set by a file that was found in the working tree
    and is not trusted: the registry gives no secret to a provider that such a key could send elsewhere.
    """

    default: str | None = None
    models: Mapping[str, ModelAlias] = field(default_factory=dict)
    providers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    circuit: CircuitPolicy = CircuitPolicy()
    timeouts: Timeouts = field(default_factory=Timeouts)
    limits: Mapping[str, Limits] = field(default_factory=dict)
    cache: CachePolicy = field(default_factory=CachePolicy)
    cache_file: Path | None = None
    cache_room: int = ROOM
    budgets: tuple[Budget, ...] = ()
    ledger: Path | None = None
    """Where the ledger is kept; ``None``: in memory."""
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)
    path: Path | None = None
    untrusted: frozenset[str] = frozenset()


# --- the shape of the tables ------------------------------------------------------------------------------------


def _unlimited(value: float | None) -> float | None:
    return None if value == float("inf") else value


Seconds = Annotated[float | None, Field(gt=0), AfterValidator(_unlimited)]
Wait = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_RETRY, _TIMEOUTS, _CACHE, _CIRCUIT = RetryPolicy(), Timeouts(), CachePolicy(), CircuitPolicy()
FOR_ALIASES = (TEXT | {"reasoning", "restart"}) - {"extra", "idempotency_key", "n", "echo"}
"""The options that an alias may set."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class _Retry(_Table):
    attempts: Annotated[int, Field(ge=1, le=100)] = _RETRY.attempts
    base: Wait = _RETRY.base
    cap: Wait = _RETRY.cap
    unknown: bool = _RETRY.unknown
    patience: Wait = _RETRY.patience


class _Circuit(_Table):
    failures: Annotated[int, Field(ge=0)] = _CIRCUIT.failures
    cooldown: Annotated[float, Field(gt=0, allow_inf_nan=False)] = _CIRCUIT.cooldown


class _Timeouts(_Table):
    connect: Seconds = _TIMEOUTS.connect
    first_token: Seconds = _TIMEOUTS.first_token
    idle: Seconds = _TIMEOUTS.idle
    total: Seconds = _TIMEOUTS.total


class _Cache(_Table):
    on: bool = _CACHE.on
    path: Annotated[str, Field(min_length=1)] | None = None
    ttl: Seconds = _CACHE.ttl
    sampled: bool = _CACHE.sampled
    namespace: str = _CACHE.namespace
    megabytes: Annotated[float, Field(gt=0, le=1e6)] = ROOM / 2**20


class _Limits(_Table):
    rpm: Annotated[int, Field(ge=1)] | None = None
    tpm: Annotated[int, Field(ge=1)] | None = None
    concurrency: Annotated[int, Field(ge=1)] | None = None


class _Share(_Table):
    usd: Annotated[Decimal, Field(ge=0, allow_inf_nan=False)] | None = None
    tokens: Annotated[int, Field(ge=0)] | None = None
    requests: Annotated[int, Field(ge=0)] | None = None
    per: Period | None = None
    unpriced: Literal["refuse", "allow"] = "refuse"

    @property
    def limits(self) -> bool:
        return any(limit is not None for limit in (self.usd, self.tokens, self.requests))

    def budget(self, tag: str | None = None) -> Budget:
        return Budget(**{**self.model_dump(exclude={"tags"}), "tag": tag})


class _Budget(_Share):
    tags: dict[Annotated[str, Field(min_length=1)], _Share] = {}


class _Ledger(_Table):
    path: Annotated[str, Field(min_length=1)] | None = None


# --- loading ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Value:
    """One setting and where it came from. ``untrusted``: from a file that was merely found."""

    value: Any = field(repr=False)
    source: str
    untrusted: bool = False


Layer = dict[Key, _Value]


def load(config: str | Path | Mapping[str, Any] | None = None, *, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read the configuration.

    ``config`` is a path, or a mapping of the same shape that takes the place of the file. ``overrides`` is a mapping
    too, and wins over everything.

    Raises:
        ConfigError: a file that cannot be read, an unknown section, key or variable, or a value of the wrong kind.
    """
    path: Path | None = None
    below: Layer = {}
    above: Layer = {}
    if not isinstance(config, str | Path | Mapping | None):
        raise InputError(f"config must be a path or a mapping, not {type(config).__name__}", argument="config")
    if isinstance(config, Mapping):
        above = _layer(config, lambda key: "config=")
    else:
        path, below = _file(config)
    above |= _layer(overrides or {}, lambda key: "argument")
    names = {key[1] for key in (*below, *above) if key[0] in ("providers", "limits")}
    return _assemble(below | _environment(os.environ, names) | above, path)


def _file(config: str | Path | None) -> tuple[Path | None, Layer]:
    named = config or os.environ.get("LLMSDK_CONFIG")
    found = None if named else project_file()
    chosen = named or found or user_file()
    if chosen is None:
        return None, {}
    path, content = toml.read(chosen)
    name = shown(path)
    data = toml.parse(content, name)
    lines = toml.lines(content.decode("utf-8-sig"))
    untrusted = path == found and not is_trusted(path, content)

    def source(key: Key) -> str:
        line = next((lines[key[:size]] for size in range(len(key), 0, -1) if key[:size] in lines), None)
        return f"{name}:{line}" if line else name

    return path, _layer(data, source, untrusted=untrusted)


# --- layers -----------------------------------------------------------------------------------------------------


def _layer(data: Mapping[str, Any], source: Any, *, untrusted: bool = False) -> Layer:
    """The settings of a file or mapping, one entry each, so that layers merge by ``|``."""
    layer: Layer = {}
    for section, value in data.items():
        if section not in SECTIONS:
            raise unknown((section,), SECTIONS, source((section,)))
        for key, item in _leaves((section,), value, source):
            layer[key] = _Value(item, source(key), untrusted)
    return layer


def _leaves(key: Key, value: Any, source: Any) -> Iterable[tuple[Key, Any]]:
    depth = {"default": 1, "providers": 3, "limits": 3}.get(key[0], 2)
    if len(key) == depth:
        yield key, value
        return
    if not isinstance(value, Mapping):
        table = ".".join((key[0], "NAME") if len(key) == 1 and depth == 3 else key)
        hint = f"Write [{toml.printable(table)}] on a line of its own, and its settings under it."
        raise ConfigError(
            f"{_place(source(key), key)}: must be a table, not {_kind(value)}", key=".".join(key), hint=hint
        )
    if key[0] == "providers" and len(key) == 2:
        yield key, None  # so that an empty table is known too
    for name, item in value.items():
        yield from _leaves((*key, str(name)), item, source)


def _environment(environ: Mapping[str, str], names: Iterable[str]) -> Layer:
    """The settings given by ``LLMSDK_*`` variables; ``names`` are the providers configured otherwise."""
    layer: Layer = {}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable.startswith(FOREIGN) or not environ[variable]:
            continue
        key = _variable_key(variable, names)
        if key:
            layer[key] = _Value(environ[variable], f"env {variable}")
            if key[0] == "providers":
                layer.setdefault(key[:2], _Value(None, f"env {variable}"))
        elif variable not in VARIABLES:
            _complain(variable)
    return layer


def _variable_key(variable: str, names: Iterable[str]) -> Key | None:
    if variable == "LLMSDK_MODEL":
        return ("default",)
    section, _, rest = variable.removeprefix(PREFIX).lower().partition("_")
    if section in FLAT and rest:
        return (section, rest)
    if section not in ("providers", "limits"):
        return None
    # "my_host_api_key" could be split in three places: a configured name decides, the longest first
    for name in sorted(names, key=len, reverse=True):
        prefix = re.sub(r"\W", "_", name).lower() + "_"
        if rest.startswith(prefix) and rest != prefix:
            return (section, name, rest.removeprefix(prefix))
    name, _, key = rest.partition("_")
    return (section, name, key) if name and key else None


def _complain(variable: str) -> None:
    options = {name.removeprefix(PREFIX): name for name in (*VARIABLES, *_section_variables())}
    near = nearest(variable.removeprefix(PREFIX), options)  # what all have in common makes none alike
    if near:
        raise ConfigError(f"env {variable}: unknown variable", hint=f"Did you mean {options[near]!r}?", key=variable)
    known = f"LLMSDK_MODEL, LLMSDK_CONFIG, {', '.join(f'LLMSDK_{name.upper()}_*' for name in FLAT)}, "
    known += "LLMSDK_LIMITS_<NAME>_<KEY> and LLMSDK_PROVIDERS_<NAME>_<KEY>"
    warnings.warn(f"env {variable} means nothing to llmsdk, which reads {known}", UserWarning, stacklevel=4)


def _section_variables() -> list[str]:
    tables: tuple[type[BaseModel], ...] = (_Budget, _Cache, _Circuit, _Ledger, _Retry, _Timeouts)
    named = zip(FLAT, tables, strict=True)
    return [f"LLMSDK_{name}_{key}".upper() for name, table in named for key in table.model_fields]


# --- from layers to Config --------------------------------------------------------------------------------------


def _assemble(layer: Layer, path: Path | None) -> Config:
    sources = {".".join(key): item.source for key, item in layer.items() if item.value is not None or len(key) == 3}
    retry = _section(_Retry, "retry", layer)
    replies = _section(_Cache, "cache", layer)
    timeouts = _section(_Timeouts, "timeouts", layer)
    circuit = _section(_Circuit, "circuit", layer)
    _section(_Ledger, "ledger", layer)
    models = {key[1]: _alias(key[1], item) for key, item in layer.items() if key[0] == "models"}
    default = layer.get(("default",))
    config = Config(
        default=_text(default) if default else None,
        models=models,
        providers=_providers(layer),
        retry=RetryPolicy(**retry.model_dump()),
        circuit=CircuitPolicy(**circuit.model_dump()),
        timeouts=Timeouts(**timeouts.model_dump()),
        limits=_limits(layer),
        cache=CachePolicy(replies.on, replies.ttl, replies.sampled, replies.namespace),
        cache_file=_written(layer, ("cache", "path"), path),
        cache_room=int(replies.megabytes * 2**20),
        budgets=_budgets(layer),
        ledger=_written(layer, ("ledger", "path"), path),
        sources=sources,
        path=path,
        untrusted=frozenset(".".join(key) for key, item in layer.items() if item.untrusted),
    )
    _check_targets(config)
    return config


def _section(table: type[M], name: str, layer: Layer) -> M:
    return _table(table, (name,), {key[1:]: item for key, item in layer.items() if key[0] == name})


def _table(table: type[M], key: Key, items: Layer) -> M:
    data = {".".join(name): item.value for name, item in items.items()}
    sources = {".".join((*key, *name)): item.source for name, item in items.items()}
    return validated(table, data, key, sources)


def _budgets(layer: Layer) -> tuple[Budget, ...]:
    if not any(key[0] == "budget" for key in layer):
        return ()
    table = _section(_Budget, "budget", layer)
    shares: list[tuple[str | None, _Share]] = [(None, table), *table.tags.items()]
    return tuple(share.budget(tag) for tag, share in shares if share.limits)


def _alias(name: str, item: _Value) -> ModelAlias:
    key = ("models", name)
    _check_name(key, _ALIAS, item.source)
    table = dict(item.value) if isinstance(item.value, Mapping) else {"model": item.value}
    models = table.pop("model", None)
    targets = (models,) if isinstance(models, str) else tuple(models) if isinstance(models, list | tuple) else ()
    if not targets or not all(isinstance(target, str) and target for target in targets):
        hint = f'Write {name} = "PROVIDER:MODEL", a list of those, or {{ model = "PROVIDER:MODEL", temperature = 0 }}.'
        raise ConfigError(f"{_place(item.source, key)}: names no model", hint=hint, key=".".join(key))
    return ModelAlias(name, targets, _options(key, table, item.source))


def _options(key: Key, table: dict[str, Any], source: str) -> dict[str, Any]:
    for name in table:
        if name not in FOR_ALIASES:
            raise unknown((*key, name), FOR_ALIASES | {"model"}, source)
    bias = table.get("logit_bias")
    if isinstance(bias, Mapping):  # TOML has no keys but strings
        table["logit_bias"] = {int(k) if str(k).isdecimal() else k: value for k, value in bias.items()}
    try:
        request_fields(table)
        call_settings({name: table[name] for name in table if name == "restart"}, CallSettings())
    except InputError as error:
        raise ConfigError(f"{_place(source, key)}: {error.message}", hint=error.hint, key=".".join(key)) from error
    return table


def _providers(layer: Layer) -> dict[str, dict[str, Any]]:
    tables: dict[str, dict[str, Any]] = {}
    for key, item in layer.items():
        if key[0] != "providers":
            continue
        _check_name(key[:2], _NAME, item.source)
        table = tables.setdefault(key[1], {})
        if len(key) == 3:
            table[key[2]] = _text(item, key) if key[2] == "kind" else item.value
    return tables


def _written(layer: Layer, key: Key, file: Path | None) -> Path | None:
    """A path that something is written to."""
    item = layer.get(key)
    if item is None:
        return None
    own = file is not None and item.source.startswith(f"{shown(file)}:")
    return writable(item.value, _place(item.source, key), file if own else None, trusted=not item.untrusted)


def _limits(layer: Layer) -> dict[str, Limits]:
    tables: dict[str, Layer] = {}
    for key, item in layer.items():
        if key[0] == "limits":
            _check_name(key[:2], _NAME, item.source)
            tables.setdefault(key[1], {})[key[2:]] = item
    return {name: Limits(**_table(_Limits, ("limits", name), table).model_dump()) for name, table in tables.items()}


def _text(item: _Value, key: Key = ("default",)) -> str:
    if isinstance(item.value, str) and item.value:
        return item.value
    hint = 'Write "PROVIDER:MODEL" or an alias.' if key == ("default",) else 'Such as "openai".'
    what = f"must be a string, not {_kind(item.value)}"
    raise ConfigError(f"{_place(item.source, key)}: {what}", hint=hint, key=".".join(key))


def _check_name(key: Key, pattern: re.Pattern[str], source: str) -> None:
    if not pattern.fullmatch(key[1]):
        hint = "Names are made of ASCII letters, digits, '-' and '_', and begin with a letter or digit."
        raise ConfigError(f"{source}: {key[0]}: {key[1]!r} is no name", hint=hint, key=".".join(key))


def _check_targets(config: Config) -> None:
    for alias in config.models.values():
        for target in alias.targets:
            _check_target(config, f"models.{alias.name}", target, (alias.name,))
    if config.default is not None:
        _check_target(config, "default", config.default, ())


def _check_target(config: Config, key: str, target: str, seen: Key) -> None:
    if target in seen:
        raise ConfigError(
            f"{_place(config.sources[key], key)}: {' -> '.join((*seen, target))} goes in a circle",
            key=key,
            hint="An alias must not lead back to itself.",
        )
    if target in config.models:
        for further in config.models[target].targets:
            _check_target(config, key, further, (*seen, target))
    elif ":" not in target:
        near = did_you_mean(target, config.models) or f'Write "PROVIDER:MODEL", such as "local:{target}".'
        raise ConfigError(f"{_place(config.sources[key], key)}: {target!r} is no alias", hint=near, key=key)


# --- words for errors -------------------------------------------------------------------------------------------


def validated(table: type[M], data: Mapping[str, Any], key: Key, sources: Mapping[str, str]) -> M:
    """``data`` as ``table``; a fault is a ``ConfigError`` with place and key that shows no value.

    Raises:
        ConfigError: an unknown key, or a value of the wrong kind.
    """
    try:
        return table.model_validate(dict(data))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    # raised out here, so that the error that quotes the input is not its __context__
    raise _fault(first, table, data, key, sources)


def _fault(
    error: ErrorDetails, table: type[BaseModel], data: Mapping[str, Any], key: Key, sources: Mapping[str, str]
) -> ConfigError:
    path: Key = key
    at: Any = data
    for part in error["loc"]:  # a step that is not in the data names a branch of a type
        if not (isinstance(at, Mapping) and part in at) and error["type"] != "missing":
            break
        path, at = (*path, str(part)), at.get(part) if isinstance(at, Mapping) else None
    source = next((sources[k] for size in range(len(path), 0, -1) if (k := ".".join(path[:size])) in sources), "")
    if error["type"] == "extra_forbidden":
        return unknown(path, (field.alias or name for name, field in table.model_fields.items()), source)
    what = "is required" if error["type"] == "missing" else error["msg"].removeprefix("Value error, ")
    what = what.replace("Input should be", "must be", 1)
    hint = "Correct it there; docs/config.md shows every key."
    return ConfigError(f"{_place(source, path)}: {what}", key=".".join(path), hint=hint)


def unknown(key: Key, known: Iterable[str], source: str) -> ConfigError:
    """The error for a key that nobody knows."""
    options = sorted(known)
    hint = did_you_mean(key[-1], options) or f"Known here: {', '.join(options)}."
    return ConfigError(f"{_place(source, key)}: unknown key", hint=hint, key=".".join(key))


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """``Did you mean ...?`` for the nearest option, or an empty string when none is near."""
    near = nearest(word, options)
    return f"Did you mean {near!r}?" if near else ""


def nearest(word: str, options: Iterable[str]) -> str | None:
    """The option most like ``word``, if any is."""
    by_lower = {option.lower(): option for option in options}
    near = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.7)
    return by_lower[near[0]] if near else None


def _place(source: str, key: Key | str) -> str:
    dotted = key if isinstance(key, str) else ".".join(key)
    return toml.printable(f"{source}: {dotted}" if source else dotted)


def _kind(value: Any) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "a table"}
    if value == "":
        return "an empty string"
    return names.get(type(value), f"a {type(value).__name__}")


__all__ = ["Config", "ModelAlias", "did_you_mean", "load", "validated"]
