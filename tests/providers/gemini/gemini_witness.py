"""Google's own ``google-genai`` package, as the witness of what recorded replies mean."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest
from recorded import Exchange, Reading

genai: Any = pytest.importorskip("google.genai", reason="the witness is the package google-genai")


class Witness:
    """The package, with a reply put under it in place of a network."""

    def __init__(self) -> None:
        self._exchange: Exchange | None = None
        self._http = httpx.Client(transport=httpx.MockTransport(self._reply))
        options = genai.types.HttpOptions(base_url="http://127.0.0.1:1", httpx_client=self._http)
        self._client = genai.Client(api_key="k", vertexai=False, http_options=options)

    def close(self) -> None:
        self._client.close()
        self._http.close()

    def _reply(self, request: httpx.Request) -> httpx.Response:
        assert self._exchange is not None
        return httpx.Response(
            self._exchange.status, headers=self._exchange.plain_headers, content=_bearable(self._exchange.body)
        )

    def read(self, exchange: Exchange) -> Reading:
        self._exchange = exchange
        models = self._client.models
        try:
            if exchange.streamed:
                return _official(models.generate_content_stream(model="m", contents="x"))
            return _official([models.generate_content(model="m", contents="x")])
        except genai.errors.APIError as error:
            return Reading(error=type(error).__name__, status=error.code)

    def embed(self, exchange: Exchange) -> list[list[float]]:
        self._exchange = exchange
        return [row.values for row in self._client.models.embed_content(model="m", contents=["x"]).embeddings]

    def count(self, exchange: Exchange) -> int:
        self._exchange = exchange
        return int(self._client.models.count_tokens(model="m", contents="x").total_tokens)


ENUMS = {
    "finishReason": "STOP", "modality": "TEXT", "trafficType": "ON_DEMAND", "probability": "LOW",
    "category": "HARM_CATEGORY_HARASSMENT",
}  # fmt: skip
"""A word for each enum that some recordings have as a number; but for the first, they are not compared."""


def _bearable(body: bytes) -> bytes:
    """A body without what the package breaks at: enums as numbers, and the end that a recorder wrote in itself."""
    body = body.replace(b"data: [DONE]\n\n", b"").replace(b"data: [DONE]\n", b"")
    for name, word in ENUMS.items():
        body = re.sub(rf'"{name}": ?\d+'.encode(), f'"{name}": "{word}"'.encode(), body)
    return body


def _official(chunks: Any) -> Reading:
    reading = Reading()
    calls: list[tuple[str, str, Any]] = []
    for chunk in chunks:
        if chunk.usage_metadata is not None:
            reading.usage = _figures(chunk.usage_metadata) or reading.usage
        for candidate in (chunk.candidates or ())[:1]:
            if candidate.finish_reason is not None:
                reading.finish = candidate.finish_reason.value
            for part in (candidate.content and candidate.content.parts) or ():
                if part.text and part.thought:
                    reading.reasoning += part.text
                elif part.text:
                    reading.text += part.text
                if part.function_call:
                    args = json.loads(json.dumps(part.function_call.args or {}))
                    calls.append((part.function_call.id or "", part.function_call.name, args))
    reading.calls = tuple(calls)
    return reading


def _figures(usage: Any) -> tuple[int | None, ...] | None:
    """The five figures: tools' results are input, thoughts are output."""
    prompt, said, thought = usage.prompt_token_count, usage.candidates_token_count, usage.thoughts_token_count
    if prompt is None and said is None and thought is None:
        return None
    given = None if prompt is None else prompt + (usage.tool_use_prompt_token_count or 0)
    return given, (said or 0) + (thought or 0), usage.cached_content_token_count, None, thought
