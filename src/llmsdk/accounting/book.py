"""The ledger's file: SQLite, for several processes at once. One row an attempt, and sums of each day and tag.

A row is committed before its attempt goes out, and settled when it is over. A process that dies leaves its rows open;
the next one to open the file settles them as ``upper_bound``, once it is sure that nobody is alive who would.
Commits are not forced to the disk: they survive the death of any process, and the machine's only as far as it had
written them. While the file cannot be written, calls go on, and what is late is kept and written when it can be.
"""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from llmsdk.accounting import tables
from llmsdk.accounting.budget import Amount, Budget
from llmsdk.accounting.living import Living
from llmsdk.errors import BudgetExceeded, ConfigError, DeadlineExceeded, TimedOut
from llmsdk.io.sqlite import Database, transaction
from llmsdk.io.writer import Writer
from llmsdk.results import Attempt

AT_ONCE = 0.1
"""Seconds that making a ledger waits for other processes; what is not done then, its thread does."""
PATIENCE = 30.0
"""Seconds to wait for other processes that are writing. Sixteen that never pause may keep one waiting for ten."""
IN_VAIN = 0.1
"""Seconds after which a file that a call waited for is held not to answer. Less says more of the call than of it."""
AGAIN = 1.0
"""Seconds until it is tried again to write what is late."""
TOGETHER = 256
"""Rows that are written in one transaction."""
BACKLOG = 50_000
"""Rows that are kept while the file cannot be written. Beyond that the oldest are lost, and counted."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A row to be opened: what is reserved for it, and who waits for that."""

    row: Attempt
    held: Amount
    done: Future[None]


@dataclass(frozen=True, slots=True)
class Closing:
    """A row to be settled. If ``whole``, one that is not there is written: it was late, or its file is gone."""

    row: Attempt
    held: Amount
    whole: bool = True


Entry = Opening | Closing
OutOfTime = DeadlineExceeded | TimedOut


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
        self._try()
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

    def abandon(self, row: Attempt, held: Amount) -> None:
        """Close a row that may have been written, or not. Returns at once."""
        self._writer.put(Closing(row, held, whole=False))

    def too_late(self, error: OutOfTime, waited: float) -> OutOfTime:
        """The error of who could wait for a row no longer. Where it was the file that took so long, others need not."""
        if waited >= IN_VAIN:
            self.health.failed(TimeoutError(f"no answer for {waited:.2g} s"))
        message = f"the ledger {self.path} took longer than the call's time leaves; nothing was sent"
        return type(error)(message, phase="ledger", sent=False, hint="See whether another process holds the file.")

    def flush(self) -> None:
        """Wait until everything is written, or cannot be."""
        self._writer.flush()

    def close(self) -> None:
        """Write everything, and let go of the file."""
        self._writer.close()

    def _try(self) -> None:
        """Make the file, or see that it is ours, without waiting long: a loop may be running here."""
        if not self.path.parent.is_dir():
            raise ConfigError(f"ledger.path: there is no folder {self.path.parent}", hint="Make it, or name another.")
        database = Database(self.path, tables.prepare(self.path), patience=AT_ONCE)
        try:
            with database.connection():
                pass
        except (sqlite3.Error, OSError) as error:
            if not _is_busy(error):  # full, read-only or torn: calls go on without it
                self.health.failed(error)
        finally:
            database.close()


@dataclass(slots=True)
class Health:
    """Whether the file can be written, and what it lacks; requests go on when it cannot."""

    path: Path
    trouble: str | None = None
    """Why the file is not being written at present."""
    late: int = 0
    """Rows that are kept until it can be."""
    lost: int = 0
    """Rows that it will never have."""

    def failed(self, error: Exception) -> None:
        if self.trouble is None:
            _warn(f"the ledger {self.path} cannot be written: {error}")
        self.trouble = str(error)

    def better(self) -> None:
        self.trouble = None

    def lose(self, count: int, why: str) -> None:
        if count and not self.lost:
            _warn(f"the ledger {self.path} lacks rows: {why}")
        self.lost += count


def _warn(message: str) -> None:
    with suppress(Exception):  # warnings may be errors, stderr closed: it would end the thread, and all would wait
        warnings.warn(message, stacklevel=3)


def _is_busy(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


# --- the writing thread -----------------------------------------------------------------------------------------


@contextmanager
def _begin(
    path: Path, budgets: tuple[Budget, ...], health: Health
) -> Iterator[Callable[[Sequence[Entry]], float | None]]:
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
        self._late: dict[str, Entry] = {}
        """By the row, since what settles it also opens it."""
        self._database = Database(path, self._prepare, patience=PATIENCE)
        self._living: Living | None = None
        self._file: tuple[int, int] | None = None
        """In which the writer has its number."""

    def write(self, entries: Sequence[Entry]) -> float | None:
        """Write what is late, and then entries; tell who waits. Returns when to try again, where that is needed.

        The first failure is the last try: however much has come, nobody waits for more than one.
        """
        wanted = [each for each in entries if isinstance(each, Closing) or each.done.set_running_or_notify_cancel()]
        if not (wanted or self._late):
            return None
        try:
            self._catch_up()
            while wanted:
                refused = self._transact(wanted[:TOGETHER])
                for entry in wanted[:TOGETHER]:
                    if isinstance(entry, Opening):
                        _tell(entry.done, refused.get(entry.row.id))
                del wanted[:TOGETHER]
        except Exception as error:  # noqa: BLE001 - who waits must hear of it, whatever it is
            self._fail(error, wanted)
            return AGAIN
        self._health.better()
        return None

    def close(self) -> None:
        """Let go of the file. What is late now will never be written."""
        self._health.lose(len(self._late), f"{len(self._late)} could not be written before the end")
        self._database.close()
        if self._living is not None:
            self._living.close()

    def _catch_up(self) -> None:
        """A few at a time: what still fails is to cost no more than that."""
        while self._late:
            oldest = dict(islice(self._late.items(), TOGETHER))
            self._transact([*oldest.values()])
            for row in oldest:
                del self._late[row]
            self._health.late = len(self._late)

    def _transact(self, entries: Sequence[Entry]) -> dict[str, BudgetExceeded]:
        refused: dict[str, BudgetExceeded] = {}
        odd: list[Exception] = []
        with self._database.transaction() as connection:
            for entry in entries:
                try:
                    self._enter(connection, entry)
                except BudgetExceeded as error:
                    refused[entry.row.id] = error
                except Exception as error:  # what no table can hold is not to hold up the others
                    if _is_of_the_file(error):
                        raise
                    odd.append(error)
        if odd:
            self._health.lose(len(odd), f"what is in them cannot be written down ({type(odd[0]).__name__})")
        return refused

    def _enter(self, connection: sqlite3.Connection, entry: Entry) -> None:
        assert self._living is not None
        row, held, writer = entry.row, entry.held, self._living.writer
        if isinstance(entry, Closing):
            tables.settle(connection, row, held, writer, whole=entry.whole)
            return
        for budget in self._budgets:
            if budget.holds_for(row.tags):
                budget.check(*tables.known(connection, budget, row.at), held)
        tables.insert(connection, row, held, writer)

    def _fail(self, error: Exception, entries: Sequence[Entry]) -> None:
        """Go on without the file, unless it is what holds a budget."""
        self._health.failed(error)
        for entry in entries:
            if isinstance(entry, Closing) or not self._budgets:
                self._late[entry.row.id] = entry
            if isinstance(entry, Opening):
                _tell(entry.done, _cannot_hold(self._path, error) if self._budgets else None)
        while len(self._late) > BACKLOG:
            oldest = self._late.pop(next(iter(self._late)))
            if isinstance(oldest, Closing):  # what is still open will be closed, and come back whole
                self._health.lose(1, f"more than {BACKLOG:,} are waiting to be written")
        self._health.late = len(self._late)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Have a number among the writers of the file, and bury the dead ones."""
        tables.prepare(self._path)(connection)
        if self._living is not None and self._file == self._database.identity:
            return
        if self._living is not None:
            self._living.close()
            self._living = None
        with transaction(connection):
            living = Living(self._path, tables.enlist(connection))
            try:
                tables.bury(connection, living.is_dead)
            except BaseException:
                living.close()
                raise
        self._living, self._file = living, self._database.identity


def _is_of_the_file(error: Exception) -> bool:
    return isinstance(error, OSError) or type(error) in (sqlite3.OperationalError, sqlite3.DatabaseError)


def _tell(done: Future[None], error: BudgetExceeded | None) -> None:
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)


def _cannot_hold(path: Path, error: Exception) -> BudgetExceeded:
    hint = "Mend the file, or leave [budget] out of the configuration."
    return BudgetExceeded(f"the ledger {path}, which holds the budget, cannot be written: {error}", hint=hint)


__all__ = ["Book", "Health"]
