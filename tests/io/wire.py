"""Servers on real sockets that do exactly what a test tells them, a thread a connection."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from llmsdk.io import IO, Clock, HTTPRequest, Timeouts, TransportOptions


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""
    raw: bytes = field(default=b"", repr=False)


class Peer:
    """One connection, seen from the server."""

    def __init__(self, sock: socket.socket, server: Server) -> None:
        self.sock = sock
        self.server = server
        self._buffer = b""

    def request(self) -> Asked | None:
        """The next request; ``None`` once the client has hung up."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._more():
                return None
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = line.split(" ", 2)
        headers = {name.strip().lower(): value.strip() for name, _, value in (text.partition(":") for text in lines)}
        length = int(headers.get("content-length", 0))
        while len(self._buffer) < length:
            if not self._more():
                return None
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        asked = Asked(method, target, headers, body, head)
        self.server.requests.append(asked)
        return asked

    def _more(self) -> bool:
        try:
            data = self.sock.recv(65536)
        except OSError:
            return False
        self._buffer += data
        return bool(data)

    def send(self, data: bytes) -> bool:
        """Whether the client was still there."""
        try:
            self.sock.sendall(data)
        except OSError:
            return False
        return True

    def reply(self, body: bytes = b"", status: int = 200, headers: Mapping[str, str] | None = None) -> bool:
        given = {"content-length": str(len(body)), **(headers or {})}
        lines = [f"HTTP/1.1 {status} Word", *(f"{name}: {value}" for name, value in given.items() if value)]
        return self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def drip(self, data: bytes, every: float) -> None:
        """Send a byte at a time until the client hangs up."""
        for index in range(len(data)):
            if not self.send(data[index : index + 1]) or self.gone(every):
                return

    def gone(self, within: float = 5.0) -> bool:
        """Whether the client hangs up in time."""
        end = time.monotonic() + within
        while (left := end - time.monotonic()) > 0:
            if select.select([self.sock], [], [], left)[0] and not self._more():
                return True
        return False


Handler = Callable[[Peer], None]


class Server:
    """Listens on the loopback interface while it is entered."""

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None = None) -> None:
        self.handler = handler
        self.tls = tls
        self.requests: list[Asked] = []
        self.connections = 0
        self.errors: list[BaseException] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/v1/chat"

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in list(self._sockets):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        assert not self.errors, self.errors

    def _spawn(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._spawn(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        self._sockets.add(sock)
        try:
            if self.tls is not None:
                raw, sock = sock, self.tls.wrap_socket(sock, server_side=True)
                self._sockets.discard(raw)
                self._sockets.add(sock)
            self.handler(Peer(sock, self))
        except OSError:
            pass  # the client went away, or the test is over
        except BaseException as error:  # noqa: BLE001 - shown when the server ends
            self.errors.append(error)
        finally:
            self._sockets.discard(sock)
            sock.close()


def echo(peer: Peer) -> None:
    """Answer each request with its own body."""
    while asked := peer.request():
        peer.reply(asked.body)


def proxy(peer: Peer) -> None:
    """A forward and CONNECT proxy. Every request that reaches it is in ``requests``."""
    asked = peer.request()
    if asked is None:
        return
    if asked.method == "CONNECT":
        host, _, port = asked.target.rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port))) as upstream:
            peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            pipe(peer.sock, upstream)
        return
    authority, _, path = asked.target.removeprefix("http://").partition("/")
    host, _, port = authority.rpartition(":")
    with socket.create_connection((host, int(port))) as upstream:
        head = asked.raw.replace(asked.target.encode(), b"/" + path.encode(), 1)
        upstream.sendall(head + b"\r\n\r\n" + asked.body)
        pipe(peer.sock, upstream)


def pipe(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until one side hangs up."""
    pairs = {one: other, other: one}
    while True:
        pending = [sock for sock in pairs if isinstance(sock, ssl.SSLSocket) and sock.pending()]
        for sock in pending or select.select(list(pairs), [], [])[0]:
            data = sock.recv(65536)
            if not data:
                return
            pairs[sock].sendall(data)


def post(url: str, body: bytes = b"{}", *, secrets: tuple[str, ...] = (), **options: Any) -> HTTPRequest:
    headers = [(b"Content-Type", b"application/json")]
    return HTTPRequest("POST", url, headers, body, TransportOptions(**options), secrets)


def timed(deadline: float | None = None, *, stream: bool = False, **timeouts: float | None) -> Clock:
    end = None if deadline is None else time.monotonic() + deadline
    return Clock(time.monotonic, Timeouts(**timeouts), end, stream)


def clean(error: BaseException) -> bool:
    """Whether no error of an HTTP library hangs on to this one."""
    linked = [link for link in (error.__cause__, error.__context__) if link is not None]
    modules = {type(link).__module__.partition(".")[0] for link in linked}
    return not modules & {"httpcore2", "h11", "anyio", "llmsdk"} and all(map(clean, linked))


async def ask(io: IO, request: HTTPRequest, clock: Clock | None = None) -> tuple[int, bytes]:
    """Status and whole body of a reply that is read and closed."""
    reply = await io.within(clock or timed()).send(request)
    try:
        return reply.status, await reply.read()
    finally:
        await reply.aclose()
