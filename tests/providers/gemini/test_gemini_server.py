"""Gemini and Vertex through the client, over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dialects import CANARY, five_verbs, refusal
from pydantic import BaseModel, SecretStr
from recorded import folded
from servers.gemini_server import MODELS, SIGNATURE, GeminiServer
from servers.openai_server import embedding

from llmsdk import AsyncClient, Client
from llmsdk.errors import InvalidBody, NotFound, RateLimited, StreamInterrupted, Unauthorized, Unsupported
from llmsdk.io.pools import Pools
from llmsdk.io.sync import SyncIO
from llmsdk.types import Message, Model, Request, TokenCount, Usage
from llmsdk_providers.gemini import Gemini, Settings, Vertex, VertexSettings

HOSTS = ["gemini", "vertex"]


@pytest.fixture
def server() -> Iterator[GeminiServer]:
    with GeminiServer(CANARY) as server:
        yield server


def configured(host: str, server: GeminiServer, **more: Any) -> dict[str, Any]:
    """The arguments that make a client of a host. A small machine of tests is reached without https."""
    own = {"api_key": CANARY} if host == "gemini" else {"project": "p", "location": "here", "token": CANARY}
    table = {"base_url": server.origin, **own, **more}
    return {"model": f"{host}:gemini-2.5-flash", "config": {"providers": {host: table}}}


@pytest.fixture(params=HOSTS)
def client(request: pytest.FixtureRequest, server: GeminiServer) -> Iterator[Client]:
    with Client(**configured(request.param, server)) as client:
        yield client


class City(BaseModel):
    city: str


TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": City.model_json_schema()}}


def test_the_five_verbs(client: Client) -> None:
    five_verbs(client)


def test_classify_by_logprobs(server: GeminiServer) -> None:
    with Client(**configured("gemini", server, logprobs=5)) as client:
        result = client.classify("great film, i love it", ["positive", "negative"])
        assert (result.label, result.probability) == ("positive", "logprob")
        sent = server.requests[-1].json["generationConfig"]
        assert (sent["responseLogprobs"], sent["logprobs"]) == (True, 5)


@pytest.mark.parametrize("stream", [False, True])
def test_a_schema_and_tools(client: Client, server: GeminiServer, stream: bool) -> None:
    assert client.chat("city=Paris", output=City).value == City(city="Paris")
    asked = "get_weather for city=Paris"
    if stream:
        with client.chat(asked, tools=[TOOL], stream=True) as events:
            list(events)
        result = events.result
    else:
        result = client.chat(asked, tools=[TOOL])
    assert (result.finish_reason, result.raw_finish_reason) == ("tool_call", "STOP")
    (call,) = result.tool_calls
    assert (call.name, call.arguments) == ("get_weather", {"city": "Paris"})
    answer = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    conversation: list[Any] = [{"role": "user", "content": asked}, result.message, answer]
    done = client.chat(conversation, tools=[TOOL])
    assert done.text == "The tool says: sunny"
    back = server.requests[-1].json["contents"]
    assert back[1]["parts"] == [
        {"functionCall": {"name": "get_weather", "args": {"city": "Paris"}}, "thoughtSignature": SIGNATURE}
    ]
    assert back[2]["parts"] == [{"functionResponse": {"name": "get_weather", "response": {"output": "sunny"}}}]


@pytest.mark.anyio
@pytest.mark.parametrize("host", HOSTS)
async def test_on_a_loop(server: GeminiServer, host: str) -> None:
    async with AsyncClient(**configured(host, server)) as client:
        whole = await client.chat("Hello!")
        async with client.chat("Hello!", stream=True) as stream:
            text = "".join([event.text async for event in stream])
    assert text == whole.text == "Hello! How can I help you?"


# --- faults -------------------------------------------------------------------------------------------------------


def test_refusals(client: Client, server: GeminiServer) -> None:
    host = client.chat("Hello!").provider
    assert isinstance(refusal(client, model=f"{host}:nobody"), NotFound)
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3.5s"}]
    slow = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": f"slow {CANARY}", "details": details}}
    server.script(status=429, body=slow)
    error = refusal(client)
    assert isinstance(error, RateLimited)
    assert error.retry_after == 3.5
    server.key = "another"
    assert isinstance(refusal(client), Unauthorized)


def test_what_it_cannot_is_told_before_anything_is_sent(client: Client, server: GeminiServer) -> None:
    cases: list[Any] = [{"logprobs": 3}, {"logit_bias": {1: 2.0}}, {"parallel_tool_calls": False, "tools": [TOOL]}]
    for fields in cases:
        with pytest.raises(Unsupported):
            client.chat("Hello!", **fields)
    assert server.requests == []


def test_a_stream_that_is_cut(client: Client, server: GeminiServer) -> None:
    server.script(cut=600, end="close")
    with pytest.raises(StreamInterrupted) as caught, client.chat("Hello!", stream=True) as stream:
        list(stream)
    assert caught.value.partial is not None


# --- the other operations -----------------------------------------------------------------------------------------


def ask(provider: Any, operation: str, *arguments: Any) -> Any:
    pools = Pools()
    try:
        return folded(getattr(provider, operation)(*arguments, SyncIO(pools)))
    finally:
        pools.close()


@pytest.fixture
def gemini(server: GeminiServer) -> Gemini:
    return Gemini("mine", Settings(api_key=SecretStr(CANARY), base_url=server.origin))


def vertex(server: GeminiServer, **fields: Any) -> Vertex:
    fields = {"token": CANARY} | fields if "token_provider" not in fields else fields
    return Vertex("mine", VertexSettings(project="p", location="here", base_url=server.origin, **fields))


def test_embeddings_in_portions(server: GeminiServer, gemini: Gemini) -> None:
    texts = [f"cat {number}" for number in range(150)]
    reply = ask(gemini, "embed", "gemini-embedding-001", texts)
    assert reply.output == tuple(tuple(embedding(text)) for text in texts)
    assert [len(request.json["requests"]) for request in server.requests] == [100, 50]
    assert reply.usage is None
    server.script(body={"embeddings": [{"values": [1, 2]}], "usageMetadata": {"promptTokenCount": 4}})
    reply = ask(gemini, "embed", "gemini-embedding-001", ["x"])
    assert (reply.output, reply.usage) == (((1.0, 2.0),), Usage(4, 0))
    wrong: list[Any] = [{}, {"embeddings": [{"values": ["x"]}]}, {"embeddings": [{}, {}]}]
    for body in wrong:
        server.script(body=body)
        with pytest.raises(InvalidBody):
            ask(gemini, "embed", "gemini-embedding-001", ["x"])


def test_embeddings_of_vertex(server: GeminiServer) -> None:
    reply = ask(vertex(server), "embed", "gemini-embedding-001", ["a cat", "a dog"])
    assert reply.output == (tuple(embedding("a cat")), tuple(embedding("a dog")))
    assert reply.usage == Usage(4, 0)
    assert [len(request.json["instances"]) for request in server.requests] == [1, 1]


def test_models_on_several_pages(server: GeminiServer, gemini: Gemini) -> None:
    assert ask(gemini, "models").output == tuple(Model(name, "mine", window) for name, window in MODELS.items())
    server.script(body={"models": 1})
    with pytest.raises(InvalidBody):
        ask(gemini, "models")


def test_tokens_are_counted_with_everything(server: GeminiServer, gemini: Gemini) -> None:
    request = Request("gemini-2.5-flash", (Message("system", "Be terse."), Message("user", "Hi!")))
    for provider in (gemini, vertex(server)):
        assert ask(provider, "count_exactly", request).output == TokenCount(11, "exact")
    server.script(body={"totalTokens": "many"})
    with pytest.raises(InvalidBody):
        ask(gemini, "count_exactly", request)


# --- tokens of Vertex ---------------------------------------------------------------------------------------------


class Source:
    """Gives one token after the other, each with its end."""

    def __init__(self, *tokens: str, lasts: timedelta | None = None) -> None:
        self.tokens = list(tokens)
        self.asked = 0
        self._lasts = lasts

    def __call__(self) -> Any:
        self.asked += 1
        token = self.tokens.pop(0)
        return token if self._lasts is None else (token, datetime.now(UTC).replace(tzinfo=None) + self._lasts)


HI = Request("gemini-2.5-flash", (Message("user", "Hello!"),))


def test_a_token_is_kept_as_long_as_it_holds(server: GeminiServer) -> None:
    source = Source(CANARY, lasts=timedelta(hours=1))
    provider = vertex(server, token_provider=source)
    for _ in range(3):
        assert ask(provider, "generate", HI).text
    assert source.asked == 1
    ending = Source(CANARY, CANARY, CANARY, lasts=timedelta(seconds=30))
    provider = vertex(server, token_provider=ending)
    for _ in range(3):
        ask(provider, "generate", HI)
    assert ending.asked == 3


def test_a_token_that_is_refused_is_renewed_once(server: GeminiServer) -> None:
    source = Source("ya29.old-token-000001", "ya29.new-token-000002", "ya29.bad-token-000003")
    provider = vertex(server, token_provider=source)
    server.key = "ya29.old-token-000001"
    ask(provider, "generate", HI)
    server.key = "ya29.new-token-000002"
    assert ask(provider, "generate", HI).text
    assert source.asked == 2
    server.key = "none of them"
    server.requests.clear()
    with pytest.raises(Unauthorized) as caught:
        ask(provider, "count_exactly", HI)
    assert (source.asked, len(server.requests)) == (3, 2)
    assert "ya29" not in str(caught.value) + repr(vars(caught.value)) + repr(provider)


def test_a_fresh_token_that_is_refused_is_not_asked_for_again(server: GeminiServer) -> None:
    source = Source("ya29.bad-token-000001", "ya29.bad-token-000002")
    with pytest.raises(Unauthorized):
        ask(vertex(server, token_provider=source), "generate", HI)
    assert (source.asked, len(server.requests)) == (1, 1)


@pytest.mark.parametrize("given", ["", 5, None, "two words", ("", None)])
def test_what_is_no_token(server: GeminiServer, given: Any) -> None:
    with pytest.raises(Unauthorized):
        ask(vertex(server, token_provider=lambda: given), "generate", HI)
    assert server.requests == []


def test_a_source_that_fails(server: GeminiServer) -> None:
    def fail() -> str:
        raise OSError(CANARY)

    with pytest.raises(Unauthorized, match="failed with OSError") as caught:
        ask(vertex(server, token_provider=fail), "generate", HI)
    assert CANARY not in str(caught.value)
