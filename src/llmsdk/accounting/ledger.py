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

from llmsdk.accounting import budget as budgeting
from llmsdk.accounting import sums as summing
from llmsdk.accounting.budget import LOCK, Amount, Budget
from llmsdk.accounting.sums import By, Facts, Sums
from llmsdk.io import IO
from llmsdk.results import Attempt, Settled
from llmsdk.types import Operation, Usage

KEEP = 10_000
"""Settled rows that stay readable one by one. Sums are kept for all."""
CHUNK = 1_000
"""Rows that are summed up at a time, when there are more than ``KEEP``. Pricing takes 0.1 ms a row."""

_Held = tuple[tuple[Budget, ...], Amount]


class Ledger:
    """Rows and running sums of what a client did; shared by all its threads, tasks and copies."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[Attempt, _Held | None]] = {}
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
    ) -> Attempt:
        """Open a row for an attempt that is about to be sent. ``bound`` is what it may use at most.

        Raises:
            BudgetExceeded: one of the budgets does not allow it.
            ConfigError: a budget in dollars, and the price of the model is not known.
        """
        if len(self._new) >= CHUNK:
            await self._tidy(io)
        number = f"{self._prefix}-{next(self._numbers)}"
        row = Attempt(number, provider, model, operation, time.time(), bound.total_tokens, tags=tags, tariff=tariff)
        held = await self._hold(row, bound, budgets, io) if budgets else None
        self._open[number] = row, held
        return row

    async def _hold(self, row: Attempt, bound: Usage, budgets: tuple[Budget, ...], io: IO) -> _Held:
        chosen = tuple(dict.fromkeys(budget for budget in budgets if budget.holds_for(row.tags)))
        tariff = row.tariff or row.provider
        if any(budget.usd is not None for budget in chosen):
            from llmsdk.accounting.prices import load

            await io.run(load)
        needed = budgeting.needed(chosen, row.operation, tariff, row.model, bound, row.at)
        budgeting.hold(chosen, needed, row.at)
        return chosen, needed

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
        cached: bool = False,
        saved: Usage | None = None,
    ) -> Attempt:
        """Close a row.

        Raises:
            KeyError: it is closed already. A row is settled once.
        """
        done = Attempt(  # by hand: `replace` takes twice as long
            row.id, row.provider, row.model, row.operation, row.at, row.reserved,
            settled, usage, seconds, first_token, error, row.tags, row.tariff, queued, cached, saved,
        )  # fmt: skip
        _, held = self._open.pop(row.id)
        if held is not None:
            budgets, amount = held
            spent = budgeting.used(amount, done.cost if amount.usd else None, settled, usage)
            budgeting.release(budgets, amount, spent, row.at)
        self._new.append(done)
        return done

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
        """Requests, tokens and cost of all settled attempts since the client was made."""
        return next(iter(self.by()), Sums())

    def by(self, *keys: By) -> tuple[Sums, ...]:
        """Requests, tokens and cost by ``"day"`` (UTC), ``"model"``, ``"provider"``, ``"operation"`` or ``"tag"``.

        Raises:
            InputError: another key.
        """
        wanted = summing.checked(keys)
        with LOCK:
            self._take_in()
            rows, older = tuple(self._rows), tuple(self._older.items())
        return summing.grouped([*older, *((summing.facts(row), summing.of(row)) for row in rows)], wanted)

    # --- summing up -------------------------------------------------------------------------------------------

    def _take_in(self) -> None:
        """Count what was settled lately; under the lock."""
        while self._new:
            row = self._new.popleft()
            self._rows.append(row)
            self._counts[row.settled or "none"] += 1
            if row.usage is not None and row.settled != "none":
                self._usage = row.usage if self._usage is None else self._usage + row.usage

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
        priced = [(summing.facts(row), summing.of(row)) for row in oldest]
        with LOCK:
            for known, sums in priced:
                self._rows.popleft()
                self._older[known] = self._older.get(known, Sums()) + sums


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
