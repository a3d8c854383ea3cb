"""Recorded exchanges with real hosts, from the shared inputs, as any of our providers reads them.

The official packages are the witnesses; each dialect's tests have theirs.
"""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from llmsdk.errors import LLMError, StreamInterrupted
from llmsdk.io.drive import drive
from llmsdk.reply import Reply
from llmsdk.types import Event, Message, Request, Usage


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


# --- our reading --------------------------------------------------------------------------------------------------


Way = int | Sequence[int] | Literal["gzip"]
"""How a body comes: in pieces of so many bytes (0: in one), cut at these places, or compressed over a real socket."""


class _Sent:
    """A reply whose body comes in ``pieces``."""

    def __init__(self, exchange: Exchange, pieces: Sequence[bytes]) -> None:
        self.status = exchange.status
        self.headers = exchange.plain_headers
        self._pieces = pieces

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece

    async def read(self, limit: int = 0) -> bytes:
        return b"".join(self._pieces)

    async def aclose(self) -> None:
        pass


class _Wire:
    clock = None

    def __init__(self, exchange: Exchange, way: int | Sequence[int]) -> None:
        self._reply = _Sent(exchange, cut(exchange.body, way))

    async def send(self, request: Any) -> Any:
        return self._reply


def cut(body: bytes, way: int | Sequence[int]) -> list[bytes]:
    """``body`` in pieces of ``way`` bytes, or cut at those places."""
    step = (way or len(body) or 1) if isinstance(way, int) else 0
    places = range(step, len(body), step) if isinstance(way, int) else sorted(way)
    return [body[start:end] for start, end in pairwise((0, *places, len(body))) if start < end]


def wire(exchange: Exchange, way: Way = 0) -> Any:
    """An ``io`` that answers every request with the exchange."""
    if way == "gzip":
        from servers.replay_server import answering

        return answering(exchange)
    return _Wire(exchange, way)


def fold(provider: Any, exchange: Exchange, way: Way = 0) -> Reply:
    """The exchange folded by ``provider``."""
    return folded(generated(provider, exchange, way))


def generated(provider: Any, exchange: Exchange, way: Way = 0) -> AsyncIterator[Event]:
    """The events of ``provider`` for the exchange."""
    request = Request("m", (Message("user", "x"),), stream=exchange.streamed)
    events: AsyncIterator[Event] = provider.generate(request, wire(exchange, way))
    return events


def folded(events: AsyncIterator[Event]) -> Reply:
    """A reply of all events."""

    async def fold() -> Reply:
        reply = Reply()
        async for event in events:
            reply.add(event)
        return reply

    return drive(fold())


def read(provider: Any, exchange: Exchange, way: Way = 0) -> Reading:
    """What ``provider`` makes of an exchange, an error or an interruption included."""
    try:
        reply = fold(provider, exchange, way)
    except LLMError as error:
        return Reading(error=type(error).__name__, status=error.status)
    return ours(reply) if reply.complete(1) else Reading(error=StreamInterrupted.__name__)


def sizes(exchange: Exchange) -> tuple[Way, ...]:
    """The other ways for a body to come: compressed, and a stream in pieces. Single bytes take long, and a short stream
    has all that a long one has.
    """
    if not exchange.streamed or len(exchange.body) > 100_000:
        return ("gzip",)
    return (1, 7, "gzip") if len(exchange.body) < 6000 else (7, "gzip")


def ours(reply: Reply) -> Reading:
    choice = reply.choices[0] if reply.choices else None
    usage = reply.usage
    return Reading(
        text=reply.text,
        reasoning=reply.reasoning,
        calls=tuple((c.id, c.name, parsed(c.arguments_json)) for c in (choice.message.tool_calls if choice else ())),
        finish=reply.finish.raw_reason if reply.finish else None,
        usage=None if usage is None else _tuple(usage),
    )


def parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


def _tuple(usage: Usage) -> tuple[int | None, ...]:
    return (
        usage.input_tokens, usage.output_tokens, usage.cached_input_tokens, usage.cache_write_tokens,
        usage.reasoning_tokens,
    )  # fmt: skip
