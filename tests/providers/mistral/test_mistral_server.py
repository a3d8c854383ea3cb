"""Mistral through the client, over a real socket."""

from __future__ import annotations

from typing import Any

from dialects import CANARY, five_verbs, refusal
from servers.http_server import Answer
from servers.openai_server import OpenAIServer

from llmsdk import Client
from llmsdk.errors import NotFound


class MistralServer(OpenAIServer):
    """Usage comes at the end of every stream, and asking for it is an error."""

    def _stream(self, head: Any, body: Any, rows: Any, usage: Any) -> Answer:
        assert "stream_options" not in body
        return super()._stream(head, {**body, "stream_options": {"include_usage": True}}, rows, usage)


def test_the_five_verbs_and_filling_in() -> None:
    with (
        MistralServer(key=CANARY) as server,
        Client("mistral:test-model", api_key=CANARY, base_url=server.url) as client,
    ):
        five_verbs(client)
        assert isinstance(refusal(client, model="mistral:nobody"), NotFound)
        server.script(body={"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]})
        assert client.complete("def f(", suffix="):", model="mistral:codestral-latest").text == "x"
        assert server.requests[-1].path == "/v1/fim/completions"
