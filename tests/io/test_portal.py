"""Providers that need a loop, under faces that have none."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from wire import Peer, ask, echo, post, timed

from llmsdk.errors import ClientClosed, DeadlineExceeded, InputError, TimedOut
from llmsdk.io import IO, closing
from llmsdk.io.drive import Steps, drive
from llmsdk.io.loop import LoopIO
from llmsdk.io.pools import Pools
from llmsdk.io.portal import ROOM, Portal, PortalThread
from llmsdk.io.sync import SyncIO


async def counts(number: int, log: list[Any]) -> AsyncIterator[int]:
    try:
        log.append((asyncio.get_running_loop(), threading.get_ident()))
        for value in range(number):
            if value % 100 == 0:
                await asyncio.sleep(0)
            yield value
    finally:
        log.append("ended")


@pytest.mark.parametrize("number", [0, 1, 5, 3 * ROOM + 7])
def test_items_arrive_in_order(face: Any, number: int) -> None:
    log: list[Any] = []

    async def scenario(io: Any) -> list[int]:
        async with closing(io.pools.portal.iterate(lambda inner: counts(number, log), io)) as items:
            return [item async for item in items]

    assert face(scenario) == list(range(number))
    assert log[1] == "ended"
    assert log[0][1] != threading.get_ident()


def test_a_bridge_hands_the_request_over(face: Any) -> None:
    async def invoke(request: str, io: IO) -> AsyncIterator[Any]:
        await asyncio.sleep(0)
        yield request
        yield type(io)
        yield io.clock

    async def scenario(io: Any) -> list[Any]:
        return [item async for item in io.pools.portal.bridge(invoke)("asked", io)]

    clock = timed(5)
    assert face(lambda io: scenario(io.within(clock))) == ["asked", LoopIO, clock]


def test_errors_are_carried_over(face: Any) -> None:
    async def fails(io: IO) -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(0)
        raise InputError("from over there")

    async def scenario(io: Any) -> list[int]:
        items = io.pools.portal.iterate(fails, io)
        first = [await anext(items)]
        with pytest.raises(InputError, match="over there"):
            await anext(items)
        return first

    assert face(scenario) == [1]


def test_leaving_early_cancels_the_source(face: Any) -> None:
    ended = threading.Event()

    async def endless(io: IO) -> AsyncIterator[int]:
        try:
            while True:
                await asyncio.sleep(0)
                yield 1
        finally:
            ended.set()

    async def scenario(io: Any) -> None:
        async with closing(io.pools.portal.iterate(endless, io)) as items:
            async for _ in items:
                break
        assert await io.run(lambda: ended.wait(5))

    face(scenario)


def test_a_slow_caller_holds_up_the_source(face: Any) -> None:
    made = []

    async def fast(io: IO) -> AsyncIterator[int]:
        for number in range(ROOM * 4):
            made.append(number)
            yield number

    async def scenario(io: Any) -> None:
        io = io.within(timed(20, stream=True, idle=1.0))
        io.clock.content = True
        seen = 0
        async with closing(io.pools.portal.iterate(fast, io)) as items:
            async for number in items:
                assert number == seen
                seen += 1
                if seen == 1:
                    await io.sleep(1.5)  # longer than the idle limit, which is the source's, not the caller's
                    assert len(made) <= 2 * ROOM
        assert seen == ROOM * 4

    face(scenario)


def test_the_clock_bounds_the_source(face: Any) -> None:
    ended = threading.Event()

    async def silent(io: IO) -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.sleep(30)
        finally:
            ended.set()

    async def scenario(io: Any) -> None:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            async for _ in io.pools.portal.iterate(silent, io.within(timed(0.2))):
                pass
        assert time.monotonic() - began < 3
        with pytest.raises(TimedOut):
            async for _ in io.pools.portal.iterate(silent, io.within(timed(9, stream=True, first_token=0.1))):
                pass
        assert await io.run(lambda: ended.wait(5))

    face(scenario)


def test_the_portals_io_sends_over_its_own_loop(face: Any, serve: Any) -> None:
    server = serve(echo)

    async def provider(io: IO) -> AsyncIterator[bytes]:
        yield (await ask(io, post(server.url, b"one")))[1]

    async def scenario(io: Any) -> None:
        for _ in range(2):
            assert [item async for item in io.pools.portal.iterate(provider, io)] == [b"one"]

    face(scenario)
    assert server.connections == 1


def test_break_out_of_a_sync_stream_reaches_the_server(serve: Any) -> None:
    gone = threading.Event()

    def handler(peer: Peer) -> None:
        peer.request()
        peer.reply(b"x", headers={"content-length": "1000"})
        if peer.gone():
            gone.set()

    server = serve(handler)
    io = SyncIO()

    async def provider(inner: IO) -> AsyncIterator[bytes]:
        async with closing(await inner.send(post(server.url))) as reply, closing(reply.chunks()) as chunks:
            async for chunk in chunks:
                yield chunk

    with Steps(io.pools.portal.iterate(provider, io)) as steps:
        assert next(steps) == b"x"
    assert gone.wait(5)
    io.pools.close()


def test_calls(face: Any) -> None:
    async def close(io: IO) -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    async def fails(io: IO) -> None:
        raise InputError("no")

    async def scenario(io: Any) -> str:
        with pytest.raises(InputError):
            await io.pools.portal.call(fails, io)
        return str(await io.pools.portal.call(close, io))

    assert face(scenario) == "llmsdk-portal"


def test_many_callers_share_the_thread() -> None:
    io = SyncIO()
    log: list[Any] = []

    async def job() -> int:
        async with closing(io.pools.portal.iterate(lambda inner: counts(50, log), io)) as items:
            return sum([item async for item in items])

    assert drive(io.gather([job] * 20, 8)) == [sum(range(50))] * 20
    assert len({entry[1] for entry in log if entry != "ended"}) == 1
    assert len([thread for thread in threading.enumerate() if thread.name == "llmsdk-portal"]) == 1
    io.pools.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "llmsdk-portal"]


def test_closing_ends_what_runs() -> None:
    io = SyncIO()
    began = threading.Event()
    errors: list[BaseException] = []

    async def endless(inner: IO) -> AsyncIterator[int]:
        began.set()
        await asyncio.sleep(30)
        yield 1

    def work() -> None:
        try:
            list(Steps(io.pools.portal.iterate(endless, io)))
        except ClientClosed as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert began.wait(5)
    io.pools.close()
    thread.join(5)
    assert len(errors) == 1
    with pytest.raises(ClientClosed):
        _ = io.pools.portal
    unused = PortalThread()
    unused.close()
    with pytest.raises(ClientClosed):
        list(Steps(Portal(Pools(), unused).iterate(endless, io)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_has_its_own_thread() -> None:
    io = SyncIO()

    def total() -> int:
        return sum(Steps(io.pools.portal.iterate(lambda inner: counts(10, []), io)))

    assert total() == 45
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(BaseException):
            status = 0 if total() == 45 else 2
        os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert total() == 45
    io.pools.close()
