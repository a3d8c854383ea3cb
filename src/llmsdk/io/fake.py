"""A face without a wire and with a clock of its own: time passes only when somebody sleeps or ``advance`` is called."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from llmsdk.errors import ResponseTooLarge
from llmsdk.io import Clock, HTTPReply, HTTPRequest, Racing

T = TypeVar("T")

Part = bytes | float | BaseException
"""Of a scripted body: bytes, seconds that pass before the next part, or an error raised there."""
Scripted = tuple[int, Mapping[str, str], bytes | Iterable[Part]]
Handler = Callable[[HTTPRequest], Scripted]


class FakeIO:
    """Answers each request with what ``handler`` says, never suspends, and keeps the requests.

    The handler may call ``advance`` to be slow, or raise. Limits of the attempt's clock hold in virtual time.
    """

    def __init__(self, handler: Handler | None = None, *, clock: Clock | None = None) -> None:
        self.clock = clock
        self.handler = handler
        self._world = World()

    @property
    def requests(self) -> list[HTTPRequest]:
        """All requests so far, of every attempt."""
        return self._world.requests

    @property
    def slept(self) -> list[float]:
        """How long each ``sleep`` was."""
        return self._world.slept

    def now(self) -> float:
        return self._world.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._world.now += seconds

    def within(self, clock: Clock) -> FakeIO:
        bound = FakeIO(self.handler, clock=clock)
        bound._world = self._world
        return bound

    async def send(self, request: HTTPRequest) -> HTTPReply:
        if self.handler is None:
            raise AssertionError("this FakeIO has no handler to answer a request")
        clock = self.clock or Clock(self.now)
        clock.left("connect")
        self.requests.append(request)
        clock.sent = True
        clock.reused = len(self.requests) > 1
        status, headers, body = self.handler(request)
        clock.left("receive")
        clock.received += 1
        if clock.heard is not None:
            clock.heard({name.lower(): value for name, value in headers.items()})
        return FakeReply(status, headers, [body] if isinstance(body, bytes) else body, clock, self.advance)

    async def sleep(self, seconds: float, unless: Future[Any] | None = None) -> None:
        """Nobody else runs meanwhile: what is to be done by then is done already, or is not."""
        if unless is not None and unless.done():
            return
        if seconds == math.inf:
            raise AssertionError("this FakeIO would sleep for ever")
        self.slept.append(seconds)
        self.advance(max(seconds, 0.0))

    async def wait(self, future: Future[T]) -> T:
        """The result of a future that a real worker thread fulfils; real time is not bounded here."""
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def gather(self, jobs: Sequence[Callable[[], Coroutine[Any, Any, T]]], limit: int) -> list[T]:
        return [await job() for job in jobs]

    async def run(self, work: Callable[[], T]) -> T:
        return work()

    def racing(self, make: Callable[[Racing], AsyncIterator[T]]) -> AsyncIterator[T]:
        return make(self)

    async def race(self, jobs: Sequence[Callable[[], Coroutine[Any, Any, bool]]]) -> None:
        """One after the other, since nothing here runs meanwhile."""
        for job in jobs:
            if await job():
                return


class World:
    """What all bindings of a ``FakeIO`` share."""

    def __init__(self) -> None:
        self.now: float = 0.0
        self.requests: list[HTTPRequest] = []
        self.slept: list[float] = []


class FakeReply:
    """A scripted reply. ``closed`` says whether somebody closed it, as whoever gets a reply must."""

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        parts: Iterable[Part],
        clock: Clock,
        advance: Callable[[float], None],
    ) -> None:
        self.status = status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in headers.items()}
        self.closed: bool = False
        self._parts = parts
        self._clock = clock
        self._advance = advance

    async def chunks(self) -> AsyncGenerator[bytes]:
        for part in self._parts:
            limit = self._clock.left("receive")
            match part:
                case bytes():
                    self._clock.received += len(part)
                    yield part
                case BaseException():
                    raise part
                case seconds if limit is not None and seconds >= limit:
                    self._advance(limit)
                    raise self._clock.expired("receive")
                case seconds:
                    self._advance(seconds)

    async def read(self, limit: int = 64 * 2**20) -> bytes:
        body = b"".join([chunk async for chunk in self.chunks()])
        if len(body) > limit:
            raise ResponseTooLarge(f"the reply is larger than {limit} bytes")
        return body

    async def aclose(self) -> None:
        self.closed = True


__all__ = ["FakeIO", "FakeReply", "Part", "World"]
