"""Another model after the first words of one, by option: on real sockets, streamed and whole, both faces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted import Scripted, says
from servers.brain import Knowledge
from servers.openai_server import KEY, OpenAIServer

from llmsdk import AsyncClient, Client
from llmsdk.core import Core
from llmsdk.errors import (
    ConfigError,
    Disconnected,
    InputError,
    InvalidRequest,
    LLMError,
    QuotaExhausted,
    RateLimited,
    StreamInterrupted,
)
from llmsdk.io.drive import drive
from llmsdk.io.fake import FakeIO
from llmsdk.tasks import complete
from llmsdk.types import Event, Reset, TextDelta

BEGUN = b'data: {"choices": [{"index": 0, "delta": {"content": "Once upon"}}]}\n\n'


@pytest.fixture
def next_host() -> Iterator[OpenAIServer]:
    with OpenAIServer(Knowledge(chat={"Hi!": "It was winter."})) as server:
        yield server


def breaks_off(host: OpenAIServer) -> None:
    host.script(body=BEGUN, headers={"content-type": "text/event-stream"}, end="reset", cut=len(BEGUN))


def config(first: OpenAIServer, second: OpenAIServer, **alias: Any) -> dict[str, Any]:
    tables = {
        name: {"kind": "openai", "base_url": host.url, "api_key": KEY}
        for name, host in (("first", first), ("second", second))
    }
    models = {"smart": {"model": ["first:test-model", "second:test-model"], **alias}}
    return {"default": "smart", "providers": tables, "models": models, "retry": {"attempts": 1}}


def check(events: list[Event], result: Any, rows: Any) -> None:
    kinds = [type(event) for event in events if event.text or type(event) is Reset]
    assert kinds.count(Reset) == 1
    assert kinds.index(Reset) == 1  # behind the first host's only piece, before all of the second's
    assert Reset().text == ""
    after = events[[type(event) for event in events].index(Reset) :]
    assert "".join(event.text for event in after) == result.text == "It was winter."
    assert [(row.provider, row.settled, row.error) for row in result.attempts] == [
        ("first", "estimated", "StreamInterrupted"),
        ("second", "exact", None),
    ]
    assert list(rows) == list(result.attempts)


@pytest.mark.parametrize("by", ["alias", "client", "call"])
def test_a_stream_begins_anew_and_says_so(openai_server: OpenAIServer, next_host: OpenAIServer, by: str) -> None:
    breaks_off(openai_server)
    wanted: dict[str, Any] = {"restart": True}
    settings = config(openai_server, next_host, **(wanted if by == "alias" else {}))
    with Client(config=settings, **(wanted if by == "client" else {})) as client:
        stream = client.chat("Hi!", stream=True, **(wanted if by == "call" else {}))
        check(list(stream), stream.result, client.ledger.rows)
    assert len(openai_server.requests) == len(next_host.requests) == 1
    assert KEY not in repr(stream)


@pytest.mark.anyio
async def test_a_stream_begins_anew_on_a_loop(openai_server: OpenAIServer, next_host: OpenAIServer) -> None:
    breaks_off(openai_server)
    async with (
        AsyncClient(config=config(openai_server, next_host)) as client,
        client.chat("Hi!", stream=True, restart=True) as stream,
    ):
        check([event async for event in stream], stream.result, client.ledger.rows)


@pytest.mark.parametrize(("alias", "call"), [({}, {}), ({"restart": True}, {"restart": False})])
def test_unasked_it_is_not_done(
    openai_server: OpenAIServer, next_host: OpenAIServer, alias: dict[str, Any], call: dict[str, Any]
) -> None:
    breaks_off(openai_server)
    with Client(config=config(openai_server, next_host, **alias)) as client:
        events: list[Event] = []
        with pytest.raises(StreamInterrupted) as caught:
            events += client.chat("Hi!", stream=True, **call)
        assert caught.value.partial == "Once upon"
        assert next_host.requests == []


def unstreamed() -> tuple[dict[str, Any], list[Scripted]]:
    broken, whole = [TextDelta("a"), Disconnected("gone")], says("b")
    return {"smart": ["a:m", "b:m"]}, [Scripted(broken, broken, name="a"), Scripted(whole, name="b")]


def test_a_call_without_a_stream_goes_on_too() -> None:
    models, providers = unstreamed()
    with Client("smart", config={"models": models}, provider=providers) as client:
        with pytest.raises(StreamInterrupted):
            client.complete("x")
        result = client.complete("x", restart=True)
        assert (result.text, result.provider) == ("b", "b")
        assert [row.settled for row in result.attempts] == ["estimated", "exact"]


@pytest.mark.anyio
async def test_a_call_without_a_stream_goes_on_too_on_a_loop() -> None:
    models, providers = unstreamed()
    async with AsyncClient("smart", config={"models": models}, provider=providers) as client:
        with pytest.raises(StreamInterrupted):
            await client.complete("x")
        assert (await client.complete("x", restart=True)).text == "b"


def test_the_last_model_breaks_off_as_ever(openai_server: OpenAIServer, next_host: OpenAIServer) -> None:
    breaks_off(openai_server)
    breaks_off(next_host)
    with Client(config=config(openai_server, next_host, restart=True)) as client:
        events: list[Event] = []
        with pytest.raises(StreamInterrupted) as caught:
            events.extend(client.chat("Hi!", stream=True))
        assert caught.value.partial == "Once upon"
        assert [row.provider for row in caught.value.attempts] == ["first", "second"]


def streamed(*scripts: Any) -> tuple[list[Event], Any]:
    """The events of a stream over models ``a``, ``b``, ... that say these; and how it ended."""
    providers = [Scripted(script, name=name) for name, script in zip("abc", scripts, strict=False)]
    models = {"smart": [f"{provider.name}:m" for provider in providers]}
    events: list[Event] = []
    with Client("smart", config={"models": models}, provider=providers, retry=1, restart=True) as client:
        stream = client.complete("x", stream=True)
        try:
            for event in stream:
                events.append(event)
        except LLMError as error:
            return events, error
        return events, stream.result


def kinds(events: list[Event]) -> list[str]:
    return [
        event.text if isinstance(event, TextDelta) else "|" for event in events if type(event) in (TextDelta, Reset)
    ]


def test_each_beginning_that_was_seen_is_taken_back_once() -> None:
    broken = [TextDelta("a"), Disconnected("gone")]
    events, result = streamed(broken, [Disconnected("down")], says("c"))
    assert kinds(events) == ["a", "|", "c"]
    assert (result.text, len(result.attempts)) == ("c", 3)
    events, result = streamed(broken, broken, says("c"))
    assert kinds(events) == ["a", "|", "a", "|", "c"]
    events, result = streamed([Disconnected("down")], says("b"))
    assert kinds(events) == ["b"]  # nothing was seen of the first


def test_what_no_other_model_mends_ends_it() -> None:
    events, error = streamed([TextDelta("a"), InvalidRequest("no")], says("never"))
    assert kinds(events) == ["a"]
    assert isinstance(error, InvalidRequest)


@pytest.mark.parametrize("verb", ["run", "flow"])
def test_the_deadline_is_one_for_all_models(verb: str) -> None:
    io = FakeIO()

    def slow(request: Any) -> list[Any]:
        io.advance(8)
        return [QuotaExhausted("no money")]

    providers = [Scripted(slow, name="a"), Scripted([RateLimited("later", retry_after=5)], says("never"), name="b")]
    c = Core.build("smart", {"models": {"smart": ["a:m", "b:m"]}}, providers, {"retry": 2})

    async def ask() -> None:
        if verb == "run":
            await c.run("complete", complete.check("x"), {"deadline": 10}, io)
        else:
            async for _ in c.flow("complete", complete.check("x"), {"deadline": 10}, io).events():
                pass

    with pytest.raises(RateLimited, match="later") as caught:
        drive(ask())
    assert "the deadline leaves 2 s" in caught.value.hint
    assert io.slept == []


@pytest.mark.parametrize("verb", ["run", "flow"])
def test_times_are_of_the_call_and_not_of_the_model_that_answered(verb: str) -> None:
    io = FakeIO()

    def slow(request: Any) -> list[Any]:
        io.advance(8)
        return [QuotaExhausted("no money")]

    def quick(request: Any) -> list[Event]:
        io.advance(2)
        return says("ok")

    providers = [Scripted(slow, name="a"), Scripted(quick, name="b")]
    c = Core.build("smart", {"models": {"smart": ["a:m", "b:m"]}}, providers, {})

    async def ask() -> Any:
        if verb == "run":
            return await c.run("complete", complete.check("x"), {}, io)
        flow = c.flow("complete", complete.check("x"), {}, io)
        async for _ in flow.events():
            pass
        return flow.result

    io.advance(100)
    timing = drive(ask()).timing
    assert (timing.total, timing.first_token, timing.queued) == (10, 10, 0)


def test_it_is_checked_before_anything_is_asked() -> None:
    provider = Scripted(says("never"), name="a")
    with pytest.raises(ConfigError, match="restart") as caught:
        Client(config={"default": "smart", "models": {"smart": {"model": "a:m", "restart": "yes"}}}, provider=provider)
    assert caught.value.key == "models.smart"
    with Client("a:m", provider=provider) as client, pytest.raises(InputError, match="restart"):
        client.complete("x", restart=1)  # type: ignore[call-overload]
    assert provider.requests == []


def test_the_command_says_that_it_begins_anew(
    openai_server: OpenAIServer, next_host: OpenAIServer, tmp_path: Path, capsys: Any
) -> None:
    from llmsdk.cli.terminal import tell

    breaks_off(openai_server)
    with Client(config=config(openai_server, next_host, restart=True)) as client:
        tell(lambda stream: client.chat("Hi!", stream=stream), as_json=False)
    out, err = capsys.readouterr()
    assert out == "Once upon\nIt was winter.\n"
    assert "begins anew" in err
