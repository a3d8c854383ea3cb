"""One row for every attempt: reserved before the bytes go out, settled exactly once, whatever happened."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections import Counter, deque
from dataclasses import replace

from llmsdk.results import Attempt, Settled
from llmsdk.types import Operation, Usage

KEEP = 10_000
"""Settled rows that stay readable one by one. Totals are kept for all."""


class Ledger:
    """Rows and running totals, in memory; shared by every thread and loop of a client."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, Attempt] = {}
        self._rows: deque[Attempt] = deque(maxlen=KEEP)
        self._totals: dict[tuple[str, str], Usage] = {}
        self._counts: Counter[Settled] = Counter()
        self._prefix = os.urandom(4).hex()
        self._numbers = itertools.count(1)

    def __repr__(self) -> str:
        settled = sum(self.counts.values())
        return f"<Ledger: {settled} settled, {len(self.open)} open; {_told(self.usage)}>"

    def reserve(
        self,
        provider: str,
        model: str,
        operation: Operation,
        *,
        tokens: int | None,
        tags: tuple[str, ...] = (),
        tariff: str | None = None,
    ) -> Attempt:
        """Open a row for an attempt that is about to be sent. ``tokens`` are set aside for it."""
        number = next(self._numbers)
        row = Attempt(
            f"{self._prefix}-{number}", provider, model, operation, time.time(), tokens, tags=tags, tariff=tariff
        )
        with self._lock:
            self._open[row.id] = row
        return row

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
        done = replace(
            row,
            settled=settled,
            usage=usage,
            seconds=seconds,
            first_token=first_token,
            error=error,
            queued=queued,
        )
        with self._lock:
            del self._open[row.id]
            self._rows.append(done)
            self._counts[settled] += 1
            if usage is not None and settled != "none":
                key = (row.provider, row.model)
                before = self._totals.get(key)
                self._totals[key] = usage if before is None else before + usage
        return done

    @property
    def open(self) -> tuple[Attempt, ...]:
        """Attempts under way."""
        with self._lock:
            return tuple(self._open.values())

    @property
    def rows(self) -> tuple[Attempt, ...]:
        """The latest settled attempts, oldest first."""
        with self._lock:
            return tuple(self._rows)

    @property
    def usage(self) -> Usage:
        """Tokens of all settled attempts since the client was made."""
        with self._lock:
            totals = list(self._totals.values())
        total = totals[0] if totals else Usage()
        for usage in totals[1:]:
            total = total + usage
        return total

    @property
    def by_model(self) -> dict[tuple[str, str], Usage]:
        """Tokens by (provider, model)."""
        with self._lock:
            return dict(self._totals)

    @property
    def counts(self) -> dict[Settled, int]:
        """How many rows were settled in which way."""
        with self._lock:
            return dict(self._counts)


def _told(usage: Usage) -> str:
    counts = (usage.input_tokens, usage.output_tokens)
    read, written = ("?" if count is None else f"{count:,}" for count in counts)
    return f"tokens: {read} in, {written} out"
