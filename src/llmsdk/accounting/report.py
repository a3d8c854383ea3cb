"""Reading a ledger's file, of any version."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from llmsdk.accounting import tables
from llmsdk.accounting.sums import By, Facts, Sums, grouped
from llmsdk.errors import ConfigError
from llmsdk.io.sqlite import Database
from llmsdk.types import Usage

PATIENCE = 30.0
"""Seconds to wait for whoever has the file for himself. Those who write hold no reader up."""
_COLUMNS = (
    "at", "provider", "model", "operation", "tags", "idempotency_key", "settled", "error", "seconds", "first_token",
    "queued", "input", "output", "cached", "written", "reasoning", "source", "usd", "hit", "saved_input",
    "saved_output",
)  # fmt: skip
_PAGE = 1000
_HALF = 10**6
"""Dollars are summed up in two parts, each of which is far from what SQLite can hold."""


def sums(path: Path, keys: tuple[By, ...], since: str = "") -> tuple[Sums, ...]:
    """What the settled attempts in a ledger's file come to, from the day ``since`` (``2026-11-29``) on.

    Raises:
        ConfigError: it is no ledger, or cannot be read.
    """
    with _reading(path) as (connection, rows):
        query = (
            "SELECT day, provider, model, operation, tags, count(*), sum(input), sum(output), sum(cached),"  # noqa: S608
            " sum(written), sum(reasoning), min(source), max(source), sum(usd / :half), sum(usd % :half),"
            f" sum(usd IS NULL) FROM {rows} WHERE settled IS NOT NULL AND settled != 'none' AND hit IS NOT 1"
            " AND day >= :since GROUP BY day, provider, model, operation, tags"
        )
        return grouped(map(_part, connection.execute(query, {"since": since, "half": _HALF})), keys)


def _part(row: tuple[Any, ...]) -> tuple[Facts, Sums]:
    day, provider, model, operation, tags, requests, *counts, least, most, upper, lower, unpriced = row
    usage = replace(Usage(*counts), source="mixed" if least != most else least or "estimate")
    known = (day, provider, model, operation, tuple(json.loads(tags)))
    usd = (upper or 0) * _HALF + (lower or 0)
    return known, Sums((), requests, usage, tables.dollars_of(usd) if usd else Decimal(0), unpriced)


def attempts(path: Path, since: str = "") -> Iterator[dict[str, Any]]:
    """Every attempt in a ledger's file as plain data, in the order in which they were made.

    Raises:
        ConfigError: see ``sums``.
    """
    last = 0
    while page := _page(path, since, last):  # nothing is held between pages
        yield from (_plain(row) for _, *row in page)
        last = page[-1][0]


def _page(path: Path, since: str, last: int) -> list[tuple[Any, ...]]:
    with _reading(path) as (connection, rows):
        names = ", ".join(("number", *_COLUMNS))
        query = f"SELECT {names} FROM {rows} WHERE day >= ? AND number > ? ORDER BY number LIMIT {_PAGE}"  # noqa: S608
        return connection.execute(query, (since, last)).fetchall()


def _plain(values: Sequence[Any]) -> dict[str, Any]:
    row = dict(zip(_COLUMNS, values, strict=True))
    usd = None if row["usd"] is None else str(tables.dollars_of(row["usd"]))
    return {**row, "tags": json.loads(row["tags"]), "usd": usd, "hit": bool(row["hit"])}


@contextmanager
def _reading(path: Path) -> Iterator[tuple[sqlite3.Connection, str]]:
    """A connection, and what to select from: the attempts, with nothing in columns that an older file lacks."""
    database = Database(path, partial(_check, path), patience=PATIENCE, make=False)
    try:
        with database.connection() as connection:
            there = {name for _, name, *_ in connection.execute("PRAGMA table_info(attempts)")}
            lacks = "".join(f", NULL AS {name}" for name in _COLUMNS if name not in there)
            yield connection, f"(SELECT *{lacks} FROM attempts)"  # noqa: S608 - words of ours
    except (sqlite3.Error, OSError) as error:
        hint = "Look after the file and its folder, or name another."
        raise ConfigError(f"the ledger {path} cannot be read: {error}", hint=hint, key="ledger.path") from None
    finally:
        database.close()


def _check(path: Path, connection: sqlite3.Connection) -> None:
    if not tables.version(connection, path):
        raise ConfigError(f"ledger.path: {path} is not a ledger", hint="Name another file.", key="ledger.path")
