"""What stands in a ledger's tables after each step, to the last figure."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llmsdk import Budget
from llmsdk.accounting import tables
from llmsdk.accounting.budget import NOTHING, Amount
from llmsdk.errors import ConfigError
from llmsdk.results import Attempt
from llmsdk.types import Usage

HERE = Path("x.db")
AT = 1_764_374_400.0  # 2025-11-29, midnight
DAY = "2025-11-29"
HELD = Amount(Decimal("0.5"), 100, 1)


@pytest.fixture
def file() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        tables.prepare(HERE)(connection)
        yield connection


def row(number: int = 1, **given: Any) -> Attempt:
    fields = {"id": f"r{number}", "provider": "openai", "model": "gpt-4.1-mini", "operation": "generate", "at": AT}
    return Attempt(**{**fields, "reserved": 100, **given})


def sums(file: sqlite3.Connection) -> dict[tuple[str, str], tuple[int, int, int]]:
    return {(day, tag): (usd, tokens, count) for day, tag, usd, tokens, count in file.execute("SELECT * FROM sums")}


def test_a_row_that_is_opened_has_all_that_was_reserved(file: sqlite3.Connection) -> None:
    opened = row(tags=("a", "b", "a"), tariff="t", idempotency_key="k")
    tables.insert(file, opened, HELD, 7)
    tables.insert(file, opened, HELD, 7)
    assert sums(file) == {(DAY, tag): (5 * 10**11, 100, 1) for tag in ("", "a", "b")}
    names = "id, writer, at, day, provider, model, operation, tariff, tags, idempotency_key, held_tokens, held_usd"
    assert file.execute(f"SELECT {names} FROM attempts").fetchall() == [  # noqa: S608 - words of ours
        ("r1", 7, AT, DAY, "openai", "gpt-4.1-mini", "generate", "t", '["a", "b", "a"]', "k", 100, 5 * 10**11)
    ]


END = (
    "settled, error, seconds, first_token, queued, input, output, cached, written, reasoning, source, hit,"
    " saved_input, saved_output"
)
USAGE = Usage(30, 7, 5, 3, 2, "estimate")


@pytest.mark.parametrize("opened", [True, False], ids=["opened before", "as a whole"])
def test_a_row_that_is_settled_counts_as_what_it_used(file: sqlite3.Connection, opened: bool) -> None:
    if opened:
        tables.insert(file, row(), HELD, 7)
    done = row(settled="exact", usage=USAGE, seconds=1.5, first_token=0.5, error="E", queued=0.25, saved=Usage(8, 9))
    for _ in range(2):
        tables.settle(file, done, HELD, 7, whole=True)
    assert done.cost
    assert sums(file) == {(DAY, ""): (int(done.cost * tables.PICO), 37, 1)}
    assert file.execute(f"SELECT {END} FROM attempts").fetchall() == [  # noqa: S608 - words of ours
        ("exact", "E", 1.5, 0.5, 0.25, 30, 7, 5, 3, 2, "estimate", 0, 8, 9)
    ]


def test_one_that_is_not_there_is_left_out_unless_it_is_whole(file: sqlite3.Connection) -> None:
    tables.settle(file, row(settled="none"), HELD, 7, whole=False)
    assert sums(file) == {}
    assert file.execute("SELECT count(*) FROM attempts").fetchone() == (0,)


@pytest.mark.parametrize(
    ("given", "held", "expected"),
    [
        ({"settled": "none", "usage": USAGE}, HELD, (0, 0, 0)),
        ({"settled": "upper_bound"}, HELD, (5 * 10**11, 100, 1)),
        ({"settled": "exact", "usage": USAGE, "model": "mystery"}, HELD, (5 * 10**11, 37, 1)),
        ({"settled": "exact", "usage": USAGE, "model": "mystery"}, Amount(tokens=100, requests=1), (0, 37, 1)),
        ({"settled": "none"}, Amount(requests=1), (0, 0, 0)),
    ],
)
def test_what_is_counted_of_it(file: sqlite3.Connection, given: Any, held: Amount, expected: tuple[int, ...]) -> None:
    tables.insert(file, row(), held, 7)
    tables.settle(file, row(**given), held, 7, whole=True)
    assert sums(file) == {(DAY, ""): expected}
    shown = file.execute("SELECT input, source FROM attempts").fetchone()
    assert shown == ((30, "estimate") if given["settled"] == "exact" else (None, None))


def test_a_cost_that_no_budget_asked_for_is_counted_too(file: sqlite3.Connection) -> None:
    held, done = Amount(tokens=100, requests=1), row(settled="exact", usage=USAGE)
    tables.insert(file, row(), held, 7)
    tables.settle(file, done, held, 7, whole=True)
    assert done.cost
    assert sums(file) == {(DAY, ""): (int(done.cost * tables.PICO), 37, 1)}


def test_what_is_known_of_a_budget_is_told_apart_by_tag_and_day(file: sqlite3.Connection) -> None:
    tables.insert(file, row(1, tags=("a",)), HELD, 7)
    tables.settle(file, row(1, tags=("a",), settled="upper_bound"), HELD, 7, whole=True)
    tables.insert(file, row(2, tags=("a", "b")), HELD, 7)
    tables.insert(file, row(3, at=AT - 86400), HELD, 7)
    two, three = HELD + HELD, HELD + HELD + HELD
    assert tables.known(file, Budget(usd=1), AT) == (HELD, two)
    assert tables.known(file, Budget(usd=1, per="day"), AT) == (HELD, HELD)
    assert tables.known(file, Budget(usd=1, tag="a"), AT) == (HELD, HELD)
    assert tables.known(file, Budget(usd=1, tag="b"), AT) == (NOTHING, HELD)
    assert tables.known(file, Budget(usd=1, tag="c"), AT) == (NOTHING, NOTHING)
    tables.bury(file, lambda writer: writer == 8)
    assert tables.known(file, Budget(usd=1), AT) == (HELD, two)
    tables.bury(file, lambda writer: writer == 7)
    assert tables.known(file, Budget(usd=1), AT) == (three, NOTHING)
    assert file.execute("SELECT count(*) FROM attempts WHERE error = 'ProcessDied'").fetchone() == (2,)


def test_who_was_taken_for_dead_has_the_true_end(file: sqlite3.Connection) -> None:
    tables.insert(file, row(), HELD, 7)
    tables.bury(file, lambda writer: True)
    tables.settle(file, row(settled="none"), HELD, 7, whole=True)
    assert sums(file) == {(DAY, ""): (0, 0, 0)}


def test_figures_are_rounded_up_and_bounded(file: sqlite3.Connection) -> None:
    assert [tables._pico(Decimal(usd)) for usd in ("0", "1E-13", "1", "1E99")] == [0, 1, 10**12, 10**17]
    assert [tables._whole(count) for count in (None, 5, 10**15 + 1, -(10**16))] == [None, 5, 10**15, -(10**15)]
    assert [tables._word(text) for text in (None, "é", "\udc80")] == [None, "é", "\\udc80"]
    assert tables.dollars_of(5 * 10**11) == Decimal("0.5")
    assert len({tables.enlist(file) for _ in range(9)}) == 9


def told(file: sqlite3.Connection) -> tuple[str, str, str | None]:
    with pytest.raises(ConfigError) as caught:
        tables.version(file, HERE)
    return caught.value.message, caught.value.hint, getattr(caught.value, "key", None)


def test_whose_file_it_is(file: sqlite3.Connection) -> None:
    assert tables.version(file, HERE) == len(tables.STEPS)
    file.execute("PRAGMA user_version = 99")
    message = "ledger.path: x.db was written by a newer llmsdk"
    assert told(file) == (message, "Update llmsdk, or name another file.", "ledger.path")
    file.execute("PRAGMA application_id = 5")
    assert told(file) == ("ledger.path: x.db is not a ledger", "Name a file of its own.", "ledger.path")
    with pytest.raises(ConfigError, match=r"x\.db is not a ledger"):
        tables.prepare(HERE)(file)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as empty:
        empty.execute("PRAGMA user_version = 1")
        assert tables.version(empty, HERE) == 0, "somebody else's figure, and nothing in it"
        tables.prepare(HERE)(empty)
        assert tables.version(empty, HERE) == len(tables.STEPS)


def test_a_file_that_is_up_to_date_is_only_read(file: sqlite3.Connection) -> None:
    file.execute("PRAGMA query_only = 1")
    tables.prepare(HERE)(file)
