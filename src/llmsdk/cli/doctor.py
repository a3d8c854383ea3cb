"""What is configured, where it came from, and what is installed. Never a secret: only that one is set, and where."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from llmsdk.cli.terminal import printable
from llmsdk.cli.words import in_shell
from llmsdk.errors import LLMError, MissingExtra
from llmsdk.secret import Secret

EXTRAS: dict[str, tuple[str, ...]] = {
    "local": ("torch", "transformers"),
    "openai": ("tiktoken",),
    "bedrock": ("botocore",),
    "cli": ("typer", "rich"),
}
CORE = ("httpx2", "pydantic", "anyio", "tenacity")
NEEDS_EXTRA = frozenset({"local"})
"""Providers that do nothing without the extra of their name; for others it only adds something."""
PLAIN = frozenset({"kind", "device", "dtype", "quantize", "organization", "project", "ca_bundle"})
"""String settings that are shown as they are; any other might be a secret."""

Row = tuple[str, str, str]


def report(path: Path | None, models: Iterable[str] = ()) -> int:
    """Print everything. 0; 1 where a provider that is configured cannot be used; 2 where the configuration is broken.

    A provider is configured that has a table, or that ``default``, an alias or ``models`` names. One that is only
    installed may lack its key.
    """
    console = Console(highlight=False)
    _section(console, "installed", _installed())
    try:
        from llmsdk.config import load
        from llmsdk.registry import Registry

        config = load(path)
        registry = Registry(config)
        _section(console, "configuration", _settings(config))
    except LLMError as error:
        _section(console, "configuration", [("[red]broken[/]", escape(printable(error.message)), "")])
        console.print(f"[dim]{escape(printable(in_shell(error)[1]))}[/]")
        return 2
    return _report_providers(console, registry, _wanted(config, models))


def _report_providers(console: Console, registry: Any, wanted: Mapping[str, Sequence[str]]) -> int:
    names = sorted({*(item.name for item in registry.installed()), *wanted})
    faults = {name: fault for name in names if (fault := _fault(registry, name, wanted.get(name, ())))}
    rows = (_provider(registry, name, faults.get(name), name in wanted) for name in names)
    _section(console, "providers", rows)
    usable = {name: models for name, models in wanted.items() if name not in faults}
    if described := list(_models(registry, usable)):
        _section(console, "models", described)
    broken = {name: fault for name, fault in faults.items() if name in wanted}
    if broken:
        _section(console, "to be mended", _mending(broken))
    return 1 if broken else 0


def _section(console: Console, title: str, rows: Any) -> None:
    table = Table.grid(padding=(0, 2), expand=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(style="dim", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(f"\n[bold cyan]{title}[/]")
    console.print(table)


def _installed() -> Iterator[Row]:
    yield "llmsdk", version("llmsdk"), ""
    yield "python", f"{platform.python_version()}, {platform.system()} {platform.machine()}", ""
    yield "core", ", ".join(_versions(CORE)), ""
    for extra, names in EXTRAS.items():
        missing = [name for name in names if _version(name) is None]
        hint = escape(f'pip install "llmsdk[{extra}]"') if missing else ""
        yield escape(f"[{extra}]"), ", ".join(_versions(names)), hint
    yield "device", _device(), ""


def _versions(names: tuple[str, ...]) -> list[str]:
    return [f"{name} {_version(name) or '[yellow]missing[/]'}" for name in names]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _device() -> str:
    if _version("torch") is None:
        return "unknown without torch"
    try:
        import torch
    except (ImportError, OSError) as error:  # a broken installation is what doctor is for
        return f"[red]torch cannot be imported: {escape(str(error))}[/]"
    if not torch.cuda.is_available():
        return f"cpu, {torch.get_num_threads()} threads"
    names = (torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count()))
    return escape(", ".join(f"{device.name}, {device.total_memory / 2**30:.0f} GiB" for device in names))


def _settings(config: Any) -> Iterator[Row]:
    trusted = "not trusted with keys: see `llmsdk trust`" if config.untrusted else ""
    yield "file", escape(str(config.path or "none found")), f"[yellow]{trusted}[/]" if trusted else ""
    yield "default", escape(config.default or "none"), escape(config.sources.get("default", ""))
    for alias in config.models.values():
        yield escape(f"models.{alias.name}"), escape(str(alias)), _source(config, f"models.{alias.name}")
    for section in ("retry", "timeouts", "circuit"):
        values = getattr(config, section)
        for key in getattr(values, "_fields", None) or values.__slots__:
            dotted = f"{section}.{key}"
            yield dotted, str(getattr(values, key)), _source(config, dotted) or "default"
    yield from _unless_default(config)
    for name, table in config.providers.items():
        for key, value in table.items():
            if key != "api_key":
                dotted = f"providers.{name}.{key}"
                yield escape(dotted), escape(shown(key, value)), _source(config, dotted)


def _unless_default(config: Any) -> Iterator[Row]:
    """Settings that mean nothing until somebody sets them."""
    cache, limits = config.cache, config.limits.items()
    values = {
        **{f"cache.{key}": getattr(cache, key) for key in ("on", "ttl", "sampled", "namespace")},
        "cache.path": config.cache_file,
        "cache.megabytes": config.cache_room / 2**20,
        **{f"limits.{name}.{key}": value for name, table in limits for key, value in table._asdict().items()},
        "ledger.path": config.ledger,
    }
    for dotted, value in values.items():
        if dotted in config.sources:
            yield escape(dotted), escape(printable(str(value))), _source(config, dotted)
    for budget in config.budgets:
        set_by = ("budget.tags",) if budget.tag is not None else ("budget.usd", "budget.tokens", "budget.requests")
        source = next((_source(config, key) for key in set_by if key in config.sources), "")
        yield "budget", escape(printable(repr(budget))), source


def _source(config: Any, key: str) -> str:
    return escape(printable(config.sources.get(key, "")))


def shown(key: str, value: Any) -> str:
    """A setting in words that hold no secret."""
    match value:
        case bool() | int() | float() | None:
            return str(value)
        case str() if key in PLAIN:
            return printable(value)
        case str() if key in ("base_url", "proxy"):
            return _address(value)
        case Secret() if key in ("base_url", "proxy"):
            return _address(value.reveal())
        case {"env": str(variable)}:
            return f"{'set' if os.environ.get(variable) else 'not set'} (from env {printable(variable)})"
        case Mapping():
            return f"set ({', '.join(printable(str(name)) for name in value)})"
        case _:
            return "set"


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "set, but no URL"
    secret = "…@" if parts.username or parts.password else ""
    return printable(f"{parts.scheme}://{secret}{parts.hostname or ''}{port}{parts.path}")


# --- providers --------------------------------------------------------------------------------------------------


def _wanted(config: Any, models: Iterable[str]) -> dict[str, list[str]]:
    """The providers that are configured, each with the models that ``default``, aliases and ``models`` name of it."""
    wanted: dict[str, list[str]] = {name: [] for name in config.providers}
    targets = (target for alias in config.models.values() for target in alias.targets)
    for target in dict.fromkeys((config.default, *targets, *models)):
        if target is not None and target not in config.models:
            name, _, model = target.partition(":")
            wanted.setdefault(name, []).append(model)
    return wanted


def _fault(registry: Any, name: str, models: Iterable[str]) -> LLMError | None:
    """What keeps a provider, or one of these models of it, from being used. Nothing is loaded or sent."""
    kind = registry.config.providers.get(name, {}).get("kind", name)
    try:
        if kind in NEEDS_EXTRA and not all(map(_version, EXTRAS[kind])):
            raise MissingExtra(kind, needed_for=f"the provider {name!r}")
        provider = registry.provider(name)
        for model in models:
            provider.capabilities(model)
            _described(provider, model)
    except LLMError as error:
        return error
    return None


def _models(registry: Any, wanted: Mapping[str, Sequence[str]]) -> Iterator[Row]:
    """How each model would run, of providers that say so."""
    for name, models in wanted.items():
        for model in models:
            if told := _described(registry.provider(name), model):
                yield escape(printable(f"{name}:{model}")), escape(printable(told)), ""


def _described(provider: Any, model: str) -> str | None:
    from llmsdk.provider import Describes

    return provider.describe(model) if isinstance(provider, Describes) else None


def _provider(registry: Any, name: str, fault: LLMError | None, wanted: bool) -> Row:
    installed = {item.name: item.origin for item in registry.installed()}
    kind = registry.config.providers.get(name, {}).get("kind", name)
    origin = installed.get(kind, "given by path" if ":" in kind else "not installed")
    state = _ready(registry, name) if fault is None else _unready(fault, wanted)
    return escape(name), state, escape(origin if kind == name else f"kind {kind}, {origin}")


def _unready(fault: LLMError, wanted: bool) -> str:
    return f"[{'red' if wanted else 'dim'}]{escape(printable(fault.message))}[/]"


def _ready(registry: Any, name: str) -> str:
    source = registry.key_source(name)
    return f"[green]ready[/], key set (from {escape(source)})" if source else "[green]ready[/], needs no key"


def _mending(broken: Mapping[str, LLMError]) -> Iterator[Row]:
    for name, fault in broken.items():
        message, hint = in_shell(fault)
        yield f"[red]{escape(name)}[/]", escape(printable(message)), ""
        if hint:
            yield "", f"[dim]{escape(printable(hint))}[/]", ""
