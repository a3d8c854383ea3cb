"""A connection on asyncio, on its own transports. anyio's streams would do, at several times the cost of a read.

A wait costs one future. Its limit is kept by one timer a connection, which looks at the time that holds when it rings
and is armed anew only for an earlier one: so a call that succeeds in time sets none.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any, cast

from llmsdk.io.limit import Broken, Limit, Unreachable, Unsent, Wait, looking

HELD = 1024 * 1024
"""Bytes that have come and that nobody has read, above which the peer is made to wait."""


class Connection(asyncio.Protocol):
    """One connection: a ``Stream`` of ``llmsdk.io.origin``."""

    def __init__(self, layers: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._layers = layers
        self._transport: asyncio.Transport | None = None
        self._came: list[bytes] = []
        self._size = 0
        self._ended = False
        """The peer hung up, or we did."""
        self._error: Exception | None = None
        self._full = False
        """The peer is slow to take what we send."""
        self._held = False
        """The peer waits for us."""
        self._waiter: asyncio.Future[bool] | None = None
        self._until: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._rings = 0.0

    # --- what asyncio tells -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._readable = looking(transport.get_extra_info("socket").fileno())

    def data_received(self, data: bytes) -> None:
        self._came.append(data)
        self._size += len(data)
        if self._size > HELD and not self._held and self._transport is not None:
            self._held = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended, self._error, self._full = True, exc, False
        if self._timer is not None:
            self._timer.cancel()
        self._wake()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(True)

    # --- waiting ------------------------------------------------------------------------------------------------

    async def _wait(self, limit: Limit, wait: Wait) -> None:
        left = limit.left(wait)
        self._waiter = self._loop.create_future()
        self._until = None
        if left is not None:
            self._until = self._loop.time() + left
            self._arm(self._until)
        try:
            if not await self._waiter:
                limit.expire(wait)
        finally:
            self._waiter = None

    def _arm(self, until: float) -> None:
        if self._timer is not None:
            if self._rings <= until:
                return
            self._timer.cancel()
        self._rings = until
        self._timer = self._loop.call_at(until, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done() or self._until is None:
            return
        if self._loop.time() < self._until:
            self._arm(self._until)
        else:
            self._waiter.set_result(False)

    # --- a stream -----------------------------------------------------------------------------------------------

    async def read(self, limit: Limit) -> bytes:
        if not self._came and not self._ended:
            await self._wait(limit, "receive")
        if not self._came:
            if self._error is not None:
                raise Broken(str(self._error))
            return b""
        data = self._came[0] if len(self._came) == 1 else b"".join(self._came)
        self._came, self._size = [], 0
        if self._held and self._transport is not None:
            self._held = False
            self._transport.resume_reading()
        limit.received(self._layers, data, b"HTTP/")
        return data

    async def write(self, data: bytes, limit: Limit) -> None:
        limit.sending(self._layers, data)
        if self._ended or self._transport is None:
            raise Unsent("the connection is closed")
        if self._transport.is_closing():
            raise Unsent("the connection is closed")
        self._transport.write(data)
        if self._transport.is_closing():  # it was not before, so what was written did not get out
            raise Unsent("the connection broke")
        while self._full and not self._came:  # a peer that answers before it has taken everything is heard at once
            await self._wait(limit, "send")
        if self._error is not None:
            raise Unsent(str(self._error))

    def stale(self) -> bool:
        transport = self._transport
        if self._ended or self._came or transport is None or transport.is_closing():
            return True
        return transport.get_write_buffer_size() > 0 or self._readable()

    def heard(self) -> bool:
        return bool(self._came)

    async def aclose(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def dial(host: str, port: int, tls: ssl.SSLContext | None, limit: Limit) -> Connection:
    """Open a connection.

    Raises:
        Unreachable, Expired: name resolution, TCP or TLS failed, or took too long.
    """
    limit.opening()
    left = limit.left("connect")
    until = None if left is None else asyncio.get_running_loop().time() + left
    connection = Connection(int(tls is not None))
    try:
        async with asyncio.timeout_at(until):
            sock = await _connected(host, port, until)
            await _adopted(sock, connection, tls, host)
    except TimeoutError:
        limit.expire("connect")
    except (OSError, UnicodeError) as error:
        raise Unreachable(error) from None
    return connection


async def _adopted(sock: socket.socket, connection: Connection, tls: ssl.SSLContext | None, host: str) -> None:
    names: dict[str, Any] = {} if tls is None else {"ssl": tls, "server_hostname": host}
    await asyncio.get_running_loop().create_connection(lambda: connection, sock=sock, **names)


async def _connected(host: str, port: int, until: float | None) -> socket.socket:
    """The first address of a host that answers. One that swallows packets does not use up the time of the others."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure: OSError = OSError(f"no address for {host!r}")
    for index, (family, kind, protocol, _, address) in enumerate(found):
        others = len(found) - index
        end = None if until is None else loop.time() + (until - loop.time()) / others
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout_at(end):
                await loop.sock_connect(sock, address)
        except OSError as error:  # TimeoutError is one
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


__all__ = ["Connection", "dial"]
