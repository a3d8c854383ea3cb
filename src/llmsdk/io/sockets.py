"""Blocking connections whose every wait is bounded by the clock of the attempt that waits."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, Protocol, cast
from weakref import WeakSet

from llmsdk.io.limit import SLICE, Broken, Limit, Unreachable, Wait, first_bytes, readable, spoke


class _Socket(Protocol):
    def settimeout(self, value: float | None, /) -> None: ...
    def recv(self, bufsize: int, /) -> bytes: ...
    def send(self, data: memoryview, /) -> int: ...
    def close(self) -> None: ...


class _NestedTLS:
    """TLS inside TLS, for a proxy that is itself reached by https: ``wrap_socket`` cannot do it."""

    def __init__(self, sock: _Socket, context: ssl.SSLContext, hostname: str | None) -> None:
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=hostname)
        self._pump(self.tls.do_handshake)

    def _pump(self, call: Any, *args: Any) -> Any:
        while True:
            try:
                result = call(*args)
            except ssl.SSLWantReadError:
                self._flush()
                data = self._sock.recv(SLICE)
                self._incoming.write(data) if data else self._incoming.write_eof()
            else:
                self._flush()
                return result

    def heard(self) -> bool:
        """Whether more has come than was read, of an idle connection: it is lost then."""
        return spoke(self.tls)

    def _flush(self) -> None:
        view = memoryview(self._outgoing.read())
        while view:
            view = view[self._sock.send(view) :]

    def settimeout(self, value: float | None, /) -> None:
        self._sock.settimeout(value)

    def recv(self, bufsize: int, /) -> bytes:
        try:
            return cast("bytes", self._pump(self.tls.read, bufsize))
        except ssl.SSLEOFError:
            return b""

    def send(self, data: memoryview, /) -> int:
        return cast("int", self._pump(self.tls.write, data))

    def close(self) -> None:
        self._sock.close()


class SyncStream:
    """A blocking connection."""

    def __init__(self, sock: socket.socket, link: _Socket, layers: int, lost: type[Exception]) -> None:
        self._sock = sock
        self._link = link
        self._layers = layers
        self._lost = lost
        self._first = b"HTTP/"
        """How a reply begins; empty for HTTP/2."""
        self._held = b""
        """Head and small body of a request: held until the reading begins, they leave in one piece."""
        _open.add(self)

    def read(self, max_bytes: int, timeout: Any = None) -> bytes:
        limit: Limit = timeout
        if self._held:
            # The peer may have replied before it hung up: then the reading below finds out.
            with contextlib.suppress(self._lost):
                self._flush(limit)
        wait: Wait = "connect" if limit.connecting(self._layers) else "receive"
        try:
            self._link.settimeout(limit.left(wait))
            data = self._link.recv(max_bytes)
        except TimeoutError:
            limit.expire(wait)
        except (OSError, ValueError) as error:  # ValueError: closed by another thread in mid-read
            raise Broken(str(error)) from None
        limit.received(self._layers, data, self._first)
        return data

    def write(self, buffer: bytes, timeout: Any = None) -> None:
        if not buffer:
            return
        limit: Limit = timeout
        limit.sending(self._layers, buffer)
        if self._first and len(self._held) + len(buffer) <= SLICE:
            self._held += buffer
            return
        self._flush(limit)
        self._transmit(buffer, limit)

    def send(self, data: bytes, limit: Limit) -> None:
        """Write at once, holding nothing."""
        limit.sending(self._layers, data)
        self._transmit(data, limit)

    def _flush(self, limit: Limit) -> None:
        held, self._held = self._held, b""
        self._transmit(held, limit)

    def _transmit(self, data: bytes, limit: Limit) -> None:
        wait: Wait = "connect" if limit.connecting(self._layers) else "send"
        view = memoryview(data)
        try:
            while view:
                self._link.settimeout(limit.left(wait))
                view = view[self._link.send(view[:SLICE]) :]
        except TimeoutError:
            limit.expire(wait)
        except (OSError, ValueError) as error:
            raise self._lost(str(error)) from None

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: Any = None
    ) -> SyncStream:
        limit: Limit = timeout
        try:
            self._link.settimeout(limit.left("connect"))
            if self._layers:
                nested = _NestedTLS(self._link, ssl_context, server_hostname)
                stream = SyncStream(self._sock, nested, self._layers + 1, self._lost)
            else:
                sock = ssl_context.wrap_socket(self._sock, server_hostname=server_hostname)
                stream = SyncStream(sock, sock, 1, self._lost)
        except TimeoutError:
            self.close()
            limit.expire("connect")
        except (OSError, ValueError) as error:
            self.close()
            raise Unreachable(error) from None
        except BaseException:
            self.close()
            raise
        _open.discard(self)
        limit.stream = stream
        stream._first = first_bytes(stream.get_extra_info("ssl_object"))
        return stream

    def close(self) -> None:
        _open.discard(self)
        with contextlib.suppress(OSError):
            # Wakes a thread that reads from it; the TLS method of that name would break under such a reader.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
        self._link.close()

    async def aclose(self) -> None:
        self.close()

    def abandon(self) -> None:
        """Drop a connection that belongs to the parent process, without a word on the wire."""
        descriptor = self._sock.detach()
        if descriptor >= 0:
            os.close(descriptor)

    def get_extra_info(self, info: str) -> Any:
        match info:
            case "ssl_object":
                if isinstance(self._link, _NestedTLS):
                    return self._link.tls
                return self._sock if isinstance(self._sock, ssl.SSLSocket) else None
            case "is_readable":
                return readable(self._sock) or (isinstance(self._link, _NestedTLS) and self._link.heard())
            case "socket":
                return self._sock
            case _:
                return None


_open: WeakSet[SyncStream] = WeakSet()


def _abandon_all() -> None:
    # As long as a child holds a copy, the server would not see the parent hang up.
    for stream in list(_open):
        stream.abandon()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)


class SyncNetwork:
    """Opens blocking connections. ``lost`` is the HTTP library's own error for a failed write: it then still looks
    for a reply that the peer sent before hanging up."""

    def __init__(self, lost: type[Exception]) -> None:
        self._lost = lost

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: Any = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> SyncStream:
        limit: Limit = timeout
        limit.opening()
        addresses = _resolve(host, port, limit)
        failure: OSError = OSError(f"no address for {host!r}")
        for index, (family, address) in enumerate(addresses):
            left = limit.left("connect")
            try:
                # One address that swallows packets must not use up the time of the others.
                sock = _connect(family, address, None if left is None else left / (len(addresses) - index))
            except OSError as error:
                failure = error
            else:
                stream = limit.stream = SyncStream(sock, sock, 0, self._lost)
                return stream
        if isinstance(failure, TimeoutError) and failure.errno is None:
            limit.expire("connect")
        raise Unreachable(failure)

    def connect_unix_socket(self, path: str, timeout: Any = None, socket_options: Any = None) -> SyncStream:
        raise NotImplementedError

    def sleep(self, seconds: float) -> None:
        raise NotImplementedError


def _connect(family: int, address: Any, timeout: float | None) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock


def _resolve(host: str, port: int, limit: Limit) -> list[tuple[int, Any]]:
    """Addresses of a host. The system's resolver knows no time limit, so it runs in a thread of its own."""

    def look_up() -> list[tuple[int, Any]]:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [(int(family), address) for family, _, _, _, address in found]

    left = limit.left("connect")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if left is not None:
            return _within(look_up, left, limit)
    try:
        return look_up()
    except (OSError, UnicodeError) as error:
        raise Unreachable(error) from None


def _within(look_up: Callable[[], list[tuple[int, Any]]], left: float, limit: Limit) -> list[tuple[int, Any]]:
    future: Future[list[tuple[int, Any]]] = Future()

    def work() -> None:
        try:
            future.set_result(look_up())
        except Exception as error:  # noqa: BLE001 - carried over to the waiting thread
            future.set_exception(error)

    threading.Thread(target=work, name="llmsdk-resolve", daemon=True).start()
    try:
        return future.result(left)
    except TimeoutError:
        limit.expire("connect")
    except (OSError, UnicodeError) as error:
        raise Unreachable(error) from None


__all__ = ["SyncNetwork", "SyncStream"]
