"""Budgets refuse before anything is sent, count what is under way, and hold for every way to run calls."""

from __future__ import annotations

import asyncio
import contextvars
import pickle
import re
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from decimal import Decimal
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import FULL, Scripted, says

from llmsdk import AsyncClient, Budget, Client
from llmsdk.accounting import budget as budgeting
from llmsdk.accounting.budget import NOTHING, Amount, Hold, entered, hold
from llmsdk.errors import BudgetExceeded, ConfigError, Disconnected, InputError, Overloaded
from llmsdk.io import IO
from llmsdk.provider import Capabilities
from llmsdk.testing import FaultServer
from llmsdk.types import Event, Request, Usage

NOW = time.time()
PRICE = Decimal("0.00000015"), Decimal("0.0000006")
"""Dollars for a token of input and of output of gpt-4o-mini."""
MODEL = "scripted:gpt-4o-mini"


class Endless(Scripted):
    """Says "hello" as often as it is asked; each prompt costs 7 tokens and each reply 3."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.tariff = "openai"
        self.most = self.now = 0

    async def generate(self, request: Request, io: IO) -> AsyncIterator[Event]:
        self.replies.append(says("hello"))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await io.sleep(0.001)
            async for event in super().generate(request, io):
                yield event
        finally:
            self.now -= 1


def test_a_budget_of_requests_refuses_before_sending_and_says_all_figures() -> None:
    provider = Endless()
    with Client(MODEL, provider=provider, budget=Budget(requests=2)) as client:
        client.complete("x")
        client.complete("x")
        with pytest.raises(BudgetExceeded) as caught:
            client.complete("x")
    error = caught.value
    assert len(provider.requests) == 2
    assert (error.unit, error.limit, error.spent, error.reserved, error.needed) == ("requests", 2, 2, 0, 1)
    assert error.message == (
        "the budget of 2 requests does not allow this: 2 requests spent, 0 requests reserved by attempts under way, "
        "and it may need 1 request"
    )
    assert error.hint
    assert (error.provider, error.model) == ("scripted", "gpt-4o-mini")
    again = pickle.loads(pickle.dumps(error))
    assert (again.unit, again.limit) == ("requests", 2)


def test_tokens_are_reserved_in_full_and_settled_as_they_were() -> None:
    provider = Endless()
    budget = Budget(tokens=110)
    with Client(MODEL, provider=provider) as client:
        client.complete("1234567890", max_tokens=90, budget=budget)
        assert budget.spent == Amount(Decimal(0), 10, 1)
        assert budget.reserved == NOTHING
        with pytest.raises(BudgetExceeded) as caught:
            client.complete("1234567890", max_tokens=91, budget=budget)
        assert (caught.value.spent, caught.value.needed) == (10, 101)
        assert "max_tokens" in caught.value.hint
        client.complete("1234567890", max_tokens=90, budget=budget)
    assert len(provider.requests) == 2


def test_dollars_are_counted_to_the_last_digit() -> None:
    budget = Budget(usd="0.01")
    with Client(MODEL, provider=Endless(), budget=budget) as client:
        result = client.complete("x", max_tokens=5)
        assert result.cost == budget.spent.usd == 7 * PRICE[0] + 3 * PRICE[1]
        dear = 1 * PRICE[0] + 16_665 * PRICE[1]
        with pytest.raises(BudgetExceeded) as caught:
            client.complete("x", max_tokens=16_665)
        assert (caught.value.unit, caught.value.needed) == ("usd", dear)
        assert caught.value.message.startswith("the budget of $0.01 does not allow this: $0.000003 spent, $0.00 ")


def test_a_number_is_dollars_for_that_call_and_for_a_whole_batch() -> None:
    with Client(MODEL, provider=Endless()) as client:
        with pytest.raises(BudgetExceeded):
            client.complete("x", max_tokens=1000, budget=0.0001)
        client.complete("x", max_tokens=1000, budget=1)
        one = PRICE[0] + 1000 * PRICE[1]
        with pytest.raises(BudgetExceeded):
            client.complete(["x"] * 5, max_tokens=1000, budget=float(one), concurrency=1)
        for _ in range(5):  # the same keywords, and yet another budget with each call
            client.complete("x", max_tokens=1000, budget=float(one))


def test_all_budgets_that_apply_are_charged_and_none_lifts_another() -> None:
    outer, inner, own, call = (Budget(requests=n) for n in (9, 9, 2, 9))
    with Client(MODEL, provider=Endless(), budget=own) as client, outer:
        with inner:
            client.complete("x", budget=call)
        client.complete("x")
        with pytest.raises(BudgetExceeded) as caught:
            client.complete("x", budget=call)
        assert caught.value.limit == 2
        client.with_options(temperature=0)
    assert [budget.spent.requests for budget in (outer, inner, own, call)] == [2, 1, 2, 1]
    assert [budget.reserved for budget in (outer, inner, own, call)] == [NOTHING] * 4
    assert entered() == ()


def test_one_budget_entered_twice_or_given_twice_counts_once() -> None:
    budget = Budget(requests=3)
    with Client(MODEL, provider=Endless(), budget=budget) as client, budget, budget:
        client.complete("x", budget=budget)
        assert entered() == (budget, budget)
    assert budget.spent.requests == 1


def test_what_surely_did_not_run_costs_nothing_and_what_may_have_run_counts_in_full() -> None:
    provider = Scripted([Overloaded("busy")], says("ok"), [Disconnected("gone", sent=True)])
    budget = Budget(tokens=1000, requests=10)
    with Client(MODEL, provider=provider, retry={"base": 0.0}, budget=budget) as client:
        client.complete("x", max_tokens=50)
        assert budget.spent == Amount(tokens=10, requests=1)
        with pytest.raises(Disconnected):
            client.complete("x", max_tokens=50)
        assert budget.spent == Amount(tokens=10 + 51, requests=2)


def test_a_stream_that_outruns_its_reservation_is_counted_and_the_next_call_refused() -> None:
    provider = Scripted(says("a long tale", usage=Usage(7, 9000)), says("never"))
    budget = Budget(tokens=5000)
    with Client(MODEL, provider=provider, budget=budget) as client:
        text = "".join(event.text for event in client.complete("x", stream=True))
        assert text == "a long tale"
        assert budget.spent.tokens == 9007
        with pytest.raises(BudgetExceeded):
            client.complete("x", max_tokens=1)
    assert len(provider.requests) == 1


def test_a_stream_is_charged_to_the_block_it_was_asked_in() -> None:
    budget = Budget(requests=1)
    with Client(MODEL, provider=Endless()) as client:
        with budget:
            stream = client.complete("x", stream=True)
        assert stream.result.text == "hello"
        assert budget.spent.requests == 1


def test_leaving_a_stream_settles_its_budget() -> None:
    budget = Budget(tokens=100_000)
    with Client(MODEL, provider=Endless(), budget=budget) as client:
        with client.complete("x", stream=True) as stream:
            next(stream)
            assert budget.reserved.tokens == 1 + 4096
        assert budget.reserved == NOTHING
        assert 0 < budget.spent.tokens < 20


def test_what_a_model_writes_at_most_is_reserved_where_it_is_known() -> None:
    can = Capabilities(complete=True, options=FULL.options, output=123)
    with Client(MODEL, provider=Endless(can=can)) as client:
        with pytest.raises(BudgetExceeded) as caught:
            client.complete("x", budget=Budget(tokens=1), n=2)
        assert caught.value.needed == 1 + 2 * 123


def test_an_unknown_price_is_refused_unless_it_may_be_left_out() -> None:
    with Client("scripted:mystery", provider=Endless()) as client:
        with pytest.raises(ConfigError) as caught:
            client.complete("x", budget=1)
        assert "unpriced" in caught.value.hint
        assert "prices" in caught.value.hint
        budget = Budget(usd=1, requests=5, unpriced="allow")
        client.complete("x", budget=budget)
        assert budget.spent == Amount(tokens=10, requests=1)


def test_what_the_hint_for_an_unknown_price_says_can_be_done_in_code_and_in_the_configuration() -> None:
    with FaultServer() as host:
        for given, cost in (
            ({"budget": {"usd": 1.0, "unpriced": "allow"}}, None),
            ({"budget": {"tokens": 9_000, "requests": 9}}, None),
            ({"budget": {"usd": 1.0}}, "openai"),
        ):
            config = host.config(**given)
            if cost:
                config["providers"]["openai"]["prices"] = cost
            with Client("openai:gpt-4.1-mini", config=config) as client:
                result = client.chat("x")
                assert (result.cost is None) == (cost is None)
                assert client.chat("x", budget=Budget(usd=1, unpriced="allow")).text == result.text
        with Client("openai:gpt-4.1-mini", config=host.config(budget={"usd": 1.0})) as client:
            seen = len(host.requests)
            with pytest.raises(ConfigError, match=r"no known price of 'gpt-4\.1-mini'") as refused:
                client.chat("x")
            assert 'unpriced="allow"' in refused.value.hint
            assert 'unpriced = "allow" under [budget]' in refused.value.hint
            assert len(host.requests) == seen


def test_local_models_cost_nothing() -> None:
    provider = Endless(name="local")
    provider.tariff = None
    with Client("local:m", provider=provider, budget=0) as client:
        assert client.complete("x").cost == 0


def test_tags_have_budgets_of_their_own() -> None:
    nightly = Budget(requests=1, tag="nightly")
    with Client(MODEL, provider=Endless(), budget=nightly) as client:
        for _ in range(3):
            client.complete("x", tags=["daily"])
        client.complete("x", tags=["daily", "nightly"])
        with pytest.raises(BudgetExceeded) as caught:
            client.complete("x", tags=["nightly"])
        assert "'nightly'" in caught.value.message
    assert nightly.spent.requests == 1


def day(text: str) -> float:
    import datetime

    return datetime.datetime.fromisoformat(f"{text}T12:00:00+00:00").timestamp()


def test_a_period_begins_anew_and_a_clock_set_back_gives_nothing_away() -> None:
    budget = Budget(requests=2, per="month")
    one = Amount(requests=1)
    for moment in (day("2026-11-01"), day("2026-11-30")):
        hold((budget,), one, moment).release(one)
    with pytest.raises(BudgetExceeded) as caught:
        hold((budget,), one, day("2026-11-30"))
    assert "a month" in caught.value.message
    assert "next month" in caught.value.hint
    december = hold((budget,), one, day("2026-12-01"))
    for moment in (day("2026-11-30"), day("2026-12-01")):  # the clock jumps back and forth
        hold((budget,), NOTHING, moment)
    assert (budget.spent.requests, budget.reserved.requests) == (0, 1)
    december.release(one)
    hold((budget,), one, day("2026-11-29")).release(one)
    assert budget.spent.requests == 2, "what is spent while the clock is behind counts too"
    with pytest.raises(BudgetExceeded):
        hold((budget,), one, day("2026-11-29"))


def test_threads_of_a_batch_cannot_overspend() -> None:
    provider = Endless()
    budget = Budget(requests=20)
    with Client(MODEL, provider=provider) as client, budget:
        batch = client.complete(["x"] * 50, concurrency=16, errors="return")
    refused = [item for item in batch if isinstance(item, BudgetExceeded)]
    assert len(provider.requests) == budget.spent.requests == 20
    assert len(refused) == 30


def test_threads_started_by_hand_take_the_context_or_enter_the_budget_again() -> None:
    budget = Budget(requests=2)
    with Client(MODEL, provider=Endless()) as client:

        def enter() -> None:
            with budget:
                client.complete("x")

        with budget:
            context = contextvars.copy_context()
        ways: list[Callable[[], Any]] = [enter, lambda: context.run(client.complete, "x")]
        threads = [threading.Thread(target=way) for way in ways]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert budget.spent.requests == 2


@pytest.mark.anyio
async def test_tasks_inside_a_block_race_one_budget_and_none_is_overspent() -> None:
    provider = Endless()
    refused = 0

    async def ask(client: AsyncClient) -> None:
        nonlocal refused
        try:
            await client.complete("x", max_tokens=9)
        except BudgetExceeded:
            refused += 1

    async with AsyncClient(MODEL, provider=provider) as client:
        async with Budget(tokens=100) as budget:
            async with anyio.create_task_group() as group:
                for _ in range(64):
                    group.start_soon(ask, client)
        assert provider.most <= 10  # each reserves 1 + 9
        assert budget.spent.tokens == 10 * len(provider.requests) <= 100
        assert len(provider.requests) + refused == 64
        assert budget.reserved == NOTHING


@pytest.mark.anyio
async def test_a_cancelled_attempt_gives_back_what_it_had_reserved() -> None:
    class Slow(Endless):
        async def generate(self, request: Request, io: IO) -> AsyncIterator[Event]:
            await io.sleep(60)
            yield Usage(1, 1)

    budget = Budget(tokens=1000)
    async with AsyncClient(MODEL, provider=Slow()) as client:
        with anyio.move_on_after(0.05):
            await client.complete("x", max_tokens=9, budget=budget)
        assert budget.reserved == NOTHING
        assert budget.spent == NOTHING  # nothing was sent


def test_settling_while_the_lock_is_held_does_not_wait() -> None:
    """The garbage collector may close a stream in the middle of anything."""
    budget = Budget(requests=1)
    one = Amount(requests=1)
    held = hold((budget,), one, NOW)
    with budgeting.LOCK:
        held.release(one)
    assert budget.spent == one


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 60)), max_size=40), st.integers(0, 300))
def test_reservations_and_what_is_spent_never_pass_the_limit(jobs: list[tuple[int, int]], limit: int) -> None:
    budget = Budget(tokens=limit)
    under_way: list[Hold] = []
    spent = 0
    for size, use in jobs:
        fits = size == 0 or spent + sum(held.amount.tokens for held in under_way) + size <= limit
        with nullcontext() if fits else pytest.raises(BudgetExceeded):
            under_way.append(hold((budget,), Amount(tokens=size), NOW))
        if not fits:
            continue
        if len(under_way) > 3:
            first = under_way.pop(0)
            used = Amount(tokens=min(use, first.amount.tokens))
            first.release(used)
            spent += used.tokens
        assert budget.spent.tokens == spent
        assert budget.reserved.tokens == sum(held.amount.tokens for held in under_way)
        assert spent + budget.reserved.tokens <= limit


DOLLARS = "Pass dollars, such as 0.5, or llmsdk.Budget(usd=..., tokens=..., requests=...)."
WHOLE = "Pass a whole number."


@pytest.mark.parametrize(
    ("make", "message", "hint"),
    [
        (lambda: Budget(), "a budget without a limit", "Pass Budget(usd=1), for instance."),
        (lambda: Budget(usd=-1), "budget: -1 is no amount of dollars", DOLLARS),
        (lambda: Budget(usd=float("nan")), "budget: nan is no amount of dollars", DOLLARS),
        (lambda: Budget(usd=True), "budget: True is no amount of dollars", DOLLARS),
        (lambda: Budget(usd="much"), "budget: 'much' is no amount of dollars", DOLLARS),
        (lambda: Budget(usd=budgeting.MOST), f"budget: {budgeting.MOST} is no amount of dollars", DOLLARS),
        (lambda: Budget(tokens=1.5), "budget: tokens=1.5 is no count", WHOLE),  # type: ignore[arg-type]
        (lambda: Budget(tokens=True), "budget: tokens=True is no count", WHOLE),
        (lambda: Budget(requests=-1), "budget: requests=-1 is no count", WHOLE),
        (lambda: Budget(requests=budgeting.MOST), f"budget: requests={budgeting.MOST} is no count", WHOLE),
        (lambda: Budget(usd=1, per="week"), "budget: per='week' is not known", "One of: 'day', 'month'."),  # type: ignore[arg-type]
        (lambda: Budget(usd=1, tag=""), "tag is no tag", 'Pass a word, such as tag="nightly".'),
        (lambda: Budget(usd=1, unpriced="no"), "budget: unpriced='no' is not known", "One of: 'refuse', 'allow'."),  # type: ignore[arg-type]
        (lambda: Client("local:pocket", budget="much"), "budget: 'much' is no amount of dollars", DOLLARS),  # type: ignore[arg-type]
        (lambda: Client("local:pocket", budget=[1]), "budget: [1] is no amount of dollars", DOLLARS),  # type: ignore[arg-type]
    ],
)
def test_a_budget_that_makes_no_sense_is_refused_at_once(make: Callable[[], Any], message: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert (caught.value.message, caught.value.hint) == (message, hint)
    assert caught.value.argument == ("tag" if message.startswith("tag") else "budget")


MAX, ASK, WAIT = (
    "set max_tokens, which bounds what is reserved",
    "ask for less by max_tokens",
    "let the attempts under way end first",
)


@pytest.mark.parametrize(
    ("options", "reserved", "needed", "ways"),
    [
        ({"tokens": 10}, 0, 10, [MAX]),
        ({"tokens": 10}, 5, 10, [MAX, WAIT]),
        ({"tokens": 10}, 5, 11, [ASK]),
        ({"requests": 10}, 5, 6, [WAIT]),
        ({"requests": 10, "per": "day"}, 0, 10, ["wait for the next day (UTC)"]),
    ],
)
def test_the_hint_says_what_would_help(options: Any, reserved: int, needed: int, ways: list[str]) -> None:
    unit = "tokens" if "tokens" in options else "requests"
    amounts = [Amount(**{unit: figure}) for figure in (1, reserved, needed)]
    with pytest.raises(BudgetExceeded) as caught:
        Budget(**options).check(*amounts)
    assert caught.value.hint == f"{', or '.join(['Raise the budget', *ways])}."
    assert (caught.value.spent, caught.value.reserved, caught.value.needed) == (1, reserved, needed)


def test_dollars_are_shown_as_people_write_them() -> None:
    for usd, shown in (("0.5", "$0.50"), ("1200", "$1,200.00"), ("10.000001", "$10.000001"), ("100", "$100.00")):
        with pytest.raises(BudgetExceeded, match=re.escape(f"the budget of {shown} does")):
            Budget(usd=usd).check(NOTHING, NOTHING, Amount(usd=Decimal(1300)))


def test_periods_begin_at_midnight_and_on_the_first() -> None:
    moment = day("2026-11-29")
    assert [Budget(usd=1, per=per).since(moment) for per in (None, "day", "month")] == ["", "2026-11-29", "2026-11-01"]
    assert [budgeting.day_of(at) for at in (0.0, 86399.9, 86400.0, -0.5)] == [
        "1970-01-01", "1970-01-01", "1970-01-02", "1969-12-31",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cost", "settled", "usage", "expected"),
    [
        (Decimal("0.1"), "exact", Usage(3, 4), Amount(Decimal("0.1"), 7, 1)),
        (Decimal("0.1"), "none", Usage(3, 4), NOTHING),
        (Decimal("0.1"), "upper_bound", Usage(3, 4), Amount(Decimal(2), 100, 1)),
        (None, "exact", None, Amount(Decimal(2), 100, 1)),
        (None, "exact", Usage(0, 0), Amount(Decimal(2), 0, 1)),
        (None, "estimated", Usage(3, None), Amount(Decimal(2), 100, 1)),
        (None, "estimated", Usage(None, 300), Amount(Decimal(2), 300, 1)),
    ],
)
def test_what_is_used_of_what_was_held(cost: Any, settled: str, usage: Any, expected: Amount) -> None:
    assert budgeting.used(Amount(Decimal(2), 100, 1), cost, settled, usage) == expected
    assert budgeting.used(Amount(requests=1), cost, settled, usage) == Amount(requests=expected.requests)


def test_what_may_be_needed() -> None:
    assert budgeting.needed((), "count", "openai", "m", Usage(5, 5), NOW) == Amount(requests=1)
    assert budgeting.needed((), "generate", "openai", "m", Usage(5, 6), NOW) == Amount(tokens=11, requests=1)
    assert budgeting.needed((), "generate", "openai", "m", Usage(5, None), NOW) == Amount(requests=1)
    with pytest.raises(ConfigError) as caught:
        budgeting.needed((Budget(usd=1),), "generate", "nobody", "m", Usage(1, 1), NOW)
    assert caught.value.message == "a budget in dollars, and no known price of 'm'"
    assert caught.value.hint == (
        'Say whose prices hold by prices = "openai" (or another vendor) under [providers.NAME], '
        'or leave it out of the sum by Budget(usd=..., unpriced="allow"), or unpriced = "allow" under [budget]'
        "; tokens= and requests= need no price."
    )


def test_budgets_show_their_limits() -> None:
    assert repr(Budget(usd=0.5, tokens=10, per="day", tag="a")) == "Budget(usd=0.5, tokens=10, per='day', tag='a')"


def test_no_budget_costs_no_look_at_prices() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from llmsdk import Budget, Client; c = Client('local:pocket')\n"
        "with Budget(tokens=5): pass\nassert 'genai_prices' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_block_that_ends_in_another_task_leaves_the_others_alone() -> None:
    async def main() -> tuple[Budget, ...]:
        async with Budget(requests=1):

            async def child() -> None:
                async with Budget(requests=2):
                    await asyncio.sleep(0)

            await asyncio.gather(child(), child())
            return entered()

    assert len(asyncio.run(main())) == 1
