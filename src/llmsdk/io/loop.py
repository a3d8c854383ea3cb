"""The face for asyncio and trio."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from llmsdk.io import Clock, HTTPReply, HTTPRequest, Racing, wakeups
from llmsdk.io.pools import Pools

T = TypeVar("T")


class LoopIO:
    """Waits on the running loop, whichever it is at the time."""

    __slots__ = ("clock", "pools")

    def __init__(self, pools: Pools | None = None, clock: Clock | None = None) -> None:
        self.pools: Pools = Pools() if pools is None else pools
        self.clock: Clock | None = clock

    now: staticmethod[[], float] = staticmethod(time.monotonic)

    def within(self, clock: Clock) -> LoopIO:
        return LoopIO(self.pools, clock)

    async def send(self, request: HTTPRequest) -> HTTPReply:
        return await self.pools.send(request, self.clock or Clock(time.monotonic), loop=True)

    async def sleep(self, seconds: float, unless: Future[Any] | None = None) -> None:
        import anyio

        if unless is None:
            await anyio.sleep(max(seconds, 0.0))
            return
        done = anyio.Event()
        unless.add_done_callback(_waking(done))
        with anyio.move_on_after(max(seconds, 0.0)):
            await done.wait()

    async def wait(self, future: Future[T]) -> T:
        if future.done():
            return future.result()
        import anyio

        arrived = anyio.Event()
        future.add_done_callback(_waking(arrived))
        try:
            left = None if self.clock is None else self.clock.left("receive")
            if left is None:
                await arrived.wait()
            else:
                with anyio.CancelScope(deadline=anyio.current_time() + left):
                    await arrived.wait()
            if not future.done():
                assert self.clock is not None
                raise self.clock.expired("receive")
        except BaseException:
            future.cancel()
            raise
        return future.result()

    async def gather(self, jobs: Sequence[Callable[[], Coroutine[Any, Any, T]]], limit: int) -> list[T]:
        if min(limit, len(jobs)) <= 1:
            return [await job() for job in jobs]
        import anyio

        results: dict[int, T] = {}
        errors: list[Exception] = []
        room = anyio.Semaphore(limit)
        async with anyio.create_task_group() as group:

            async def work(index: int, job: Callable[[], Coroutine[Any, Any, T]]) -> None:
                try:
                    results[index] = await job()
                except Exception as error:  # noqa: BLE001 - the first one is raised below, without a group around it
                    errors.append(error)
                    group.cancel_scope.cancel()
                finally:
                    room.release()

            for index, job in enumerate(jobs):
                await room.acquire()
                group.start_soon(work, index, job)
        if errors:
            raise errors[0]
        return [results[index] for index in range(len(jobs))]

    async def run(self, work: Callable[[], T]) -> T:
        import anyio

        return await anyio.to_thread.run_sync(work)

    def racing(self, make: Callable[[Racing], AsyncIterator[T]]) -> AsyncIterator[T]:
        return make(self)

    async def race(self, jobs: Sequence[Callable[[], Coroutine[Any, Any, bool]]]) -> None:
        import anyio

        errors: list[Exception] = []
        async with anyio.create_task_group() as group:

            async def work(job: Callable[[], Coroutine[Any, Any, bool]]) -> None:
                over = True
                try:
                    over = await job()
                except Exception as error:  # noqa: BLE001 - the first one is raised below, without a group around it
                    errors.append(error)
                if over:
                    group.cancel_scope.cancel()

            for job in jobs:
                group.start_soon(work, job)
        if errors:
            raise errors[0]


def is_asyncio() -> bool:
    """Whether the running loop is asyncio's."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _waking(event: Any) -> Callable[[Future[Any]], None]:
    """A callback for worker threads that sets an event of the running loop."""
    import asyncio

    try:
        soon: Callable[[Callable[[], Any]], Any] = asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        import trio

        soon = trio.lowlevel.current_trio_token().run_sync_soon

    return lambda _: wakeups.call(soon, event.set)


__all__ = ["LoopIO", "is_asyncio"]
