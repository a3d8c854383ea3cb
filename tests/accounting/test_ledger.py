"""The ledger in memory: one row an attempt, sums by whatever one asks for, and nothing lost when rows grow old."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import Scripted, says

from llmsdk import Budget, Client
from llmsdk.accounting import ledger as module
from llmsdk.accounting import prices, sums
from llmsdk.accounting.ledger import Ledger
from llmsdk.accounting.sums import Sums
from llmsdk.errors import ConnectFailed, InputError
from llmsdk.io.drive import drive
from llmsdk.io.sync import SyncIO
from llmsdk.results import Attempt, Settled, total_cost, total_usage
from llmsdk.types import Usage

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["gpt-4o-mini", "gpt-4.1", "mystery"]),
        st.sampled_from([(), ("a",), ("a", "b")]),
        st.sampled_from(["exact", "estimated", "upper_bound", "none"]),
        st.integers(0, 100_000),
        st.integers(0, 10_000),
        st.integers(0, 400),
    ),
    max_size=30,
)


def reserve(ledger: Ledger, model: str = "gpt-4o-mini", **options: Any) -> Attempt:
    tariff = options.pop("tariff", "openai")
    return drive(ledger.reserve("p", model, "generate", bound=Usage(10, 90), io=SyncIO(), tariff=tariff, **options))


def test_sums_tell_the_known_cost_and_how_much_is_unknown() -> None:
    provider = Scripted(says("a"), says("b"), [ConnectFailed("down")], says("c", usage=Usage(100, 50)))
    provider.tariff = "openai"  # type: ignore[attr-defined]
    with Client("scripted:gpt-4o-mini", provider=provider, retry={"base": 0.0}) as client:
        client.complete("x", tags=["a"])
        client.complete("x", model="scripted:mystery", tags=["a", "b"])
        client.complete("x")
        total = client.ledger.total
        assert (total.requests, total.unpriced, total.usage) == (3, 1, Usage(114, 56))
        assert total.cost == Decimal("0.00000285") + Decimal("0.000045")
        assert [(line.key, line.requests) for line in client.ledger.by("model")] == [
            (("scripted:gpt-4o-mini",), 2),
            (("scripted:mystery",), 1),
        ]
        assert [(line.name, line.requests) for line in client.ledger.by("tag")] == [("", 1), ("a", 2), ("b", 1)]
        assert [line.key[1] for line in client.ledger.by("day", "operation")] == ["generate"]
        assert client.usage == Usage(114, 56)


def test_what_nobody_knows_is_a_question_mark() -> None:
    ledger = Ledger()
    ledger.settle(reserve(ledger), "exact", Usage(None, 3), seconds=0)
    assert repr(ledger) == "<Ledger: 1 settled, 0 open; tokens: ? in, 3 out>"


def test_the_keys_of_a_provider_are_told_apart_but_not_their_models() -> None:
    ledger = Ledger()
    for provider in ("p", "p#2", "p#10", "q#x"):
        ledger.hit(provider, "m", "generate", saved=None)
        row = drive(ledger.reserve(provider, "m", "generate", bound=Usage(1, 1), io=SyncIO()))
        ledger.settle(row, "exact", Usage(1, 1), seconds=0)
    assert [(line.name, line.requests) for line in ledger.by("model")] == [("p:m", 3), ("q#x:m", 1)]
    assert [line.name for line in ledger.by("provider")] == ["p", "p#10", "p#2", "q#x"]


def test_nothing_adds_nothing() -> None:
    some = Sums(("k",), 2, Usage(1, 2, source="local"), Decimal(3), 1)
    assert some + Sums() == some
    assert Sums(("k",)) + some == some


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(InputError) as caught:
        Ledger().by("week")  # type: ignore[arg-type]
    assert caught.value.message == "by: 'week' is not known"
    assert caught.value.hint == "One of: day, model, provider, operation, tag."
    assert caught.value.argument == "by"  # type: ignore[attr-defined]


def test_nothing_asked_comes_to_nothing() -> None:
    assert Ledger().total == Sums()
    assert Ledger().by("model") == ()
    assert Ledger().usage == Usage()


def test_a_row_says_all_that_was_said_of_it() -> None:
    ledger, before = Ledger(), time.time()
    row = reserve(ledger, tags=("a",), key="k")
    assert (row.provider, row.model, row.operation, row.reserved) == ("p", "gpt-4o-mini", "generate", 100)
    assert (row.tags, row.tariff, row.idempotency_key) == (("a",), "openai", "k")
    assert before <= row.at <= time.time()
    more = {"seconds": 1.5, "first_token": 0.5, "error": "E", "queued": 0.25}
    done = ledger.settle(row, "estimated", usage := Usage(1, 2), **more)
    assert done == replace(row, settled="estimated", usage=usage, **more)
    assert reserve(ledger).id != row.id
    assert repr(ledger) == "<Ledger: 1 settled, 1 open; tokens: 1 in, 2 out>"
    bare = ledger.settle(reserve(ledger), "exact", Usage(1_000_000, None), seconds=0)
    assert (bare.first_token, bare.error, bare.queued) == (None, None, 0.0)
    assert repr(ledger) == "<Ledger: 2 settled, 1 open; tokens: 1,000,001 in, 2 out>"
    hit = ledger.hit("p", "m", "embed", saved=Usage(3, 4), tags=("b",), tariff="t")
    assert ledger.rows[0] == done
    assert ledger.rows[-1] == hit
    assert (hit.provider, hit.model, hit.operation, hit.tags, hit.tariff) == ("p", "m", "embed", ("b",), "t")
    assert (hit.settled, hit.reserved, hit.seconds, hit.cached, hit.saved) == ("exact", 0, 0.0, True, Usage(3, 4))
    assert before <= hit.at <= time.time()
    assert (ledger.trouble, ledger.degraded) == (None, False)


def test_rows_are_counted_by_how_they_were_settled_and_only_what_ran_is_used() -> None:
    ledger = Ledger()
    for settled, usage in (("exact", Usage(1, 1)), ("exact", None), ("none", Usage(5, 5)), ("exact", Usage(2, 2))):
        ledger.settle(reserve(ledger), settled, usage, seconds=0)
        assert ledger.rows  # read one by one, so that each is taken in by itself
    assert ledger.counts == {"exact": 3, "none": 1}
    assert ledger.usage == Usage(3, 3)


def test_a_row_is_settled_once() -> None:
    ledger = Ledger()
    row = reserve(ledger)
    assert ledger.open == (row,)
    assert row.reserved == 100
    ledger.settle(row, "none", None, seconds=0.0)
    with pytest.raises(KeyError):
        ledger.settle(row, "none", None, seconds=0.0)
    assert ledger.open == ()
    assert ledger.counts == {"none": 1}


@given(ROWS, st.integers(1, 4), st.integers(1, 3))
def test_sums_are_those_of_the_rows_however_few_are_kept(rows: list[Any], keep: int, chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "KEEP", keep)
        patch.setattr(module, "CHUNK", chunk)
        ledger = Ledger()
        done: list[Attempt] = []
        for model, tags, settled, read, written, cached in rows:
            usage = None if settled == "none" else Usage(read, written, min(read, cached))
            row = reserve(ledger, model, tags=tags)
            done.append(ledger.settle(row, settled, usage, seconds=0.0))
            assert len(ledger._rows) + len(ledger._new) <= keep + chunk
        run = [row for row in done if row.settled != "none"]
        assert ledger.total.requests == len(run)
        assert ledger.usage == total_usage(done) == ledger.total.usage
        assert ledger.total.cost == sum(row.cost or 0 for row in run)
        assert ledger.total.unpriced == sum(row.cost is None for row in run)
        for model in {row.model for row in run}:
            mine = [row for row in run if row.model == model]
            line = next(line for line in ledger.by("model") if line.key == (f"p:{model}",))
            assert line.requests == len(mine)
            assert line.cost == (total_cost(mine) or 0)
        assert sum(line.requests for line in ledger.by("tag")) == sum(len(row.tags) or 1 for row in run)
        assert list(ledger.rows) == done[-keep:]


@pytest.mark.parametrize("reads", [False, True], ids=["unread", "read after each row"])
def test_rows_beyond_those_kept_are_summed_up(reads: bool) -> None:
    ledger = Ledger()
    for _ in range(module.KEEP + 2 * module.CHUNK + 5):
        row = reserve(ledger, tariff="local")
        ledger.settle(row, "exact", Usage(1, 1), seconds=0.0)
        if reads:
            assert ledger.usage
    assert len(ledger._rows) + len(ledger._new) < module.KEEP + 2 * module.CHUNK
    assert ledger.total.requests == module.KEEP + 2 * module.CHUNK + 5


def test_old_rows_are_summed_up_once_though_others_come_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prices are looked at without the lock, so another thread may come while rows are being summed up."""
    monkeypatch.setattr(module, "KEEP", 4)
    monkeypatch.setattr(module, "CHUNK", 2)
    ledger, priced, under_way, sizes = Ledger(), sums.of, 0, itertools.count()

    def asked() -> None:
        ledger.settle(reserve(ledger), "exact", Usage(next(sizes), 1), seconds=0.0)

    def of(rows: Any) -> Any:
        nonlocal under_way
        under_way += 1
        if under_way == 1:
            asked()
        found = priced(rows)
        under_way -= 1
        return found

    monkeypatch.setattr(sums, "of", of)
    for _ in range(20):
        asked()
    monkeypatch.undo()
    total = ledger.total
    assert total.requests == ledger.counts["exact"] > 20
    assert total.usage == ledger.usage


class Watched(SyncIO):
    """Notes what is done off the loop."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        super().__init__()
        self.done: list[Any] = []

    async def run(self, work: Callable[[], Any]) -> Any:
        self.done.append(work)
        return work()


@pytest.mark.parametrize("loaded", [False, True])
def test_prices_are_loaded_off_the_loop_and_only_for_a_budget_in_dollars(
    loaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    io = Watched()
    for budgets, expected in (((Budget(requests=9),), []), ((Budget(usd=9),), [] if loaded else [prices.load])):
        monkeypatch.setattr(prices, "loaded", loaded)
        drive(ledger_row(Ledger(), io, budgets))
        assert io.done == expected


def ledger_row(ledger: Ledger, io: SyncIO, budgets: tuple[Budget, ...]) -> Any:
    return ledger.reserve("p", "gpt-4o-mini", "generate", bound=Usage(1, 1), io=io, budgets=budgets, tariff="openai")


def test_what_costs_no_tokens_reserves_none() -> None:
    budget = Budget(tokens=100)
    drive(Ledger().reserve("p", "", "models", bound=Usage(1, 1), io=SyncIO(), budgets=(budget,)))
    assert (budget.reserved.tokens, budget.reserved.requests) == (0, 1)


def test_reserving_and_settling_are_cheap() -> None:
    """About 3 us together where this was written; the limit is wide enough for a busy machine."""
    ledger = Ledger()
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        for _ in range(500):
            row = reserve(ledger, tariff="local")
            ledger.settle(row, "exact", Usage(1, 1), seconds=0.0)
        best = min(best, time.process_time() - start)
    assert best / 500 < 100e-6


def test_a_child_numbers_its_rows_anew() -> None:
    ledger = Ledger()
    before = reserve(ledger).id.partition("-")[0]
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, reserve(ledger).id.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        child = pipe.read().partition("-")[0]
    os.waitpid(pid, 0)
    assert child
    assert child != before
    assert reserve(ledger).id.startswith(before)


@pytest.mark.parametrize("settled", ["exact", "estimated", "upper_bound"])
def test_what_may_have_run_is_in_the_sums(settled: Settled) -> None:
    ledger = Ledger()
    ledger.settle(reserve(ledger), settled, Usage(10, None), seconds=0.0)
    assert (ledger.total.requests, ledger.total.unpriced) == (1, 1)
