"""Mistral through the client, over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from dialects import CANARY, five_verbs, five_verbs_on_a_loop, refusal
from servers.http_server import Answer
from servers.openai_server import OpenAIServer

from llmsdk import AsyncClient, Client
from llmsdk.errors import NotFound


class MistralServer(OpenAIServer):
    """Usage comes at the end of every stream, and asking for it is an error."""

    def _stream(self, head: Any, body: Any, rows: Any, usage: Any) -> Answer:
        assert "stream_options" not in body
        return super()._stream(head, {**body, "stream_options": {"include_usage": True}}, rows, usage)


@pytest.fixture
def server() -> Iterator[MistralServer]:
    with MistralServer(key=CANARY) as server:
        yield server


def test_the_five_verbs_and_filling_in(server: MistralServer) -> None:
    with Client("mistral:test-model", api_key=CANARY, base_url=server.url) as client:
        five_verbs(client)
        assert isinstance(refusal(client, model="mistral:nobody"), NotFound)
        server.script(body={"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]})
        assert client.complete("def f(", suffix="):", model="mistral:codestral-latest").text == "x"
        assert server.requests[-1].path == "/v1/fim/completions"


@pytest.mark.anyio
async def test_the_five_verbs_on_a_loop(server: MistralServer) -> None:
    async with AsyncClient("mistral:test-model", api_key=CANARY, base_url=server.url) as client:
        await five_verbs_on_a_loop(client)
