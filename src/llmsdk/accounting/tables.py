"""What stands in a ledger's file, and each thing that is done to it inside a transaction.

``attempts`` has a row for each attempt, ``sums`` what each day and tag comes to, reservations included, and ``writers``
gives out the numbers by which ``Living`` knows who is alive. No prompt and no reply comes in here.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable
from decimal import ROUND_UP, Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from llmsdk.accounting.budget import NOTHING, Amount, Budget, day_of, used
from llmsdk.errors import ConfigError
from llmsdk.io.sqlite import transaction
from llmsdk.results import Attempt
from llmsdk.types import Usage

MARK = 0x6C6C6D73
"""``application_id`` of such a file."""
STEPS = (
    """
CREATE TABLE writers (id INTEGER PRIMARY KEY AUTOINCREMENT);
CREATE TABLE attempts (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE, writer INTEGER NOT NULL, at REAL NOT NULL, day TEXT NOT NULL,
  provider TEXT NOT NULL, model TEXT NOT NULL, operation TEXT NOT NULL, tariff TEXT, tags TEXT NOT NULL,
  held_tokens INTEGER NOT NULL, held_usd INTEGER NOT NULL,
  settled TEXT, error TEXT, seconds REAL, first_token REAL, queued REAL,
  input INTEGER, output INTEGER, cached INTEGER, written INTEGER, reasoning INTEGER, source TEXT, usd INTEGER);
CREATE INDEX attempts_open ON attempts (writer) WHERE settled IS NULL;
CREATE INDEX attempts_day ON attempts (day);
CREATE TABLE sums (
  day TEXT, tag TEXT, usd INTEGER NOT NULL, tokens INTEGER NOT NULL, requests INTEGER NOT NULL, PRIMARY KEY (day, tag));
""",
    """
ALTER TABLE attempts ADD COLUMN idempotency_key TEXT;
ALTER TABLE attempts ADD COLUMN hit INTEGER;
ALTER TABLE attempts ADD COLUMN saved_input INTEGER;
ALTER TABLE attempts ADD COLUMN saved_output INTEGER;
""",
)
"""What leads from one version to the next; ``user_version`` is how many of them a file has seen.

To add a column, append a step, and put its value into ``_opened`` or ``_closed``.
"""
PICO = Decimal(10) ** 12
"""Dollars are stored as whole trillionths, rounded up, so that sums are exact."""
MOST, MOST_PICO, FULL = 10**15, 10**17, 9 * 10**18
"""What a count, the dollars of an attempt and a sum may come to, lest a mad figure overflow the table: what is more
stands as that much."""
DIED = "ProcessDied"
"""The error of a row that a process left open."""


def prepare(path: Path) -> Callable[[sqlite3.Connection], None]:
    """What lays out a file, or brings it up to date.

    Raises, when it is called:
        ConfigError: the file is none of ours, or of a newer version.
    """

    def prepared(connection: sqlite3.Connection) -> None:
        if version(connection, path) < len(STEPS):
            with transaction(connection):
                for step in STEPS[version(connection, path) :]:  # others may just have done it
                    for statement in step.split(";"):
                        connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {MARK}")
                connection.execute(f"PRAGMA user_version = {len(STEPS)}")

    return prepared


def version(connection: sqlite3.Connection, path: Path) -> int:
    """The version of a file; 0 of one that is empty.

    Raises:
        ConfigError: see ``prepare``.
    """
    try:
        (mark,) = connection.execute("PRAGMA application_id").fetchone()
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        if "not a database" not in str(error):
            raise
        mark, found, tables = 0, 0, 1
    if mark != MARK and tables:
        hint = "Name a file of its own."
        raise ConfigError(f"ledger.path: {path} is not a ledger", hint=hint, key="ledger.path")
    if mark == MARK and found > len(STEPS):
        hint = "Update llmsdk, or name another file."
        raise ConfigError(f"ledger.path: {path} was written by a newer llmsdk", hint=hint, key="ledger.path")
    return int(found) if mark == MARK else 0


def enlist(connection: sqlite3.Connection) -> int:
    """A number for a new writer, which none has in this file, nor in one that stood here before."""
    number = int.from_bytes(os.urandom(6))
    connection.execute("INSERT INTO writers VALUES (?)", (number,))
    return number


# --- rows -------------------------------------------------------------------------------------------------------


def insert(connection: sqlite3.Connection, row: Attempt, held: Amount, writer: int) -> None:
    """A row of an attempt that is about to be sent; nothing, where it stands already."""
    values = _opened(row, held, writer)
    if connection.execute(_insertion(tuple(values)), values).rowcount:
        _add(connection, row, _pico(held.usd), _whole(held.tokens), held.requests)


def settle(connection: sqlite3.Connection, row: Attempt, held: Amount, writer: int, *, whole: bool) -> None:
    """Give a row its end, once, and correct the sums by what it used less than was reserved, or more.

    A row that somebody took for one of the dead has its true end now. One that is not there is written if ``whole``.
    """
    usage = row.usage if row.settled != "none" else None
    cost = row.cost
    spent = used(held, cost, row.settled or "none", usage)
    usd = _pico(spent.usd if held.usd else cost or NOTHING.usd)
    end = _closed(row, cost, usage)
    if connection.execute(_ending(tuple(end)), {"id": row.id, "died": DIED, **end}).rowcount:
        tokens = _whole(spent.tokens) - _whole(held.tokens)
        _add(connection, row, usd - _pico(held.usd), tokens, spent.requests - held.requests)
    elif whole:
        values = {**_opened(row, held, writer), **end}
        if connection.execute(_insertion(tuple(values)), values).rowcount:
            _add(connection, row, usd, _whole(spent.tokens), spent.requests)


def bury(connection: sqlite3.Connection, is_dead: Callable[[int], bool]) -> None:
    """Settle what dead processes left open: it may have run, so what was set aside for it stands."""
    for (writer,) in connection.execute("SELECT DISTINCT writer FROM attempts WHERE settled IS NULL").fetchall():
        if is_dead(writer):
            connection.execute(
                "UPDATE attempts SET settled = 'upper_bound', error = ? WHERE writer = ? AND settled IS NULL",
                (DIED, writer),
            )


def _opened(row: Attempt, held: Amount, writer: int) -> dict[str, Any]:
    return {
        "id": row.id,
        "writer": writer,
        "at": row.at,
        "day": day_of(row.at),
        "provider": _word(row.provider),
        "model": _word(row.model),
        "operation": row.operation,
        "tariff": _word(row.tariff),
        "tags": json.dumps(row.tags),
        "idempotency_key": _word(row.idempotency_key),
        "held_tokens": _whole(held.tokens),
        "held_usd": _pico(held.usd),
    }


def _closed(row: Attempt, cost: Decimal | None, usage: Usage | None) -> dict[str, Any]:
    used, saved = usage or Usage(), row.saved or Usage()
    return {
        "settled": row.settled,
        "error": _word(row.error),
        "seconds": row.seconds,
        "first_token": row.first_token,
        "queued": row.queued,
        "input": _whole(used.input_tokens),
        "output": _whole(used.output_tokens),
        "cached": _whole(used.cached_input_tokens),
        "written": _whole(used.cache_write_tokens),
        "reasoning": _whole(used.reasoning_tokens),
        "source": usage and usage.source,
        "usd": None if cost is None else _pico(cost),
        "hit": int(row.cached),
        "saved_input": _whole(saved.input_tokens),
        "saved_output": _whole(saved.output_tokens),
    }


@lru_cache(maxsize=4)
def _insertion(names: tuple[str, ...]) -> str:
    places = ", ".join(f":{name}" for name in names)
    return f"INSERT INTO attempts ({', '.join(names)}) VALUES ({places}) ON CONFLICT (id) DO NOTHING"  # noqa: S608


@lru_cache(maxsize=4)
def _ending(names: tuple[str, ...]) -> str:
    changes = ", ".join(f"{name} = :{name}" for name in names)
    return f"UPDATE attempts SET {changes} WHERE id = :id AND (settled IS NULL OR error = :died)"  # noqa: S608


# --- sums -------------------------------------------------------------------------------------------------------


def _add(connection: sqlite3.Connection, row: Attempt, usd: int, tokens: int, requests: int) -> None:
    if usd or tokens or requests:
        for tag in ("", *dict.fromkeys(row.tags)):
            connection.execute(
                "INSERT INTO sums VALUES (:day, :tag, :usd, :tokens, :requests) ON CONFLICT DO UPDATE SET usd ="
                " min(usd + :usd, :full), tokens = min(tokens + :tokens, :full), requests = requests + :requests",
                {
                    "day": day_of(row.at), "tag": _word(tag), "usd": usd, "tokens": tokens, "requests": requests,
                    "full": FULL,
                },
            )  # fmt: skip


def known(connection: sqlite3.Connection, budget: Budget, at: float) -> tuple[Amount, Amount]:
    """What is spent of a budget in its period, and what is reserved."""
    tag, since = _word(budget.tag) or "", budget.since(at)
    days = connection.execute("SELECT usd, tokens, requests FROM sums WHERE tag = ? AND day >= ?", (tag, since))
    of_tag = "AND EXISTS (SELECT 1 FROM json_each(attempts.tags) WHERE value = ?)" if tag else "AND ? = ''"
    under_way = connection.execute(
        "SELECT coalesce(sum(held_usd), 0), coalesce(sum(held_tokens), 0), count(*) FROM attempts"  # noqa: S608
        f" WHERE settled IS NULL AND day >= ? {of_tag}",
        (since, tag),
    )
    all_of_it, reserved = _amount(days), _amount(under_way)
    return all_of_it - reserved, reserved


def _amount(rows: Iterable[tuple[int, int, int]]) -> Amount:
    """Added up here: a sum in SQLite overflows at nine million dollars."""
    usd = tokens = requests = 0
    for row in rows:
        usd, tokens, requests = usd + row[0], tokens + row[1], requests + row[2]
    return Amount(dollars_of(usd), tokens, requests)


# --- values that any table holds --------------------------------------------------------------------------------


def _whole(count: Any) -> Any:
    return None if count is None else max(-MOST, min(int(count), MOST))


def _pico(usd: Decimal) -> int:
    return min(int((usd * PICO).to_integral_value(ROUND_UP)), MOST_PICO)


def _word(text: str | None) -> str | None:
    """Any text, with what no encoding has written out."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()


def dollars_of(pico: int) -> Decimal:
    """The dollars of a stored figure."""
    return Decimal(pico) / PICO


__all__ = ["bury", "dollars_of", "enlist", "insert", "known", "prepare", "settle", "version"]
