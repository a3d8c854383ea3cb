"""Opening direct connections to an origin, for each face: blocking, asyncio's own, and anyio's for trio."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NoReturn

from llmsdk.io import TransportOptions
from llmsdk.io.limit import Limit, Unsent, looking
from llmsdk.io.loop import is_asyncio
from llmsdk.io.origin import Origin, Room, Stream
from llmsdk.io.route import Address, trust
from llmsdk.io.sockets import SyncNetwork, SyncStream

PIECE = 64 * 1024
"""Bytes that one read takes at most."""


def origin(options: TransportOptions, to: Address, *, loop: bool) -> Origin:
    """The connections to an address, blocking or those of a loop. Opens nothing yet, but may read certificates."""
    tls = trust(options, http2=False) if to.scheme == "https" else None
    way = _Way(to.host, to.port, tls)
    dial: Callable[[Limit], Awaitable[Stream]] = way.dial_loop if loop else way.dial_sync
    most = options.max_connections
    kind: Callable[[int], Room] = LoopRoom if loop else SyncRoom
    return Origin(dial, None if most is None else kind(most), layers=int(tls is not None))


@dataclass(frozen=True, slots=True)
class _Way:
    host: str
    port: int
    tls: ssl.SSLContext | None

    async def dial_sync(self, limit: Limit) -> Stream:
        stream = SyncNetwork(Unsent).connect_tcp(self.host, self.port, limit)
        if self.tls is not None:
            stream = stream.start_tls(self.tls, self.host, limit)
        return Blocking(stream)

    async def dial_loop(self, limit: Limit) -> Stream:
        if is_asyncio():
            from llmsdk.io import protocol

            return await protocol.dial(self.host, self.port, self.tls, limit)
        from llmsdk.io import streams

        return await streams.dial(self.host, self.port, self.tls, limit)


class Blocking:
    """A blocking connection, whose methods never suspend."""

    __slots__ = ("_look", "_stream")

    def __init__(self, stream: SyncStream) -> None:
        self._stream = stream
        self._look = looking(stream.get_extra_info("socket").fileno())

    async def read(self, limit: Limit) -> bytes:
        return self._stream.read(PIECE, limit)

    async def write(self, data: bytes, limit: Limit) -> None:
        self._stream.send(data, limit)

    def heard(self) -> bool:
        return self._look()

    stale = heard

    async def aclose(self) -> None:
        self._stream.close()


class _Taken:
    """Who has a place, and since when."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._since: dict[Limit, float] = {}

    def take(self, limit: Limit) -> None:
        self._since[limit] = limit.clock.now()

    def full(self, limit: Limit) -> NoReturn:
        """No place came free in time."""
        times = list(self._since.values())  # in one go: other threads come and go meanwhile
        longest = f", the longest for {limit.clock.now() - min(times):.3g} s" if times else ""
        what = f"All {self._most} connections to the host were in use{longest}"
        limit.expire("pool", f"{what}: raise max_connections, or ask less at a time.")


class SyncRoom(_Taken):
    """Places that threads wait for."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._places = threading.Semaphore(most)

    async def acquire(self, limit: Limit) -> None:
        if not self._places.acquire(timeout=limit.left("pool")):
            self.full(limit)
        self.take(limit)

    def release(self, limit: Limit) -> None:
        self._since.pop(limit, None)
        self._places.release()


class LoopRoom(_Taken):
    """Places that the tasks of one loop wait for."""

    def __init__(self, most: int) -> None:
        import anyio

        super().__init__(most)
        self._places = anyio.Semaphore(most, fast_acquire=True)

    async def acquire(self, limit: Limit) -> None:
        import anyio

        left = limit.left("pool")
        if left is None or self._places.value > 0:
            await self._places.acquire()
            self.take(limit)
            return
        with anyio.CancelScope(deadline=anyio.current_time() + left):
            await self._places.acquire()
            self.take(limit)
            return
        self.full(limit)

    def release(self, limit: Limit) -> None:
        self._since.pop(limit, None)
        self._places.release()


__all__ = ["Blocking", "LoopRoom", "SyncRoom", "origin"]
