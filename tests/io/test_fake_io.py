"""The face with a virtual clock."""

from __future__ import annotations

import time
from concurrent.futures import Future
from functools import partial
from typing import Any

import pytest
from wire import post

from llmsdk.errors import ConnectFailed, DeadlineExceeded, ResponseTooLarge, TimedOut
from llmsdk.io import Clock, HTTPRequest, Timeouts
from llmsdk.io.drive import drive
from llmsdk.io.fake import FakeIO

REQUEST = post("https://api.example/v1", b"body")


async def read(io: FakeIO, clock: Clock | None = None) -> tuple[int, bytes]:
    reply = await io.within(clock or Clock(io.now)).send(REQUEST)
    try:
        return reply.status, await reply.read()
    finally:
        await reply.aclose()


def test_the_handler_answers_and_requests_are_kept() -> None:
    def handler(request: HTTPRequest) -> Any:
        return 201, {"X-One": "1"}, request.body

    io = FakeIO(handler)

    async def scenario() -> None:
        clock = Clock(io.now)
        reply = await io.within(clock).send(REQUEST)
        assert (reply.status, reply.headers) == (201, {"x-one": "1"})
        assert await reply.read() == b"body"
        assert (clock.sent, clock.reused) == (True, False)
        assert clock.received > 0
        await reply.aclose()

    drive(scenario())
    assert io.requests == [REQUEST]


def test_time_passes_only_when_told() -> None:
    io = FakeIO()
    began = time.monotonic()
    drive(io.sleep(86_400))
    io.advance(5)
    assert io.now() == io.within(Clock(io.now)).now() == 86_405
    assert io.slept == [86_400]
    assert time.monotonic() - began < 5


def test_a_slow_handler_runs_into_the_deadline() -> None:
    def handler(request: HTTPRequest) -> Any:
        io.advance(10)
        return 200, {}, b""

    io = FakeIO(handler)
    with pytest.raises(DeadlineExceeded):
        drive(read(io, Clock(io.now, deadline=5.0)))


def test_bodies_may_be_slow_or_break() -> None:
    parts: list[Any] = [b"one", 20.0, b"two"]
    io = FakeIO(lambda request: (200, {}, parts))
    assert drive(read(io)) == (200, b"onetwo")
    assert io.now() == 20
    clock = Clock(io.now, Timeouts(idle=15.0), stream=True, content=True)
    with pytest.raises(TimedOut) as caught:
        drive(read(io, clock))
    assert caught.value.phase == "idle"
    assert io.now() == 35
    parts[1] = ConnectFailed("broken")
    with pytest.raises(ConnectFailed):
        drive(read(io))


def test_reading_has_a_limit() -> None:
    async def scenario() -> None:
        with pytest.raises(ResponseTooLarge):
            await (await FakeIO(lambda request: (200, {}, b"12345")).send(REQUEST)).read(4)

    drive(scenario())


def test_the_rest() -> None:
    io = FakeIO()
    with pytest.raises(AssertionError, match="handler"):
        drive(io.send(REQUEST))
    future: Future[int] = Future()
    future.set_result(3)
    assert drive(io.wait(future)) == 3
    assert drive(io.run(lambda: 4)) == 4

    async def job(number: int) -> int:
        return number

    assert drive(io.gather([partial(job, number) for number in range(3)], 2)) == [0, 1, 2]
