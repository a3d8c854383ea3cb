"""What the pipeline costs: a provider in memory, under more and more of the layers, blocking, on one core."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from clients import Quiet
from pin import pin
from report import Report, table

TOKENS = 2000
CALLS = 400
NOTE = """\
Microseconds of CPU, the least of {rounds} rounds; in brackets what the layer adds. A provider in memory yields one
piece of text, usage and its last word (*a call*), or {tokens} pieces more (*a token*: what each of them costs), and is
driven as for the blocking client. There is a deadline and an account whose host may set limits; none holds. The ledger
is in memory."""


class Told:
    """A provider that has everything ready."""

    name, host = "told", None
    account = "bench"

    def __init__(self, events: list[Any]) -> None:
        self.events = events

    def capabilities(self, model: str) -> Any:
        from llmsdk.provider import Capabilities

        return Capabilities()

    async def generate(self, request: Any, io: Any) -> AsyncIterator[Any]:
        for event in self.events:
            yield event


def told(count: int) -> Told:
    from llmsdk.types import Finish, TextDelta, Usage

    return Told([*(TextDelta("word ") for _ in range(count)), Usage(10, count), Finish("stop", "stop")])


def steps() -> list[tuple[str, list[Any], Any]]:
    """Each row: its name, the layers, and what stands below them."""
    from llmsdk.io import closing
    from llmsdk.pipeline.attempt import attempt
    from llmsdk.pipeline.cache import cache
    from llmsdk.pipeline.hedge import hedge
    from llmsdk.pipeline.limits import limits
    from llmsdk.pipeline.retry import retry
    from llmsdk.pipeline.spread import spread
    from llmsdk.pipeline.trace import trace

    async def folded(call: Any) -> AsyncIterator[Any]:
        async with closing(call.invoke(call.provider, call.request, call.io)) as events:
            async for event in events:
                call.reply.add(event)
                yield event

    every = [trace, cache, retry, hedge, spread, limits]
    return [
        ("the provider, and the fold of its events", [], folded),
        ("attempt: clock, row of the ledger, circuit, whether it is whole", [], attempt),
        ("limits", [limits], attempt),
        ("retry", [retry, limits], attempt),
        ("trace, cache, hedge and spread, switched off", every, attempt),
        ("a tracing hook", every, attempt),
    ]


def once(layers: list[Any], below: Any, provider: Told, tracer: Any, ledger: Any) -> Callable[[], None]:
    from llmsdk.health import Health
    from llmsdk.io.drive import drive
    from llmsdk.io.sync import SyncIO
    from llmsdk.limits import shared
    from llmsdk.options import CallSettings
    from llmsdk.pipeline import Call, compose
    from llmsdk.pipeline.line import generate
    from llmsdk.types import Request

    io, handler, health = SyncIO(), compose(layers, below), Health()
    limiter, request, settings = shared("bench", "told"), Request("m", "Hi!"), CallSettings()

    async def run() -> None:
        call = Call("generate", request, provider, io, ledger, generate, settings, io.now() + 60, health=health,
                    limiter=limiter, tracer=tracer)  # fmt: skip
        events = handler(call)
        async for _ in events:
            pass
        await events.aclose()  # type: ignore[attr-defined]

    return lambda: drive(run())


def timed(run: Callable[[], None], count: int) -> float:
    began = time.process_time()
    for _ in range(count):
        run()
    return (time.process_time() - began) / count * 1e6


def measure(rounds: int) -> Report:
    """Every step in turn, ``rounds`` times."""
    from llmsdk.accounting.ledger import Ledger

    pin(0)
    short, long, ledger = told(1), told(TOKENS + 1), Ledger()
    named = steps()
    calls: list[list[float]] = [[] for _ in named]
    tokens: list[list[float]] = [[] for _ in named]
    for _ in range(rounds + 1):
        for number, (_name, layers, below) in enumerate(named):
            tracer = Quiet() if number == len(named) - 1 else None
            each = timed(once(layers, below, short, tracer, ledger), CALLS)
            calls[number].append(each)
            whole = timed(once(layers, below, long, tracer, ledger), 8)
            tokens[number].append((whole - each) / TOKENS)
            _ = ledger.usage
    least = [
        (name, min(call[1:]), min(token[1:])) for (name, *_), call, token in zip(named, calls, tokens, strict=True)
    ]
    below = [("", 0.0, 0.0), *least]
    rows = [
        [name, f"{call:.1f} ({call - less:+.1f})", f"{token:.2f} ({token - lesser:+.2f})"]
        for (name, call, token), (_, less, lesser) in zip(least, below, strict=False)
    ]
    return Report(table(["with", "a call", "a token"], rows, NOTE.format(rounds=rounds, tokens=TOKENS)), least)
