"""The connections of a client: shared by its threads, one set a loop, none inherited by a forked child."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, MutableMapping
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from llmsdk.errors import ClientClosed
from llmsdk.io import Clock, HTTPReply, HTTPRequest, TransportOptions
from llmsdk.io.exchange import Link, send
from llmsdk.io.portal import Portal, PortalThread
from llmsdk.io.route import Address, address, proxy_for

Key = tuple[TransportOptions, str, str, int]

_inherited: list[Any] = []
"""What a forked child got from its parent. Never used and never collected: that would talk to the parent's loop."""


class Pools:
    """All connections of a client, by their options and origin. Opens none before the first request."""

    def __init__(self) -> None:
        self.closed: bool = False
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._sync: dict[Key, Link] = {}
        self._loops: MutableMapping[Any, _Loop] = WeakKeyDictionary()
        self._thread = PortalThread()

    def _check(self) -> None:
        if self.closed:
            raise ClientClosed("the client is closed")
        if self._process != os.getpid():
            _inherited.append((self._sync, self._loops, self._thread))
            self._start()

    @property
    def portal(self) -> Portal:
        """A loop for providers that need one; its thread starts at the first use."""
        self._check()
        return Portal(self, self._thread)

    async def send(self, request: HTTPRequest, clock: Clock, *, loop: bool) -> HTTPReply:
        """Send a request over a blocking connection, or over one of the running loop.

        Raises:
            ClientClosed, ConfigError, InputError, ConnectFailed, Disconnected, TimedOut, DeadlineExceeded,
            InvalidBody, Redirected
        """
        self._check()
        to = address(request.url)
        if request.options.client is not None:
            from llmsdk.io import borrowed

            return await borrowed.send(request, clock, to, loop=loop)
        key = (request.options, to.scheme, to.host, to.port)
        link = await self._loop_link(key, to) if loop else self._sync_link(key, to)
        return await send(request, clock, link, to, self._is_closed)

    def _is_closed(self) -> bool:
        return self.closed

    def _sync_link(self, key: Key, to: Address) -> Link:
        link = self._sync.get(key)
        return link or self._sync.setdefault(key, _connect(key[0], to, loop=False))

    async def _loop_link(self, key: Key, to: Address) -> Link:
        here = current_loop()
        loop = self._loops.get(here)
        if loop is None:
            loop = self._loops[here] = _Loop()
            await loop.begin()
        link = loop.links.get(key)
        if link is None:
            link = loop.links.setdefault(key, await _connect_on_loop(key[0], to))
        return link

    def close(self) -> None:
        """Close the blocking connections and the portal. Requests under way fail with ``ClientClosed``."""
        from llmsdk.io.drive import drive

        self.closed = True
        links, self._sync = list(self._sync.values()), {}
        if self._process == os.getpid():
            for link in links:
                drive(link.aclose())
            self._thread.close()

    async def aclose(self) -> None:
        """Close the connections of the running loop, and the blocking ones. Other loops close theirs when they end."""
        import anyio

        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.close)
        loop = self._loops.pop(current_loop(), None)
        if loop is not None and self._process == os.getpid():
            await loop.end()

    def __del__(self) -> None:
        # Dropped, not closed. Connections must not warn for that; those of a loop close as soon as it turns.
        if self.closed or sys.is_finalizing() or self._process != os.getpid():
            return
        for loop, kept in list(self._loops.items()):
            if kept.links:
                later(loop, kept.end)
        self.close()


class _Loop:
    """The connections of one loop.

    They are held by an async generator: a loop that ends, or that outlives the client, closes what it has adopted.
    """

    def __init__(self) -> None:
        self.links: dict[Key, Link] = {}
        self._keeper = _keep(self.links)

    async def begin(self) -> None:
        await anext(self._keeper)

    async def end(self) -> None:
        await self._keeper.aclose()


async def _keep(links: dict[Key, Link]) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        while links:
            await links.popitem()[1].aclose()


def current_loop() -> Any:
    """What identifies the running loop, on asyncio and trio."""
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        import trio

        return trio.lowlevel.current_trio_token()


def later(loop: Any, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run ``work``, which does not fail, as a task of a loop, from anywhere; not at all if the loop has ended."""
    import asyncio

    with contextlib.suppress(RuntimeError):  # both for a loop that is closed; trio.RunFinishedError is one
        if isinstance(loop, asyncio.AbstractEventLoop):
            loop.call_soon_threadsafe(lambda: asyncio.ensure_future(work(), loop=loop))
            return
        import trio

        loop.run_sync_soon(trio.lowlevel.spawn_system_task, work)


def _connect(options: TransportOptions, to: Address, *, loop: bool) -> Link:
    """A way to an address: our own where it is direct, the HTTP library's through a proxy and for HTTP/2."""
    if options.http2 or proxy_for(options, to) is not None:
        from llmsdk.io import http

        return http.connect_loop(options, to) if loop else http.connect_sync(options, to)
    from llmsdk.io.dial import origin

    return origin(options, to, loop=loop)


async def _connect_on_loop(options: TransportOptions, to: Address) -> Link:
    if to.scheme == "http":
        return _connect(options, to, loop=True)
    import anyio

    # Reading the system's certificates blocks for tens of milliseconds.
    return await anyio.to_thread.run_sync(partial(_connect, options, to, loop=True))


__all__ = ["Pools", "current_loop", "later"]
