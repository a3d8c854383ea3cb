"""Connections on asyncio and trio whose every wait is bounded by the clock of the attempt that waits."""

from __future__ import annotations

import contextlib
import math
import ssl
from collections.abc import Iterable
from typing import Any

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute, TLSStream

from llmsdk.io.limit import SLICE, Broken, Limit, Unreachable, Unsent, Wait, first_bytes, readable, spoke


class LoopStream:
    """A connection on asyncio or trio."""

    def __init__(self, stream: ByteStream, layers: int, lost: type[Exception]) -> None:
        self._stream = stream
        self._layers = layers
        self._lost = lost
        self._first = b"HTTP/"
        self._held = b""

    async def read(self, max_bytes: int, timeout: Any = None) -> bytes:
        limit: Limit = timeout
        if self._held:
            # The peer may have replied before it hung up: then the reading below finds out.
            with contextlib.suppress(self._lost):
                await self._flush(limit)
        wait: Wait = "connect" if limit.connecting(self._layers) else "receive"
        left = limit.left(wait)
        data: bytes | None = None
        try:
            if left is None:
                data = await self._stream.receive(max_bytes)
            else:
                with anyio.CancelScope(deadline=anyio.current_time() + left):
                    data = await self._stream.receive(max_bytes)
        except anyio.EndOfStream:
            data = b""
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError) as error:
            raise Broken(str(error)) from None
        if data is None:
            limit.expire(wait)
        limit.received(self._layers, data, self._first)
        return data

    async def write(self, buffer: bytes, timeout: Any = None) -> None:
        if not buffer:
            return
        limit: Limit = timeout
        limit.sending(self._layers, buffer)
        if self._first and len(self._held) + len(buffer) <= SLICE:
            self._held += buffer
            return
        await self._flush(limit)
        await self._transmit(buffer, limit)

    async def send(self, data: bytes, limit: Limit) -> None:
        """Write at once, holding nothing."""
        limit.sending(self._layers, data)
        await self._transmit(data, limit)

    async def _flush(self, limit: Limit) -> None:
        held, self._held = self._held, b""
        if held:
            await self._transmit(held, limit)

    async def _transmit(self, data: bytes, limit: Limit) -> None:
        wait: Wait = "connect" if limit.connecting(self._layers) else "send"
        left = limit.left(wait)
        done = False
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + (math.inf if left is None else left)):
                await self._stream.send(data)
                done = True
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError) as error:
            raise self._lost(str(error)) from None
        if not done:
            limit.expire(wait)

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: Any = None
    ) -> LoopStream:
        limit: Limit = timeout
        left = limit.left("connect")
        tls: TLSStream | None = None
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + (math.inf if left is None else left)):
                tls = await TLSStream.wrap(
                    self._stream,
                    server_side=False,
                    hostname=server_hostname,
                    ssl_context=ssl_context,
                    standard_compatible=False,
                )
        except (anyio.BrokenResourceError, anyio.EndOfStream, OSError, ValueError) as error:
            raise Unreachable(_tls_cause(error)) from None
        finally:
            if tls is None:
                await anyio.aclose_forcefully(self._stream)
        if tls is None:
            limit.expire("connect")
        limit.stream = stream = LoopStream(tls, self._layers + 1, self._lost)
        stream._first = first_bytes(stream.get_extra_info("ssl_object"))
        return stream

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        look_up = self._stream.extra
        match info:
            case "ssl_object":
                return look_up(TLSAttribute.ssl_object, None)
            case "is_readable":
                tls = look_up(TLSAttribute.ssl_object, None)
                return readable(look_up(SocketAttribute.raw_socket, None)) or (tls is not None and spoke(tls))
            case "readable":
                return readable(look_up(SocketAttribute.raw_socket, None))
            case "socket":
                return look_up(SocketAttribute.raw_socket, None)
            case _:
                return None


def _tls_cause(error: Exception) -> Exception:
    if isinstance(error, OSError | ValueError):
        return error
    return error.__cause__ if isinstance(error.__cause__, Exception) else OSError("the peer hung up during TLS")


class LoopNetwork:
    """Opens connections on the running loop."""

    def __init__(self, lost: type[Exception]) -> None:
        self._lost = lost

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: Any = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> LoopStream:
        limit: Limit = timeout
        limit.opening()
        left = limit.left("connect")
        stream: ByteStream | None = None
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + (math.inf if left is None else left)):
                stream = await anyio.connect_tcp(host, port)
        except (OSError, UnicodeError) as error:
            raise Unreachable(_deepest(error)) from None
        except ExceptionGroup as errors:  # what is no OSError, such as of an audit hook, comes out of a task group
            raise errors.exceptions[0] from None
        if stream is None:
            limit.expire("connect")
        opened = limit.stream = LoopStream(stream, 0, self._lost)
        return opened

    async def connect_unix_socket(self, path: str, timeout: Any = None, socket_options: Any = None) -> LoopStream:
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


class Direct:
    """A connection on a loop as a ``Stream`` of ``llmsdk.io.origin``."""

    __slots__ = ("_stream",)

    def __init__(self, stream: LoopStream) -> None:
        self._stream = stream

    async def read(self, limit: Limit) -> bytes:
        return await self._stream.read(SLICE, limit)

    async def write(self, data: bytes, limit: Limit) -> None:
        await self._stream.send(data, limit)

    def stale(self) -> bool:
        return bool(self._stream.get_extra_info("is_readable"))

    def heard(self) -> bool:
        return bool(self._stream.get_extra_info("readable"))

    async def aclose(self) -> None:
        await self._stream.aclose()


async def dial(host: str, port: int, tls: ssl.SSLContext | None, limit: Limit) -> Direct:
    """Open a connection to a host.

    Raises:
        Unreachable, Expired: name resolution, TCP or TLS failed, or took too long.
    """
    stream = await LoopNetwork(Unsent).connect_tcp(host, port, limit)
    return Direct(stream if tls is None else await stream.start_tls(tls, host, limit))


def _deepest(error: Exception) -> Exception:
    """The error of one address: anyio's own only says that all attempts failed."""
    cause: BaseException | None = error.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[-1]
    return cause if isinstance(cause, Exception) else error


__all__ = ["Direct", "LoopNetwork", "LoopStream", "dial"]
