"""A loop for providers that need one, under a face that has none: the sync client, and the async client on trio.

The provider's stream runs as a task on a thread with an asyncio loop, which pumps the items into a bounded feed; the
caller takes all that is there at once, so that a fast stream costs a fraction of a hop an item.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from llmsdk.errors import ClientClosed, DeadlineExceeded
from llmsdk.io import IO, Clock, Racing, closing

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

    from llmsdk.io.pools import Pools

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")

ROOM = 256
"""Items that may wait in a feed before its source is held up."""
PATIENCE = 5.0
"""Seconds that whoever leaves waits at most for the source to end."""


class PortalThread:
    """A daemon thread with a loop, started at the first use; a forked child starts its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: tuple[BlockingPortal, AbstractContextManager[BlockingPortal]] | None = None
        self._thread: int | None = None
        self._closed = False

    @property
    def is_current(self) -> bool:
        """Whether this very thread is asked."""
        return self._thread == threading.get_ident()

    def start(self, work: Callable[..., Awaitable[T]], *args: Any) -> Future[T]:
        """Run ``work`` as a task of the loop. Cancelling the future cancels the task.

        Raises:
            ClientClosed: the thread has been ended.
        """
        with self._lock:
            if self._closed:
                raise ClientClosed("the client is closed")
            if self._running is None:
                from anyio.from_thread import start_blocking_portal

                manager = start_blocking_portal("asyncio", name="llmsdk-portal")
                self._running = (manager.__enter__(), manager)
                self._thread = self._running[0].call(threading.get_ident)
            return self._running[0].start_task_soon(work, *args)

    def close(self) -> None:
        """Cancel what runs and end the thread."""
        with self._lock:
            self._closed = True
            running, self._running = self._running, None
        if running is not None:
            running[0].start_task_soon(running[0].stop, True)
            running[1].__exit__(None, None, None)


class Portal:
    """A way to run things on the loop of a ``PortalThread``."""

    __slots__ = ("_pools", "_thread")

    def __init__(self, pools: Pools, thread: PortalThread) -> None:
        self._pools = pools
        self._thread = thread

    def bridge(self, invoke: Callable[[R, IO], AsyncIterator[T]]) -> Callable[[R, IO], AsyncIterator[T]]:
        """``invoke`` as a function of the same kind whose stream runs on the portal's loop."""

        def bridged(request: R, io: IO) -> AsyncIterator[T]:
            if self._thread.is_current:
                return invoke(request, io)
            return self.iterate(lambda inner: invoke(request, inner), io)

        return bridged

    async def iterate(
        self, make: Callable[[Racing], AsyncIterator[T]], io: IO, *, ended: bool = False
    ) -> AsyncGenerator[T]:
        """The items of ``make(io of the portal)``. Each wait is ``io.wait``, so ``io``'s clock bounds it.

        Closing it early cancels the source, and with ``ended`` waits until that has come to its end. An error of the
        source is raised here.
        """
        feed: Feed[T] = Feed()
        inner = self._inner(io.clock)
        task = self._thread.start(_pump, make, inner, self._inner(None), feed)
        try:
            while True:
                items, more = feed.take()
                for item in items:
                    yield item
                if more is None:
                    break
                await io.wait(more)
        finally:
            task.cancel()
            if ended and not self._thread.is_current:  # as where the collector of garbage closes it
                with contextlib.suppress(DeadlineExceeded):
                    await io.within(Clock(io.now, deadline=io.now() + PATIENCE)).wait(feed.over)
        feed.check()

    async def call(self, work: Callable[[IO], Awaitable[T]], io: IO) -> T:
        """The result of ``work(io of the portal)``, awaited on its loop; such as a provider's ``aclose``."""
        return await io.wait(self._thread.start(work, self._inner(io.clock)))

    def _inner(self, clock: Clock | None) -> Racing:
        from llmsdk.io.loop import LoopIO

        return LoopIO(self._pools, clock)


class Feed(Generic[T]):
    """Items on their way from the portal's thread to the caller's."""

    def __init__(self) -> None:
        self.over: Future[None] = Future()
        """Done when there will be no more items, taken or not."""
        self._lock = threading.Lock()
        self._items: list[T] = []
        self._ended = False
        self._error: BaseException | None = None
        self._more: Future[None] | None = None
        self._room: Future[None] | None = None

    def put(self, item: T) -> Future[None] | None:
        """Add an item. Returns what to wait for before the next one, if there is no room."""
        with self._lock:
            self._items.append(item)
            more, self._more = self._more, None
            room = self._room = Future() if len(self._items) >= ROOM else None
        _fulfil(more)
        return room

    def end(self, error: BaseException | None = None) -> None:
        """No more items."""
        with self._lock:
            self._ended, self._error = True, error
            more, self._more = self._more, None
        _fulfil(more)
        _fulfil(self.over)

    def take(self) -> tuple[list[T], Future[None] | None]:
        """All items there are, and what to wait for to get more: ``None`` at the end."""
        with self._lock:
            items, self._items = self._items, []
            room, self._room = self._room, None
            more: Future[None] | None = None
            if not self._ended:
                more = self._more = Future()
        _fulfil(room)
        return items, more

    def check(self) -> None:
        """Raise the error that ended it, if one did."""
        if self._error is not None:
            raise self._error


def _fulfil(future: Future[None] | None) -> None:
    if future is not None and not future.done():
        with contextlib.suppress(InvalidStateError):  # the waiter gave up at this very moment
            future.set_result(None)


async def _pump(make: Callable[[Racing], AsyncIterator[T]], io: Racing, patient: IO, feed: Feed[T]) -> None:
    try:
        source = make(io)
        async with closing(source):
            async for item in source:
                room = feed.put(item)
                if room is not None:
                    await patient.wait(room)  # the caller may take its time: no limit of the attempt holds here
    except Exception as error:  # noqa: BLE001 - carried over to the caller's thread
        feed.end(error)
    except BaseException:
        feed.end(ClientClosed("the client was closed while a reply was under way"))
        raise
    else:
        feed.end()


__all__ = ["Feed", "Portal", "PortalThread"]
