"""One row for every attempt: reserved before the bytes go out, settled exactly once, whatever happened.

Reserving and settling take no lock: each is one step of a dict or deque, so that a row can also be settled where the
garbage collector closes a stream, in the middle of anything. Readers sum up under the lock of the budgets.
"""

from __future__ import annotations

import itertools
import os
import time
import weakref
from collections import Counter, deque
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from llmsdk.accounting import budget as budgeting
from llmsdk.accounting import prices
from llmsdk.accounting import sums as summing
from llmsdk.accounting.budget import LOCK, NOTHING, Budget, Hold
from llmsdk.accounting.sums import By, Facts, Sums
from llmsdk.errors import DeadlineExceeded, TimedOut
from llmsdk.io import IO
from llmsdk.results import Attempt, Settled
from llmsdk.types import Operation, Usage, filled

if TYPE_CHECKING:
    from llmsdk.accounting.book import Book

UNUSED = Usage(0, 0, source="local")
KEEP = 10_000
"""Settled rows that stay readable one by one. Sums are kept for all."""
CHUNK = 1_000
"""Rows that are summed up at a time, when there are more than ``KEEP``. Pricing takes 0.1 ms a row."""


class Ledger:
    """Rows and running sums of what a client did; shared by all its threads, tasks and copies.

    With ``path`` they also stand in a file, which other processes may share; ``budgets`` hold for all in that file.

    Raises:
        ConfigError: the file cannot be a ledger.
    """

    def __init__(self, path: Path | None = None, budgets: tuple[Budget, ...] = ()) -> None:
        self._book = _book(path, budgets) if path is not None else None
        self._open: dict[str, tuple[Attempt, Hold | None]] = {}
        self._new: deque[Attempt] = deque()
        """Settled, and not in the sums yet."""
        self._rows: deque[Attempt] = deque()
        self._older: dict[Facts, Sums] = {}
        """Sums of the rows that are no longer kept."""
        self._folding = False
        self._usage: Usage | None = None
        self._counts: Counter[Settled] = Counter()
        self._begin()
        _LEDGERS.add(self)

    def _begin(self) -> None:
        self._prefix = os.urandom(6).hex()
        self._numbers = itertools.count(1)

    def __repr__(self) -> str:
        settled = sum(self.counts.values())
        return f"<Ledger: {settled} settled, {len(self.open)} open; {_told(self.usage)}>"

    # --- writing ----------------------------------------------------------------------------------------------

    async def reserve(
        self,
        provider: str,
        model: str,
        operation: Operation,
        *,
        bound: Usage,
        io: IO,
        budgets: tuple[Budget, ...] = (),
        tags: tuple[str, ...] = (),
        tariff: str | None = None,
        key: str | None = None,
    ) -> Attempt:
        """Open a row for an attempt that is about to be sent. ``bound`` is what it may use at most.

        Raises:
            BudgetExceeded: one of the budgets does not allow it.
            ConfigError: a budget in dollars, and the price of the model is not known.
        """
        if len(self._new) + len(self._rows) >= KEEP + CHUNK:  # whoever reads `rows` moves them from one to the other
            await self._tidy(io)
        number = self._number()
        row = filled(Attempt, {
            "id": number, "provider": provider, "model": model, "operation": operation, "at": time.time(),
            "reserved": bound.total_tokens, "tags": tags, "tariff": tariff, "idempotency_key": key,
        })  # fmt: skip
        held = await self._hold(row, bound, budgets, io) if budgets or self._book is not None else None
        self._open[number] = row, held
        if self._book is not None and held is not None:
            await self._write(self._book, row, held, io)
        return row

    async def _write(self, book: Book, row: Attempt, held: Hold, io: IO) -> None:
        """Wait until the row stands in the file, so that not even a killed process has sent what nobody knows of."""
        began = io.now()
        try:
            try:
                await io.wait(book.open(row, held.amount))
            except (DeadlineExceeded, TimedOut) as error:
                raise book.too_late(error, io.now() - began) from error
        except BaseException:
            del self._open[row.id]
            held.release(NOTHING)
            book.abandon(replace(row, settled="none"), held.amount)
            raise

    async def _hold(self, row: Attempt, bound: Usage, budgets: tuple[Budget, ...], io: IO) -> Hold:
        chosen = tuple(dict.fromkeys(budget for budget in budgets if budget.holds_for(row.tags)))
        shared = self._book.budgets if self._book is not None else ()
        every = (*chosen, *(budget for budget in shared if budget.holds_for(row.tags)))
        tariff = row.tariff or row.provider
        if not prices.loaded and any(budget.usd is not None for budget in every):
            await io.run(prices.load)
        needed = budgeting.needed(every, row.operation, tariff, row.model, bound, row.at)
        return budgeting.hold(chosen, needed, row.at)

    def settle(
        self,
        row: Attempt,
        settled: Settled,
        usage: Usage | None,
        *,
        seconds: float,
        first_token: float | None = None,
        error: str | None = None,
        queued: float = 0.0,
    ) -> Attempt:
        """Close a row.

        Raises:
            KeyError: it is closed already. A row is settled once.
        """
        _, held = self._open.pop(row.id)
        known = vars(row) | {
            "settled": settled, "usage": usage, "seconds": seconds, "first_token": first_token, "error": error,
            "queued": queued,
        }  # fmt: skip
        done = filled(Attempt, known)
        if held is not None:
            amount = held.amount
            held.release(budgeting.used(amount, done.cost if amount.usd else None, settled, usage))
            if self._book is not None and row.id.startswith(self._prefix):  # a fork leaves its parent's rows alone
                self._book.settle(done, amount)
        self._new.append(done)
        return done

    def hit(
        self,
        provider: str,
        model: str,
        operation: Operation,
        *,
        saved: Usage | None,
        tags: tuple[str, ...] = (),
        tariff: str | None = None,
    ) -> Attempt:
        """A row for what came out of the cache. It used nothing, and no budget has to allow it."""
        row = filled(Attempt, {
            "id": self._number(), "provider": provider, "model": model, "operation": operation, "at": time.time(),
            "reserved": 0, "settled": "exact", "usage": UNUSED, "seconds": 0.0, "tags": tags, "tariff": tariff,
            "cached": True, "saved": saved,
        })  # fmt: skip
        if self._book is not None:
            self._book.settle(row, NOTHING)
        self._new.append(row)
        return row

    def _number(self) -> str:
        return f"{self._prefix}-{next(self._numbers)}"

    # --- reading ----------------------------------------------------------------------------------------------

    @property
    def open(self) -> tuple[Attempt, ...]:
        """Attempts under way."""
        return tuple(row for row, _ in self._open.copy().values())

    @property
    def rows(self) -> tuple[Attempt, ...]:
        """The latest settled attempts, oldest first."""
        with LOCK:
            self._take_in()
            return tuple(self._rows)[-KEEP:]

    @property
    def usage(self) -> Usage:
        """Tokens of all settled attempts since the client was made."""
        with LOCK:
            self._take_in()
            return self._usage or Usage()

    @property
    def counts(self) -> dict[Settled, int]:
        """How many rows were settled in which way."""
        with LOCK:
            self._take_in()
            return dict(self._counts)

    @property
    def total(self) -> Sums:
        """Requests, tokens and cost of all settled attempts, in the file or since the client was made."""
        return next(iter(self.by()), Sums())

    async def sums(self, *keys: By) -> tuple[Sums, ...]:
        """The same as ``by``, for event loops: a file is read on a thread."""
        if self._book is None:
            return self.by(*keys)
        from llmsdk.io.loop import LoopIO

        return await LoopIO().run(partial(self.by, *keys))

    def by(self, *keys: By) -> tuple[Sums, ...]:
        """Requests, tokens and cost by ``"day"`` (UTC), ``"model"``, ``"provider"``, ``"operation"`` or ``"tag"``.

        Of all that is in the file where there is one, else of what this client did. Without keys it is one line of all,
        or none. Waits for the disk where there is a file, and a minute at most for another process that holds it.

        Raises:
            ConfigError: the file cannot be read.
            InputError: another key.
        """
        wanted = summing.checked(keys)
        if self._book is not None:
            return self._read(self._book, wanted)
        with LOCK:
            self._take_in()
            rows, older = tuple(self._rows), tuple(self._older.items())
        return summing.grouped([*older, *summing.of(rows).items()], wanted)

    @property
    def trouble(self) -> str | None:
        """Why the file is not being written at present; calls go on without it. ``None``: all is well."""
        return self._book.health.trouble if self._book is not None else None

    @property
    def late(self) -> int:
        """Rows that the file lacks until it can be written."""
        return self._book.health.late if self._book is not None else 0

    @property
    def lost(self) -> int:
        """Rows that the file will never have."""
        return self._book.health.lost if self._book is not None else 0

    @property
    def degraded(self) -> bool:
        """Whether the file is not all that there was: it cannot be written at present, or it lacks rows."""
        return bool(self.trouble or self.late or self.lost)

    def _read(self, book: Book, keys: tuple[By, ...]) -> tuple[Sums, ...]:
        from llmsdk.accounting import report

        book.flush()
        return report.sums(book.path, keys)

    def close(self) -> None:
        """Write down what is left to be written, and let go of the file. Waits until that is done.

        Where another process holds the file that is a minute at most; a warning then says how many rows are lost.
        """
        if self._book is not None:
            self._book.close()

    # --- summing up -------------------------------------------------------------------------------------------

    def _take_in(self) -> None:
        """Count what was settled lately; under the lock."""
        usages = [] if self._usage is None else [self._usage]
        while self._new:
            row = self._new.popleft()
            self._rows.append(row)
            self._counts[row.settled or "none"] += 1
            if row.usage is not None and row.settled != "none":
                usages.append(row.usage)
        if usages:
            self._usage = usages[0] if len(usages) == 1 else Usage.total(usages)

    async def _tidy(self, io: IO) -> None:
        with LOCK:
            self._take_in()
            due = len(self._rows) >= KEEP + CHUNK and not self._folding
            self._folding = self._folding or due
        if due:
            try:
                await io.run(self._fold)
            finally:
                self._folding = False

    def _fold(self) -> None:
        """Keep only the sums of the oldest rows. Pricing them takes a while, so it is done without the lock."""
        with LOCK:
            oldest = tuple(itertools.islice(self._rows, CHUNK))
        priced = summing.of(oldest)
        with LOCK:
            for _ in oldest:
                self._rows.popleft()
            for known, sums in priced.items():
                self._older[known] = self._older.get(known, Sums()) + sums


def _book(path: Path, budgets: tuple[Budget, ...]) -> Book:
    from llmsdk.accounting.book import Book  # SQLite loads with it

    return Book(path, budgets)


_LEDGERS: weakref.WeakSet[Ledger] = weakref.WeakSet()


def _after_fork() -> None:
    """Ids must not be given twice: a child numbers its rows anew."""
    for ledger in _LEDGERS:
        ledger._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _told(usage: Usage) -> str:
    counts = (usage.input_tokens, usage.output_tokens)
    read, written = ("?" if count is None else f"{count:,}" for count in counts)
    return f"tokens: {read} in, {written} out"
