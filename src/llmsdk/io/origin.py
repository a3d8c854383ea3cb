"""The connections to one origin over HTTP/1.1, used again: the latest first, found in constant time.

Written once for all faces. A ``Stream`` reads and writes bytes under the limits of an attempt; a blocking one never
suspends.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, Protocol

from llmsdk.io import Clock, HTTPRequest
from llmsdk.io.exchange import Body, headers_of
from llmsdk.io.http1 import Framing, Head, split
from llmsdk.io.limit import Limit, Lost, Unsent
from llmsdk.io.route import Address, Proxy
from llmsdk.secret import Masked

KEEP_IDLE = 30.0
"""Seconds that an unused connection is kept."""
SPARE = 1.0
"""Seconds before the end of a connection that its peer announced, in which nothing is sent any more."""
HEADS = 64
"""Heads of requests that are kept prebuilt; a caller may send other headers with each."""
JOINED = 64 * 1024
"""Bytes of a body that is sent in one piece with its head."""


class Stream(Protocol):
    """One connection. A wait under ``limit`` that runs out raises ``Expired``."""

    async def read(self, limit: Limit) -> bytes:
        """What has come, as soon as something has; empty once the peer has hung up."""
        ...

    async def write(self, data: bytes, limit: Limit) -> None:
        """
        Raises:
            Unsent: the connection broke before all of it was out. The peer may have replied before.
        """
        ...

    def stale(self) -> bool:
        """Of an idle connection: whether the peer hung up, or said something that nobody asked for."""
        ...

    def heard(self) -> bool:
        """Whether something has come that nobody has read."""
        ...

    async def aclose(self) -> None:
        """Close it at once, and wake whoever reads from it."""
        ...


class Room(Protocol):
    """Places for connections, each known by the limits of the attempt that has it. Any thread may call either."""

    async def acquire(self, limit: Limit) -> None:
        """Wait for a place, under these limits."""
        ...

    def release(self, limit: Limit) -> None: ...


class Origin:
    """The connections to one origin. Opens none before the first request."""

    proxy: Proxy | None = None

    def __init__(self, dial: Callable[[Limit], Awaitable[Stream]], room: Room | None, layers: int) -> None:
        self._dial = dial
        self._room = room
        self._layers = layers
        self._idle: deque[tuple[Stream, float]] = deque()
        """The unused ones and until when they are kept, the latest last. Its ends are popped by any thread."""
        self._open: set[Stream] = set()
        self._heads: dict[tuple[object, ...], Masked] = {}
        self._closed = False

    async def send(self, request: HTTPRequest, to: Address, clock: Clock) -> tuple[int, Mapping[str, str], Body]:
        """Send a request and wait for the head of its reply. Its body gives the connection back."""
        head = self._head(request, to)
        limit = Limit(clock, self._layers)
        clock.left("send")
        if self._room is not None:
            await self._room.acquire(limit)
        stream: Stream | None = None
        out = "whole"
        try:
            stream = await self._take() or await self._connect(limit)
            out = await _write(stream, head, request.body, limit)
            reply, rest = await _head_of_reply(stream, limit)  # the peer may have refused it before it came whole
            if out == "early" and clock.reused and reply.status < 400:
                raise Lost("it replied before the request was out, so to something else")
        except BaseException:
            if out == "cut" and not clock.received:
                clock.sent = False  # no host runs half a request
            await self.drop(stream, limit)
            raise
        body = _Rest(self, stream, limit, reply, rest)
        return reply.status, reply.headers, body

    def _head(self, request: HTTPRequest, to: Address) -> Masked:
        """Everything before the body. All but its length is the same for most requests of a client."""
        known = self._heads.get((request.method, request.url, *request.headers))
        fixed = known or self._new_head(request, to)
        if request.body or request.method not in ("GET", "HEAD", "DELETE"):
            return Masked(b"%bContent-Length: %d\r\n\r\n" % (fixed, len(request.body)))
        return Masked(fixed + b"\r\n")

    def _new_head(self, request: HTTPRequest, to: Address) -> Masked:
        headers = headers_of(request, to)
        if len(self._heads) >= HEADS:
            self._heads.clear()
        lines = [b"%b: %b\r\n" % header for header in headers if header[0] != b"Content-Length"]
        head = Masked(b"%b %b HTTP/1.1\r\n%b" % (request.method.encode(), to.target, b"".join(lines)))
        self._heads[request.method, request.url, *request.headers] = head
        return head

    # --- connections --------------------------------------------------------------------------------------------

    async def _take(self) -> Stream | None:
        """An idle connection that is fit for use. Those that are not are closed on the way."""
        now = time.monotonic()
        while self._idle:
            try:
                stream, until = self._idle.pop()
            except IndexError:  # another thread was quicker
                return None
            if now < until and not stream.stale():
                return stream
            await self._close(stream)
        return None

    async def _connect(self, limit: Limit) -> Stream:
        stream = await self._dial(limit)
        self._open.add(stream)
        if self._closed:  # while it was being opened
            await self._close(stream)
            raise Lost("the client was closed")
        return stream

    async def give_back(self, stream: Stream, limit: Limit, lasts: float | None = None) -> None:
        """Keep a connection whose reply has been read to its end, for less than its peer says that it ``lasts``."""
        now = time.monotonic()
        self._idle.append((stream, now + (KEEP_IDLE if lasts is None else min(KEEP_IDLE, lasts - SPARE))))
        if self._room is not None:
            self._room.release(limit)
        while self._idle and self._idle[0][1] < now:
            try:
                await self._close(self._idle.popleft()[0])
            except IndexError:
                return

    async def drop(self, stream: Stream | None, limit: Limit) -> None:
        """Close a connection that cannot be used again."""
        try:
            if stream is not None:
                await self._close(stream)
        finally:
            if self._room is not None:
                self._room.release(limit)

    async def _close(self, stream: Stream) -> None:
        self._open.discard(stream)
        await stream.aclose()

    async def aclose(self) -> None:
        """Close all connections, those in use too."""
        self._closed = True
        for stream in list(self._open):
            await self._close(stream)


async def _write(stream: Stream, head: bytes, body: bytes, limit: Limit) -> Literal["whole", "early", "cut"]:
    """Send a request. ``early``: the peer spoke before it was out, which only a large one shows. ``cut``: it broke."""
    early = False
    try:
        if len(body) <= JOINED:
            await stream.write(head + body, limit)
        else:
            await stream.write(head, limit)
            await stream.write(body[:-JOINED], limit)
            early = stream.heard()
            await stream.write(body[-JOINED:], limit)
    except Unsent:
        return "cut"
    return "early" if early else "whole"


async def _head_of_reply(stream: Stream, limit: Limit) -> tuple[Head, bytes]:
    """The head of the final reply, and what came of its body with it."""
    data = b""
    while True:
        found = split(data) if data else None
        if found is not None:
            head, data = found
            if head.status >= 200 or head.status == 101:
                return head, data
            continue
        more = await stream.read(limit)
        if not more:
            raise Lost("it hung up in the middle of the reply" if data else "it hung up without a reply")
        data += more


class _Rest:
    """The body of a reply. The connection is free as soon as it has come whole."""

    __slots__ = ("_came", "_framing", "_keeps", "_lasts", "_limit", "_origin", "_stream")

    def __init__(self, origin: Origin, stream: Stream, limit: Limit, head: Head, came: bytes) -> None:
        self._origin = origin
        self._stream: Stream | None = stream
        self._limit = limit
        self._framing: Framing = head.framing
        self._keeps = head.keeps
        self._lasts = head.lasts
        self._came = came

    async def more(self) -> bytes:
        framing, stream = self._framing, self._stream
        while stream is not None and not framing.done:
            data, self._came = b"" if framing.broken else self._came or await stream.read(self._limit), b""
            if not data:
                framing.end()
                break
            if piece := framing.feed(data):
                if framing.done:
                    await self.aclose()
                return piece
        await self.aclose()
        return b""

    async def aclose(self) -> None:
        stream, self._stream = self._stream, None
        if stream is None:
            return
        if self._framing.done and self._keeps and not (self._framing.extra or self._came):
            await self._origin.give_back(stream, self._limit, self._lasts)
        else:
            await self._origin.drop(stream, self._limit)


__all__ = ["Origin", "Room", "Stream"]
