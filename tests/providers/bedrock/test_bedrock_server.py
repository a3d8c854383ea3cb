"""Bedrock through the client, over a real socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dialects import CANARY, five_verbs, five_verbs_on_a_loop, refusal
from pydantic import BaseModel
from recorded import folded
from servers.bedrock_server import MODELS, BedrockServer, frame

from llmsdk import AsyncClient, Client
from llmsdk.errors import InvalidBody, NotFound, RateLimited, StreamInterrupted, Unauthorized
from llmsdk.io.pools import Pools
from llmsdk.io.sync import SyncIO
from llmsdk.types import Message, Request, TokenCount
from llmsdk_providers.bedrock import Bedrock, Settings


@pytest.fixture
def server() -> Iterator[BedrockServer]:
    with BedrockServer(CANARY) as server:
        yield server


@pytest.fixture
def client(server: BedrockServer) -> Iterator[Client]:
    with Client("bedrock:test.model-v1:0", api_key=CANARY, base_url=server.origin) as client:
        yield client


class City(BaseModel):
    city: str


def test_the_five_verbs(client: Client) -> None:
    five_verbs(client)


@pytest.mark.anyio
async def test_the_five_verbs_on_a_loop(server: BedrockServer) -> None:
    async with AsyncClient("bedrock:test.model-v1:0", api_key=CANARY, base_url=server.origin) as client:
        await five_verbs_on_a_loop(client)


def test_a_profile_by_its_arn(client: Client, server: BedrockServer) -> None:
    assert client.chat("Hello!", model=f"bedrock:{MODELS[1]}").text
    assert server.requests[0].path == f"/model/{MODELS[1]}/converse"


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


def test_refusals(client: Client, server: BedrockServer) -> None:
    assert isinstance(refusal(client, model="bedrock:nobody"), NotFound)
    server.script(body=[frame("throttlingException", b'{"message": "slow"}', "exception")])
    with pytest.raises(RateLimited), client.chat("Hello!", stream=True, retry={"attempts": 1}) as stream:
        list(stream)
    server.key = "another"
    assert isinstance(refusal(client), Unauthorized)


def test_a_stream_that_is_cut(client: Client, server: BedrockServer) -> None:
    server.script(cut=500, end="close")
    with pytest.raises(StreamInterrupted) as caught, client.chat("Hello!", stream=True) as stream:
        list(stream)
    assert caught.value.partial is not None


def test_counts(server: BedrockServer) -> None:
    pools, provider = Pools(), Bedrock("mine", Settings(api_key=CANARY, base_url=server.origin))
    request = Request(MODELS[0], (Message("user", "Hi there"),), max_tokens=5)
    try:
        assert folded(provider.count_exactly(request, SyncIO(pools))).output == TokenCount(5, "exact")
        assert server.requests[0].json == {"input": {"converse": {"messages": [
            {"role": "user", "content": [{"text": "Hi there"}]}
        ]}}}  # fmt: skip
        server.script(body={})
        with pytest.raises(InvalidBody):
            folded(provider.count_exactly(request, SyncIO(pools)))
    finally:
        pools.close()
