"""A dry run: what a call would send, how many tokens that is, and what it would cost at most. Nothing is sent."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from llmsdk.accounting.prices import dollars
from llmsdk.accounting.tokens import count
from llmsdk.fallback import first
from llmsdk.io.drive import drive
from llmsdk.pipeline import Call
from llmsdk.pipeline.line import Line
from llmsdk.provider import Counts, HTTPProvider
from llmsdk.tasks import Task
from llmsdk.types import Event, Operation, Request, TokenCount, Usage


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the first question of a call would be. A task of several steps asks more, depending on the replies."""

    provider: str
    model: str
    operation: Operation
    """``generate`` for a reply in text, ``score`` where the labels of a classification are scored."""
    route: str
    """How the task is asked: what ``route`` of the result would be, if nothing has to be asked again."""
    url: str | None
    """Where it would go; ``None`` where nothing leaves this machine, or the provider does not tell."""
    body: Mapping[str, Any] | None = field(repr=False)
    """The JSON as it would go over the wire."""
    request: Request = field(repr=False)
    """The same before the dialect."""
    tokens: TokenCount
    """Input tokens."""
    max_tokens: int | None
    """Output tokens at most; ``None`` where the call sets no limit."""
    cost: Decimal | None
    """US dollars at most, with the margin of the count; ``None`` without ``max_tokens`` or a known price."""


class _Captured(Exception):
    def __init__(self, call: Call) -> None:
        self.call = call


async def capture(call: Call) -> AsyncIterator[Event]:
    """A handler that goes no further."""
    raise _Captured(call)
    yield  # makes it a generator


@dataclass(slots=True)
class _Noted:
    """A task, and the line that it went down."""

    task: Task[Any]
    line: Line | None = None

    def route(self, line: Line) -> str:
        return self.task.route(line)

    async def run(self, line: Line) -> Any:
        self.line = line
        return await self.task.run(line)


def explain(task: Task[Any], lines: Sequence[Callable[[], Line]], stream: bool) -> Explanation:
    """The explanation of the first call of a task down lines whose handler is ``capture``."""
    noted = _Noted(task)
    try:
        drive(first(lines, noted))
    except _Captured as captured:
        call = captured.call
    else:
        raise AssertionError("a verb ended without asking anything")
    assert noted.line is not None
    return _read(call, replace(call.request, stream=stream), task.route(noted.line))


def _read(call: Call, request: Request, route: str) -> Explanation:
    url, body = _wire(call, request)
    tokens = _count(call, request)
    most = request.max_tokens
    return Explanation(
        provider=call.provider.name,
        model=request.model,
        operation=call.operation,
        route=route,
        url=url,
        body=body,
        request=request,
        tokens=tokens,
        max_tokens=most,
        cost=_cost(call, request, tokens),
    )


def _wire(call: Call, request: Request) -> tuple[str | None, Mapping[str, Any] | None]:
    if call.operation != "generate" or not isinstance(call.provider, HTTPProvider):
        return None, None
    from pydantic_core import from_json

    sent = call.provider.encode(request)
    return sent.url, from_json(sent.body)


def _count(call: Call, request: Request) -> TokenCount:
    counted = call.provider.count(request) if isinstance(call.provider, Counts) else None
    return counted or count(request)


def _cost(call: Call, request: Request, tokens: TokenCount) -> Decimal | None:
    output = 0 if call.operation != "generate" else request.max_tokens
    if output is None:
        return None
    usage = Usage(round(tokens.value * (1 + tokens.margin)), output * request.n)
    tariff = getattr(call.provider, "tariff", None) or call.provider.name
    return dollars(tariff, request.model, usage, time.time())
