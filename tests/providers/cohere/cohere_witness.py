"""Recorded exchanges as the official ``cohere`` package reads them."""

from __future__ import annotations

from typing import Any

import cohere
import httpx
from recorded import Exchange, Reading, parsed


class Witness:
    """The ``cohere`` package, with a reply put under it in place of a network."""

    def __init__(self) -> None:
        self._exchange: Exchange | None = None
        self._http = httpx.Client(transport=httpx.MockTransport(self._reply))
        self._client = cohere.ClientV2(api_key="k", base_url="http://127.0.0.1:1", httpx_client=self._http)

    def close(self) -> None:
        self._http.close()

    def _reply(self, request: httpx.Request) -> httpx.Response:
        assert self._exchange is not None
        return httpx.Response(self._exchange.status, headers=self._exchange.plain_headers, content=self._exchange.body)

    def embed(self, exchange: Exchange) -> Any:
        self._exchange = exchange
        return self._client.embed(model="m", texts=["x"], input_type="search_document")

    def read(self, exchange: Exchange) -> Reading:
        self._exchange = exchange
        ask: Any = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
        try:
            return _streamed(self._client.chat_stream(**ask)) if exchange.streamed else _whole(self._client.chat(**ask))
        except cohere.core.ApiError as error:
            return Reading(error=type(error).__name__, status=error.status_code)


def _whole(reply: Any) -> Reading:
    message, content = reply.message, reply.message.content or []
    return Reading(
        text="".join(part.text for part in content if part.type == "text"),
        reasoning="".join(part.thinking for part in content if part.type == "thinking") + (message.tool_plan or ""),
        calls=tuple((c.id, c.function.name, parsed(c.function.arguments)) for c in message.tool_calls or ()),
        finish=reply.finish_reason,
        usage=_figures(reply.usage),
    )


def _streamed(events: Any) -> Reading:
    reading = Reading()
    calls: list[list[str]] = []
    for event in events:
        message = getattr(getattr(event, "delta", None), "message", None)
        if event.type in ("content-start", "content-delta"):
            reading.text += getattr(message.content, "text", None) or ""
            reading.reasoning += getattr(message.content, "thinking", None) or ""
        elif event.type == "tool-plan-delta":
            reading.reasoning += message.tool_plan
        elif event.type == "tool-call-start":
            call = message.tool_calls
            calls.append([call.id, call.function.name, call.function.arguments or ""])
        elif event.type == "tool-call-delta":
            calls[-1][2] += message.tool_calls.function.arguments or ""
        elif event.type == "message-end":
            reading.finish, reading.usage = event.delta.finish_reason, _figures(event.delta.usage)
    reading.calls = tuple((call[0], call[1], parsed(call[2])) for call in calls)
    return reading


def _figures(usage: Any) -> tuple[int | None, ...] | None:
    """The five figures. The package keeps what it does not know, such as the tokens of images, as extras."""
    if usage is None or usage.tokens is None:
        return None
    tokens = usage.tokens.model_dump()
    said = (
        tokens["input_tokens"] + (tokens.get("image_tokens") or 0), tokens["output_tokens"],
        usage.cached_tokens, None, tokens.get("reasoning_tokens"),
    )  # fmt: skip
    return tuple(None if value is None else int(value) for value in said)
