"""Cohere through the client, over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from dialects import CANARY, five_verbs, five_verbs_on_a_loop, refusal
from pydantic import BaseModel
from recorded import folded
from servers.cohere_server import CohereServer
from servers.openai_server import embedding

from llmsdk import AsyncClient, Client
from llmsdk.errors import InvalidBody, NotFound, RateLimited, StreamInterrupted, Unauthorized
from llmsdk.io.pools import Pools
from llmsdk.io.sync import SyncIO
from llmsdk.types import Event, Model, Output, Usage
from llmsdk_providers.cohere import Cohere, Settings


@pytest.fixture
def server() -> Iterator[CohereServer]:
    with CohereServer(CANARY) as server:
        yield server


@pytest.fixture
def client(server: CohereServer) -> Iterator[Client]:
    with Client("cohere:command-test", api_key=CANARY, base_url=server.origin) as client:
        yield client


class City(BaseModel):
    city: str


def test_the_five_verbs(client: Client) -> None:
    five_verbs(client)


@pytest.mark.anyio
async def test_the_five_verbs_on_a_loop(server: CohereServer) -> None:
    async with AsyncClient("cohere:command-test", api_key=CANARY, base_url=server.origin) as client:
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
    assert result.finish_reason == "tool_call"
    assert [(call.name, call.arguments) for call in result.tool_calls] == [("get_weather", {"city": "Paris"})]
    assert result.reasoning == "I will call."
    assert result.message.tool_calls == result.tool_calls


def test_refusals(client: Client, server: CohereServer) -> None:
    assert isinstance(refusal(client, model="cohere:nobody"), NotFound)
    server.script(status=429, headers={"retry-after": "3"}, body={"message": f"slow down {CANARY}"})
    slow = refusal(client)
    assert isinstance(slow, RateLimited)
    assert slow.retry_after == 3
    server.key = "another"
    assert isinstance(refusal(client), Unauthorized)


def test_a_stream_that_is_cut(client: Client, server: CohereServer) -> None:
    server.script(cut=600, end="close")
    with pytest.raises(StreamInterrupted) as caught, client.chat("Hello!", stream=True) as stream:
        list(stream)
    assert caught.value.partial is not None


def ask(server: CohereServer, operation: str, *arguments: Any) -> list[Event]:
    pools, provider = Pools(), Cohere("mine", Settings(api_key=CANARY, base_url=server.origin))
    try:
        reply = folded(getattr(provider, operation)(*arguments, SyncIO(pools)))
    finally:
        pools.close()
    return [*([reply.usage] if reply.usage else []), Output(reply.output)]


def test_embeddings_in_portions(server: CohereServer) -> None:
    texts = [f"cat {number}" for number in range(100)]
    usage, output = ask(server, "embed", "embed-test", texts)
    assert usage == Usage(200, 0)
    assert output == Output(tuple(tuple(embedding(text)) for text in texts))
    assert [len(request.json["texts"]) for request in server.requests] == [96, 4]
    for body in ({}, {"embeddings": {"float": [[1], [2]]}}, {"embeddings": {"float": [["x"]]}}):
        server.script(body=body)
        with pytest.raises(InvalidBody):
            ask(server, "embed", "embed-test", ["x"])


def test_models_on_several_pages(server: CohereServer) -> None:
    models = (Model("command-test", "mine", 8192), Model("embed-test", "mine", 512))
    assert ask(server, "models") == [Output(models)]
    assert server.requests[1].query["page_token"] == "a/b"
    server.script(body={"models": 1})
    with pytest.raises(InvalidBody):
        ask(server, "models")
