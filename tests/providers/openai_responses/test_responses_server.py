"""The Responses API through the client, over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from dialects import CANARY, five_verbs, refusal
from pydantic import BaseModel
from recorded import folded
from servers.openai_server import embedding
from servers.responses_server import THOUGHTS, ResponsesServer

from llmsdk import Client
from llmsdk.errors import (
    ContextTooLong,
    InvalidBody,
    NotFound,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    StreamInterrupted,
    Unauthorized,
)
from llmsdk.io.pools import Pools
from llmsdk.io.sync import SyncIO
from llmsdk.types import Message, Model, Request, TokenCount
from llmsdk_providers.openai_responses import Responses, Settings


@pytest.fixture
def server() -> Iterator[ResponsesServer]:
    with ResponsesServer(key=CANARY) as server:
        yield server


def connected(server: ResponsesServer, model: str = "test-model", **settings: Any) -> Client:
    host = {"api_key": CANARY, "base_url": server.url, "logprobs": 20, **settings}
    return Client(f"openai-responses:{model}", config={"providers": {"openai-responses": host}})


@pytest.fixture
def client(server: ResponsesServer) -> Iterator[Client]:
    with connected(server) as client:
        yield client


class City(BaseModel):
    city: str


TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": City.model_json_schema()}}


def test_the_five_verbs(server: ResponsesServer) -> None:
    with connected(server, logprobs=None) as client:
        five_verbs(client)
    assert all(request.json["store"] is False for request in server.requests)


def test_classifying_by_logprobs(server: ResponsesServer) -> None:
    """The smallest reply that OpenAI's own host allows is asked for only there."""
    with connected(server) as client:
        server.script(body={**_reply("B"), "output": [_said("B", [_score("B", -0.1), _score("A", -3.0)])]})
        result = client.classify("great film, i love it", ["negative", "positive"])
    assert (result.label, result.probability) == ("positive", "logprob")
    sent = server.requests[0].json
    assert (sent["max_output_tokens"], sent["include"]) == (1, ["message.output_text.logprobs"])


@pytest.mark.parametrize("stream", [False, True])
def test_a_schema_and_tools(client: Client, server: ResponsesServer, stream: bool) -> None:
    assert client.chat("city=Paris", output=City).value == City(city="Paris")
    if stream:
        with client.chat("get_weather for city=Paris", tools=[TOOL], stream=True) as events:
            list(events)
        result = events.result
    else:
        result = client.chat("get_weather for city=Paris", tools=[TOOL])
    assert result.finish_reason == "tool_call"
    assert [(call.name, call.arguments) for call in result.tool_calls] == [("get_weather", {"city": "Paris"})]


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_goes_back_with_the_call_that_followed_it(server: ResponsesServer, stream: bool) -> None:
    with connected(server, "gpt-5-mini", summary="auto", encrypted_reasoning=True) as client:
        ask: list[Any] = [{"role": "user", "content": "get_weather for city=Paris"}]
        if stream:
            with client.chat(ask, tools=[TOOL], stream=True) as events:
                list(events)
            first = events.result
        else:
            first = client.chat(ask, tools=[TOOL])
        assert first.reasoning == "\n\n".join(THOUGHTS)
        call = first.tool_calls[0]
        answer = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
        second = client.chat([*ask, first.message, answer], tools=[TOOL])
    assert second.text == "The tool says: sunny"
    items = server.requests[1].json["input"]
    assert [item.get("type") for item in items] == [None, "reasoning", "function_call", "function_call_output"]
    assert items[1]["encrypted_content"] == "c2VjcmV0"
    assert items[2]["id"] == "fc_0"


def test_embeddings_models_and_counting(server: ResponsesServer) -> None:
    host = Responses("r", Settings(api_key=CANARY, base_url=server.url))  # type: ignore[arg-type]
    pools = Pools()
    try:
        io = SyncIO(pools)
        assert folded(host.embed("test-embed", ["a cat"], io)).output == (tuple(embedding("a cat")),)
        models = folded(host.models(io)).output
        assert isinstance(models, tuple)
        assert Model("test-model", "r", 8192) in models
        asked = Request("test-model", (Message("system", "Be brief."), Message("user", "Hello!")), max_tokens=99)
        assert folded(host.count_exactly(asked, io)).output == TokenCount(3 + 3 + 3 + 2, "exact")
        server.script(body={"input_tokens": "many"})
        with pytest.raises(InvalidBody):
            folded(host.count_exactly(asked, io))
    finally:
        pools.close()


# --- faults -------------------------------------------------------------------------------------------------------


def test_refusals(client: Client, server: ResponsesServer) -> None:
    assert isinstance(refusal(client, model="openai-responses:nobody"), NotFound)
    server.script(status=429, body={"error": {"message": "slow", "code": "rate_limit_exceeded"}},
                  headers={"retry-after": "1", "retry-after-ms": "0"})  # fmt: skip
    limited = refusal(client)
    assert isinstance(limited, RateLimited)
    assert limited.retry_after == 1
    for status, code, kind in (
        (429, "insufficient_quota", QuotaExhausted),
        (400, "context_length_exceeded", ContextTooLong),
        (503, "server_is_overloaded", Overloaded),
    ):
        server.script(status=status, body={"error": {"message": "no", "code": code}})
        assert isinstance(refusal(client), kind)


def test_a_wrong_key(server: ResponsesServer) -> None:
    server.key = "another"
    with connected(server) as client:
        assert isinstance(refusal(client), Unauthorized)


def test_a_long_prompt(client: Client) -> None:
    text = "word " * 100
    error = refusal(client, model="openai-responses:test-small", system=text)
    assert isinstance(error, ContextTooLong)


def test_a_stream_that_is_cut(client: Client, server: ResponsesServer) -> None:
    server.script(cut=900, end="clean")
    with pytest.raises(StreamInterrupted):
        with client.chat("Hello!", stream=True) as stream:
            list(stream)


def _reply(text: str) -> dict[str, Any]:
    return {
        "id": "r",
        "model": "m",
        "status": "completed",
        "output": [_said(text)],
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


def _said(text: str, scores: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    logprobs = [scores[0] | {"top_logprobs": scores}] if scores else []
    return {"type": "message", "content": [{"type": "output_text", "text": text, "logprobs": logprobs}]}


def _score(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob}
