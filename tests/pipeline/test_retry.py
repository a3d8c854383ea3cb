"""Waits between attempts, in virtual time: what the provider asks, full jitter, and never past the deadline."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import Scripted, says

from llmsdk import AsyncClient, Client
from llmsdk.core import Core
from llmsdk.errors import LLMError, Overloaded, RateLimited, TimedOut
from llmsdk.io import IO
from llmsdk.io.drive import drive
from llmsdk.io.fake import FakeIO
from llmsdk.results import Completion
from llmsdk.tasks import complete
from llmsdk.types import Event, Request


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


@pytest.mark.parametrize("after", [0.001, 7.0, 3600.0])
def test_the_providers_wish_is_obeyed(after: float) -> None:
    io = FakeIO()
    ask(Scripted([RateLimited("slow", retry_after=after)], says("ok")), io, retry={"base": 0.0})
    assert io.slept == [after]


def test_a_wait_past_the_deadline_is_not_begun() -> None:
    io = FakeIO()
    with pytest.raises(RateLimited) as caught:
        ask(Scripted([RateLimited("slow", retry_after=86400)], says("never")), io, deadline=20)
    assert io.slept == []
    assert "8.64e+04 s" in caught.value.hint


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


@given(
    st.lists(st.sampled_from(["busy", "unknown", "ok", "no"]), min_size=1, max_size=6), st.booleans(), st.integers(1, 5)
)
def test_any_sequence_of_faults_has_one_settled_row_an_attempt(faults: list[str], unknown: bool, attempts: int) -> None:
    scripts = {
        "busy": [Overloaded("busy")],
        "unknown": [TimedOut("late")],
        "no": [LLMError("no")],
        "ok": says("ok"),
    }
    provider = Scripted(*(scripts[fault] for fault in faults), *([Overloaded("busy")] for _ in range(9)))
    core = Core.build("scripted:m", {}, provider, {})
    options = {"retry": {"attempts": attempts, "base": 0.0}, "retry_unknown": unknown}
    with contextlib.suppress(LLMError):
        drive(core.run("complete", complete.check("x"), options, FakeIO()))
    assert core.shared.ledger.open == ()
    assert len(core.shared.ledger.rows) == len(provider.requests) <= attempts
    expected = {"busy": "none", "unknown": "upper_bound", "no": "none", "ok": "exact"}
    for fault, row in zip(faults, core.shared.ledger.rows, strict=False):
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
