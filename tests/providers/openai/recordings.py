"""Recorded exchanges with real hosts, as the official ``openai`` package reads them and as this provider does."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import openai

from llmsdk.io.drive import drive
from llmsdk.reply import Reply
from llmsdk.types import Event, Message, Request, Usage
from llmsdk_providers.openai import OpenAI, Settings

BASE = "http://127.0.0.1:1/v1"


@dataclass(frozen=True)
class Exchange:
    """One recorded request and its reply."""

    provider: str
    name: str
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    streamed: bool
    request: Mapping[str, Any]

    @property
    def plain_headers(self) -> dict[str, str]:
        gone = ("content-encoding", "content-length", "transfer-encoding")
        return {name.lower(): value for name, value in self.headers if name.lower() not in gone}


def load(shared: Path, provider: str, endpoint: str = "/chat/completions") -> Iterator[Exchange]:
    """The exchanges of one provider with one endpoint."""
    reader = _reader(shared)
    files: dict[str, list[Any]] = {}
    for line in (shared / "wire/INDEX.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        if row["provider"] == provider and row["endpoint"].split("?")[0].endswith(endpoint):
            found = files.setdefault(row["file"], []) or reader.load(str(shared / "wire" / row["file"]))
            files[row["file"]] = found
            item = found[row["i"]]
            request = item.req_json()
            yield Exchange(
                provider, f"{row['file']}#{row['i']}", item.status, item.headers, item.body, item.streamed,
                request if isinstance(request, dict) else {},
            )  # fmt: skip


def _reader(shared: Path) -> Any:
    """The shared reader of the many formats in which traffic is recorded."""
    name = "llmsdk_replay_server"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, shared / "tools/replay_server.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        vars(module)["open"] = _closed  # it leaves its files open, which is a failure here
    return sys.modules[name]


def _closed(path: str, mode: str = "rb") -> io.BytesIO:
    assert mode == "rb"
    return io.BytesIO(Path(path).read_bytes())


@dataclass
class Reading:
    """What somebody makes of an exchange."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[tuple[str, str, Any], ...] = ()
    """Id, name and parsed arguments of each tool call."""
    finish: str | None = None
    usage: tuple[int | None, ...] | None = None
    """Input, output, cached input, cache writes, reasoning."""
    total: int | None = None
    error: str | None = None
    status: int | None = None


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
    reading.calls = tuple((call["id"], call["name"], _parsed(call["arguments"])) for call in calls.values())
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
    cached = (inner.get("cached_tokens"), usage.get("prompt_cache_hit_tokens"), usage.get("num_cached_tokens"))
    five = (
        usage["prompt_tokens"], usage["completion_tokens"],
        next((value for value in cached if value), cached[0]),
        inner.get("cache_write_tokens"), outer.get("reasoning_tokens"),
    )  # fmt: skip
    return five, usage["total_tokens"]


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


# --- this provider ------------------------------------------------------------------------------------------------


class _Sent:
    """A reply whose body comes in pieces of ``size`` bytes."""

    def __init__(self, exchange: Exchange, size: int) -> None:
        self.status = exchange.status
        self.headers = exchange.plain_headers
        self._body, self._size = exchange.body, size or len(exchange.body) or 1

    async def chunks(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._body), self._size):
            yield self._body[at : at + self._size]

    async def read(self, limit: int = 0) -> bytes:
        return self._body

    async def aclose(self) -> None:
        pass


class _Wire:
    clock = None

    def __init__(self, exchange: Exchange, size: int) -> None:
        self._reply = _Sent(exchange, size)

    async def send(self, request: Any) -> Any:
        return self._reply


def _wire(exchange: Exchange, size: int) -> Any:
    return _Wire(exchange, size)


PROVIDER = OpenAI("recorded", Settings(base_url=BASE))


def fold(exchange: Exchange, size: int = 0) -> Reply:
    """The exchange folded by this provider, its body in pieces of ``size`` bytes (0: in one)."""
    request = Request("m", (Message("user", "x"),), stream=exchange.streamed)
    return _fold(PROVIDER.generate(request, _wire(exchange, size)))


def embed(exchange: Exchange, count: int) -> Reply:
    """The vectors of an exchange, as the output of this provider."""
    return _fold(PROVIDER.embed("m", ["x"] * count, _wire(exchange, 0)))


def _fold(events: AsyncIterator[Event]) -> Reply:
    async def folded() -> Reply:
        reply = Reply()
        async for event in events:
            reply.add(event)
        return reply

    return drive(folded())


def ours(reply: Reply) -> Reading:
    choice = reply.choices[0] if reply.choices else None
    usage = reply.usage
    return Reading(
        text=reply.text,
        reasoning=reply.reasoning,
        calls=tuple((c.id, c.name, _parsed(c.arguments_json)) for c in (choice.message.tool_calls if choice else ())),
        finish=reply.finish.raw_reason if reply.finish else None,
        usage=None if usage is None else _tuple(usage),
    )


def _tuple(usage: Usage) -> tuple[int | None, ...]:
    return (
        usage.input_tokens, usage.output_tokens, usage.cached_input_tokens, usage.cache_write_tokens,
        usage.reasoning_tokens,
    )  # fmt: skip
