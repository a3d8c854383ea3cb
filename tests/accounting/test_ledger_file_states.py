"""The ledger's file against a plain model: what was acknowledged is in it, and budgets count exactly that."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from llmsdk import Budget
from llmsdk.accounting.ledger import Ledger
from llmsdk.errors import BudgetExceeded
from llmsdk.io.drive import drive
from llmsdk.io.sync import SyncIO
from llmsdk.results import Attempt
from llmsdk.types import Usage

if not hasattr(os, "fork"):
    pytest.skip("no fork here, so no process to kill", allow_module_level=True)

LIMIT = 400


def reserve(ledger: Ledger, size: int) -> Attempt:
    return drive(ledger.reserve("p", "m", "generate", bound=Usage(size, 0), io=SyncIO(), tariff="local"))


class Machine(RuleBasedStateMachine):
    """Two writers of one file, of which one may be closed and opened again; others that die."""

    rows = Bundle("rows")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.here, self.away = Path(self.folder.name) / "here", Path(self.folder.name) / "away"
        self.here.mkdir()
        self.path = self.here / "usage.db"
        self.lasting = Ledger(self.path, (Budget(tokens=LIMIT),))
        self.other = Ledger(self.path, (Budget(tokens=LIMIT),))
        self.expected: dict[str, str | None] = {}
        self.charged: dict[str, int] = {}

    @property
    def is_away(self) -> bool:
        return self.away.exists()

    @precondition(lambda self: not self.is_away)
    @rule()
    def go_away(self) -> None:
        """The folder cannot be found: nothing can be written, and what is settled meanwhile is late."""
        for ledger in (self.lasting, self.other):
            ledger.by()
        self.here.rename(self.away)

    @precondition(lambda self: self.is_away)
    @rule()
    def come_back(self) -> None:
        self.away.rename(self.here)

    @precondition(lambda self: not self.is_away)
    @rule()
    def begin_anew(self) -> None:
        self.other.close()
        self.other = Ledger(self.path, (Budget(tokens=LIMIT),))

    @rule(target=rows, size=st.integers(0, 150), lasting=st.booleans())
    def open(self, size: int, lasting: bool) -> Any:
        ledger = self.lasting if lasting else self.other
        if self.is_away:
            with pytest.raises(BudgetExceeded, match="cannot be written"):
                reserve(ledger, size)
            assert ledger.degraded
            return None
        fits = sum(self.charged.values()) + size <= LIMIT or size == 0
        try:
            row = reserve(ledger, size)
        except BudgetExceeded:
            assert not fits
            return None
        assert fits
        self.expected[row.id], self.charged[row.id] = None, size
        if not lasting:  # its rows are settled before it can be closed
            self._settle(ledger, row, "exact", size // 2)
            return None
        return row

    @rule(row=consumes(rows), settled=st.sampled_from(["exact", "upper_bound", "none"]), used=st.integers(0, 60))
    def settle(self, row: Attempt | None, settled: str, used: int) -> None:
        if row is not None:
            self._settle(self.lasting, row, settled, min(used, self.charged[row.id]))

    def _settle(self, ledger: Ledger, row: Attempt, settled: Any, used: int) -> None:
        ledger.settle(row, settled, None if settled == "none" else Usage(used, 0), seconds=0.0)
        self.expected[row.id] = settled
        if settled != "upper_bound":
            self.charged[row.id] = used if settled == "exact" else 0

    @precondition(lambda self: not self.is_away)
    @rule(size=st.integers(1, 60))
    def die(self, size: int) -> None:
        """A process reserves, and is gone; the next to begin finds it out."""
        if sum(self.charged.values()) + size > LIMIT:
            return
        read, write = os.pipe()
        if (pid := os.fork()) == 0:
            os.write(write, reserve(self.other, size).id.encode())
            os._exit(9)
        os.close(write)
        os.waitpid(pid, 0)
        with os.fdopen(read) as pipe:
            number = pipe.read()
        self.expected[number], self.charged[number] = "upper_bound", size
        self.begin_anew()
        self._settle(self.other, reserve(self.other, 0), "none", 0)

    @precondition(lambda self: not self.is_away)
    @invariant()
    def file_and_model_agree(self) -> None:
        for ledger in (self.lasting, self.other):
            ledger.by()  # waits until what it has to write is written
            assert not ledger.degraded
        assert self.lasting.total == self.other.total
        with closing(sqlite3.connect(self.path)) as connection:
            rows = connection.execute("SELECT id, settled FROM attempts").fetchall()
            (counted,) = connection.execute("SELECT sum(tokens) FROM sums WHERE tag = ''").fetchone()
        assert dict(rows) == self.expected
        assert len(rows) == len(self.expected)
        assert (counted or 0) == sum(self.charged.values())

    def teardown(self) -> None:
        if self.is_away:
            self.come_back()
        self.lasting.close()
        self.other.close()
        self.folder.cleanup()


Machine.TestCase.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)
TestStates = pytest.mark.filterwarnings(
    "ignore:This process.*is multi-threaded:DeprecationWarning", "ignore:the ledger:UserWarning"
)(Machine.TestCase)
