"""Recorded exchanges as the official ``mistralai`` package reads them."""

from __future__ import annotations

import json
from typing import Any

import httpx
from mistralai.client import Mistral
from mistralai.client.errors import MistralError
from recorded import Exchange, Reading, parsed


class Witness:
    """The ``mistralai`` package, with a reply put under it in place of a network."""

    def __init__(self) -> None:
        self._exchange: Exchange | None = None
        self._http = httpx.Client(transport=httpx.MockTransport(self._reply))
        self._client = Mistral(api_key="k", server_url="http://127.0.0.1:1", client=self._http)

    def close(self) -> None:
        self._http.close()

    def _reply(self, request: httpx.Request) -> httpx.Response:
        assert self._exchange is not None
        return httpx.Response(self._exchange.status, headers=self._exchange.plain_headers, content=self._exchange.body)

    def read(self, exchange: Exchange) -> Reading:
        self._exchange = exchange
        ask: Any = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
        try:
            if exchange.streamed:
                return _read((event.data for event in self._client.chat.stream(**ask)), "delta")
            return _read([self._client.chat.complete(**ask)], "message")
        except MistralError as error:
            return Reading(error=type(error).__name__, status=error.status_code)


def _read(replies: Any, field: str) -> Reading:
    reading = Reading()
    for reply in replies:
        if reply.usage:
            reading.usage = _figures(reply.usage.model_dump())
        for choice in reply.choices[:1]:
            message = getattr(choice, field)
            reading.text += _text(message.content)
            reading.reasoning += _thought(message.content)
            reading.finish = choice.finish_reason or reading.finish
            for call in message.tool_calls or ():
                given = call.function.arguments
                text = given if isinstance(given, str) else json.dumps(given)
                reading.calls += ((call.id, call.function.name, parsed(text)),)
    return reading


def _text(content: Any) -> str:
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    return "".join(part.text for part in content if part.type == "text")


def _thought(content: Any) -> str:
    parts = content if isinstance(content, list) else []
    return "".join(inner.text for part in parts if part.type == "thinking" for inner in part.thinking)


def _figures(usage: Any) -> tuple[int | None, ...]:
    details = usage.get("prompt_tokens_details") or usage.get("prompt_token_details") or {}
    cached = details.get("cached_tokens") or usage.get("num_cached_tokens")
    cached = details.get("cached_tokens") if cached is None else cached
    return usage["prompt_tokens"], usage["completion_tokens"], cached, None, None
