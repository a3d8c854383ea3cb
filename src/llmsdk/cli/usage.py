"""``llmsdk usage``: what was used, from a ledger's file: a chart by day and tables, or CSV and JSON."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from llmsdk.accounting import report
from llmsdk.accounting.sums import By, Sums, checked
from llmsdk.cli.terminal import printable
from llmsdk.errors import ConfigError, InputError

BAR = 30
DAYS = 14
"""Days that the chart shows, the latest."""
FIELDS = ("requests", "input_tokens", "output_tokens", "cost_usd", "unpriced_requests")


def show(path: Path, keys: Sequence[str], since: str, form: str) -> None:
    """Print sums by ``keys``; without any a chart by day, and tables by model and tag."""
    chosen = checked(keys)
    if form == "json":
        print(json.dumps([_plain(chosen or ("day", "model"), each) for each in _sums(path, chosen, since)], indent=2))
    elif form == "csv":
        _csv(chosen or ("day", "model"), _sums(path, chosen, since))
    else:
        _page(path, chosen, since)


def _sums(path: Path, keys: tuple[By, ...], since: str) -> tuple[Sums, ...]:
    return report.sums(path, keys or ("day", "model"), since)


def ledger(named: Path | None, config: Path | None) -> Path:
    """The file to read.

    Raises:
        ConfigError: none is configured, or it is not there.
    """
    from llmsdk.config import load

    path = named or load(config).ledger
    if path is None:
        hint = 'Put path = "usage.db" under [ledger] in llmsdk.toml, or set LLMSDK_LEDGER_PATH.'
        raise ConfigError("no ledger is configured, so nothing was written down", hint=hint)
    if not path.is_file():
        hint = "It is made by the first client that has it configured. Another file: llmsdk usage --ledger FILE."
        raise ConfigError(f"there is no ledger {path} yet", hint=hint)
    return path


def first_day(since: str | None, now: datetime | None = None) -> str:
    """``7d``, ``today`` or ``2026-11-29`` as a day; an empty string for all.

    Raises:
        InputError: it is none of them.
    """
    today = now or datetime.now(UTC)
    if not since:
        return ""
    if since == "today":
        return today.strftime("%Y-%m-%d")
    if found := re.fullmatch(r"(\d{1,4})d", since):
        return (today - timedelta(days=max(0, int(found[1]) - 1))).strftime("%Y-%m-%d")
    try:
        return datetime.strptime(since, "%Y-%m-%d").replace(tzinfo=UTC).strftime("%Y-%m-%d")
    except ValueError:
        raise InputError(
            f"--since {since!r} is no day", argument="since", hint="Write 7d, today or 2026-11-29."
        ) from None


# --- for programs -----------------------------------------------------------------------------------------------


def _plain(keys: tuple[By, ...], sums: Sums) -> dict[str, Any]:
    usage = sums.usage
    figures = (sums.requests, usage.input_tokens, usage.output_tokens, f"{sums.cost:f}", sums.unpriced)
    return {**dict(zip(keys, sums.key, strict=True)), **dict(zip(FIELDS, figures, strict=True))}


def _csv(keys: tuple[By, ...], lines: Sequence[Sums]) -> None:
    writer = csv.DictWriter(sys.stdout, [*keys, *FIELDS], lineterminator="\n")
    writer.writeheader()
    writer.writerows(_plain(keys, line) for line in lines)


# --- for readers ------------------------------------------------------------------------------------------------


def _page(path: Path, keys: tuple[By, ...], since: str) -> None:
    console = Console(highlight=False)
    total = next(iter(report.sums(path, (), since)), Sums())
    console.print(f"[bold]{escape(path.name)}[/]  [dim]{escape(_in_short(total, since))}[/]", soft_wrap=True)
    if not total.requests:
        return
    if keys:
        console.print(table(keys, report.sums(path, keys, since)))
        return
    console.print()
    console.print(chart(report.sums(path, ("day",), since)[-DAYS:]))
    console.print()
    console.print(table(("model",), report.sums(path, ("model",), since)))
    tags = report.sums(path, ("tag",), since)
    if any(line.name for line in tags):
        console.print()
        console.print(table(("tag",), tags))


def _in_short(total: Sums, since: str) -> str:
    if not total.requests:
        return f"nothing{f' since {since}' if since else ' yet'}"
    parts = [f"{total.requests:,} requests", f"{_tokens(total)} tokens", _cost(total)]
    unknown = [f"{total.unpriced:,} of unknown price"] if total.unpriced else []
    return " · ".join([*parts, *unknown, *([f"since {since}"] if since else [])])


def chart(days: Sequence[Sums]) -> Table:
    """One bar a day: dollars, or tokens where nothing had a price."""
    dollars = any(day.cost for day in days)
    sizes = [day.cost if dollars else Decimal(day.usage.total_tokens or 0) for day in days]
    grid, most = Table.grid(padding=(0, 1)), max(sizes) or Decimal(1)
    for day, size in zip(days, sizes, strict=True):
        bar = "█" * max(int(size > 0), round(size / most * BAR))
        grid.add_row(
            f"[dim]{day.name}[/]", f"[cyan]{bar:<{BAR}}[/]", _cost(day) if dollars else f"{_tokens(day)} tokens"
        )
    return grid


def table(keys: tuple[By, ...], lines: Sequence[Sums]) -> Table:
    """One row a group, the dearest first unless they are days."""
    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for key in keys:
        shown.add_column(key, overflow="fold")
    for name in ("requests", "input", "output", "cost"):
        shown.add_column(name, justify="right", no_wrap=True)
    for line in lines if "day" in keys else sorted(lines, key=lambda each: (-each.cost, -each.requests)):
        names = [escape(printable(part)) or f"[dim](no {key})[/]" for key, part in zip(keys, line.key, strict=True)]
        usage = line.usage
        shown.add_row(
            *names, f"{line.requests:,}", _count(usage.input_tokens), _count(usage.output_tokens), _cost(line)
        )
    return shown


def _tokens(line: Sums) -> str:
    return _count((line.usage.input_tokens or 0) + (line.usage.output_tokens or 0))


def _count(tokens: int | None) -> str:
    return "?" if tokens is None else f"{tokens:,}"


def _cost(line: Sums) -> str:
    """Dollars; ``+ ?`` where some are not known, ``?`` where none are."""
    if line.unpriced and line.unpriced == line.requests:
        return "?"
    digits = 2 if line.cost == 0 or line.cost >= 1 else 4 if line.cost >= Decimal("0.01") else 6
    return f"${line.cost:,.{digits}f}{' + ?' if line.unpriced else ''}"
