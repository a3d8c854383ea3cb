"""The ledger's file: SQLite, for several processes at once. One row an attempt, and sums of each day and tag.

A row is committed before its attempt goes out, and settled when it is over. A process that dies leaves its rows open;
the next one to open the file settles them as ``upper_bound``, once it is sure that nobody is alive who would.
Commits are not forced to the disk: they survive the death of any process, and the machine's only as far as it had
written them. No prompt and no reply comes in here.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from functools import partial
from pathlib import Path

from llmsdk.accounting.budget import NOTHING, Amount, Budget, day_of, used
from llmsdk.accounting.living import Living
from llmsdk.errors import BudgetExceeded, ConfigError
from llmsdk.io.writer import Writer
from llmsdk.results import Attempt

MARK = 0x6C6C6D73
"""``application_id`` of such a file."""
VERSION = 1
PATIENCE = 30.0
"""Seconds to wait for other processes that are writing."""
BACKLOG = 10_000
"""Entries that are kept, and tried again, while the file cannot be written."""
PICO = Decimal(10) ** 12
"""Dollars are stored as whole trillionths, rounded up, so that sums are exact."""
_SCHEMA = """
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
"""


@dataclass(frozen=True, slots=True)
class Opening:
    """A row to be opened: what is reserved for it, and who waits for that."""

    row: Attempt
    held: Amount
    done: Future[None]


@dataclass(frozen=True, slots=True)
class Closing:
    """A row to be settled. One that was never opened is left out."""

    row: Attempt
    held: Amount


Entry = Opening | Closing


class Book:
    """The file, written by one thread.

    Args:
        path: the file; it is made if it is not there.
        budgets: what all processes together may spend, by this file.

    Raises:
        ConfigError: the folder does not exist, or the file is none of ours or of a newer version.
    """

    def __init__(self, path: Path, budgets: tuple[Budget, ...] = ()) -> None:
        self.path = path
        self.budgets = budgets
        self.health: Health = Health(path)
        _prepare(path, self.health)
        self._writer: Writer[Entry] = Writer("llmsdk-ledger", partial(_begin, path, budgets, self.health))

    def open(self, row: Attempt, held: Amount) -> Future[None]:
        """Write a row down. Whoever waits for the future knows that it stands, or gets ``BudgetExceeded``."""
        done: Future[None] = Future()
        self._writer.put(Opening(row, held, done))
        if self.health.trouble is not None and not self.budgets:  # nobody waits again for what does not answer
            done = Future()
            done.set_result(None)
        return done

    def settle(self, row: Attempt, held: Amount) -> None:
        """Write down how an attempt ended. Returns at once."""
        self._writer.put(Closing(row, held))

    def flush(self) -> None:
        """Wait until everything is written."""
        self._writer.flush()

    def close(self) -> None:
        """Write everything, and let go of the file."""
        self._writer.close()


@dataclass(slots=True)
class Health:
    """Whether the file can be written; requests go on when it cannot."""

    path: Path
    trouble: str | None = None
    """Why the file is not being written at present."""
    told: bool = False

    def failed(self, error: Exception) -> None:
        self.trouble = str(error)
        if not self.told:
            self.told = True
            with suppress(UserWarning):  # where warnings are errors: it would end the thread, and all would wait for it
                warnings.warn(f"the ledger {self.path} cannot be written: {error}", UserWarning, stacklevel=2)

    def better(self) -> None:
        self.trouble = None


# --- the file ---------------------------------------------------------------------------------------------------


def connect(path: Path) -> sqlite3.Connection:
    """A connection to a ledger that has been prepared."""
    # closed by whichever thread forks, while the one that writes is held up
    found = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    found.execute("PRAGMA trusted_schema = OFF")
    found.execute("PRAGMA synchronous = NORMAL")
    return found


def _prepare(path: Path, health: Health) -> None:
    """Make the file, or see that it is ours.

    Raises:
        ConfigError: see ``Book``.
    """
    if not path.parent.is_dir():
        raise ConfigError(f"ledger.path: there is no folder {path.parent}", hint="Make it, or name another.")
    try:
        with closing(connect(path)) as connection:
            with _transaction(connection):
                _lay_out(connection, path)
            connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.DatabaseError as error:  # full, read-only, busy or torn: calls go on without it
        if "not a database" not in str(error):
            health.failed(error)
            return
        raise _foreign(path) from None


def _lay_out(connection: sqlite3.Connection, path: Path) -> None:
    (mark,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if mark == MARK and version <= VERSION:
        return
    if mark == MARK:
        hint = "Update llmsdk, or name another file."
        raise ConfigError(f"ledger.path: {path} was written by a newer llmsdk", hint=hint, key="ledger.path")
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
        raise _foreign(path)
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {MARK}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _foreign(path: Path) -> ConfigError:
    return ConfigError(f"ledger.path: {path} is not a ledger", hint="Name a file of its own.", key="ledger.path")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise


# --- the writing thread -----------------------------------------------------------------------------------------


@contextmanager
def _begin(path: Path, budgets: tuple[Budget, ...], health: Health) -> Iterator[Callable[[Sequence[Entry]], None]]:
    scribe = _Scribe(path, budgets, health)
    try:
        yield scribe.write
    finally:
        scribe.close()


class _Scribe:
    """Writes entries, some at a time in one transaction. Lives on the writing thread alone."""

    def __init__(self, path: Path, budgets: tuple[Budget, ...], health: Health) -> None:
        self._path = path
        self._budgets = budgets
        self._health = health
        self._late: deque[Entry] = deque(maxlen=BACKLOG)
        self._connection: sqlite3.Connection | None = None
        self._living: Living | None = None
        self.busy: threading.Lock = threading.Lock()
        """Held while the file is in use; also by who forks, so that it is not open then."""
        _SCRIBES.add(self)

    def write(self, entries: Sequence[Entry]) -> None:
        """Write entries, and those before them that could not be written; tell who waits."""
        wanted = [each for each in entries if isinstance(each, Closing) or each.done.set_running_or_notify_cancel()]
        refused: dict[int, BudgetExceeded] = {}
        try:
            with self.busy, _transaction(self._connected()) as connection:
                for entry in (*self._late, *wanted):
                    if (error := self._enter(connection, entry)) is not None:
                        refused[id(entry)] = error
        except Exception as error:  # noqa: BLE001 - who waits must hear of it, whatever it is
            self._fail(error, wanted)
            return
        self._late.clear()
        self._health.better()
        for entry in wanted:
            if isinstance(entry, Opening):
                _tell(entry.done, refused.get(id(entry)))

    def _fail(self, error: Exception, entries: Sequence[Entry]) -> None:
        """Go on without the file, unless it is what holds a budget."""
        self._health.failed(error)
        for entry in entries:
            if isinstance(entry, Closing) or not self._budgets:
                self._late.append(entry)
            if isinstance(entry, Opening):
                _tell(entry.done, _cannot_hold(self._path, error) if self._budgets else None)

    def close(self) -> None:
        """Let go of the file."""
        with self.busy:
            self.disconnect()
            if self._living is not None:
                self._living.close()

    def disconnect(self) -> None:
        """Have the file open no longer. The next writing opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connect(self._path)
        if self._living is None:
            with _transaction(self._connection):
                writer = self._connection.execute("INSERT INTO writers DEFAULT VALUES").lastrowid
                assert writer is not None
                living = Living(self._path, writer)
                _bury(self._connection, living)
            self._living = living
        return self._connection

    def _enter(self, connection: sqlite3.Connection, entry: Entry) -> BudgetExceeded | None:
        try:
            return self._entered(connection, entry)
        except (ValueError, OverflowError):  # a word or figure that no table can hold is not to hold up the others
            return None

    def _entered(self, connection: sqlite3.Connection, entry: Entry) -> BudgetExceeded | None:
        if isinstance(entry, Closing):
            _settle(connection, entry.row, entry.held)
            return None
        try:
            for budget in self._budgets:
                if budget.holds_for(entry.row.tags):
                    budget.check(*_known(connection, budget, entry.row.at), entry.held)
        except BudgetExceeded as error:
            return error
        assert self._living is not None
        _insert(connection, entry.row, entry.held, self._living.writer)
        return None


_SCRIBES: weakref.WeakSet[_Scribe] = weakref.WeakSet()
_stopped: list[_Scribe] = []


def _before_fork() -> None:
    """SQLite must not be open across a fork: the child would believe in locks that it does not have."""
    for scribe in list(_SCRIBES):
        scribe.busy.acquire()
        _stopped.append(scribe)
        scribe.disconnect()


def _after_fork() -> None:
    while _stopped:
        _stopped.pop().busy.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def _tell(done: Future[None], error: BudgetExceeded | None) -> None:
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)


def _cannot_hold(path: Path, error: Exception) -> BudgetExceeded:
    hint = "Mend the file, or leave [budget] out of the configuration."
    return BudgetExceeded(f"the ledger {path}, which holds the budget, cannot be written: {error}", hint=hint)


# --- rows and sums ----------------------------------------------------------------------------------------------


def _insert(connection: sqlite3.Connection, row: Attempt, held: Amount, writer: int) -> None:
    values = (
        row.id, writer, row.at, day_of(row.at), row.provider, row.model, row.operation, row.tariff,
        json.dumps(row.tags), held.tokens, _pico(held.usd),
    )  # fmt: skip
    connection.execute(
        "INSERT INTO attempts (id, writer, at, day, provider, model, operation, tariff, tags, held_tokens, held_usd)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        values,
    )
    _add(connection, row, _pico(held.usd), held.tokens, held.requests)


def _settle(connection: sqlite3.Connection, row: Attempt, held: Amount) -> None:
    """Give the row its end, and correct the sums by what it used less than was reserved, or more."""
    cost, usage = row.cost, row.usage if row.settled != "none" else None
    counts: tuple[int | str | None, ...] = (None,) * 6
    if usage is not None:
        counts = (
            usage.input_tokens, usage.output_tokens, usage.cached_input_tokens, usage.cache_write_tokens,
            usage.reasoning_tokens, usage.source,
        )  # fmt: skip
    found = connection.execute(
        "UPDATE attempts SET settled = ?, error = ?, seconds = ?, first_token = ?, queued = ?, input = ?, output = ?,"
        " cached = ?, written = ?, reasoning = ?, source = ?, usd = ? WHERE id = ? AND settled IS NULL",
        (
            row.settled, row.error, row.seconds, row.first_token, row.queued, *counts,
            None if cost is None else _pico(cost), row.id,
        ),
    )  # fmt: skip
    if found.rowcount:
        spent = used(held, cost, row.settled or "none", usage)
        usd = spent.usd if held.usd else cost or NOTHING.usd
        tokens, requests = spent.tokens - held.tokens, spent.requests - held.requests
        _add(connection, row, _pico(usd) - _pico(held.usd), tokens, requests)


def _add(connection: sqlite3.Connection, row: Attempt, usd: int, tokens: int, requests: int) -> None:
    for tag in ("", *dict.fromkeys(row.tags)):
        connection.execute(
            "INSERT INTO sums VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET usd = usd + excluded.usd,"
            " tokens = tokens + excluded.tokens, requests = requests + excluded.requests",
            (day_of(row.at), tag, usd, tokens, requests),
        )


def _known(connection: sqlite3.Connection, budget: Budget, at: float) -> tuple[Amount, Amount]:
    """What is spent of a budget in its period, and what is reserved."""
    tag, since = budget.tag or "", budget.since(at)
    all_of_it = connection.execute(
        "SELECT sum(usd), sum(tokens), sum(requests) FROM sums WHERE tag = ? AND day >= ?", (tag, since)
    ).fetchone()
    of_tag = "AND EXISTS (SELECT 1 FROM json_each(attempts.tags) WHERE value = ?)" if tag else "AND ? = ''"
    under_way = connection.execute(
        "SELECT sum(held_usd), sum(held_tokens), count(*) FROM attempts"  # noqa: S608 - words of ours
        f" WHERE settled IS NULL AND day >= ? {of_tag}",
        (since, tag),
    ).fetchone()
    reserved = _amount(under_way)
    return _amount(all_of_it) - reserved, reserved


def _amount(sums: tuple[int | None, ...]) -> Amount:
    usd, tokens, requests = (value or 0 for value in sums)
    return Amount(dollars_of(usd), tokens, requests)


def _bury(connection: sqlite3.Connection, living: Living) -> None:
    """Settle what dead processes left open: it may have run, so what was set aside for it stands."""
    for (writer,) in connection.execute("SELECT DISTINCT writer FROM attempts WHERE settled IS NULL").fetchall():
        if living.is_dead(writer):
            connection.execute(
                "UPDATE attempts SET settled = 'upper_bound', error = 'ProcessDied'"
                " WHERE writer = ? AND settled IS NULL",
                (writer,),
            )


def _pico(usd: Decimal) -> int:
    return int((usd * PICO).to_integral_value(ROUND_UP))


def dollars_of(pico: int) -> Decimal:
    """The dollars of a stored figure."""
    return Decimal(pico) / PICO


__all__ = ["Book", "Health", "connect", "dollars_of"]
