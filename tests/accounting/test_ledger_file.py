"""The ledger's file: what stands in it, whoever dies, and what happens when it cannot be written."""

from __future__ import annotations

import importlib.util
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmsdk import AsyncClient, Budget, Client
from llmsdk.accounting import book as book_module
from llmsdk.accounting import report, tables
from llmsdk.accounting.ledger import Ledger
from llmsdk.accounting.sums import KEYS, Sums
from llmsdk.errors import BudgetExceeded, ConfigError, DeadlineExceeded, InputError, TimedOut
from llmsdk.io import Clock
from llmsdk.io.drive import drive
from llmsdk.io.loop import LoopIO
from llmsdk.io.sync import SyncIO
from llmsdk.results import Attempt
from llmsdk.testing import Scripted
from llmsdk.types import Usage

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "usage.db"


def opened(ledger: Ledger, model: str = "openai:gpt-4.1-mini", **given: Any) -> Attempt:
    provider, _, name = model.partition(":")
    return drive(ledger.reserve(provider, name, "generate", bound=Usage(10, 20), io=SyncIO(), **given))


def asked(ledger: Ledger, count: int = 1) -> None:
    """Rows that are opened and settled, and written if they can be."""
    for _ in range(count):
        ledger.settle(opened(ledger), "exact", Usage(1, 1), seconds=0)
    flushed(ledger)


def flushed(ledger: Ledger) -> None:
    assert ledger._book is not None
    ledger._book.flush()


def stored(path: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT settled, input, usd, error FROM attempts ORDER BY number").fetchall()


def counted(path: Path) -> tuple[int, int]:
    """Tokens and requests that count towards budgets."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT sum(tokens), sum(requests) FROM sums WHERE tag = ''").fetchone()


def soak() -> Any:
    spec = importlib.util.spec_from_file_location("soak_ledger", ROOT / "scripts/soak/ledger.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- what stands in it ------------------------------------------------------------------------------------------


def test_a_row_stands_before_it_may_be_sent_and_is_settled_once(path: Path) -> None:
    ledger = Ledger(path)
    row = opened(ledger)
    assert stored(path) == [(None, None, None, None)]
    assert counted(path) == (30, 1)
    ledger.settle(row, "exact", Usage(1000, 100, 400), seconds=1.5)
    with pytest.raises(KeyError):
        ledger.settle(row, "exact", Usage(1000, 100), seconds=1.5)
    ledger.close()
    (settled,) = stored(path)
    assert settled[:2] == ("exact", 1000)
    assert counted(path) == (1100, 1)
    assert Decimal(settled[2]).scaleb(-12) == ledger.rows[0].cost


def test_what_is_not_known_is_not_written_down_as_nothing(path: Path) -> None:
    ledger = Ledger(path)
    for settled, usage in (("upper_bound", Usage(7, None, source="estimate")), ("none", None), ("exact", Usage(1, 2))):
        ledger.settle(opened(ledger), settled, usage, seconds=0, error="TimedOut")  # type: ignore[arg-type]
    unknown = opened(ledger, "lab:mystery", tariff="http://127.0.0.1:1/v1")
    ledger.settle(unknown, "exact", Usage(5, 5), seconds=0)
    ledger.close()
    assert [row[:2] for row in stored(path)] == [("upper_bound", 7), ("none", None), ("exact", 1), ("exact", 5)]
    assert [row[2] is None for row in stored(path)] == [True, False, False, True]
    assert counted(path) == (30 + 0 + 3 + 10, 3)
    by_model = {each.name: each for each in ledger.by("model")}
    assert by_model["lab:mystery"].unpriced == by_model["openai:gpt-4.1-mini"].unpriced == 1
    assert by_model["openai:gpt-4.1-mini"].cost == Decimal("0.0000036")


def test_sums_by_tag_day_and_provider_are_those_of_memory(path: Path) -> None:
    with_file, in_memory = Ledger(path), Ledger()
    for number in range(6):
        tags = ("a",) if number % 2 else ("a", "b") if number else ()
        for ledger in (with_file, in_memory):
            row = opened(ledger, f"openai:gpt-4.1{'-mini' * (number % 2)}", tags=tags)
            ledger.settle(row, "exact", Usage(10 + number, 3), seconds=0)
    for by in KEYS:
        assert with_file.by(by) == in_memory.by(by)
    assert with_file.by("day", "tag") == in_memory.by("day", "tag")
    assert with_file.total == in_memory.total
    assert [row["input"] for row in report.attempts(path)] == list(range(10, 16))
    with_file.close()


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["openai:gpt-4.1-mini", "openai:mystery", "local:m", "openai#2:gpt-4.1-mini"]),
        st.sampled_from([(), ("a",), ("a", "b"), ("b", "b")]),
        st.sampled_from(["exact", "estimated", "upper_bound", "none", "hit"]),
        st.none() | st.integers(0, 10**6),
        st.integers(0, 10**6),
        st.none() | st.integers(0, 10**6),
        st.sampled_from(["provider", "estimate"]),
    ),
    max_size=12,
)


@settings(max_examples=12, deadline=None)
@given(ROWS)
def test_any_rows_come_to_the_same_in_a_file_as_in_memory(rows: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with_file, in_memory = Ledger(Path(folder) / "usage.db"), Ledger()
        for model, tags, settled, read, written, cached, source in rows:
            usage = Usage(read, written, min(cached, read or 0) if cached is not None else None, source=source)
            for ledger in (with_file, in_memory):
                if settled == "hit":
                    ledger.hit("openai", "gpt-4.1-mini", "generate", saved=usage, tags=tags)
                else:
                    row = opened(ledger, model, tags=tags)
                    done = ledger.settle(row, settled, None if settled == "none" else usage, seconds=0)
                    assert (done.cost is None) == (settled != "none" and ("mystery" in model or read is None)) or (
                        "local" in model
                    )
        for keys in (*((key,) for key in KEYS), (), ("day", "tag")):
            assert _plain(with_file.by(*keys)) == _plain(in_memory.by(*keys))
        with_file.close()


def _plain(sums: tuple[Sums, ...]) -> list[Any]:
    """Without where the figures are from: a file knows of groups only whether it is one place."""
    return [(line.key, line.requests, replace(line.usage, source="mixed"), line.cost, line.unpriced) for line in sums]


def test_no_word_of_a_prompt_or_reply_comes_in(path: Path) -> None:
    with Client("local:pocket", config={"ledger": {"path": str(path)}}) as client:
        client.chat("Hello! My secret is kumquat.", max_tokens=20)
        text = client.chat("Hello!").text
    content = b"".join(each.read_bytes() for each in path.parent.iterdir())
    assert b"kumquat" not in content
    assert text.encode() not in content


def test_keys_and_hits_of_the_cache_stand_in_it(path: Path) -> None:
    ledger = Ledger(path, (Budget(requests=1),))
    ledger.settle(opened(ledger, key="job-1"), "exact", Usage(5, 5), seconds=0)
    hit = ledger.hit("openai", "gpt-4.1-mini", "generate", saved=Usage(5, 5), tags=("a",))
    assert (hit.cost, hit.usage, hit.settled) == (0, Usage(0, 0, source="local"), "exact")
    assert ledger.total.requests == 1
    assert ledger.usage.total_tokens == 10
    ledger.close()
    told = ("idempotency_key", "hit", "usd", "saved_input", "input")
    found = [tuple(row[name] for name in told) for row in report.attempts(path)]
    assert found == [("job-1", False, "0.00001", None, 5), (None, True, "0", 5, 0)]
    assert counted(path) == (10, 1), "no budget counts a hit"


def an_old_file(path: Path) -> None:
    """As the first version made it, with a row that is settled and one that is open."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(tables.STEPS[0])
        connection.execute(f"PRAGMA application_id = {tables.MARK}")
        connection.execute("PRAGMA user_version = 1")
        connection.execute("INSERT INTO writers DEFAULT VALUES")
        for name, settled, usage in (("a-1", "exact", 7), ("a-2", None, None)):
            connection.execute(
                "INSERT INTO attempts (id, writer, at, day, provider, model, operation, tags, held_tokens, held_usd,"
                " settled, input, output, source, usd) VALUES (?, 1, 0, '1970-01-01', 'p', 'm', 'generate', '[]', 30,"
                " 0, ?, ?, ?, 'provider', 5)",
                (name, settled, usage, usage),
            )


def test_a_file_of_the_first_version_is_read_and_brought_up_to_date(path: Path) -> None:
    an_old_file(path)
    (before,) = report.sums(path, ())
    assert (before.requests, before.usage, before.cost) == (1, Usage(7, 7), Decimal("5E-12"))
    assert [row["idempotency_key"] for row in report.attempts(path)] == [None, None]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,), "reading changes nothing"
    ledger = Ledger(path)
    ledger.settle(opened(ledger, key="k"), "exact", Usage(1, 1), seconds=0)
    assert ledger.total.requests == 3
    ledger.close()
    assert [(row["idempotency_key"], row["error"]) for row in report.attempts(path)] == [
        (None, None), (None, "ProcessDied"), ("k", None)
    ]  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_it_is_for_its_owner_alone(path: Path) -> None:
    ledger = Ledger(path)
    opened(ledger)
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}
    ledger.close()


def test_making_a_ledger_does_not_wait_for_a_file_that_is_in_use(path: Path, impatient: None) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        ledger = Ledger(path)
        assert not ledger.degraded, "it has not been needed yet"
        other.execute("ROLLBACK")
    ledger.settle(opened(ledger), "exact", Usage(1, 1), seconds=0)
    assert ledger.total.requests == 1
    ledger.close()


# --- several writers --------------------------------------------------------------------------------------------


def test_several_ledgers_of_one_process_share_a_file(path: Path) -> None:
    first, second = Ledger(path), Ledger(path)
    row = opened(first)
    opened(second)
    third = Ledger(path)
    opened(third)
    assert [row[0] for row in stored(path)] == [None] * 3, "nobody alive is taken for dead"
    first.settle(row, "none", None, seconds=0)
    for ledger in (first, second, third):
        ledger.close()
    assert stored(path)[0][0] == "none"


def test_what_a_killed_process_left_open_may_have_run(path: Path) -> None:
    program = """
import os, sys
from pathlib import Path
from llmsdk.accounting.ledger import Ledger
from llmsdk.io.drive import drive
from llmsdk.io.sync import SyncIO
from llmsdk.testing import Scripted
from llmsdk.types import Usage
ledger = Ledger(Path(sys.argv[1]))
drive(ledger.reserve("openai", "gpt-4.1-mini", "generate", bound=Usage(10, 20), io=SyncIO()))
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", program, str(path)], check=False).returncode == -9
    assert stored(path) == [(None, None, None, None)]
    heir = Ledger(path)
    opened(heir)
    assert stored(path) == [("upper_bound", None, None, "ProcessDied"), (None, None, None, None)]
    assert counted(path) == (60, 2), "what was reserved for it stays counted"
    heir.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_the_child_of_a_fork_writes_its_own(path: Path) -> None:
    ledger = Ledger(path)
    row = opened(ledger)
    if (pid := os.fork()) == 0:
        try:
            ledger.settle(opened(ledger), "exact", Usage(1, 1), seconds=0)
            ledger.settle(row, "none", None, seconds=0)  # what the parent has under way is the parent's
            ledger.close()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    ledger.settle(row, "exact", Usage(2, 2), seconds=0)
    ledger.close()
    assert [each[:2] for each in stored(path)] == [("exact", 2), ("exact", 1)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_the_file_is_not_open_across_a_fork(path: Path) -> None:
    """What SQLite has open a child must not know of: it would believe in locks that only its parent has."""
    ledger = Ledger(path)
    opened(ledger)
    if (pid := os.fork()) == 0:
        held = {link.readlink() for link in Path("/proc/self/fd").iterdir() if link.exists()}
        os._exit(int(path in held or path.with_name(f"{path.name}-wal") in held))
    assert os.waitpid(pid, 0)[1] == 0
    opened(ledger)
    ledger.close()
    assert len(stored(path)) == 2


def test_killed_writers_lose_and_double_nothing(tmp_path: Path) -> None:
    found = soak().kills(6, 4, tmp_path)
    assert found["rows"] > 20
    for fault in ("lost", "doubled", "still_open", "buried_wrongly", "unreadable", "sums_off"):
        assert found[fault] == 0, found


@pytest.mark.parametrize("on", ["asyncio", "threads"])
def test_processes_that_race_for_a_budget_do_not_overspend_it(tmp_path: Path, on: str) -> None:
    found = soak().race(2, 8, "0.003", on, tmp_path)
    assert found["overspent"] == "0"
    assert Decimal(found["spent"]) > Decimal("0.0029")
    assert found["rows"] == found["attempts"]


# --- trouble ----------------------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AT_ONCE", "PATIENCE"):
        monkeypatch.setattr(book_module, name, 0.05)


@pytest.fixture
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        yield other


def test_calls_go_on_while_the_file_cannot_be_written(path: Path, impatient: None, locked: sqlite3.Connection) -> None:
    with Client("scripted:any", provider=Scripted(default="Hi!"), config={"ledger": {"path": str(path)}}) as client:
        client.chat("Hello!", max_tokens=5)
        assert client.ledger.total.requests == 1
        locked.execute("BEGIN IMMEDIATE")
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            for _ in range(3):
                assert client.chat("Hello!", max_tokens=5).text
            flushed(client.ledger)
        assert [str(each.message) for each in told] == [f"the ledger {path} cannot be written: database is locked"]
        assert client.ledger.trouble == "database is locked"
        assert len(client.ledger.rows) == 4
        locked.execute("ROLLBACK")
        client.chat("Hello!", max_tokens=5)
        assert client.ledger.total.requests == 5, "what was late is written now"
        assert client.ledger.trouble is None


LATE = "took longer than the call's time leaves; nothing was sent"


@pytest.mark.parametrize("bound", ["deadline", "timeout"])
def test_a_call_waits_for_the_file_as_long_as_it_may(path: Path, locked: sqlite3.Connection, bound: str) -> None:
    provider, config = Scripted(default="Hi!"), {"ledger": {"path": str(path)}, "retry": {"attempts": 1}}
    error = {"deadline": DeadlineExceeded, "timeout": TimedOut}[bound]
    with Client("scripted:any", provider=provider, config=config) as client:
        client.chat("Hello!")
        locked.execute("BEGIN IMMEDIATE")
        with pytest.warns(UserWarning, match="cannot be written: no answer for"), pytest.raises(error) as caught:
            client.chat("Hello!", **{bound: 0.5})  # type: ignore[call-overload]
        assert caught.value.message == f"the ledger {path} {LATE}"
        assert caught.value.hint == "See whether another process holds the file."
        assert (caught.value.phase, caught.value.sent, len(provider.requests)) == ("ledger", False, 1)
        assert (client.ledger.degraded, client.ledger.open) == (True, ())
        client.chat("Hello!", deadline=15)  # which waits no longer: the file is given up after 30 s
        locked.execute("ROLLBACK")
        client.ledger.by()
        assert (client.ledger.degraded, client.ledger.late, client.ledger.lost) == (False, 0, 0)
    assert [row[0] for row in stored(path) if row[0] != "none"] == ["exact", "exact"]
    assert counted(path)[1] == 2, "the one that was given up counts for nothing"


@pytest.mark.anyio
async def test_a_task_waits_for_the_file_as_long_as_it_may(path: Path, locked: sqlite3.Connection) -> None:
    provider, config = Scripted(default="Hi!"), {"ledger": {"path": str(path)}}
    async with AsyncClient("scripted:any", provider=provider, config=config) as client:
        await client.chat("Hello!")
        locked.execute("BEGIN IMMEDIATE")
        with pytest.warns(UserWarning, match="no answer for"), pytest.raises(DeadlineExceeded, match=LATE) as caught:
            await client.chat("Hello!", deadline=0.5)
        assert (caught.value.phase, caught.value.sent, len(provider.requests)) == ("ledger", False, 1)
        assert (client.ledger.degraded, client.ledger.open) == (True, ())
        await client.chat("Hello!", deadline=15)
        locked.execute("ROLLBACK")
        await client.ledger.sums()
        assert not client.ledger.degraded
    assert [row[0] for row in stored(path) if row[0] != "none"] == ["exact", "exact"]


def test_a_call_that_had_no_time_left_says_nothing_of_the_file(path: Path, locked: sqlite3.Connection) -> None:
    ledger = Ledger(path)
    asked(ledger)
    locked.execute("BEGIN IMMEDIATE")
    late = Clock(time.monotonic, deadline=time.monotonic() - 1)
    with pytest.raises(DeadlineExceeded, match=LATE):
        drive(ledger.reserve("openai", "m", "generate", bound=Usage(1, 1), io=SyncIO(clock=late)))
    assert (ledger.degraded, ledger.open) == (False, ())
    locked.execute("ROLLBACK")
    ledger.close()


def cannot_be_shown(*_: object) -> None:
    raise ValueError("I/O operation on closed file")  # as Python's own does where stderr is closed


@pytest.mark.parametrize("action", ["error", "always"])
def test_warnings_that_fail_end_no_thread(
    path: Path, impatient: None, locked: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, action: Any
) -> None:
    ledger = Ledger(path)
    locked.execute("BEGIN IMMEDIATE")
    with warnings.catch_warnings():
        monkeypatch.setattr(warnings, "showwarning", cannot_be_shown)
        warnings.simplefilter(action)
        ledger.settle(opened(ledger), "exact", Usage(1, 1), seconds=0)
        ledger.settle(opened(ledger), "exact", Usage(1, 1), seconds=0)
    assert ledger.trouble
    locked.execute("ROLLBACK")
    ledger.settle(opened(ledger), "exact", Usage(1, 1), seconds=0)
    ledger.close()
    assert [each[0] for each in stored(path)] == ["exact"] * 3


def test_a_figure_that_no_table_can_hold_stands_as_the_largest(path: Path) -> None:
    ledger = Ledger(path, (Budget(tokens=10**40),))
    for _ in range(12):  # more than a sum of SQLite can hold
        ledger.settle(opened(ledger, tags=("a",)), "exact", Usage(10**30, 10**30), seconds=0)
    ledger.settle(opened(ledger), "exact", Usage(1, 1), seconds=0)
    assert ledger.total.requests == 13
    assert ledger.total.usage.input_tokens == 12 * 10**15 + 1
    ledger.close()
    assert [each[:2] for each in stored(path)] == [("exact", 10**15)] * 12 + [("exact", 1)]
    assert not ledger.degraded


def test_a_word_that_no_encoding_has_is_written_out(path: Path) -> None:
    ledger = Ledger(path)
    ledger.settle(opened(ledger, "p:m\udc80"), "exact", Usage(1, 1), seconds=0)
    assert [line.name for line in ledger.by("model")] == [r"p:m\udc80"]
    assert not ledger.degraded
    ledger.close()


def test_what_cannot_be_written_down_at_all_is_counted_and_holds_up_nobody(path: Path) -> None:
    ledger = Ledger(path)
    nameless: Any = None
    with pytest.warns(
        UserWarning, match=rf"{path} lacks rows: what is in them cannot be written down \(IntegrityError\)"
    ):
        drive(ledger.reserve(nameless, "m", "generate", bound=Usage(1, 1), io=SyncIO()))
    asked(ledger)
    assert (ledger.degraded, ledger.trouble, ledger.late, ledger.lost) == (True, None, 0, 1)
    assert len(stored(path)) == 1
    ledger.close()


def test_late_rows_are_written_one_for_each_attempt(path: Path, impatient: None, locked: sqlite3.Connection) -> None:
    ledger = Ledger(path)
    locked.execute("BEGIN IMMEDIATE")
    with pytest.warns(UserWarning, match="cannot be written"):
        rows = [opened(ledger) for _ in range(20)]
    asked(ledger, 280)
    assert (ledger.degraded, ledger.late, ledger.lost) == (True, 300, 0)
    locked.execute("ROLLBACK")
    assert ledger.total.requests == 280
    assert (ledger.degraded, ledger.trouble, ledger.late, ledger.lost) == (False, None, 0, 0)
    assert [row[0] for row in stored(path)] == [None] * 20 + ["exact"] * 280
    assert counted(path) == (280 * 2 + 20 * 30, 300)
    for row in rows:
        ledger.settle(row, "none", None, seconds=0)
    ledger.close()
    assert counted(path) == (280 * 2, 280)


def test_what_is_more_than_can_be_kept_is_counted(
    path: Path, impatient: None, locked: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_module, "BACKLOG", 5)
    ledger = Ledger(path)
    locked.execute("BEGIN IMMEDIATE")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        asked(ledger, 8)
        assert (ledger.late, ledger.lost) == (5, 3)
        ledger.close()
    assert ledger.lost == 8
    assert [str(each.message).partition(": ")[2] for each in told] == [
        "database is locked", "more than 5 are waiting to be written"
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*cannot be written", "ignore:.*lacks rows")
def test_closing_waits_for_one_more_try_however_much_has_come(
    path: Path, impatient: None, locked: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries, begun, go = [], threading.Event(), threading.Event()
    transact = book_module._Scribe._transact

    def counting(scribe: Any, entries: Any) -> Any:
        tries.append(len(entries))
        begun.set()
        assert go.wait(30)
        return transact(scribe, entries)

    ledger = Ledger(path)
    first, *others = [opened(ledger) for _ in range(3 * book_module.TOGETHER)]
    monkeypatch.setattr(book_module._Scribe, "_transact", counting)
    locked.execute("BEGIN IMMEDIATE")
    ledger.settle(first, "exact", Usage(1, 1), seconds=0)
    assert begun.wait(30)
    for row in others:
        ledger.settle(row, "exact", Usage(1, 1), seconds=0)
    go.set()
    ledger.close()
    assert tries == [1, 1], "the first alone, and it again"
    assert ledger.lost == 3 * book_module.TOGETHER


@pytest.mark.filterwarnings("ignore:.*cannot be written")
def test_what_is_left_at_the_end_is_told(path: Path, impatient: None, locked: sqlite3.Connection) -> None:
    ledger = Ledger(path)
    locked.execute("BEGIN IMMEDIATE")
    asked(ledger)
    with pytest.warns(UserWarning, match="lacks rows: 1 could not be written before the end"):
        ledger.close()


@pytest.mark.parametrize("also", [(), ("-wal", "-shm", "-writers")], ids=["alone", "with all beside it"])
def test_a_file_that_is_deleted_is_made_again(path: Path, also: tuple[str, ...]) -> None:
    ledger, other = Ledger(path), Ledger(path)
    row = opened(ledger)
    opened(other)
    for name in ("", *also):
        path.with_name(path.name + name).unlink()
    ledger.settle(row, "exact", Usage(1, 1), seconds=0)
    flushed(ledger)
    last = opened(other)
    third = Ledger(path)
    ledger.settle(opened(ledger), "exact", Usage(2, 2), seconds=0)
    ledger.close()
    assert [each[:2] for each in stored(path)] == [("exact", 1), (None, None), ("exact", 2)]
    assert counted(path) == (2 + 30 + 4, 3)
    opened(third)
    assert stored(path)[1][0] is None, "its writer is alive"
    other.settle(last, "none", None, seconds=0)
    other.close()
    third.close()


def test_a_folder_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    folder, away = tmp_path / "here", tmp_path / "away"
    folder.mkdir()
    ledger = Ledger(folder / "usage.db")
    asked(ledger)
    folder.rename(away)
    with pytest.warns(UserWarning, match="cannot be written"):
        asked(ledger)
    assert ledger.degraded
    with pytest.raises(ConfigError, match="cannot be read"):
        ledger.by()
    away.rename(folder)
    assert ledger.total.requests == 2
    assert not ledger.degraded
    ledger.close()


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="becomes somebody else")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_file_that_may_only_be_read() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "usage.db"
        ledger = Ledger(path)
        ledger.settle(opened(ledger), "exact", Usage(1, 1), seconds=0)
        ledger.close()
        Path(folder).chmod(0o755)
        if (pid := os.fork()) == 0:
            try:
                os.setuid(65534)
                with warnings.catch_warnings(record=True) as told:
                    warnings.simplefilter("always")
                    path_of_nobody(path, told)
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0


def path_of_nobody(path: Path, told: list[warnings.WarningMessage]) -> None:
    os.umask(0)
    ledger = Ledger(path)
    asked(ledger, 3)
    assert ledger.degraded
    assert (len(ledger.rows), ledger.late, len(told)) == (3, 3, 1)


def test_one_that_was_taken_for_dead_has_its_true_end(path: Path) -> None:
    ledger = Ledger(path)
    row = opened(ledger)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        tables.bury(connection, lambda writer: True)
    assert stored(path)[0][::3] == ("upper_bound", "ProcessDied")
    ledger.settle(row, "exact", Usage(1, 1), seconds=0)
    ledger.close()
    assert stored(path)[0][::3] == ("exact", None)
    assert counted(path) == (2, 1)


def test_a_clock_that_is_set_back_gives_nothing_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(path, (Budget(requests=3, per="day"),))
    for moment in (2e9, 2e9 - 86400, 1e9):
        monkeypatch.setattr("time.time", lambda moment=moment: moment)
        ledger.settle(opened(ledger), "exact", Usage(1, 1), seconds=0)
    with pytest.raises(BudgetExceeded, match="3 requests spent"):
        opened(ledger)
    monkeypatch.undo()
    ledger.close()
    assert [row["at"] for row in report.attempts(path)] == [2e9, 2e9 - 86400, 1e9], (
        "in the order in which they were made"
    )


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="limits files as Linux does")
def test_a_full_disk_stops_nobody_and_nothing_is_lost(path: Path) -> None:
    code = """
import resource, signal, sys, warnings
from pathlib import Path
from llmsdk.accounting.ledger import Ledger
from llmsdk.io.drive import drive
from llmsdk.io.sync import SyncIO
from llmsdk.types import Usage

def ask(count):
    for _ in range(count):
        row = drive(ledger.reserve("local", "m", "generate", bound=Usage(10, 20), io=SyncIO()))
        ledger.settle(row, "exact", Usage(1, 1), seconds=0)
    ledger._book.flush()

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
warnings.simplefilter("ignore")
ledger = Ledger(Path(sys.argv[1]))
ask(1)
most = resource.RLIM_INFINITY
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, most))
ask(50)
assert ledger.trouble, "it was not seen"
assert len(ledger.rows) == 51
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
ask(1)
assert ledger.trouble is None
assert ledger.total.requests == 52
"""
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=60)


@pytest.mark.filterwarnings("ignore:the ledger")
def test_a_torn_file_stops_nobody(path: Path) -> None:
    ledger = Ledger(path)
    for _ in range(40):
        ledger.settle(opened(ledger), "exact", Usage(1, 1), seconds=0)
    ledger.close()
    path.write_bytes(path.read_bytes()[:10_000])
    ledger = Ledger(path)
    ledger.settle(opened(ledger), "exact", Usage(1, 1), seconds=0)
    flushed(ledger)
    assert ledger.usage == Usage(1, 1)
    assert ledger.trouble


@pytest.mark.filterwarnings("ignore:the ledger")
def test_a_budget_that_the_file_holds_is_not_spent_blindly(
    path: Path, impatient: None, locked: sqlite3.Connection
) -> None:
    provider = Scripted(default="Hi!")
    config = {"ledger": {"path": str(path)}, "budget": {"requests": 5}}
    with Client(f"{provider.name}:m", provider=provider, config=config) as client:
        client.chat("Hello!")
        assert client.ledger.total.requests == 1
        locked.execute("BEGIN IMMEDIATE")
        asked = len(provider.requests)
        with pytest.raises(BudgetExceeded) as caught:
            client.chat("Hello!")
        assert caught.value.message == (
            f"the ledger {path}, which holds the budget, cannot be written: database is locked"
        )
        assert caught.value.hint == "Mend the file, or leave [budget] out of the configuration."
        with pytest.raises(BudgetExceeded, match="cannot be written"):
            client.chat("Hello!")
        assert len(provider.requests) == asked
        assert client.ledger.open == ()
        locked.execute("ROLLBACK")
        flushed(client.ledger)
        assert client.ledger.trouble is None, "it is tried again even if nobody asks"
        client.chat("Hello!")


def test_what_the_file_s_budget_refuses_no_other_budget_counts(path: Path) -> None:
    ledger, mine = Ledger(path, (Budget(requests=1),)), Budget(requests=5)
    opened(ledger, budgets=(mine,))
    with pytest.raises(BudgetExceeded, match="reserved"):
        opened(ledger, budgets=(mine,))
    assert (mine.reserved.requests, mine.spent.requests) == (1, 0)
    ledger.close()


def test_a_budget_in_dollars_refuses_what_has_no_known_price(path: Path) -> None:
    provider = Scripted(default="Hi!")
    config = {"ledger": {"path": str(path)}, "budget": {"usd": 5}}
    with Client(f"{provider.name}:mystery", provider=provider, config=config) as client:
        with pytest.raises(ConfigError, match="a budget in dollars, and no known price of 'mystery'") as refused:
            client.chat("Hello!")
        assert 'prices = "openai"' in refused.value.hint
        assert provider.requests == []
        assert client.ledger.open == ()
    assert stored(path) == []


def a_diary(path: Path) -> None:
    path.write_text("my diary, not yours" * 100)


def another_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine (a)")


@pytest.mark.parametrize("make", [a_diary, another_database])
def test_what_is_no_ledger_is_left_alone(path: Path, make: Any) -> None:
    make(path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=f"{path} is not a ledger"):
        Ledger(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("make", [a_diary, another_database])
def test_what_takes_the_place_of_a_ledger_is_left_alone(path: Path, make: Any) -> None:
    ledger, away = Ledger(path), path.parent / "away"
    asked(ledger)
    away.mkdir()
    for each in path.parent.glob("usage.db*"):  # SQLite would write what is in usage.db-wal into any usage.db
        each.rename(away / each.name)
    make(path)
    before = path.read_bytes()
    with pytest.warns(UserWarning, match=f"cannot be written: ledger.path: {path} is not a ledger"):
        asked(ledger, 2)
    assert path.read_bytes() == before
    assert (ledger.late, ledger.lost) == (2, 0)
    for each in away.iterdir():
        each.rename(path.with_name(each.name))
    assert ledger.total.requests == 3
    assert not ledger.degraded
    ledger.close()


def a_folder(path: Path) -> Path:
    path.mkdir()
    return path


def a_name_that_is_too_long(path: Path) -> Path:
    return path.with_name("x" * 300)


@pytest.mark.parametrize(
    ("make", "told"), [(a_folder, "unable to open database file"), (a_name_that_is_too_long, "File name too long")]
)
def test_what_cannot_be_opened_is_told_at_once(path: Path, make: Any, told: str) -> None:
    with pytest.warns(UserWarning, match=f"cannot be written: .*{told}"):
        ledger = Ledger(make(path))
    assert told in str(ledger.trouble)
    asked(ledger)
    assert (len(ledger.rows), ledger.late, ledger.lost) == (1, 1, 0)
    with pytest.warns(UserWarning, match="lacks rows"):
        ledger.close()


@pytest.mark.filterwarnings("ignore:.*cannot be written")
def test_a_table_that_goes_away_and_comes_back(path: Path, locked: sqlite3.Connection) -> None:
    ledger = Ledger(path)
    asked(ledger)
    locked.execute("ALTER TABLE attempts RENAME TO away")
    asked(ledger, 2)
    assert "no such table" in str(ledger.trouble)
    assert (ledger.late, ledger.lost) == (2, 0)
    locked.execute("ALTER TABLE away RENAME TO attempts")
    assert ledger.total.requests == 3
    assert not ledger.degraded
    ledger.close()


@pytest.mark.filterwarnings("ignore:.*cannot be written")
def test_a_new_file_that_somebody_locks_is_tried_until_it_is_free(path: Path, impatient: None) -> None:
    ledger = Ledger(path)
    asked(ledger)
    path.unlink()
    Ledger(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            asked(ledger)
            assert ledger.trouble == "database is locked"
        other.execute("ROLLBACK")
    assert ledger.total.requests == 2
    assert not ledger.degraded
    ledger.close()


def test_a_newer_file_and_a_missing_folder_are_told(path: Path) -> None:
    Ledger(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigError, match="written by a newer llmsdk"):
        Ledger(path)
    nowhere = path.parent / "nowhere"
    with pytest.raises(ConfigError) as caught:
        Ledger(nowhere / "usage.db")
    assert caught.value.message == f"ledger.path: there is no folder {nowhere}"
    assert caught.value.hint == "Make it, or name another."


def test_a_file_that_was_merely_found_may_not_say_where_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "llmsdk.toml").write_text('[ledger]\npath = "usage.db"\n')
    with pytest.raises(ConfigError, match="not trusted to say where to write") as refused:
        Client("local:pocket")
    assert "llmsdk trust" in refused.value.hint
    assert not (tmp_path / "usage.db").exists()
    monkeypatch.chdir("/")
    monkeypatch.setenv("LLMSDK_CONFIG", str(tmp_path / "llmsdk.toml"))
    Client("local:pocket").close()
    assert (tmp_path / "usage.db").exists(), "a path in a file is read from where the file is"


def test_the_configuration_s_budgets_hold_in_memory_and_in_a_file(path: Path) -> None:
    for ledger in ({}, {"ledger": {"path": str(path)}}):
        provider = Scripted(default="Hi!")
        config = {"budget": {"requests": 3, "tags": {"nightly": {"requests": 1, "per": "day"}}}, **ledger}
        with Client("scripted:m", provider=provider, config=config) as client:
            client.chat("Hello!", tags="nightly")
            with pytest.raises(BudgetExceeded, match="a day for the tag 'nightly'"):
                client.chat("Hello!", tags="nightly")
            client.chat(["Hello!", "Hello!"])
            with pytest.raises(BudgetExceeded, match="3 requests spent") as refused:
                client.chat("Hello!")
            assert (refused.value.limit, refused.value.spent, refused.value.needed) == (3, 3, 1)
            assert len(provider.requests) == client.ledger.total.requests == 3


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"usd": -1}, "budget.usd: must be greater"),
        ({"usd": "a lot"}, "budget.usd"),
        ({"dollars": 1}, "budget.dollars: unknown key"),
        ({"tokens": 1.5}, "budget.tokens: must be a valid integer"),
        ({"requests": 1, "per": "week"}, "budget.per: must be 'day' or 'month'"),
        ({"tags": {"a": {"usd": -1}}}, "budget.tags.a.usd: must be greater"),
    ],
)
def test_a_wrong_table_is_told(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Client("local:pocket", config={"budget": table})


def test_variables_set_both(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMSDK_LEDGER_PATH", str(path))
    monkeypatch.setenv("LLMSDK_BUDGET_REQUESTS", "0")
    with Client("scripted:m", provider=Scripted(default="Hi!")) as client, pytest.raises(BudgetExceeded):
        client.chat("Hello!")
    assert path.exists()


# --- loops ------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_tasks_of_a_loop_write_without_holding_it_up(path: Path) -> None:
    async with AsyncClient("local:pocket", config={"ledger": {"path": str(path)}}) as client:
        batch = await client.chat(["Hello!"] * 12, max_tokens=5)
        assert len(batch) == 12
        with anyio.move_on_after(0.01):
            await client.chat("Tell me a joke", max_tokens=200)
    assert len(stored(path)) in (12, 13)
    assert all(row[0] is not None for row in stored(path))


@pytest.mark.anyio
async def test_a_loop_reads_the_sums_on_a_thread(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readers, read = [], report.sums
    monkeypatch.setattr(report, "sums", lambda *given: readers.append(threading.current_thread()) or read(*given))
    for ledger in (Ledger(path), Ledger()):
        row = await ledger.reserve("openai", "gpt-4.1-mini", "generate", bound=Usage(1, 1), io=LoopIO(), tags=("a",))
        ledger.settle(row, "exact", Usage(1, 1), seconds=0)
        assert await ledger.sums("tag", "day") == ledger.by("tag", "day") != ()
        here = threading.current_thread()
        assert [reader is here for reader in readers] == [False, True], "and no file is read for the second"
        with pytest.raises(InputError):
            await ledger.sums("week")  # type: ignore[arg-type]
        ledger.close()


@pytest.mark.anyio
async def test_a_wait_that_is_cut_off_leaves_nothing_open(path: Path) -> None:
    ledger = Ledger(path)
    for _ in range(20):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await ledger.reserve("openai", "m", "generate", bound=Usage(1, 1), io=LoopIO())
        assert scope.cancelled_caught
    ledger.close()
    assert (ledger.open, ledger.degraded) == ((), False)
    assert {row[0] for row in stored(path)} <= {"none"}
