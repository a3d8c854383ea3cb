"""The configuration as typed data, put together from its layers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from llmsdk import toml
from llmsdk.accounting.budget import Budget
from llmsdk.config.layers import Layer, Value, kind, of_environment, of_file, of_mapping
from llmsdk.config.tables import (
    ROOM,
    BudgetTable,
    CacheTable,
    CircuitTable,
    LedgerTable,
    LimitsTable,
    RetryTable,
    Share,
    TimeoutsTable,
)
from llmsdk.errors import ConfigError, InputError
from llmsdk.health import CircuitPolicy
from llmsdk.io import Timeouts
from llmsdk.limits import Limits
from llmsdk.options import ALIAS, TEXT, CallSettings, call_settings, request_fields
from llmsdk.pipeline import CachePolicy, RetryPolicy
from llmsdk.secret import kept, revealed
from llmsdk.settings import Settings, did_you_mean, placed, unknown, validated
from llmsdk.toml import Key
from llmsdk.trust import shown, writable

S = TypeVar("S", bound=Settings)

FOR_ALIASES = (TEXT | {"reasoning"} | ALIAS) - {"extra", "idempotency_key", "n", "echo"}
"""The options that an alias may set."""
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
        hint = 'Pass the path of a TOML file, or a mapping such as {"retry": {"attempts": 5}}.'
        what = f"config must be a path or a mapping, not {type(config).__name__}"
        raise InputError(what, argument="config", hint=hint)
    if isinstance(config, Mapping):
        above = of_mapping(config, lambda key: "config=")
    else:
        path, below = of_file(config)
    above |= of_mapping(overrides or {}, lambda key: "argument")
    names = {key[1] for key in (*below, *above) if key[0] in ("providers", "limits")}
    return _assemble(below | of_environment(names) | above, path)


def _assemble(layer: Layer, path: Path | None) -> Config:
    sources = {".".join(key): item.source for key, item in layer.items() if item.value is not None or len(key) == 3}
    retry = _section(RetryTable, "retry", layer)
    replies = _section(CacheTable, "cache", layer)
    timeouts = _section(TimeoutsTable, "timeouts", layer)
    circuit = _section(CircuitTable, "circuit", layer)
    _section(LedgerTable, "ledger", layer)
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
    table = _section(BudgetTable, "budget", layer)
    shares: list[tuple[str | None, Share]] = [(None, table), *table.tags.items()]
    return tuple(share.budget(tag) for tag, share in shares if share.limits)


def _alias(name: str, item: Value) -> ModelAlias:
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
    return {name: Limits(**vars(_table(LimitsTable, ("limits", name), table))) for name, table in tables.items()}


def _text(item: Value, key: Key = ("default",)) -> str:
    if isinstance(item.value, str) and item.value:
        return item.value
    hint = 'Write "PROVIDER:MODEL" or an alias.' if key == ("default",) else 'Such as "openai".'
    what = f"must be a string, not {kind(item.value)}"
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
