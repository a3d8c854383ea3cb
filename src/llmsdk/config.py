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
from pathlib import Path
from typing import Any, Literal, TypeVar

from llmsdk import toml
from llmsdk.accounting.budget import Budget, Period
from llmsdk.errors import ConfigError, InputError, brief
from llmsdk.health import CircuitPolicy
from llmsdk.io import Timeouts
from llmsdk.limits import Limits
from llmsdk.options import ALIAS, TEXT, CallSettings, call_settings, request_fields
from llmsdk.pipeline import CachePolicy, RetryPolicy
from llmsdk.secret import kept, revealed
from llmsdk.settings import Settings, did_you_mean, keys, nearest, placed, setting, unknown, validated
from llmsdk.toml import Key
from llmsdk.trust import is_trusted, project_file, shown, user_file, writable

S = TypeVar("S", bound=Settings)

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
    """A name for one or more models. ``options`` are defaults for every call."""

    name: str
    targets: tuple[str, ...]
    """Tried in order; or, with ``spread``, equal, so that whoever is freest is asked."""
    options: Mapping[str, Any] = field(default_factory=dict)
    spread: bool = False

    def __str__(self) -> str:
        options = "".join(f", {name} = {value!r}" for name, value in self.options.items())
        return (" | " if self.spread else " > ").join(self.targets) + options


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


_RETRY, _TIMEOUTS, _CACHE, _CIRCUIT = RetryPolicy(), Timeouts(), CachePolicy(), CircuitPolicy()
FOR_ALIASES = (TEXT | {"reasoning"} | ALIAS) - {"extra", "idempotency_key", "n", "echo"}
"""The options that an alias may set."""


def _wait(default: float) -> Any:
    return setting(default, ge=0, allow_inf_nan=False)


def _seconds(default: float | None) -> Any:
    return setting(default, gt=0, check=_unlimited)


def _named(tags: dict[str, Any]) -> dict[str, Any]:
    if "" in tags:
        raise ValueError("an empty string is no tag")
    return tags


class _Retry(Settings):
    attempts: int = setting(_RETRY.attempts, ge=1, le=100)
    base: float = _wait(_RETRY.base)
    cap: float = _wait(_RETRY.cap)
    unknown: bool = _RETRY.unknown
    patience: float = _wait(_RETRY.patience)


class _Circuit(Settings):
    failures: int = setting(_CIRCUIT.failures, ge=0)
    cooldown: float = setting(_CIRCUIT.cooldown, gt=0, allow_inf_nan=False)
    key_cooldown: float = setting(_CIRCUIT.key_cooldown, gt=0, allow_inf_nan=False)


class _Timeouts(Settings):
    connect: float | None = _seconds(_TIMEOUTS.connect)
    first_token: float | None = _seconds(_TIMEOUTS.first_token)
    idle: float | None = _seconds(_TIMEOUTS.idle)
    total: float | None = _seconds(_TIMEOUTS.total)


class _Cache(Settings):
    on: bool = _CACHE.on
    path: str | None = setting(None, min_length=1)
    ttl: float | None = _seconds(_CACHE.ttl)
    sampled: bool = _CACHE.sampled
    namespace: str = _CACHE.namespace
    megabytes: float = setting(ROOM / 2**20, gt=0, le=1e6)


class _Limits(Settings):
    rpm: int | None = setting(None, ge=1)
    tpm: int | None = setting(None, ge=1)
    concurrency: int | None = setting(None, ge=1)


class _Share(Settings):
    usd: Decimal | None = setting(None, ge=0, allow_inf_nan=False)
    tokens: int | None = setting(None, ge=0)
    requests: int | None = setting(None, ge=0)
    per: Period | None = None
    unpriced: Literal["refuse", "allow"] = "refuse"

    @property
    def limits(self) -> bool:
        return any(limit is not None for limit in (self.usd, self.tokens, self.requests))

    def budget(self, tag: str | None = None) -> Budget:
        return Budget(
            self.usd, tokens=self.tokens, requests=self.requests, per=self.per, tag=tag, unpriced=self.unpriced
        )


class _Budget(_Share):
    tags: dict[str, _Share] = setting(factory=dict, check=_named)


class _Ledger(Settings):
    path: str | None = setting(None, min_length=1)


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
    deep = toml.is_deep((config, overrides))
    config, overrides = (None, None) if deep else (kept(config), kept(overrides))
    if deep:
        raise ConfigError("config=: nested too deeply", hint=f"No setting has more than {toml.DEEPEST} levels.")
    if not isinstance(config, str | Path | Mapping | None):
        raise InputError(f"config must be a path or a mapping, not {type(config).__name__}", argument="config")
    if isinstance(config, Mapping):
        above = _layer(config, lambda key: "config=")
    else:
        path, below = _file(config)
    above |= _layer(overrides or {}, lambda key: "argument")
    names = {key[1] for key in (*below, *above) if key[0] in ("providers", "limits")}
    return _assemble(below | _environment(names) | above, path)


def _file(config: str | Path | None) -> tuple[Path | None, Layer]:
    named = config or os.environ.get("LLMSDK_CONFIG")
    found = None if named else project_file()
    chosen = named or found or user_file()
    if chosen is None:
        return None, {}
    path, content = toml.read(chosen)
    name = shown(path)
    data = kept(toml.parse(content, name))
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
    for name, value in data.items():
        section = _word(name)
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
            f"{placed(source(key), key)}: must be a table, not {_kind(value)}", key=".".join(key), hint=hint
        )
    if key[0] == "providers" and len(key) == 2:
        yield key, None  # so that an empty table is known too
    for name, item in value.items():
        yield from _leaves((*key, _word(name)), item, source)


def _word(name: Any) -> str:
    """A name in a mapping, which in Python may be anything."""
    return name if isinstance(name, str) else brief(name)


def _environment(names: Iterable[str]) -> Layer:
    """The settings given by ``LLMSDK_*`` variables; ``names`` are the providers configured otherwise."""
    layer: Layer = {}
    for variable in sorted(os.environ):
        if not variable.startswith(PREFIX) or variable.startswith(FOREIGN) or not os.environ[variable]:
            continue
        key = _variable_key(variable, names)
        if key:
            layer[key] = _Value(kept(os.environ[variable], key[-1]), f"env {variable}")
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
    tables: tuple[type[Settings], ...] = (_Budget, _Cache, _Circuit, _Ledger, _Retry, _Timeouts)
    named = zip(FLAT, tables, strict=True)
    return [f"LLMSDK_{name}_{key}".upper() for name, table in named for key in keys(table)]


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
        retry=RetryPolicy(**vars(retry)),
        circuit=CircuitPolicy(**vars(circuit)),
        timeouts=Timeouts(**vars(timeouts)),
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


def _section(table: type[S], name: str, layer: Layer) -> S:
    return _table(table, (name,), {key[1:]: item for key, item in layer.items() if key[0] == name})


def _table(table: type[S], key: Key, items: Layer) -> S:
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
    if "spread" in table:
        members = _members((*key, "spread"), table.pop("spread"), item.source)
        return ModelAlias(name, members, _options(key, table, item.source), spread=True)
    models = table.pop("model", None)
    targets = (models,) if isinstance(models, str) else tuple(models) if isinstance(models, list | tuple) else ()
    if not targets or not all(isinstance(target, str) and target for target in targets):
        hint = f'Write {name} = "PROVIDER:MODEL", a list of those, or {{ model = "PROVIDER:MODEL", temperature = 0 }}.'
        raise ConfigError(f"{placed(item.source, key)}: names no model", hint=hint, key=".".join(key))
    return ModelAlias(name, targets, _options(key, table, item.source))


def _members(key: Key, value: Any, source: str) -> tuple[str, ...]:
    """The models that share an alias's questions."""
    members = tuple(value) if isinstance(value, list | tuple) else ()
    place, dotted = placed(source, key), ".".join(key)
    if not members:
        hint = 'Write spread = ["PROVIDER:MODEL", "OTHER:MODEL"]: each question goes to the one that is freest.'
        raise ConfigError(f"{place}: names no models", hint=hint, key=dotted)
    for number, member in enumerate(members):
        if not isinstance(member, str) or ":" not in member:
            hint = 'Write "PROVIDER:MODEL"; aliases cannot stand here, since what they stand for may differ.'
            raise ConfigError(f"{place}: {member!r} is no model of a provider", hint=hint, key=dotted)
        if member in members[:number]:
            raise ConfigError(f"{place}: {member!r} stands there twice", hint="Each of them once.", key=dotted)
    return members


def _options(key: Key, table: dict[str, Any], source: str) -> dict[str, Any]:
    for name in table:
        if name not in FOR_ALIASES:
            if name == "model":
                hint = "Keep one: those of model are tried in order, those of spread are equal."
                raise ConfigError(f"{placed(source, key)}: has both model and spread", hint=hint, key=".".join(key))
            raise unknown((*key, name), FOR_ALIASES | {"model", "spread"}, source)
    bias = table.get("logit_bias")
    if isinstance(bias, Mapping):  # TOML has no keys but strings
        table["logit_bias"] = {int(k) if str(k).isdecimal() else k: value for k, value in bias.items()}
    try:
        request_fields(table)
        call_settings({name: table[name] for name in ALIAS & table.keys()}, CallSettings())
    except InputError as error:
        raise ConfigError(f"{placed(source, key)}: {error.message}", hint=error.hint, key=".".join(key)) from error
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
    return writable(revealed(item.value), placed(item.source, key), file if own else None, trusted=not item.untrusted)


def _limits(layer: Layer) -> dict[str, Limits]:
    tables: dict[str, Layer] = {}
    for key, item in layer.items():
        if key[0] == "limits":
            _check_name(key[:2], _NAME, item.source)
            tables.setdefault(key[1], {})[key[2:]] = item
    return {name: Limits(**vars(_table(_Limits, ("limits", name), table))) for name, table in tables.items()}


def _text(item: _Value, key: Key = ("default",)) -> str:
    if isinstance(item.value, str) and item.value:
        return item.value
    hint = 'Write "PROVIDER:MODEL" or an alias.' if key == ("default",) else 'Such as "openai".'
    what = f"must be a string, not {_kind(item.value)}"
    raise ConfigError(f"{placed(item.source, key)}: {what}", hint=hint, key=".".join(key))


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
            f"{placed(config.sources[key], key)}: {' -> '.join((*seen, target))} goes in a circle",
            key=key,
            hint="An alias must not lead back to itself.",
        )
    if target in config.models:
        for further in config.models[target].targets:
            _check_target(config, key, further, (*seen, target))
    elif ":" not in target:
        near = did_you_mean(target, config.models) or f'Write "PROVIDER:MODEL", such as "local:{target}".'
        raise ConfigError(f"{placed(config.sources[key], key)}: {target!r} is no alias", hint=near, key=key)


# --- words for errors -------------------------------------------------------------------------------------------


def _kind(value: Any) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "a table"}
    if value == "":
        return "an empty string"
    return names.get(type(value), f"a {type(value).__name__}")


__all__ = ["Config", "ModelAlias", "load"]
