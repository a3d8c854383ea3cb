"""A small HTTP/1.1 server on a loopback socket: one request a connection, a thread each.

A reply goes out in pieces of any size, may stop after any byte, and the server knows whether the client left.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from socketserver import StreamRequestHandler, TCPServer, ThreadingMixIn
from typing import Literal, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from llmsdk.testing.conformance.backend import HTTPAnswer, Received

PATIENCE = 10.0
"""Seconds after which what should have happened is taken not to happen."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a reply goes out: in pieces of ``size`` bytes (0: as they are), its body up to ``cut`` bytes.

    ``end`` is how a reply that is cut ends: ``clean`` as if that were all, ``broken`` by closing the connection,
    ``held`` by saying nothing until the client leaves.
    """

    size: int = 0
    cut: int | None = None
    end: Literal["clean", "broken", "held"] = "clean"


AS_IT_IS = Delivery()


class Server:
    """Answers with what ``answer`` gives. A context manager that leaves no thread and no socket behind."""

    def __init__(self, answer: Callable[[Received], HTTPAnswer]) -> None:
        self.answer: Callable[[Received], HTTPAnswer] = answer
        self.delivery: Delivery = AS_IT_IS
        self.received: list[Received] = []
        self.fault: Exception | None = None
        """What ``answer`` raised."""
        self.left: threading.Event = threading.Event()
        """The client left while a reply was held."""
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._tcp.server_address[1]}"

    def __enter__(self) -> Self:
        self._tcp = _TCP(("127.0.0.1", 0), _Exchange)
        self._tcp.owner = self
        self._thread = threading.Thread(target=self._tcp.serve_forever, args=(0.02,), name="conformance-server")
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._tcp.shutdown()
        with self._lock:
            for connection in self._open:
                connection.shutdown(socket.SHUT_RDWR)
        self._tcp.server_close()
        self._thread.join()

    def track(self, connection: socket.socket, *, opened: bool) -> None:
        with self._lock:
            (self._open.add if opened else self._open.discard)(connection)

    def say(self, request: Received) -> HTTPAnswer:
        """The answer to a request; a fault of whoever makes it is kept, and answered with a status of its own."""
        self.received.append(request)
        try:
            return self.answer(request)
        except Exception as fault:  # noqa: BLE001 - kept for the case, which raises it
            self.fault = fault
            return HTTPAnswer(500, b"the backend failed")


class _TCP(ThreadingMixIn, TCPServer):
    daemon_threads = False
    request_queue_size = 64
    owner: Server


class _Exchange(StreamRequestHandler):
    """One request and its reply."""

    server: _TCP  # pyright: ignore[reportIncompatibleVariableOverride] - it is what makes it
    disable_nagle_algorithm = True
    timeout = PATIENCE

    def handle(self) -> None:
        owner = self.server.owner
        owner.track(self.connection, opened=True)
        try:
            if (request := self._read()) is not None:
                self._send(owner.say(request), owner.delivery)
        except (ConnectionError, TimeoutError):
            pass  # the client left before the reply was whole
        finally:
            owner.track(self.connection, opened=False)

    def finish(self) -> None:
        with suppress(OSError):  # nobody may be there to take the rest
            super().finish()

    def _read(self) -> Received | None:
        first = self.rfile.readline().decode("latin-1").split()
        if len(first) != 3:
            return None
        lines = iter(lambda: self.rfile.readline().decode("latin-1").strip(), "")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        url = urlsplit(first[1])
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        return Received(first[0], unquote(url.path), query, headers, b"".join(self._body(headers)))

    def _body(self, headers: Mapping[str, str]) -> Iterator[bytes]:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            yield self.rfile.read(int(headers.get("content-length", 0)))
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _send(self, answer: HTTPAnswer, delivery: Delivery) -> None:
        streamed, whole = answer.pieces is not None, answer.whole
        self._head(answer, None if streamed else len(whole))
        for piece in _cut(answer.pieces or (whole,), whole, delivery):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if streamed else piece)
        if delivery.cut is None or (delivery.end == "clean" and streamed):
            self.wfile.write(b"0\r\n\r\n" if streamed else b"")
        elif delivery.end == "held":
            self._hold()

    def _hold(self) -> None:
        """Say nothing until the client leaves, or for ``PATIENCE`` at most."""
        try:
            gone = self.connection.recv(1) == b""
        except ConnectionError:
            gone = True
        if gone:
            self.server.owner.left.set()

    def _head(self, answer: HTTPAnswer, length: int | None) -> None:
        kind = "application/json" if length is not None else "text/event-stream"
        framing = {"transfer-encoding": "chunked"} if length is None else {"content-length": str(length)}
        given = {name.lower(): value for name, value in answer.headers.items()}
        headers = {"content-type": kind, "connection": "close", **given, **framing}
        lines = [f"HTTP/1.1 {answer.status} -", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        self.wfile.write("\r\n".join(lines).encode("latin-1"))


def _cut(pieces: Sequence[bytes], whole: bytes, delivery: Delivery) -> list[bytes]:
    if not delivery.size and delivery.cut is None:
        return [piece for piece in pieces if piece]
    data = whole[: delivery.cut]
    size = delivery.size or len(data) or 1
    return [data[at : at + size] for at in range(0, len(data), size)]


__all__ = ["AS_IT_IS", "PATIENCE", "Delivery", "Server"]
