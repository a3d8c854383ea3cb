"""The same question a second time, where the first is slow: in virtual time, and on real sockets."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import anyio
import httpx2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from limits.virtual import VirtualIO, virtually
from scripted import FULL, Scripted, says
from servers.openai_server import KEY, OpenAIServer

from llmsdk import AsyncClient, Budget, Client
from llmsdk.core import Core
from llmsdk.errors import (
    BudgetExceeded,
    ConfigError,
    DeadlineExceeded,
    InputError,
    InvalidRequest,
    LLMError,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    ServerFault,
    StreamInterrupted,
)
from llmsdk.health import FULL as ALL
from llmsdk.health import RETRY
from llmsdk.io import IO
from llmsdk.io.drive import drive
from llmsdk.io.fake import FakeIO
from llmsdk.pipeline.hedge import KEPT
from llmsdk.provider import Capabilities
from llmsdk.tasks import classify, complete
from llmsdk.testing import faults
from llmsdk.types import Event, Finish, Output, Request, Score, TextDelta, Usage

LEFT = {"CancelledError", "Cancelled", "GeneratorExit"}
_numbers = itertools.count()


class Timed(Scripted):
    """Numbers in a script are seconds that pass before its next piece, if the deadline leaves them. Events
    are waited for."""

    contract: ClassVar[int] = 1

    def __init__(self, *scripts: Sequence[Any], can: Capabilities = FULL, idempotent: bool = False) -> None:
        super().__init__(*scripts, can=can)
        self.account = f"hedged#{next(_numbers)}"
        self.idempotent = idempotent
        self.under_way = 0

    async def generate(self, request: Request, io: IO) -> AsyncIterator[Event]:
        assert io.clock is not None
        io.clock.sent = True
        self.requests.append(request)
        self.under_way += 1
        script: Any = self.replies.pop(0)
        try:
            for piece in script:
                if isinstance(piece, BaseException):
                    raise piece
                if isinstance(piece, anyio.Event):
                    await piece.wait()
                elif isinstance(piece, int | float):
                    await _pass(piece, io)
                else:
                    yield piece
        finally:
            self.under_way -= 1

    def score(self, request: Request, candidates: Sequence[str], io: IO) -> AsyncIterator[Event]:
        return self.generate(request, io)


async def _pass(seconds: float, io: IO) -> None:
    assert io.clock is not None
    left = io.clock.left("receive")
    await io.sleep(seconds if left is None else min(seconds, left))
    io.clock.left("receive")


def core(provider: Timed, **config: Any) -> Core:
    return Core.build("scripted:m", config, provider, {"retry": 1})


async def ask(core: Core, io: IO, **options: Any) -> Any:
    return await core.run("complete", complete.check("x"), {"hedge": 2.0, **options}, io)


def asked(provider: Timed, check: Callable[[Core, VirtualIO], Awaitable[None]], **config: Any) -> Core:
    """Run in virtual time, and see that nothing is left of it."""
    c = core(provider, **config)
    virtually(lambda io: check(c, io))
    settled(c, provider)
    return c


def settled(c: Core, provider: Timed) -> None:
    ledger = c.shared.ledger
    assert provider.under_way == 0
    assert ledger.open == ()
    assert len(ledger.rows) == len(provider.requests)
    limiter = c.shared.limiter(provider)
    assert limiter is None or limiter._slots._busy == 0


def quota(c: Core, provider: Timed) -> int:
    return c.shared.health(provider).quota.left


def rows(result: Any) -> list[tuple[str | None, str | None]]:
    """How each attempt was settled, and by what error: ``left`` for one that was cancelled."""
    return [(row.settled, "left" if row.error in LEFT else row.error) for row in result.attempts]


# --- who wins ---------------------------------------------------------------------------------------------------


def test_the_second_wins_where_the_first_is_slow() -> None:
    async def check(c: Core, io: VirtualIO) -> None:
        began = io.now()
        result = await ask(c, io, max_tokens=50)
        assert io.now() - began == pytest.approx(3)
        assert result.text == "second"
        assert rows(result) == [("upper_bound", "left"), ("exact", None)]
        lost, won = result.attempts
        assert (lost.usage.output_tokens, won.usage) == (50, Usage(7, 3))
        assert result.usage.output_tokens == 53  # both may be billed
        assert (won.seconds, won.first_token) == (pytest.approx(1), pytest.approx(1))
        assert result.timing.first_token == result.timing.total == pytest.approx(3)

    provider = Timed([60, *says("first")], [1, *says("second")])
    c = asked(provider, check)
    assert c.shared.ledger.rows[0].usage is not None
    assert quota(c, provider) == ALL - RETRY + 1


def test_the_first_wins_where_it_is_faster_after_all() -> None:
    async def check(c: Core, io: VirtualIO) -> None:
        began = io.now()
        result = await ask(c, io)
        assert io.now() - began == pytest.approx(5)
        assert result.text == "first"
        assert rows(result) == [("upper_bound", "left"), ("exact", None)]

    asked(Timed([5, *says("first")], [60, *says("second")]), check)


def test_what_is_fast_is_asked_once() -> None:
    async def check(c: Core, io: VirtualIO) -> None:
        result = await ask(c, io)
        assert (result.text, rows(result)) == ("first", [("exact", None)])

    provider = Timed([1.9, TextDelta("f"), 60, *says("irst")])
    assert quota(asked(provider, check), provider) == ALL


def test_what_comes_before_the_content_is_not_lost_nor_mixed() -> None:
    first = [Usage(11, 0), 60, TextDelta("a")]
    second = [Usage(22, 0), 1, TextDelta("b"), 9, TextDelta("c"), Usage(22, 2), Finish("stop")]

    async def check(c: Core, io: VirtualIO) -> None:
        flow = c.flow("complete", complete.check("x"), {"hedge": 2.0}, io)
        events = [event async for event in flow.events()]
        assert events == [event for event in second if not isinstance(event, int)]
        assert flow.result is not None
        assert (flow.result.text, flow.result.attempts[-1].usage) == ("bc", Usage(22, 2))

    asked(Timed(first, second), check)


def test_of_two_that_come_at_the_same_moment_one_is_left_at_once() -> None:
    provider = Timed()

    async def check(c: Core, io: VirtualIO) -> None:
        moment = anyio.Event()
        provider.replies = [[moment, *says("first")], [moment, *says("second")]]
        async with anyio.create_task_group() as group:

            async def come() -> None:
                await io.sleep(5)
                moment.set()

            group.start_soon(come)
            result = await ask(c, io)
        assert (result.text, rows(result)) == ("first", [("estimated", "left"), ("exact", None)])

    asked(provider, check)


def test_after_the_content_of_the_second_no_other_model_is_asked() -> None:
    provider, other = Timed([60], [1, TextDelta("b"), QuotaExhausted("spent")]), Scripted("never", name="other")
    config = {"models": {"smart": ["scripted:m", "other:m"]}}
    c = Core.build("smart", config, [provider, other], {})

    async def check(io: VirtualIO) -> None:
        flow = c.flow("complete", complete.check("x"), {"hedge": 2.0}, io)
        with pytest.raises(QuotaExhausted):
            assert [event.text async for event in flow.events()] == ["b"]

    virtually(check)
    assert other.requests == []


def test_after_the_first_content_nothing_is_raced() -> None:
    async def check(c: Core, io: VirtualIO) -> None:
        flow = c.flow("complete", complete.check("x"), {"hedge": 2.0, "retry": 3}, io)
        with pytest.raises(StreamInterrupted) as caught:
            async for _ in flow.events():
                pass
        assert caught.value.partial == "b"
        assert rows(caught.value) == [("upper_bound", "left"), ("estimated", "StreamInterrupted")]

    asked(Timed([60], [1, TextDelta("b"), 9, Overloaded("busy")]), check)


def test_a_value_without_text_is_raced_too() -> None:
    def scores(seconds: int, *logprobs: float) -> list[Any]:
        return [seconds, Usage(10, 0), Output(tuple(Score(value, 1) for value in logprobs))]

    async def check(c: Core, io: VirtualIO) -> None:
        task = classify.check("x", labels=["good", "bad"], multi=False, threshold=0.5)
        result = await c.run("classify", task, {"hedge": 2.0}, io)
        assert (result.label, result.probability) == ("bad", "exact")
        assert {row.operation for row in result.attempts} == {"score"}
        assert rows(result) == [("exact", None), ("upper_bound", "left")]  # by their ends: the value is all there is

    asked(Timed(scores(60, -0.1, -2.0), scores(1, -2.0, -0.1)), check)


# --- what fails -------------------------------------------------------------------------------------------------


def test_a_failure_before_the_time_is_a_matter_of_retry() -> None:
    async def check(c: Core, io: VirtualIO) -> None:
        result = await ask(c, io, retry={"attempts": 2, "base": 0.0})
        assert (result.text, rows(result)) == ("again", [("none", "Overloaded"), ("exact", None)])

    asked(Timed([1, Overloaded("busy")], says("again")), check)


def test_where_both_fail_the_error_is_that_of_the_first_and_is_retried() -> None:
    async def check(c: Core, io: VirtualIO) -> None:
        result = await ask(c, io, retry={"attempts": 2, "base": 0.0})
        assert result.text == "again"
        with pytest.raises(Overloaded, match="one") as caught:
            await ask(c, io, retry=1)
        assert [row.error for row in caught.value.attempts] == ["ServerFault", "Overloaded"]

    fails = [5, Overloaded("one")], [2, ServerFault("two")]
    asked(Timed(*fails, says("again"), *fails), check)


def test_the_second_goes_on_where_the_first_fails_meanwhile() -> None:
    async def check(c: Core, io: VirtualIO) -> None:
        result = await ask(c, io)
        assert (result.text, rows(result)) == ("second", [("none", "Overloaded"), ("exact", None)])

    asked(Timed([3, Overloaded("busy")], [9, *says("second")]), check)


def test_a_refusal_of_the_question_itself_ends_both() -> None:
    async def check(c: Core, io: VirtualIO) -> None:
        began = io.now()
        with pytest.raises(InvalidRequest) as caught:
            await ask(c, io)
        assert io.now() - began == pytest.approx(3)
        assert rows(caught.value) == [("none", "InvalidRequest"), ("upper_bound", "left")]

    asked(Timed([3, InvalidRequest("no")], [9, *says("never")]), check)


def test_a_bug_in_one_ends_both() -> None:
    async def check(c: Core, io: VirtualIO) -> None:
        with pytest.raises(ZeroDivisionError):
            await ask(c, io)

    asked(Timed([60], [1, ZeroDivisionError()]), check)


def test_the_deadline_is_one_for_both() -> None:
    async def check(c: Core, io: VirtualIO) -> None:
        began = io.now()
        with pytest.raises(DeadlineExceeded) as caught:
            await ask(c, io, deadline=4)
        assert io.now() - began == pytest.approx(4)
        assert len(caught.value.attempts) == 2

    asked(Timed([60], [60]), check)


def test_cancelling_the_call_ends_both() -> None:
    async def check(c: Core, io: VirtualIO) -> None:
        with anyio.move_on_after(4):
            await ask(c, io)
        assert [row.settled for row in c.shared.ledger.rows] == ["upper_bound"] * 2

    asked(Timed([60], [60]), check, limits={"scripted": {"concurrency": 2}})


# --- what keeps the second back ---------------------------------------------------------------------------------


def test_without_room_in_the_limits_there_is_no_second() -> None:
    async def check(c: Core, io: VirtualIO) -> None:
        result = await ask(c, io)
        assert (result.text, rows(result)) == ("first", [("exact", None)])

    provider = Timed([5, *says("first")])
    c = asked(provider, check, limits={"scripted": {"concurrency": 1}})
    assert quota(c, provider) == ALL


def test_a_second_does_not_wait_for_room() -> None:
    async def check(c: Core, io: VirtualIO) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(partial(ask, c, io, hedge=None))
            await io.sleep(1)
            result = await ask(c, io)
        assert (result.text, rows(result)) == ("first", [("exact", None)])

    asked(Timed([5, *says("other")], [9, *says("first")]), check, limits={"scripted": {"concurrency": 2}})


def test_what_a_budget_refuses_takes_no_tokens() -> None:
    async def check(c: Core, io: VirtualIO) -> None:
        began = io.now()
        for _ in range(9):
            with pytest.raises(BudgetExceeded):
                await ask(c, io, budget=Budget(requests=0), max_tokens=60)
        assert io.now() - began == pytest.approx(0)

    asked(Timed(), check, limits={"scripted": {"tpm": 100}})


def test_a_host_that_asked_to_wait_is_not_asked_a_second_time() -> None:
    async def check(c: Core, io: VirtualIO) -> None:
        async def slow() -> None:
            assert (await ask(c, io)).text == "first"

        async with anyio.create_task_group() as group:
            group.start_soon(slow)
            await io.sleep(1)
            with pytest.raises(RateLimited):
                await ask(c, io, hedge=None)

    provider = Timed([5, *says("first")], [RateLimited("slow", retry_after=30.0)])
    asked(provider, check)
    assert len(provider.requests) == 2


def test_the_time_in_the_queue_does_not_count() -> None:
    async def check(c: Core, io: VirtualIO) -> None:
        await ask(c, io)
        result = await ask(c, io)
        assert result.attempts[0].queued > 30
        assert rows(result) == [("exact", None)]

    asked(Timed(says("first"), [1.9, *says("next")]), check, limits={"scripted": {"rpm": 1}})


def test_who_has_waited_in_the_queue_is_hedged_all_the_same() -> None:
    async def check(c: Core, io: VirtualIO) -> None:
        async def other() -> None:
            await ask(c, io, hedge=None)

        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(other)
            await io.sleep(0.1)
            began = io.now()
            result = await ask(c, io)
        assert result.text == "second"
        assert io.now() - began == pytest.approx(4.9 + 2 + 1)
        assert [row.queued for row in result.attempts] == [pytest.approx(4.9), 0]

    scripts = [5, *says("other")], [5, *says("other")], [60], [1, *says("second")]
    asked(Timed(*scripts), check, limits={"scripted": {"concurrency": 2}})


def test_a_budget_that_refuses_the_second_lets_the_first_go_on() -> None:
    async def check(c: Core, io: VirtualIO) -> None:
        budget = Budget(requests=1)
        result = await ask(c, io, budget=budget)
        assert (result.text, rows(result)) == ("first", [("exact", None)])
        assert budget.spent.requests == 1
        with pytest.raises(BudgetExceeded):
            await ask(c, io, budget=budget)

    provider = Timed([5, *says("first")])
    assert quota(asked(provider, check), provider) == ALL


def test_both_are_charged_to_the_budget() -> None:
    budget = Budget(requests=9)

    async def check(c: Core, io: VirtualIO) -> None:
        await ask(c, io, budget=budget)

    asked(Timed([60], [1, *says("second")]), check)
    assert (budget.spent.requests, budget.reserved.requests) == (2, 0)


def test_half_of_the_quota_is_left_to_retries() -> None:
    calls = 100

    async def check(c: Core, io: VirtualIO) -> None:
        for _ in range(calls):
            assert (await ask(c, io)).text == "slow"

    provider = Timed(*([3, *says("slow")] for _ in range(2 * calls)))
    c = asked(provider, check)
    more = len(provider.requests) - calls
    assert (ALL - KEPT) // RETRY <= more <= (ALL - KEPT + calls) // RETRY
    assert quota(c, provider) >= KEPT


def test_a_dead_host_is_not_asked_twice_as_often() -> None:
    async def check(c: Core, io: VirtualIO) -> None:
        for _ in range(200):
            with pytest.raises(ServerFault):
                await ask(c, io)

    provider = Timed(*([3, ServerFault("down")] for _ in range(400)))
    asked(provider, check, circuit={"failures": 0})
    assert len(provider.requests) <= 200 + (ALL - KEPT) // RETRY


@pytest.mark.parametrize("after", [None, 2.0])
def test_of_a_host_that_is_slow_now_and_then_little_is_left(after: float | None) -> None:
    took: list[float] = []
    provider = Timed(*([1 if number % 30 else 60, *says("ok")] for number in range(2000)))

    async def check(c: Core, io: VirtualIO) -> None:
        for _ in range(1000):
            began = io.now()
            await ask(c, io, hedge=after)
            took.append(round(io.now() - began, 3))

    asked(provider, check)
    took.sort()
    assert took[500] == 1
    assert took[990] == (60 if after is None else 3)
    assert len(provider.requests) <= (1000 if after is None else 1050)


def test_what_runs_here_is_not_hedged() -> None:
    class Here(Timed):
        account: Any = None

        def __init__(self, *scripts: Any) -> None:
            super().__init__(*scripts)
            self.account = None

    async def check(c: Core, io: VirtualIO) -> None:
        assert rows(await ask(c, io)) == [("exact", None)]

    asked(Here([60, *says("first")]), check)


# --- keys and settings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [None, "mine"])
def test_the_second_has_a_key_of_its_own(given: str | None) -> None:
    async def check(c: Core, io: VirtualIO) -> None:
        options = {} if given is None else {"idempotency_key": given}
        result = await ask(c, io, retry={"attempts": 2, "base": 0.0}, **options)
        keys = [row.idempotency_key for row in result.attempts]
        assert keys[0] == keys[2] == (given or keys[0])
        assert keys[1] == f"{keys[0]}-hedge"

    provider = Timed([3, Overloaded("busy")], [3, Overloaded("busy")], says("ok"), idempotent=True)
    asked(provider, check)
    assert [request.idempotency_key for request in provider.requests[::2]] == [provider.requests[0].idempotency_key] * 2


@pytest.mark.parametrize(
    ("alias", "client", "call", "hedged"),
    [
        ({}, {}, {}, False),
        ({"hedge": 2}, {}, {}, True),
        ({}, {"hedge": 2.0}, {}, True),
        ({}, {}, {"hedge": 2.0}, True),
        ({"hedge": 2}, {}, {"hedge": None}, False),
        ({"hedge": 2}, {"hedge": None}, {}, False),
        ({"hedge": 2}, {"hedge": None}, {"hedge": 2}, True),
        ({"hedge": 9}, {}, {"hedge": 2}, True),
    ],
)
def test_where_it_is_set(alias: dict[str, Any], client: dict[str, Any], call: dict[str, Any], hedged: bool) -> None:
    provider = Timed([5, *says("first")], [1, *says("second")])
    c = Core.build("smart", {"models": {"smart": {"model": "scripted:m", **alias}}}, provider, client)

    async def check(io: VirtualIO) -> None:
        result = await c.run("complete", complete.check("x"), call, io)
        assert result.text == ("second" if hedged else "first")

    virtually(check)


@pytest.mark.parametrize("value", [0, -1, True, "2", float("inf"), float("nan"), [2]])
def test_bad_values_are_refused(value: Any) -> None:
    provider = Scripted(default="never")
    with Client("scripted:m", provider=provider) as client:
        with pytest.raises(InputError, match="hedge"):
            client.complete("x", hedge=value)
        with pytest.raises(InputError, match="hedge"):
            client.with_options(hedge=value)
    with pytest.raises(ConfigError, match="hedge") as caught:
        Client(config={"default": "smart", "models": {"smart": {"model": "scripted:m", "hedge": value}}})
    assert caught.value.key == "models.smart"
    assert provider.requests == []


def test_where_nothing_runs_meanwhile_the_first_is_all_there_is() -> None:
    io, provider = FakeIO(), Timed([60, *says("first")], [5, Overloaded("busy")])
    c = core(provider)
    assert drive(ask(c, io)).text == "first"
    with pytest.raises(Overloaded):
        drive(ask(c, io))
    settled(c, provider)


def test_the_reply_that_won_is_the_one_that_is_kept() -> None:
    async def check(c: Core, io: VirtualIO) -> None:
        for _ in range(2):
            assert (await ask(c, io, cache=True)).text == "second"

    class Known(Timed):
        def fingerprint(self, key: bytes) -> str:
            return "known"

    provider = Known([Usage(1, 1), 60], [1, *says("second")])
    c = core(provider)
    virtually(lambda io: check(c, io))
    assert len(provider.requests) == 2
    assert [row.cached for row in c.shared.ledger.rows] == [False, False, True]


def test_each_of_the_two_is_a_span_of_the_call() -> None:
    spans: list[tuple[str, Any]] = []
    ended: list[str | None] = []

    class Tracer:
        def start(self, name: str, attributes: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
            def close(told: dict[str, Any]) -> None:
                ended.append("left" if told["error"] in LEFT else told["error"])

            spans.append((name, attributes.get("parent") and attributes["parent"].__name__))
            return close

    async def check(c: Core, io: VirtualIO) -> None:
        c.shared.tracer = Tracer()
        await ask(c, io)

    asked(Timed([60], [1, *says("second")]), check)
    assert spans == [("generate", None), ("attempt", "close"), ("attempt", "close")]
    assert ended == ["left", None, None]


# --- any timings ------------------------------------------------------------------------------------------------

HEDGE = 10
Course = tuple[int, str, int]
"""Seconds until something comes, what (content, a value's end, a failure that is worth a retry or not), and then on."""
courses = st.tuples(st.integers(0, 40), st.sampled_from(["ok", "busy", "no"]), st.integers(0, 5))


def script(name: str, course: Course, offset: float) -> list[Any]:
    seconds, what, rest = course
    if what == "ok":
        return [seconds + offset, TextDelta(name), rest, TextDelta("!"), Usage(7, 3), Finish("stop")]
    return [seconds + offset, Overloaded(name) if what == "busy" else InvalidRequest(name)]


def expected(first: Course, second: Course) -> str:
    """Whose reply or error the caller gets; times never fall together."""
    at, late = first[0] + 0.25, HEDGE + second[0] + 0.5
    if at < HEDGE or second[1] != "ok":
        return "first"
    if first[1] == "busy":
        return "second"
    return "first" if at < late else "second"


@settings(max_examples=150)
@given(courses, courses, st.none() | st.integers(0, 60))
@example((40, "ok", 1), (1, "ok", 1), None)
@example((20, "ok", 1), (30, "ok", 1), 25)
def test_any_timings_have_one_winner_and_leave_nothing(first: Course, second: Course, leave: int | None) -> None:
    provider = Timed(script("first", first, 0.25), script("second", second, 0.5))
    outcome = ""

    async def check(c: Core, io: VirtualIO) -> None:
        nonlocal outcome
        with anyio.move_on_after(1e9 if leave is None else leave + 0.125):
            done: Any
            try:
                done = await ask(c, io, hedge=float(HEDGE))
                outcome = done.text.removesuffix("!")
            except LLMError as error:
                done, outcome = error, error.message
            assert [*done.attempts] == [*c.shared.ledger.rows]
            won = [row for row in done.attempts if row.settled == "exact"]
            assert len(won) == (not isinstance(done, LLMError))

    c = asked(provider, check, limits={"scripted": {"concurrency": 2}})
    assert outcome in ("", expected(first, second))
    assert outcome or leave is not None
    assert len(provider.requests) <= 1 + (first[0] + 0.25 > HEDGE)
    assert quota(c, provider) >= ALL - RETRY


# --- real sockets, both faces -----------------------------------------------------------------------------------

SOON = 0.02
BEGUN = b'data: {"choices": [{"index": 0, "delta": {"content": "Once upon"}}]}\n\n'


def config(server: OpenAIServer) -> dict[str, Any]:
    return {"model": "openai:test-model", "base_url": server.url, "api_key": KEY, "hedge": SOON}


def freed(server: OpenAIServer, client: Any) -> None:
    """The first was left by us, the second ended well, and no connection but that of the second is there."""
    first, second = server.requests
    assert server.wait(lambda: first.aborted)
    assert not second.aborted
    assert server.wait(lambda: server.open_connections <= 1)
    assert client.ledger.open == ()
    assert [row.settled for row in client.ledger.rows] == ["upper_bound", "exact"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_blocking_client(openai_server: OpenAIServer, stream: bool) -> None:
    openai_server.inject(faults.hang())
    with Client(**config(openai_server)) as client:
        if stream:
            with client.chat("Hi!", stream=True) as events:
                text = "".join(event.text for event in events)
                assert events.result.text == text
        else:
            text = client.chat("Hi!").text
        freed(openai_server, client)
        openai_server.requests.clear()
        assert client.chat("Hi!", hedge=60).text == text
        assert len(openai_server.requests) == 1
    assert openai_server.wait(lambda: openai_server.open_connections == 0)


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_on_a_loop(openai_server: OpenAIServer, stream: bool) -> None:
    openai_server.inject(faults.hang())
    async with AsyncClient(**config(openai_server)) as client:
        if stream:
            async with client.chat("Hi!", stream=True) as events:
                assert "".join([event.text async for event in events]) == events.result.text
        else:
            assert (await client.chat("Hi!")).text
        await anyio.to_thread.run_sync(freed, openai_server, client)


def test_leaving_a_blocking_stream_settles_and_closes_at_once(openai_server: OpenAIServer) -> None:
    begun = faults.Fault(body=2 * BEGUN, headers={"content-type": "text/event-stream"}, cut=len(BEGUN), end="hang")
    openai_server.inject(faults.hang(), begun)
    with Client(**config(openai_server)) as client:
        for _ in client.chat("Hi!", stream=True):
            break
        assert client.ledger.open == ()
        assert [row.settled for row in client.ledger.rows] == ["upper_bound", "estimated"]
        assert openai_server.wait(lambda: openai_server.open_connections == 0)


def test_a_blocking_call_that_ends_by_its_deadline_leaves_nothing(openai_server: OpenAIServer) -> None:
    openai_server.inject(faults.hang(), faults.hang())
    with Client(**config(openai_server)) as client:
        with pytest.raises(DeadlineExceeded):
            client.chat("Hi!", deadline=0.3)
        assert client.ledger.open == ()
        assert openai_server.wait(lambda: openai_server.open_connections == 0)


class OnALoop(Timed):
    """Awaits asyncio itself, as a vendor's SDK would: the first question for ever."""

    loop_bound: ClassVar[bool] = True

    async def generate(self, request: Request, io: IO) -> AsyncIterator[Event]:
        self.requests.append(request)
        self.under_way += 1
        try:
            await (asyncio.sleep(0) if len(self.requests) % 2 == 0 else asyncio.Event().wait())
            for event in says("second"):
                yield event
        finally:
            self.under_way -= 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_loop_bound_provider_under_a_blocking_client(stream: bool) -> None:
    provider = OnALoop()
    with Client("scripted:m", provider=provider, hedge=SOON) as client:
        text = (
            "".join(event.text for event in client.complete("x", stream=True)) if stream else client.complete("x").text
        )
        assert text == "second"
        settled(client._core, provider)


@pytest.mark.anyio
async def test_a_loop_bound_provider_on_either_loop() -> None:
    provider = OnALoop()
    async with AsyncClient("scripted:m", provider=provider, hedge=SOON) as client:
        assert (await client.complete("x")).text == "second"
        assert client.ledger.open == ()


def test_a_blocking_http_client_cannot_be_used_and_the_hint_says_why(openai_server: OpenAIServer) -> None:
    with httpx2.Client() as mine, Client(**config(openai_server), http_client=mine) as client:
        with pytest.raises(ConfigError) as caught:
            client.chat("Hi!")
        assert "With hedge= the blocking client asks over a loop too" in caught.value.hint
        assert client.chat("Hi!", hedge=None).text
    assert len(openai_server.requests) == 1


@pytest.mark.anyio
async def test_cancelling_on_a_loop_frees_both_connections(openai_server: OpenAIServer) -> None:
    openai_server.inject(faults.hang(), faults.hang())
    async with AsyncClient(**config(openai_server)) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(client.chat, "Hi!")
            await anyio.to_thread.run_sync(openai_server.wait, lambda: len(openai_server.requests) == 2)
            group.cancel_scope.cancel()
        assert client.ledger.open == ()
        assert [row.settled for row in client.ledger.rows] == ["upper_bound"] * 2
        assert await anyio.to_thread.run_sync(openai_server.wait, lambda: openai_server.open_connections == 0)
