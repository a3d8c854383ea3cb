"""Recorded exchanges of the Messages dialect, as the official ``anthropic`` package reads them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
from anthropic.lib.streaming import MessageStream
from recorded import Exchange, Reading, load

from llmsdk_providers.anthropic import Anthropic, Settings

BASE = "http://127.0.0.1:1"
PROVIDER = Anthropic("recorded", Settings(base_url=BASE))


def exchanges(shared: Path) -> Iterator[Exchange]:
    """All that were recorded with ``/v1/messages``, and the fixtures, which are bodies without a request."""
    for exchange in load(shared, "anthropic", "/messages"):
        yield exchange
    yield from load(shared, "local_openai_compatible", "/anthropic/v1/messages")
    for exchange in load(shared, "anthropic", "(fixture)"):
        if "/skills/" not in exchange.name:
            yield exchange


class Witness:
    """The ``anthropic`` package, with a reply put under it in place of a network."""

    def __init__(self) -> None:
        self._exchange: Exchange | None = None
        self._http = httpx2.Client(transport=httpx2.MockTransport(self._reply))
        self._client = anthropic.Anthropic(base_url=BASE, api_key="k", max_retries=0, http_client=self._http)

    def close(self) -> None:
        self._client.close()

    def _reply(self, request: httpx2.Request) -> httpx2.Response:
        assert self._exchange is not None
        return httpx2.Response(self._exchange.status, headers=self._exchange.plain_headers, content=self._exchange.body)

    def read(self, exchange: Exchange) -> Reading:
        self._exchange = exchange
        ask: Any = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return _official(self._message(ask, exchange.streamed))
        except anthropic.APIError as error:
            return Reading(error=type(error).__name__, status=getattr(error, "status_code", None))

    def _message(self, ask: Any, streamed: bool) -> Any:
        if not streamed:
            return self._client.messages.create(**ask)
        stream: Any = MessageStream(self._client.messages.create(**ask, stream=True), output_format=anthropic.NOT_GIVEN)
        stream.until_done()
        return stream.current_message_snapshot


def _official(message: Any) -> Reading:
    content = message.content
    return Reading(
        text="".join(block.text for block in content if block.type == "text"),
        reasoning="".join(block.thinking for block in content if block.type == "thinking"),
        calls=tuple((block.id, block.name, block.input) for block in content if block.type == "tool_use"),
        finish=message.stop_reason,
        usage=_figures(message.usage),
    )


def _figures(usage: Any) -> tuple[int | None, ...]:
    """The five figures in our meaning: the package shows the cache apart from the input."""
    read, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    details = usage.output_tokens_details
    return (
        usage.input_tokens + (read or 0) + (written or 0), usage.output_tokens, read, written,
        details.thinking_tokens if details else None,
    )  # fmt: skip
