"""Recorded exchanges as the official ``ollama`` package reads them."""

from __future__ import annotations

from typing import Any

import httpx
import ollama
from recorded import Exchange, Reading


class Witness:
    """The ``ollama`` package, with a reply put under it in place of a network."""

    def __init__(self) -> None:
        self._exchange: Exchange | None = None
        self._client = ollama.Client(host="http://127.0.0.1:1", transport=httpx.MockTransport(self._reply))

    def close(self) -> None:
        self._client._client.close()

    def _reply(self, request: httpx.Request) -> httpx.Response:
        assert self._exchange is not None
        return httpx.Response(self._exchange.status, headers=self._exchange.plain_headers, content=self._exchange.body)

    def embed(self, exchange: Exchange) -> Any:
        self._exchange = exchange
        return self._client.embed(model="m", input=["x"])

    def read(self, exchange: Exchange, *, chat: bool) -> Reading:
        self._exchange = exchange
        ask: Any = {"messages": [{"role": "user", "content": "x"}]} if chat else {"prompt": "x"}
        verb = self._client.chat if chat else self._client.generate
        try:
            pieces = verb(model="m", stream=exchange.streamed, **ask)
            return _read(pieces if exchange.streamed else [pieces])
        except ollama.ResponseError as error:
            return Reading(error=type(error).__name__, status=error.status_code)


def _read(pieces: Any) -> Reading:
    reading = Reading()
    for piece in pieces:
        message = getattr(piece, "message", piece)
        reading.text += (message.content if message is not piece else piece.response) or ""
        reading.reasoning += message.thinking or ""
        for call in getattr(message, "tool_calls", None) or ():
            reading.calls += (("", call.function.name, dict(call.function.arguments)),)
        if piece.done:
            reading.finish = piece.done_reason
            if piece.eval_count is not None or piece.prompt_eval_count is not None:
                reading.usage = (piece.prompt_eval_count, piece.eval_count, None, None, None)
    return reading
