"""Results and listings that are more than a text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from llmsdk.cli.terminal import about, printable
from llmsdk.errors import ConfigError
from llmsdk.results import Answer, Classification

BAR = 24


def evidence(result: Answer, names: list[str], texts: list[str]) -> None:
    """Where an answer stands in the documents, by file and line, or that they do not hold it."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if result.answerable is False:
        console.print("[yellow]The documents do not answer this.[/]")
    if console.is_terminal:
        for item in result.evidence:
            line = texts[item.source].count("\n", 0, item.start) + 1
            place = f"{names[item.source]}:{line}"
            console.print(f"[dim]“{escape(printable(item.quote))}” ({escape(place)})[/]")


def classification(result: Classification[Any]) -> None:
    """The labels for a script, all scores for a reader at a terminal."""
    if not sys.stdout.isatty():
        print("\n".join(result.labels))
        return
    Console(highlight=False).print(scores(result))
    about(result)


def scores(result: Classification[Any]) -> Table:
    """One bar a label, the most probable first; those that were chosen stand out."""
    table = Table.grid(padding=(0, 1))
    for label, score in sorted(result.scores.items(), key=lambda item: -item[1]):
        style = "bold green" if label in result.labels else "dim"
        table.add_row(escape(str(label)), f"{'━' * max(1, round(score * BAR))}", f"{score:.3f}", style=style)
    return table


def models(provider: str | None, config: Path | None) -> None:
    """The models of one provider, one a line; without one, what names can be used."""
    if provider is None:
        _names(config)
        return
    from llmsdk import Client

    with Client(config=config) as client:
        for model in client.models(provider):
            print(f"{provider}:{model.id}" + (f"\t{model.context}" if model.context else ""))


def _names(config: Path | None) -> None:
    from llmsdk.config import load
    from llmsdk.registry import Registry

    loaded = load(config)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_row("default", escape(loaded.default or "none"))
    for alias in loaded.models.values():
        table.add_row("alias", escape(alias.name), escape(str(alias)))
    installed = {item.name: item.origin for item in Registry(loaded).installed()}
    for name in sorted({*installed, *loaded.providers}):
        kind = loaded.providers.get(name, {}).get("kind", name)
        origin = installed.get(name, "not installed") if kind == name else f"kind {kind}"
        table.add_row("provider", f"{escape(name)}:MODEL", f"[dim]{escape(origin)}[/]")
    console = Console(highlight=False)
    console.print(table)
    console.print("[dim]llmsdk models PROVIDER asks that provider for its models.[/]")


def trust_file(path: Path | None) -> None:
    """Show what a file sets for providers, and trust it.

    Raises:
        ConfigError: there is none, or it is broken.
    """
    from llmsdk.config import load
    from llmsdk.trust import PROJECT_FILE, project_file, trust

    path = path or project_file()
    if path is None:
        raise ConfigError(f"no {PROJECT_FILE} here or above, up to the repository's root", hint="Name the file.")
    path = path / PROJECT_FILE if path.is_dir() else path
    if not path.is_file():
        hint = f"Give the path of an {PROJECT_FILE}, or nothing to take the one found from here."
        raise ConfigError(f"{path}: there is no such file", hint=hint)
    loaded = load(path)
    console = Console(highlight=False, soft_wrap=True)
    for key, source in sorted(loaded.sources.items()):
        if key.startswith("providers.") and not source.startswith("env "):
            console.print(f"{escape(printable(key))} [dim]({escape(source)})[/]")
    digest = trust(path)
    console.print(f"Trusted until it changes: {escape(str(path.resolve()))} [dim](sha256 {digest[:12]}…)[/]")
