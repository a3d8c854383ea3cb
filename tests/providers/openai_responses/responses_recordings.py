"""Recorded exchanges of the Responses API, as the official ``openai`` package reads them."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
from recorded import Exchange, Reading, parsed

from llmsdk_providers.openai_responses import Responses, Settings

BASE = "http://127.0.0.1:1/v1"
PROVIDER = Responses("recorded", Settings(base_url=BASE))
_ENDS = ("response.completed", "response.incomplete", "response.failed")


class Witness:
    """The ``openai`` package, with a reply put under it in place of a network."""

    def __init__(self) -> None:
        self._exchange: Exchange | None = None
        self._http = httpx2.Client(transport=httpx2.MockTransport(self._reply))
        self._client = openai.OpenAI(base_url=BASE, api_key="k", max_retries=0, http_client=self._http)

    def close(self) -> None:
        self._client.close()

    def _reply(self, request: httpx2.Request) -> httpx2.Response:
        assert self._exchange is not None
        return httpx2.Response(self._exchange.status, headers=self._exchange.plain_headers, content=self._exchange.body)

    def read(self, exchange: Exchange) -> Reading:
        self._exchange = exchange
        try:
            if not exchange.streamed:
                return _official(self._client.responses.create(model="m", input="x"))
            events = list(self._client.responses.create(model="m", input="x", stream=True))
        except openai.APIError as error:
            return Reading(error=type(error).__name__, status=getattr(error, "status_code", None))
        reading = _official(next(event.response for event in events if event.type in _ENDS))
        deltas = (
            event.delta for event in events if event.type in ("response.output_text.delta", "response.refusal.delta")
        )
        assert "".join(deltas) == reading.text, "the package's own deltas are another text than its last event"
        return reading

    def count(self, exchange: Exchange) -> int:
        self._exchange = exchange
        return self._client.responses.input_tokens.count(model="m", input="x").input_tokens


def _official(response: Any) -> Reading:
    reading = Reading(finish=response.incomplete_details.reason if response.incomplete_details else response.status)
    calls = []
    for item in response.output:
        if item.type == "message":
            reading.text += "".join(part.text if part.type == "output_text" else part.refusal for part in item.content)
        elif item.type == "reasoning":
            reading.reasoning += "\n\n".join(part.text for part in (*item.summary, *(item.content or ())))
        elif item.type == "function_call":
            calls.append((item.call_id, item.name, parsed(item.arguments)))
    reading.calls = tuple(calls)
    if response.usage is not None:
        reading.usage = _figures(response.usage)
    return reading


def _figures(usage: Any) -> tuple[int | None, ...]:
    inner, outer = usage.input_tokens_details, usage.output_tokens_details
    return (
        usage.input_tokens, usage.output_tokens, inner.cached_tokens, getattr(inner, "cache_write_tokens", None),
        outer.reasoning_tokens,
    )  # fmt: skip
