"""Recorded exchanges of the chat-completions dialect, as the official ``openai`` package reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2
import openai
from recorded import Exchange, Reading, folded, parsed, wire

from llmsdk.reply import Reply
from llmsdk_providers.huggingface import HuggingFace
from llmsdk_providers.huggingface import Settings as HuggingFaceSettings
from llmsdk_providers.openai import OpenAI, Settings, hosts

BASE = "http://127.0.0.1:1/v1"
PROVIDER = OpenAI("recorded", Settings(base_url=BASE))


def provider(name: str) -> OpenAI:
    """The host's own row, where it has one."""
    if name == "huggingface":
        return HuggingFace("recorded", HuggingFaceSettings(base_url=BASE))
    kind: type[OpenAI] = getattr(hosts, name) if name in hosts.HOSTS else OpenAI
    return kind("recorded", Settings(base_url=BASE))


def embed(exchange: Exchange, count: int) -> Reply:
    """The vectors of an exchange, as the output of this provider."""
    return folded(PROVIDER.embed("m", ["x"] * count, wire(exchange)))


# --- the official package -----------------------------------------------------------------------------------------


class Witness:
    """The ``openai`` package, with a reply put under it in place of a network."""

    def __init__(self) -> None:
        self._exchange: Exchange | None = None
        transport = httpx2.MockTransport(self._reply)
        self._http = httpx2.Client(transport=transport)
        self._client = openai.OpenAI(base_url=BASE, api_key="k", max_retries=0, http_client=self._http)

    def close(self) -> None:
        self._client.close()

    def embed(self, exchange: Exchange) -> list[list[float]]:
        self._exchange = exchange
        return [row.embedding for row in self._client.embeddings.create(model="m", input=["x"]).data]

    def complete(self, exchange: Exchange) -> tuple[str, str | None, Any]:
        self._exchange = exchange
        reply = self._client.completions.create(model="m", prompt="x")
        usage = reply.usage and (reply.usage.prompt_tokens, reply.usage.completion_tokens)
        return reply.choices[0].text, reply.choices[0].finish_reason, usage

    def _reply(self, request: httpx2.Request) -> httpx2.Response:
        assert self._exchange is not None
        return httpx2.Response(self._exchange.status, headers=self._exchange.plain_headers, content=self._exchange.body)

    def read(self, exchange: Exchange) -> Reading:
        self._exchange = exchange
        ask: Any = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
        try:
            if exchange.streamed:
                return _official(self._client.chat.completions.create(**ask, stream=True), "delta")
            return _official([self._client.chat.completions.create(**ask)], "message")
        except openai.APIError as error:
            return Reading(error=type(error).__name__, status=getattr(error, "status_code", None))


def _official(chunks: Any, field: str) -> Reading:
    reading = Reading()
    calls: dict[Any, dict[str, str]] = {}
    for chunk in chunks:
        usage = getattr(chunk, "usage", None) or ((chunk.model_extra or {}).get("x_groq") or {}).get("usage")
        if usage:
            reading.usage, reading.total = _figures(usage if isinstance(usage, dict) else usage.model_dump())
        for choice in chunk.choices or ():
            if (choice.index or 0) == 0:
                _take(reading, getattr(choice, field), calls)
                reading.finish = choice.finish_reason or reading.finish
    reading.calls = tuple((call["id"], call["name"], parsed(call["arguments"])) for call in calls.values())
    return reading


def _take(reading: Reading, part: Any, calls: dict[Any, dict[str, str]]) -> None:
    extra = part.model_extra or {}
    content = part.content or ""
    if isinstance(content, list):  # Mistral
        for item in content:
            reading.text += item.get("text") or ""
            reading.reasoning += "".join(inner.get("text", "") for inner in item.get("thinking") or ())
    else:
        reading.text += content
    reading.text += getattr(part, "refusal", None) or ""
    thought = extra.get("reasoning_content") or extra.get("reasoning")
    reading.reasoning += thought if isinstance(thought, str) else ""
    whole = not hasattr(part, "tool_calls") or type(part).__name__ == "ChatCompletionMessage"
    for call in part.tool_calls or ():
        index = len(calls) if whole else getattr(call, "index", None)
        # the package keeps what came; hosts that give no index send each call whole
        slot = calls.setdefault(len(calls) if index is None else index, {"id": "", "name": "", "arguments": ""})
        slot["id"] = slot["id"] or call.id or ""
        inner = getattr(call, "function", None) or getattr(call, "custom", None)
        if inner:
            slot["name"] = slot["name"] or inner.name or ""
            slot["arguments"] += getattr(inner, "arguments", None) or getattr(inner, "input", None) or ""


def _figures(usage: Mapping[str, Any]) -> tuple[tuple[int | None, ...], int]:
    """The five figures, from wherever the package keeps them, and the total."""
    inner, outer = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    others = (usage.get(name) for name in ("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens"))
    cached = (inner.get("cached_tokens"), *others)
    five = (
        usage["prompt_tokens"], usage["completion_tokens"],
        next((value for value in cached if value), cached[0]),
        inner.get("cache_write_tokens"), outer.get("reasoning_tokens"),
    )  # fmt: skip
    return five, usage["total_tokens"]
