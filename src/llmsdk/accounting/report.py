"""Reading a ledger's file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from llmsdk.accounting.book import connect, dollars_of
from llmsdk.accounting.sums import By, Facts, Sums, grouped
from llmsdk.types import Usage

_COLUMNS = (
    "at", "provider", "model", "operation", "tags", "settled", "error", "seconds", "first_token", "queued",
    "input", "output", "cached", "written", "reasoning", "source", "usd",
)  # fmt: skip


def sums(path: Path, keys: tuple[By, ...], since: str = "") -> tuple[Sums, ...]:
    """What the settled attempts in a ledger's file come to, from the day ``since`` (``2026-11-29``) on."""
    query = (
        "SELECT day, provider, model, operation, tags, count(*), sum(input), sum(output), sum(cached), sum(written),"
        " sum(reasoning), min(source), max(source), sum(usd), sum(usd IS NULL) FROM attempts"
        " WHERE settled IS NOT NULL AND settled != 'none' AND day >= ? GROUP BY day, provider, model, operation, tags"
    )
    with closing(connect(path)) as connection:
        return grouped(map(_part, connection.execute(query, (since,))), keys)


def _part(row: tuple[Any, ...]) -> tuple[Facts, Sums]:
    day, provider, model, operation, tags, requests, *counts, least, most, usd, unpriced = row
    usage = replace(Usage(*counts), source="mixed" if least != most else least or "estimate")
    known = (day, provider, model, operation, tuple(json.loads(tags)))
    return known, Sums((), requests, usage, dollars_of(usd) if usd else Decimal(0), unpriced)


def attempts(path: Path, since: str = "") -> Iterator[dict[str, Any]]:
    """Every attempt in a ledger's file as plain data, in the order in which they were made."""
    query = f"SELECT {', '.join(_COLUMNS)} FROM attempts WHERE day >= ? ORDER BY number"  # noqa: S608 - words of ours
    with closing(connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        for row in connection.execute(query, (since,)):
            usd = row["usd"]
            yield {**dict(row), "tags": json.loads(row["tags"]), "usd": None if usd is None else str(dollars_of(usd))}
