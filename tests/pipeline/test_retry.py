"""Waits between attempts, in virtual time: what the provider asks, full jitter, and never past the deadline."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, ClassVar

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import Scripted, says
from servers.openai_server import OpenAIServer

from llmsdk import AsyncClient, Client
from llmsdk.core import Core
from llmsdk.errors import (
    Disconnected,
    InvalidRequest,
    LLMError,
    Overloaded,
    RateLimited,
    ServerFault,
    StreamInterrupted,
    TimedOut,
)
from llmsdk.health import FULL, RETRY, Health, Quota
from llmsdk.io import IO
from llmsdk.io.drive import drive
from llmsdk.io.fake import FakeIO
from llmsdk.pipeline.retry import UNKNOWN
from llmsdk.results import Completion
from llmsdk.tasks import complete
from llmsdk.types import Event, Request
from llmsdk.wire import faults


def ask(provider: Scripted, io: FakeIO, **options: Any) -> Completion:
    core = Core.build("scripted:m", {}, provider, {})
    return drive(core.run("complete", complete.check("x"), options, io))


@given(st.floats(0.01, 5), st.floats(5, 60), st.integers(1, 6))
def test_backoff_is_jittered_between_nothing_and_the_doubling_bound(base: float, cap: float, failures: int) -> None:
    io = FakeIO()
    provider = Scripted(*([Overloaded("busy")] for _ in range(failures)), says("ok"))
    ask(provider, io, retry={"attempts": failures + 1, "base": base, "cap": cap})
    assert len(io.slept) == failures
    for number, slept in enumerate(io.slept):
        assert 0 <= slept <= min(cap, base * 2 ** (number + 1))


@pytest.mark.parametrize("after", [0.001, 7.0, 299.0])
def test_the_providers_wish_is_obeyed(after: float) -> None:
    io = FakeIO()
    ask(Scripted([RateLimited("slow", retry_after=after)], says("ok")), io, retry={"base": 0.0})
    assert io.slept == [after]


def test_a_wait_past_the_deadline_is_not_begun() -> None:
    io = FakeIO()
    with pytest.raises(RateLimited) as caught:
        ask(Scripted([RateLimited("slow", retry_after=86400)], says("never")), io, deadline=20)
    assert io.slept == []
    assert "asks to wait 86,400 s, and the deadline leaves 20 s" in caught.value.hint


def test_without_a_deadline_a_wish_is_obeyed_up_to_the_patience() -> None:
    io = FakeIO()
    with pytest.raises(RateLimited) as caught:
        ask(Scripted([RateLimited("slow", retry_after=3600.0)], says("never")), io)
    assert "asks to wait 3,600 s, and without a deadline= the patience is 300 s" in caught.value.hint
    patient = {"patience": 7200, "base": 0.0}
    ask(Scripted([RateLimited("slow", retry_after=3600.0)], says("ok")), io, retry=patient)
    ask(Scripted([RateLimited("slow", retry_after=3600.0)], says("ok")), io, deadline=4000)
    assert [round(slept) for slept in io.slept] == [3600, 3600]


@given(st.lists(st.floats(0, 9), min_size=1, max_size=5), st.floats(1, 20))
def test_no_attempt_starts_after_the_deadline(hints: list[float], deadline: float) -> None:
    io = FakeIO()
    provider = Scripted(*([Overloaded("busy", retry_after=hint)] for hint in hints), says("ok"))
    with contextlib.suppress(Overloaded):
        ask(provider, io, deadline=deadline, retry={"attempts": 9, "base": 0.0})
    assert io.now() < deadline


def test_the_providers_word_against_a_retry_is_obeyed() -> None:
    error = Overloaded("busy")
    error.retryable = False  # type: ignore[misc]
    provider = Scripted([error], says("never"))
    with pytest.raises(Overloaded):
        ask(provider, FakeIO())
    assert len(provider.requests) == 1


@pytest.mark.parametrize("wish", ["true", "false", "", "garbage"])
@pytest.mark.parametrize("status", [400, 503, 504])
def test_the_hosts_own_word_on_retries_is_obeyed(wish: str, status: int) -> None:
    error = faults.from_reply(status, {"x-should-retry": wish}, b"{}")
    usual = status == 503
    retried = {"true": True, "false": False}.get(wish, usual)
    provider = Scripted([error], says("ok"))
    if retried:
        assert ask(provider, FakeIO()).text == "ok"
        return
    with pytest.raises(type(error)) as caught:
        ask(provider, FakeIO())
    assert len(provider.requests) == 1
    assert ("x-should-retry" in caught.value.hint) == (wish == "false")


BUSY = partial(Overloaded, "busy")


@pytest.mark.parametrize(
    ("fault", "options", "hint"),
    [
        (BUSY, {"retry": 2}, "All 2 attempts failed."),
        (BUSY, {"retry": 1}, ""),
        (partial(InvalidRequest, "no", hint="Mend it."), {}, "Mend it."),
        (partial(TimedOut, "late", hint="Raise it."), {}, f"{UNKNOWN} Raise it."),
        (partial(BUSY, retry_after=9), {"deadline": 5}, "The host asks to wait 9 s, and the deadline leaves 5 s."),
        (partial(BUSY, retry_after=9), {"deadline": 2.5}, "The host asks to wait 9 s, and the deadline leaves 2.5 s."),
        (BUSY, {"deadline": 5, "retry": {"base": 1e12, "cap": 1e12}}, "The next attempt would start in "),
    ],
)
def test_the_hint_says_why_there_is_no_further_attempt(fault: Any, options: dict[str, Any], hint: str) -> None:
    with pytest.raises(LLMError) as caught:
        ask(Scripted([fault()], [fault()]), FakeIO(), **options)
    assert caught.value.hint == hint or (hint.endswith(" ") and caught.value.hint.startswith(hint))


def test_a_wish_of_just_the_patience_is_obeyed() -> None:
    io = FakeIO()
    ask(Scripted([RateLimited("slow", retry_after=300.0)], says("ok")), io, retry={"base": 0.0})
    assert io.slept == [300.0]


def test_a_connection_that_was_closed_while_idle_is_no_attempt() -> None:
    """Nothing ran: it is asked again at once, once, and whatever the limits of retries."""
    stale, io = partial(Disconnected, "gone", stale=True, sent=False), FakeIO()
    assert ask(Scripted([stale()], says("ok")), io, retry=1).text == "ok"
    with pytest.raises(Disconnected):
        ask(Scripted([stale()], [stale()], says("never")), io, retry=1)
    assert io.slept == []
    with pytest.raises(StreamInterrupted):
        ask(Scripted(["some text", stale()], says("never")), io, retry=1)


# --- the quota --------------------------------------------------------------------------------------------------


def test_a_thousand_callers_of_a_dead_host_are_few_more_requests() -> None:
    provider, io = Scripted(*([Overloaded("busy")] for _ in range(3000))), FakeIO()
    core = Core.build("scripted:m", {}, provider, {})
    hints = set()
    for _ in range(1000):
        with pytest.raises(Overloaded) as caught:
            drive(core.run("complete", complete.check("x"), {}, io))
        hints.add(caught.value.hint)
    assert 1000 < len(provider.requests) <= 1000 + FULL // RETRY
    assert any("too many calls to this host fail" in hint for hint in hints)


@pytest.mark.anyio
async def test_callers_at_once_of_a_host_that_fails_are_few_more_requests(openai_server: OpenAIServer) -> None:
    openai_server.script(status=500, body=b"{}", times=10_000)
    config = {"circuit": {"failures": 0}, "retry": {"base": 0.01}}
    client = AsyncClient("openai:m", base_url=openai_server.url, api_key="sk-storm", config=config)
    failed: list[LLMError] = []

    async def call() -> None:
        with pytest.raises(ServerFault) as caught:
            await client.chat("Hi!")
        failed.append(caught.value)

    async with client, anyio.create_task_group() as group:
        for _ in range(200):
            group.start_soon(call)
    assert len(failed) == 200
    assert 200 < len(openai_server.requests) <= 240
    assert sum(len(error.attempts) for error in failed) == len(openai_server.requests)


def test_what_retries_cost_comes_back_when_they_succeed() -> None:
    io = FakeIO()
    core = Core.build("scripted:m", {}, provider := Scripted(), {})
    for _ in range(500):
        provider.replies = [[Overloaded("busy")], [Overloaded("busy")], says("ok")]
        assert drive(core.run("complete", complete.check("x"), {}, io)).text == "ok"
        provider.replies = [says("ok") for _ in range(14)]  # the first of two retries is paid back by successes
        for _ in range(14):
            drive(core.run("complete", complete.check("x"), {}, io))
    assert core.shared.healths["scripted"].quota.left == FULL


def test_a_success_adds_one() -> None:
    health = Health()
    health.quota.take(10)
    health.succeeded(0)
    assert health.quota.left == FULL - 9
    health.succeeded(RETRY)
    assert health.quota.left == FULL


def test_a_host_that_says_when_to_come_back_is_obeyed_whatever_the_quota() -> None:
    io = FakeIO()
    core = Core.build("scripted:m", {}, provider := Scripted(), {})
    quota = core.shared.health(provider).quota
    quota.take(FULL)
    provider.replies = [[RateLimited("slow", retry_after=2.0)], says("ok")]
    assert drive(core.run("complete", complete.check("x"), {"retry": {"base": 0.0}}, io)).text == "ok"
    assert io.slept == [2.0]
    quota.take(quota.left)
    provider.replies = [[RateLimited("slow")], says("never")]
    with pytest.raises(RateLimited):
        drive(core.run("complete", complete.check("x"), {}, io))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 600)), max_size=30))
def test_a_quota_is_never_below_nothing_nor_above_full(steps: list[tuple[bool, int]]) -> None:
    quota, left = Quota(), FULL
    for take, amount in steps:
        if take:
            assert quota.take(amount) == (left >= amount)
            left -= amount if left >= amount else 0
        else:
            quota.give(amount)
            left = min(FULL, left + amount)
        assert quota.left == left


@given(
    st.lists(st.sampled_from(["busy", "unknown", "ok", "no"]), min_size=1, max_size=6), st.booleans(), st.integers(1, 5)
)
def test_any_sequence_has_one_settled_row_an_attempt(outcomes: list[str], unknown: bool, attempts: int) -> None:
    scripts = {
        "busy": [Overloaded("busy")],
        "unknown": [TimedOut("late")],
        "no": [LLMError("no")],
        "ok": says("ok"),
    }
    provider = Scripted(*(scripts[fault] for fault in outcomes), *([Overloaded("busy")] for _ in range(9)))
    core = Core.build("scripted:m", {}, provider, {})
    options = {"retry": {"attempts": attempts, "base": 0.0}, "retry_unknown": unknown}
    with contextlib.suppress(LLMError):
        drive(core.run("complete", complete.check("x"), options, FakeIO()))
    assert core.shared.ledger.open == ()
    assert len(core.shared.ledger.rows) == len(provider.requests) <= attempts
    expected = {"busy": "none", "unknown": "upper_bound", "no": "none", "ok": "exact"}
    for fault, row in zip(outcomes, core.shared.ledger.rows, strict=False):
        assert row.settled == expected[fault]


class OnALoop(Scripted):
    """A provider that awaits asyncio itself, as a vendor's SDK would."""

    loop_bound: ClassVar[bool] = True

    async def generate(self, request: Request, io: IO) -> AsyncIterator[Event]:
        async for event in super().generate(request, io):
            await asyncio.sleep(0)
            yield event

    async def aclose(self) -> None:
        await asyncio.sleep(0)


def test_a_loop_bound_provider_works_under_the_sync_client() -> None:
    provider = OnALoop(says("hello"), says("hello"), says("hello"))
    with Client("scripted:m", provider=provider) as client:
        assert client.complete("x").text == "hello"
        assert "".join(event.text for event in client.complete("x", stream=True)) == "hello"
        for _ in client.complete("x", stream=True):
            break
    assert provider.closed == 3


@pytest.mark.anyio
async def test_a_loop_bound_provider_works_on_either_loop() -> None:
    async with AsyncClient("scripted:m", provider=OnALoop(says("hello"))) as client:
        assert (await client.complete("x")).text == "hello"
