"""Ollama through the client, over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from dialects import CANARY, five_verbs, five_verbs_on_a_loop, refusal
from pydantic import BaseModel
from recorded import folded
from servers.ollama_server import OllamaServer
from servers.openai_server import embedding

from llmsdk import AsyncClient, Client
from llmsdk.errors import InvalidBody, NotFound, StreamInterrupted, Unauthorized
from llmsdk.io.pools import Pools
from llmsdk.io.sync import SyncIO
from llmsdk.reply import Reply
from llmsdk.types import Model, Usage
from llmsdk_providers.ollama import Ollama, Settings


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    with OllamaServer() as server:
        yield server


@pytest.fixture
def client(server: OllamaServer) -> Iterator[Client]:
    with Client("ollama:test:latest", base_url=server.origin) as client:
        yield client


class City(BaseModel):
    city: str


def test_the_five_verbs_without_a_key(client: Client, server: OllamaServer) -> None:
    five_verbs(client)
    assert server.requests[0].path == "/api/generate"
    assert all("authorization" not in request.headers for request in server.requests)
    assert client.classify("great film", ["positive", "negative"]).probability == "logprob"


@pytest.mark.anyio
async def test_the_five_verbs_on_a_loop(server: OllamaServer) -> None:
    async with AsyncClient("ollama:test:latest", base_url=server.origin) as client:
        await five_verbs_on_a_loop(client)


@pytest.mark.parametrize("stream", [False, True])
def test_a_schema_and_tools(client: Client, stream: bool) -> None:
    assert client.chat("city=Paris", output=City).value == City(city="Paris")
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": City.model_json_schema()}}
    if stream:
        with client.chat("get_weather for city=Paris", tools=[tool], stream=True) as events:
            list(events)
        result = events.result
    else:
        result = client.chat("get_weather for city=Paris", tools=[tool])
    assert (result.finish_reason, result.raw_finish_reason) == ("tool_call", "stop")
    assert [(call.id, call.name, call.arguments) for call in result.tool_calls] == [
        ("call_0", "get_weather", {"city": "Paris"})
    ]


def test_refusals(server: OllamaServer) -> None:
    server.key = CANARY
    with Client("ollama:test:latest", api_key=CANARY, base_url=server.origin) as client:
        assert isinstance(refusal(client, model="ollama:nobody"), NotFound)
        assert client.chat("Hello!").text
        server.key = "another"
        assert isinstance(refusal(client), Unauthorized)


def test_a_stream_that_is_cut(client: Client, server: OllamaServer) -> None:
    server.script(cut=300, end="close")
    with pytest.raises(StreamInterrupted) as caught, client.chat("Hello!", stream=True) as stream:
        list(stream)
    assert caught.value.partial is not None


def ask(server: OllamaServer, operation: str, *arguments: Any) -> Reply:
    pools, provider = Pools(), Ollama("mine", Settings(base_url=server.origin))
    try:
        return folded(getattr(provider, operation)(*arguments, SyncIO(pools)))
    finally:
        pools.close()


def test_embeddings_and_models(server: OllamaServer) -> None:
    reply = ask(server, "embed", "embed:latest", ["a cat", "a dog"])
    assert reply.output == (tuple(embedding("a cat")), tuple(embedding("a dog")))
    assert reply.usage == Usage(4, 0)
    assert ask(server, "models").output == (Model("test:latest", "mine"), Model("embed:latest", "mine"))
    for operation, arguments, body in (
        ("embed", ("embed:latest", ["x"]), {"embeddings": [[1], [2]]}),
        ("embed", ("embed:latest", ["x"]), {"embeddings": [["x"]]}),
        ("models", (), {}),
    ):  # fmt: skip
        server.script(body=body)
        with pytest.raises(InvalidBody):
            ask(server, operation, *arguments)
