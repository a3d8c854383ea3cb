"""Anthropic through the client, over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from dialects import CANARY, five_verbs, refusal
from pydantic import BaseModel
from recorded import folded
from servers.anthropic_server import MODELS, THOUGHT, AnthropicServer, count

from llmsdk import Client
from llmsdk.errors import (
    ContextTooLong,
    NotFound,
    Overloaded,
    RateLimited,
    StreamInterrupted,
    Unauthorized,
    Unsupported,
)
from llmsdk.io.pools import Pools
from llmsdk.io.sync import SyncIO
from llmsdk.types import Message, Request, TokenCount, Tool, ToolResult
from llmsdk_providers.anthropic import Anthropic, Settings

OLD = "anthropic:claude-3-5-haiku-20241022"


@pytest.fixture
def server() -> Iterator[AnthropicServer]:
    with AnthropicServer(key=CANARY) as server:
        yield server


@pytest.fixture
def client(server: AnthropicServer) -> Iterator[Client]:
    with Client("anthropic:claude-sonnet-4-5", api_key=CANARY, base_url=server.url) as client:
        yield client


class City(BaseModel):
    city: str


WEATHER = Tool("get_weather", City.model_json_schema())


def test_the_five_verbs(client: Client) -> None:
    five_verbs(client)


@pytest.mark.parametrize("model", ["anthropic:claude-sonnet-4-5", OLD])
def test_a_schema_is_held_by_the_host_or_by_a_tool(client: Client, server: AnthropicServer, model: str) -> None:
    result = client.chat("city=Paris", output=City, model=model)
    assert result.value == City(city="Paris")
    assert (result.finish_reason, result.tool_calls) == ("stop", ())
    assert ("tools" in server.requests[0].json) is (model == OLD)
    assert client.chat("Give me 7", output=list[int], model=model).value == [7]


@pytest.mark.parametrize("stream", [False, True])
def test_tools_and_thoughts_there_and_back(client: Client, server: AnthropicServer, stream: bool) -> None:
    ask: dict[str, Any] = {"tools": [WEATHER], "reasoning": "low"}
    question = Message("user", "get_weather for city=Paris")
    if stream:
        with client.chat([question], stream=True, **ask) as events:
            list(events)
        result = events.result
    else:
        result = client.chat([question], **ask)
    assert result.finish_reason == "tool_call"
    assert (result.reasoning, result.text) == (THOUGHT, "")
    (call,) = result.tool_calls
    assert call.arguments == {"city": "Paris"}
    answer = Message("tool", (ToolResult(call.id, "sunny"),))
    after = client.chat([question, result.message, answer], **ask)  # the server checks the signature
    assert after.text == "The tool says: sunny"
    kinds = [block["type"] for block in server.requests[-1].json["messages"][1]["content"]]
    assert kinds == ["thinking", "redacted_thinking", "tool_use"]


def test_usage_stop_and_limit(client: Client, server: AnthropicServer) -> None:
    result = client.chat("Hello!", system="Be kind.", stop=[" can"])
    assert (result.text, result.finish_reason, result.raw_finish_reason) == ("Hello! How", "stop", "stop_sequence")
    new, cached = count(server.requests[0].json)
    assert (result.usage.input_tokens, result.usage.cached_input_tokens) == (new + cached, cached)
    cut = client.chat("Hello!", max_tokens=2)
    assert (cut.text, cut.finish_reason) == ("Hello!", "length")


def test_what_the_model_lacks_is_said_before_anything_is_sent(client: Client, server: AnthropicServer) -> None:
    for fields in ({"seed": 1}, {"logprobs": 2}, {"n": 2}):
        with pytest.raises(Unsupported):
            client.chat("Hello!", **fields)  # type: ignore[call-overload]
    assert server.requests == []


def test_refusals(client: Client, server: AnthropicServer) -> None:
    assert isinstance(refusal(client, model="anthropic:nobody"), NotFound)
    long = refusal(client, model="anthropic:claude-small-4-5", system="x " * 80)
    assert isinstance(long, ContextTooLong)
    assert long.limit == 64
    kind = {"type": "rate_limit_error", "message": f"slow down {CANARY}"}
    server.script(status=429, headers={"retry-after": "3"}, body={"type": "error", "error": kind})
    slow = refusal(client)
    assert isinstance(slow, RateLimited)
    assert slow.retry_after == 3
    server.key = "another"
    assert isinstance(refusal(client), Unauthorized)


def test_a_stream_that_is_cut_or_fails(client: Client, server: AnthropicServer) -> None:
    server.script(cut=620, end="close")
    with pytest.raises(StreamInterrupted), client.chat("Hello!", stream=True, retry=1) as events:
        list(events)
    failed = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    server.script(body=[failed], headers={"content-type": "text/event-stream"})
    with pytest.raises(Overloaded), client.chat("Hello!", stream=True, retry=1) as events:
        list(events)
    assert client.ledger.open == ()


def asked(server: AnthropicServer, operation: Any) -> Any:
    pools = Pools()
    provider = Anthropic("anthropic", Settings(api_key=CANARY, base_url=server.url))  # type: ignore[arg-type]
    try:
        return folded(operation(provider, SyncIO(pools))).output
    finally:
        pools.close()


def test_exact_counts(server: AnthropicServer) -> None:
    messages = (Message("system", "Be brief."), Message("user", "How many tokens are these?"))
    request = Request("claude-sonnet-4-5", messages, max_tokens=9, temperature=0.0, tools=(WEATHER,), stream=True)
    counted = asked(server, lambda provider, io: provider.count_exactly(request, io))
    assert counted == TokenCount(sum(count(server.requests[0].json)), "exact")


def test_models_of_all_pages(server: AnthropicServer) -> None:
    found = asked(server, lambda provider, io: provider.models(io))
    assert {model.id: model.context for model in found} == MODELS
    assert len(server.requests) == 2


def test_the_official_package_takes_the_server_for_the_service(server: AnthropicServer) -> None:
    anthropic = pytest.importorskip("anthropic", reason="the official package is the witness")
    with anthropic.Anthropic(base_url=server.url, api_key=CANARY, max_retries=0) as witness:
        ask: Any = {"model": "claude-opus-4-6", "max_tokens": 99, "messages": [{"role": "user", "content": "Hi!"}]}
        whole = witness.messages.create(**ask)
        with witness.messages.stream(**ask) as events:
            streamed = events.get_final_message()
        assert (whole.content[0].text, whole.usage.output_tokens) == (
            streamed.content[0].text,
            streamed.usage.output_tokens,
        )
        assert whole.content[0].text == "Hello! How can I help you?"
        assert [model.id for model in witness.models.list(limit=2)] == list(MODELS)
        assert witness.messages.count_tokens(model=ask["model"], messages=ask["messages"]).input_tokens == 2
        with pytest.raises(anthropic.NotFoundError):
            witness.messages.create(**{**ask, "model": "nobody"})
