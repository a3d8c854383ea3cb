"""The blocking face: its coroutines never suspend."""

from __future__ import annotations

import concurrent.futures
import contextvars
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from llmsdk.io import Clock, HTTPReply, HTTPRequest, Racing
from llmsdk.io.drive import drive
from llmsdk.io.pools import Pools

T = TypeVar("T")


class SyncIO:
    """Waits by blocking the calling thread. Works inside a running loop, in threads and after a fork."""

    __slots__ = ("clock", "pools")

    def __init__(self, pools: Pools | None = None, clock: Clock | None = None) -> None:
        self.pools: Pools = Pools() if pools is None else pools
        self.clock: Clock | None = clock

    now: staticmethod[[], float] = staticmethod(time.monotonic)

    def within(self, clock: Clock) -> SyncIO:
        return SyncIO(self.pools, clock)

    async def send(self, request: HTTPRequest) -> HTTPReply:
        return await self.pools.send(request, self.clock or Clock(time.monotonic), loop=False)

    async def sleep(self, seconds: float, unless: Future[Any] | None = None) -> None:
        if unless is not None:
            concurrent.futures.wait((unless,), None if seconds == math.inf else max(seconds, 0.0))
        elif seconds > 0:
            time.sleep(seconds)  # noqa: ASYNC251 - blocking is what this face is for

    async def wait(self, future: Future[T]) -> T:
        try:
            return future.result(None if self.clock is None or future.done() else self.clock.left("receive"))
        except TimeoutError:
            if future.done() or self.clock is None:
                raise
            future.cancel()
            raise self.clock.expired("receive") from None
        except BaseException:
            future.cancel()
            raise

    async def gather(self, jobs: Sequence[Callable[[], Coroutine[Any, Any, T]]], limit: int) -> list[T]:
        if min(limit, len(jobs)) <= 1:
            return [await job() for job in jobs]
        return _Threads(jobs).run(limit)

    async def run(self, work: Callable[[], T]) -> T:
        return work()

    def racing(self, make: Callable[[Racing], AsyncIterator[T]]) -> AsyncIterator[T]:
        """On the portal's loop: a thread that blocks in a socket is not to be had back, a task is."""
        return self.pools.portal.iterate(make, self, ended=True)


class _Threads:
    """Jobs on threads of their own. The first error keeps those that have not begun from beginning."""

    def __init__(self, jobs: Sequence[Callable[[], Coroutine[Any, Any, Any]]]) -> None:
        self._jobs = iter(enumerate(jobs))
        self._results: list[Any] = [None] * len(jobs)
        self._lock = threading.Lock()
        self._errors: list[BaseException] = []

    def run(self, limit: int) -> list[Any]:
        threads = [
            threading.Thread(target=self._work, args=(contextvars.copy_context(),), name="llmsdk-job", daemon=True)
            for _ in range(min(limit, len(self._results)))
        ]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        except BaseException as error:  # such as Ctrl-C: it does not wait for the jobs that are running
            self._errors.append(error)
            raise
        if self._errors:
            raise self._errors[0]
        return self._results

    def _work(self, context: contextvars.Context) -> None:
        while not self._errors:
            with self._lock:
                index, job = next(self._jobs, (-1, None))
            if job is None:
                return
            try:
                self._results[index] = context.copy().run(drive, job())
            except BaseException as error:  # noqa: BLE001 - carried over to the thread that waits
                self._errors.append(error)


__all__ = ["SyncIO"]
