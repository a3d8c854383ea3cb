"""The provider over a real socket: the sync face, asyncio and trio, against the server that the witness accepts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from servers.http_server import events
from servers.openai_server import OpenAIServer, count_prompt, embedding

from llmsdk.errors import (
    ContextTooLong,
    InvalidBody,
    InvalidRequest,
    LLMError,
    NotFound,
    RateLimited,
    ServerFault,
    Unauthorized,
    Unsupported,
)
from llmsdk.io import IO
from llmsdk.io.drive import drive
from llmsdk.io.loop import LoopIO
from llmsdk.io.pools import Pools
from llmsdk.io.sync import SyncIO
from llmsdk.reply import Reply
from llmsdk.types import Event, Message, Model, Request, Tool, Usage
from llmsdk_providers.openai import OpenAI, Settings

HI = (Message("user", "Hi!"),)
HELLO = "Hello! How can I help you?"
Ask = Callable[[Callable[[OpenAI, IO], AsyncIterator[Event]]], Reply]


def provider(server: OpenAIServer, **settings: Any) -> OpenAI:
    told = {"logprobs": 20, "complete": True, "suffix": True, **settings}
    return OpenAI("test", Settings(**{"base_url": server.url, "api_key": server.key, **told}))


def ask(server: OpenAIServer, make: Callable[[OpenAI, IO], AsyncIterator[Event]], **settings: Any) -> Reply:
    """What an operation of the provider yields, on the blocking face."""
    pools = Pools()

    async def folded() -> Reply:
        reply = Reply()
        async for event in make(provider(server, **settings), SyncIO(pools)):
            reply.add(event)
        return reply

    try:
        return drive(folded())
    finally:
        pools.close()


def generate(server: OpenAIServer, request: Request, **settings: Any) -> Reply:
    return ask(server, lambda host, io: host.generate(request, io), **settings)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("gzip", [False, True])
def test_chat(openai_server: OpenAIServer, stream: bool, gzip: bool) -> None:
    openai_server.gzip = gzip
    reply = generate(openai_server, Request("test-model", HI, stream=stream))
    sent = openai_server.requests[0]
    assert reply.text == HELLO
    assert reply.finish is not None
    assert (reply.finish.reason, reply.id, reply.model) == ("stop", "chatcmpl-1", "test-model")
    assert reply.usage == Usage(count_prompt(sent.json["messages"]), 8, 0, None, 0)
    assert sent.headers["authorization"] == f"Bearer {openai_server.key}"
    assert isinstance(reply.raw, tuple if stream else bytes)


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True])
async def test_chat_on_a_loop(openai_server: OpenAIServer, stream: bool) -> None:
    pools, reply = Pools(), Reply()
    try:
        async for event in provider(openai_server).generate(Request("test-model", HI, stream=stream), LoopIO(pools)):
            reply.add(event)
    finally:
        await pools.aclose()
    assert (reply.text, reply.complete(1)) == (HELLO, True)


@pytest.mark.parametrize("stream", [False, True])
def test_tools(openai_server: OpenAIServer, stream: bool) -> None:
    tool = Tool("get_weather", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
    asked = Message("user", "get_weather for city=Paris")
    reply = generate(openai_server, Request("test-model", (asked,), stream=stream, tools=(tool,)))
    assert reply.finish is not None
    assert reply.finish.reason == "tool_call"
    (call,) = reply.choices[0].message.tool_calls
    assert (call.id, call.name, call.arguments) == ("call_0_0", "get_weather", {"city": "Paris"})


@pytest.mark.parametrize("stream", [False, True])
def test_schema_choices_logprobs_stop_and_limit(openai_server: OpenAIServer, stream: bool) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    seven = (Message("user", "Seven is 7"),)
    assert generate(openai_server, Request("test-model", seven, stream=stream, schema=schema)).text == '{"n": 7}'
    two = generate(openai_server, Request("test-model", HI, stream=stream, n=2))
    assert [choice.text for choice in two.choices] == [HELLO, f"{HELLO} (2)"]
    assert two.complete(2)
    scored = generate(openai_server, Request("test-model", HI, stream=stream, logprobs=2)).choices[0].logprobs
    assert scored is not None
    assert "".join(token.token for token in scored) == HELLO
    assert [name for name, _ in scored[0].top] == ["Hello", " or"]
    assert generate(openai_server, Request("test-model", HI, stream=stream, stop=(" can",))).text == "Hello! How"
    cut = generate(openai_server, Request("test-model", HI, stream=stream, max_tokens=2))
    assert cut.finish is not None
    assert (cut.text, cut.finish.reason) == ("Hello!", "length")


@pytest.mark.parametrize("stream", [False, True])
def test_raw_completions(openai_server: OpenAIServer, stream: bool) -> None:
    request = Request("test-instruct", "Once upon a time", stream=stream, echo=True, logprobs=1, max_tokens=2)
    reply = generate(openai_server, request)
    assert openai_server.requests[0].path == "/v1/completions"
    assert reply.text == "Once upon a time there was"
    tokens = reply.choices[0].logprobs
    assert tokens is not None
    # the first token of a prompt has no probability
    assert [token.token for token in tokens] == [" upon", " a", " time", " there", " was"]
    filled = generate(openai_server, Request("test-instruct", "Cats", stream=stream, suffix="dogs"))
    assert filled.text == " and "


def test_embeddings(openai_server: OpenAIServer) -> None:
    reply = ask(openai_server, lambda host, io: host.embed("test-embed", ["a cat", "a dog"], io))
    assert reply.output == (tuple(embedding("a cat")), tuple(embedding("a dog")))
    assert reply.usage == Usage(4, 0)
    with pytest.raises(Unsupported, match="no embeddings"):
        ask(openai_server, lambda host, io: host.embed("test-embed", ["x"], io), embeddings=False)


@pytest.mark.parametrize(
    "body",
    [{}, {"data": []}, {"data": [{"embedding": "!"}]}, {"data": [{"embedding": "AAA="}]}, {"data": [5]},
     {"data": [{"embedding": [{}]}]}, []],
)  # fmt: skip
def test_vectors_that_are_none(openai_server: OpenAIServer, body: Any) -> None:
    openai_server.script(body=b"[]" if body == [] else body)
    with pytest.raises(InvalidBody):
        ask(openai_server, lambda host, io: host.embed("test-embed", ["x"], io))


def test_base64_vectors_in_any_order(openai_server: OpenAIServer) -> None:
    rows = [{"index": 1, "embedding": "AACAPwAAAEA="}, {"index": 0, "embedding": [3, 4.5]}]
    openai_server.script(body={"data": rows})
    reply = ask(openai_server, lambda host, io: host.embed("test-embed", ["x", "y"], io))
    assert reply.output == ((3.0, 4.5), (1.0, 2.0))


def test_models(openai_server: OpenAIServer) -> None:
    reply = ask(openai_server, lambda host, io: host.models(io))
    assert isinstance(reply.output, tuple)
    assert Model("test-model", "test", 8192) in reply.output
    openai_server.script(body=b'[{"id": "bare", "max_model_len": 5}, {"no": "id"}]')
    assert ask(openai_server, lambda host, io: host.models(io)).output == (Model("bare", "test", 5),)
    openai_server.script(body={"error": {"message": "slow", "code": 429}})
    with pytest.raises(RateLimited):
        ask(openai_server, lambda host, io: host.models(io))


# --- faults -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fields", "settings", "kind"),
    [
        ({"model": "nobody"}, {}, NotFound),
        ({"max_tokens": 9000}, {}, ContextTooLong),
        ({"temperature": 3.0}, {}, InvalidRequest),
        ({}, {"api_key": "sk-wrong-0123456789"}, Unauthorized),
    ],
)
def test_refusals(openai_server: OpenAIServer, stream: bool, fields: Any, settings: Any, kind: type[LLMError]) -> None:
    request = Request(**{"model": "test-model", "input": HI, "stream": stream, **fields})
    with pytest.raises(kind) as refused:
        generate(openai_server, request, **settings)
    assert refused.value.request_id == "req_1"
    assert "sk-wrong" not in str(refused.value)


@pytest.mark.parametrize("stream", [False, True])
def test_a_page_of_megabytes_is_an_error_like_any_other(openai_server: OpenAIServer, stream: bool) -> None:
    page = b"<html><title>502 Bad Gateway</title>" + b"x" * 5_000_000
    openai_server.script(status=502, headers={"content-type": "text/html"}, body=page)
    with pytest.raises(ServerFault, match="502 Bad Gateway"):
        generate(openai_server, Request("test-model", HI, stream=stream))
    openai_server.script(status=429, headers={"retry-after": "7"}, body={"error": {"message": "slow"}}, cut=5)
    with pytest.raises(RateLimited) as limited:
        generate(openai_server, Request("test-model", HI, stream=stream))
    assert limited.value.retry_after == 7


def test_a_document_in_place_of_a_stream(openai_server: OpenAIServer) -> None:
    """Some hosts ignore ``stream``: the reply counts. Whatever else comes is an error of its kind."""
    asked = Request("test-model", HI, stream=True)
    whole = {"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}]}
    for headers in ({}, {"content-type": "text/event-stream"}):
        openai_server.script(body=whole, headers=headers, piece=1)
        reply = generate(openai_server, asked)
        assert (reply.text, reply.complete(1)) == ("whole", True)
        assert isinstance(reply.raw, bytes)
    for body, kind in (
        (b"\n <html>Sign in</html>", InvalidBody),
        (b"[{}]", InvalidBody),
        (b'{"choices": [', InvalidBody),
        ({"error": {"message": "slow", "code": "rate_limit_exceeded"}}, RateLimited),
    ):
        openai_server.script(body=body)
        with pytest.raises(kind):
            generate(openai_server, asked)


@pytest.mark.parametrize("body", [b"", b"data: [DONE]\n\n", b": hi\n\n", b"data: {}\n\n", b"gibberish"])
def test_a_stream_that_says_nothing_is_not_complete(openai_server: OpenAIServer, body: bytes) -> None:
    openai_server.script(body=[body], headers={"content-type": "text/event-stream"})
    assert not generate(openai_server, Request("test-model", HI, stream=True)).complete(1)


def test_a_stream_cut_anywhere_is_never_taken_for_whole(openai_server: OpenAIServer) -> None:
    """Every byte of a stream of three events: what the host did not finish has no ``Finish``."""
    body = b"".join(
        events(
            {"choices": [{"index": 0, "delta": {"content": "a"}}]},
            {"choices": [{"index": 0, "delta": {"content": "é"}}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            b"[DONE]",
        )
    )
    host = provider(openai_server)
    finished = body.index(b"data: [DONE]")

    async def folded(cut: int, pools: Pools) -> Reply:
        openai_server.script(body=[body], cut=cut, end="clean")
        reply = Reply()
        async for event in host.generate(Request("test-model", HI, stream=True), SyncIO(pools)):
            reply.add(event)
        return reply

    pools = Pools()
    try:
        replies = [drive(folded(cut, pools)) for cut in range(len(body) + 1)]
    finally:
        pools.close()
    assert [reply.complete(1) for reply in replies] == [cut >= finished for cut in range(len(body) + 1)]
    assert {reply.text for reply in replies} == {"", "a", "aé"}
