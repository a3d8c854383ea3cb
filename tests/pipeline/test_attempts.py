"""One row an attempt, settled once and truthfully; nothing cut passes for whole; fallback before content only."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import pytest
from scripted import FULL, Scripted, says

from llmsdk import AsyncClient, Client
from llmsdk.errors import (
    ClientClosed,
    ConnectFailed,
    Disconnected,
    InvalidBody,
    InvalidRequest,
    LLMError,
    Overloaded,
    RateLimited,
    StreamInterrupted,
    TimedOut,
)
from llmsdk.types import Finish, TextDelta, Usage

NO_WAIT = {"base": 0.0}


def client(provider: Scripted, **options: Any) -> Client:
    return Client("scripted:m", provider=provider, retry=NO_WAIT, **options)


def settled(client: Client | AsyncClient) -> list[str | None]:
    assert client.ledger.open == ()
    return [row.settled for row in client.ledger.rows]


def test_a_whole_reply_is_settled_exactly() -> None:
    with client(Scripted(says("hello", usage=Usage(9, 5)))) as c:
        result = c.complete("x", tags=["job"])
        assert result.text == "hello"
        assert result.usage == Usage(9, 5)
        assert result.attempts == c.ledger.rows
        assert result.attempts[0].tags == ("job",)
        assert result.timing.first_token is not None
        assert settled(c) == ["exact"]
        assert c.usage == Usage(9, 5)


def test_a_reply_without_usage_is_estimated_not_zero() -> None:
    with client(Scripted(says("hello there", usage=None))) as c:
        result = c.complete("Say hello to the people.")
        assert settled(c) == ["estimated"]
        assert result.usage.source == "estimate"
        assert result.usage.input_tokens
        assert result.usage.output_tokens


def test_half_of_the_usage_is_not_exact() -> None:
    with client(Scripted(says("hello there", usage=Usage(None, 300)), says("hello there", usage=Usage(7, None)))) as c:
        assert c.complete("Say hello to the people.").usage.output_tokens == 300
        second = c.complete("Say hello to the people.").usage
        assert settled(c) == ["estimated", "estimated"]
        assert second.input_tokens == 7
        assert 0 < (second.output_tokens or 0) < 7
        assert all(row.usage and row.usage.input_tokens for row in c.ledger.rows)


@pytest.mark.parametrize(("window", "believed"), [(1000, False), (128_000, True), (None, True)])
def test_more_tokens_than_a_model_can_read_are_not_believed(window: int | None, believed: bool) -> None:
    provider = Scripted(says("hello there", usage=Usage(1_000_000, 5)), can=replace(FULL, context=window))
    with client(provider) as c:
        result = c.complete("Say hello to the people.")
        assert settled(c) == ["exact" if believed else "estimated"]
        assert (result.usage.input_tokens == 1_000_000) is believed
        assert bool(result.warnings) is not believed


def test_what_surely_did_not_run_costs_nothing() -> None:
    provider = Scripted([ConnectFailed("down")], [Overloaded("busy")], says("ok"))
    with client(provider) as c:
        result = c.complete("x")
        assert result.text == "ok"
        assert settled(c) == ["none", "none", "exact"]
        assert [row.error for row in result.attempts] == ["ConnectFailed", "Overloaded", None]
        assert result.usage == Usage(7, 3)


def test_what_may_have_run_is_not_sent_again_unless_allowed() -> None:
    provider = Scripted([Disconnected("gone")], says("ok"))
    with client(provider) as c:
        with pytest.raises(Disconnected) as caught:
            c.complete("x", max_tokens=9)
        assert "retry_unknown" in caught.value.hint
        assert settled(c) == ["upper_bound"]
        assert caught.value.usage is not None
        assert caught.value.usage.output_tokens == 9
    provider = Scripted([TimedOut("late")], says("ok"))
    with client(provider) as c:
        assert c.complete("x", retry_unknown=True).text == "ok"
        assert settled(c) == ["upper_bound", "exact"]


def test_a_stale_connection_is_tried_again_at_once_and_not_counted() -> None:
    provider = Scripted([Disconnected("stale", stale=True)], says("ok"))
    with client(provider) as c:
        assert c.complete("x", retry=1).text == "ok"
        assert settled(c) == ["none", "exact"]


@pytest.mark.parametrize("error", [InvalidRequest("no"), InvalidBody("html")])
def test_what_is_not_transient_is_asked_once(error: LLMError) -> None:
    provider = Scripted([error], says("never"))
    with client(provider) as c, pytest.raises(type(error)):
        c.complete("x")
    assert len(provider.requests) == 1


def test_attempts_are_bounded_and_the_error_has_them_all() -> None:
    provider = Scripted(*([RateLimited("slow")] for _ in range(9)))
    with client(provider) as c, pytest.raises(RateLimited) as caught:
        c.complete("x", retry={"attempts": 4, "base": 0.0})
    assert len(provider.requests) == len(caught.value.attempts) == 4
    assert (caught.value.provider, caught.value.model) == ("scripted", "m")


@pytest.mark.parametrize("stream", [False, True])
def test_a_cut_reply_never_passes_for_whole(stream: bool) -> None:
    cut = [TextDelta("Once upon"), TextDelta(" a ti")]
    provider = Scripted(cut)
    with client(provider) as c:
        with pytest.raises(StreamInterrupted) as caught:
            _ = c.complete("x", stream=True).result if stream else c.complete("x")
        assert caught.value.partial == "Once upon a ti"
        assert settled(c) == ["estimated"]
        assert caught.value.usage is not None
        assert caught.value.usage.output_tokens


def test_an_empty_reply_is_a_disconnection_that_may_have_run() -> None:
    provider = Scripted([], says("ok"))
    with client(provider) as c:
        with pytest.raises(Disconnected):
            c.complete("x")
        assert settled(c) == ["upper_bound"]


def test_one_missing_choice_of_several_is_a_cut() -> None:
    events = [TextDelta("a"), TextDelta("b", index=1), Usage(1, 2), Finish("stop", "stop", 0)]
    with client(Scripted(events)) as c, pytest.raises(StreamInterrupted):
        c.complete("x", n=2)


def test_nothing_is_retried_after_content() -> None:
    provider = Scripted([TextDelta("Once"), Overloaded("busy")], says("never"))
    with client(provider) as c:
        stream = c.complete("x", stream=True)
        assert next(stream).text == "Once"
        with pytest.raises(StreamInterrupted) as caught:
            next(stream)
    assert caught.value.partial == "Once"
    assert isinstance(caught.value.__cause__, Overloaded)
    assert len(provider.requests) == 1


def test_a_stream_is_retried_before_content() -> None:
    provider = Scripted([Overloaded("busy")], says("ok"))
    with client(provider) as c:
        stream = c.complete("x", stream=True)
        assert "".join(event.text for event in stream) == "ok"
        assert stream.result.text == "ok"
        assert len(stream.result.attempts) == 2


@pytest.mark.parametrize("leave", ["break", "close", "with", "del"])
def test_leaving_a_stream_ends_it_and_settles_its_row(leave: str) -> None:
    provider = Scripted(says("hello world"))
    with client(provider) as c:
        stream = c.complete("x", stream=True)
        if leave == "break":
            for _ in stream:
                break
        elif leave == "close":
            next(stream)
            stream.close()
        elif leave == "with":
            with stream:
                next(stream)
        else:
            next(stream)
            with pytest.warns(ResourceWarning, match="dropped"):
                del stream
            gc.collect()
        assert provider.closed == 1
        assert settled(c) == ["estimated"]


def test_the_result_of_a_stream_reads_the_rest() -> None:
    with client(Scripted(says("hello"))) as c:
        stream = c.chat("x", stream=True)
        next(stream)
        assert stream.result.text == "hello"
        assert stream.result.message.text == "hello"


@pytest.mark.anyio
async def test_the_async_client_is_the_same() -> None:
    provider = Scripted([Overloaded("busy")], says("one"), says("two"), says("three"))
    async with AsyncClient("scripted:m", provider=provider, retry=NO_WAIT) as c:
        assert (await c.complete("x")).text == "one"
        async with c.chat("x", stream=True) as stream:
            assert [event.text async for event in stream if event.text] == ["t", "w", "o"]
        assert stream.result.text == "two"
        async with c.chat("x", stream=True) as stream:
            async for _ in stream:
                break
        assert provider.closed == 4
        assert settled(c) == ["none", "exact", "exact", "estimated"]


def test_fallback_asks_the_next_model_and_keeps_every_attempt() -> None:
    first, second = (
        Scripted(*([Overloaded("busy")] for _ in range(4)), name="a"),
        Scripted(says("b"), says("b"), name="b"),
    )
    config = {"default": "smart", "models": {"smart": ["a:m", "b:m"]}}
    with Client(config=config, provider=[first, second], retry={"attempts": 2, "base": 0.0}) as c:
        result = c.complete("x")
        assert (result.text, result.provider) == ("b", "b")
        assert [row.provider for row in result.attempts] == ["a", "a", "b"]
        assert "".join(event.text for event in c.chat("x", stream=True)) == "b"


def test_fallback_stops_at_what_another_model_cannot_mend() -> None:
    first, second = Scripted([InvalidRequest("no")], name="a"), Scripted(says("b"), name="b")
    config = {"default": "smart", "models": {"smart": ["a:m", "b:m"]}}
    with Client(config=config, provider=[first, second]) as c, pytest.raises(InvalidRequest):
        c.complete("x")
    assert second.requests == []


def test_a_batch_keeps_order_and_sums_up() -> None:
    provider = Scripted(*[lambda request: says(str(request.input).upper())] * 20)
    seen: list[tuple[int, int]] = []
    with client(provider) as c:
        batch = c.complete(
            [f"t{i}" for i in range(20)], concurrency=5, progress=lambda done, of: seen.append((done, of))
        )
        assert [item.text for item in batch] == [f"T{i}" for i in range(20)]
        assert batch.usage == Usage(140, 60)
        assert seen[-1] == (20, 20)
        assert len(c.ledger.rows) == 20


def test_a_batch_raises_the_first_error_with_what_was_done_or_returns_it_in_place() -> None:
    def answer(request: Any) -> Any:
        return [InvalidRequest("no")] if request.input == "bad" else says("ok")

    with client(Scripted(*[answer] * 9)) as c:
        with pytest.raises(InvalidRequest) as caught:
            c.complete(["a", "bad", "b"], concurrency=1)
        assert list(caught.value.partial) == [0]  # type: ignore[attr-defined]
        batch = c.complete(["a", "bad", "b"], errors="return")
        assert list(batch.errors) == [1]
        assert [item.text for index, item in enumerate(batch) if index != 1] == ["ok", "ok"]


def test_a_closed_client_says_so() -> None:
    c = client(Scripted())
    c.close()
    c.close()
    with pytest.raises(ClientClosed):
        c.complete("x")


def test_the_tracer_sees_spans_and_no_content() -> None:
    spans: list[tuple[str, dict[str, Any]]] = []

    class Tracer:
        def start(self, name: str, attributes: dict[str, Any]) -> Any:
            spans.append((f"start {name}", attributes))
            return lambda outcome: spans.append((f"end {name}", outcome))

    provider = Scripted([Overloaded("busy")], says("secret reply"))
    with Client("scripted:m", provider=provider, tracer=Tracer(), retry=NO_WAIT) as c:
        c.complete("secret prompt")
    assert [name for name, _ in spans] == [
        "start generate", "start attempt", "end attempt", "start attempt", "end attempt", "end generate"
    ]  # fmt: skip
    assert spans[2][1]["error"] == "Overloaded"
    assert spans[-1][1]["finish_reason"] == "stop"
    assert "secret" not in str(spans)


def test_copies_share_the_ledger_and_have_their_own_defaults() -> None:
    provider = Scripted(says("a"), says("b"))
    with client(provider, temperature=0.5) as c:
        c.with_options(max_tokens=5, temperature=0.1).complete("x")
        c.complete("x")
        assert [(r.temperature, r.max_tokens) for r in provider.requests] == [(0.1, 5), (0.5, None)]
        assert len(c.ledger.rows) == 2


def test_a_provider_without_a_wire_may_take_longer_to_its_first_token() -> None:
    """Loading a model is no slow server: the timeouts of streams hold where a provider over HTTP says it streams."""
    clocks: list[Any] = []

    class Loads(Scripted):
        async def generate(self, request: Any, io: Any) -> Any:
            clocks.append(io.clock)
            async for event in super().generate(request, io):
                yield event

    with client(Loads(says("ok")), timeout={"first_token": 1e-9}) as c:
        assert c.complete("x", stream=True).result.text == "ok"
    assert clocks[0].left("receive") > 1
