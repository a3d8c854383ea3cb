"""An HTTP/1.1 server on a loopback socket, in a thread of this process, that misbehaves on command.

It is written on bare asyncio streams because a proper server would not let a test cut a reply after its 17th byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from llmsdk.testing.faults import End, Fault, HTTPAnswer

TICK = 0.005
"""Seconds between two looks at whether the client has left."""
NO_FAULT = Fault()


@dataclass
class Received:
    """A request as it came, and what became of it. Names of headers are in lower case; of repeated ones the last."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = b""
    connection: int = 0
    at: float = 0.0
    """Seconds of ``time.monotonic``."""
    status: int | None = None
    sent: int = 0
    """Bytes of the reply's body that went out, before compression and framing."""
    aborted: bool = False
    """The client left before the reply was whole."""
    target: str = ""
    """Path and query as they came, encoded."""

    @cached_property
    def json(self) -> Any:
        return json.loads(self.body)


class _Left(Exception):
    """The client is gone."""


class HTTPServer:
    """Answers by ``handle``, which a subclass gives. A context manager that leaves nothing behind."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Received] = []
        self.connections: int = 0
        """How many were ever opened."""
        self.open_connections: int = 0
        self.always: Fault = NO_FAULT
        """How a request is answered that no fault was injected for."""
        self.gzip: bool = False
        """Compress for clients that accept it."""
        self.pause: float = 0.0
        """Seconds between the pieces of a stream, where no fault says otherwise."""
        self.failures: list[str] = []
        """Faults of the server itself. Leaving the context raises them."""
        self._tls = tls
        self._faults: list[Fault] = []
        self._changed = threading.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def handle(self, request: Received) -> HTTPAnswer:
        """The proper answer."""
        raise NotImplementedError

    def lost(self, request: Received) -> None:
        """A fault takes the place of the proper answer, though the request may have run."""

    # --- for tests ----------------------------------------------------------------------------------------------

    @property
    def origin(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def inject(self, *faults: Fault) -> None:
        """Answer the next requests so, one fault each; see ``llmsdk.testing.faults``. Faults queue up."""
        with self._changed:
            self._faults.extend(faults)

    def wait(self, condition: Callable[[], bool], timeout: float = 5.0) -> bool:
        """Wait until ``condition`` holds, looking whenever something changed here. False when time is up."""
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    def clear(self) -> None:
        """Forget requests and faults."""
        with self._changed:
            self.requests.clear()
            self._faults.clear()

    # --- life ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._turn, name="llmsdk-test-server", daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        if self.failures and error[0] is None:
            raise AssertionError("the test server failed:\n" + "\n".join(self.failures))

    def _turn(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    async def _start(self) -> asyncio.Server:
        return await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._tls, limit=2**20, backlog=1024)

    async def _stop(self) -> None:
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)

    # --- a connection -------------------------------------------------------------------------------------------

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._count(1)
        connection = _Connection(self, reader, writer, self.connections)
        try:
            while await connection.exchange():
                pass
        except (_Left, ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        except asyncio.CancelledError:
            pass  # the server stops; nobody awaits this task but _stop
        except Exception:  # noqa: BLE001 - whatever it is, the test that uses the server shall see it
            self.failures.append(traceback.format_exc())
        finally:
            writer.close()
            with contextlib.suppress(Exception):
                await asyncio.wait_for(writer.wait_closed(), 1)
            self._tasks.discard(task)
            self._count(-1)

    def _count(self, step: int) -> None:
        with self._changed:
            self.connections += max(step, 0)
            self.open_connections += step
            self._changed.notify_all()

    def _record(self, request: Received) -> None:
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()

    def _add(self, request: Received, size: int) -> None:
        """So much of its reply is out."""
        with self._changed:
            request.sent += size
            self._changed.notify_all()

    def _next_fault(self, request: Received) -> Fault:
        with self._changed:
            for index, fault in enumerate(self._faults):
                if request.path.endswith(fault.path):
                    if fault.times > 1:
                        self._faults[index] = replace(fault, times=fault.times - 1)
                    else:
                        del self._faults[index]
                    return fault
        return self.always


class _Connection:
    """One connection of one client."""

    def __init__(
        self, server: HTTPServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        self.server, self.reader, self.writer, self.number = server, reader, writer, number

    async def exchange(self) -> bool:
        """Read a request and answer it. False when the connection is not to be used again."""
        request = await self._read()
        if request is None:
            return False
        self.server._record(request)
        fault = self.server._next_fault(request)
        if fault.replaces and not fault.refuses:
            self.server.lost(request)
        try:
            await self._sleep(fault.delay)
            if fault.drop is not None:
                await self._end(fault.drop)
                return False
            if fault.raw is not None:
                await self._send(request, _cut(fault.raw, fault), fault)
                await self._repeat(fault)
                await self._end(fault.end or "close")
                return False
            whole = await self._answer(request, fault)
        except (_Left, ConnectionError):
            request.aborted = True
            raise
        return whole and request.headers.get("connection", "").lower() != "close"

    async def _read(self) -> Received | None:
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        headers.pop("", None)
        url = urlsplit(target)
        body = await self._body(headers)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        at = time.monotonic()
        return Received(method, unquote(url.path), query, headers, body, self.number, at, target=target)

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return await self.reader.readexactly(int(headers.get("content-length", 0)))
        parts = []
        while size := int((await self.reader.readline()).split(b";")[0], 16):
            parts.append(await self.reader.readexactly(size))
            await self.reader.readline()
        await self.reader.readline()
        return b"".join(parts)

    # --- answering ----------------------------------------------------------------------------------------------

    async def _answer(self, request: Received, fault: Fault) -> bool:
        """True when the reply went out whole, as HTTP has it."""
        answer = fault.applied(HTTPAnswer() if fault.replaces else self.server.handle(request))
        request.status = answer.status
        streamed = answer.pieces is not None
        whole = answer.pieces or (answer.whole,)
        pieces = _cut(b"".join(whole), fault) if fault.cut is not None or fault.piece else whole
        clean = fault.cut is None or fault.end == "clean"
        announced = sum(map(len, pieces if clean else whole))
        packer = _packer(self.server.gzip, request)
        self.writer.write(fault.before)
        self._head(answer, None if streamed or packer else announced, "gzip" if packer else "")
        if answer.status != 204:
            await self._send(request, pieces, fault, chunked=streamed or packer is not None, packer=packer)
            await self._repeat(fault, chunked=streamed)
        if clean and fault.end in (None, "clean"):
            self.writer.write((b"0\r\n\r\n" if streamed or packer else b"") + fault.after)
            await self.writer.drain()
            return True
        await self._end(fault.end or "close")
        return False

    def _head(self, answer: HTTPAnswer, length: int | None, encoding: str) -> None:
        headers = {"content-type": "application/json", **{k.lower(): v for k, v in answer.headers.items()}}
        if length is None:
            headers["transfer-encoding"] = "chunked"
        elif answer.status != 204:
            headers.setdefault("content-length", str(length))
        if encoding:
            headers["content-encoding"] = encoding
        lines = [f"HTTP/1.1 {answer.status} {_phrase(answer.status)}", *(f"{k}: {v}" for k, v in headers.items())]
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def _send(
        self, request: Received, pieces: Sequence[bytes], fault: Fault, chunked: bool = False, packer: Any = None
    ) -> None:
        for number, piece in enumerate(pieces):
            if number:
                await self._sleep(fault.pause or self.server.pause)
            if self._gone():
                raise _Left
            data = packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) if packer else piece
            if data:
                self.writer.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
                await self.writer.drain()
            self.server._add(request, len(piece))
        if packer:
            data = packer.flush()
            self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))

    async def _repeat(self, fault: Fault, chunked: bool = False) -> None:
        """What a fault sends again and again, until the client leaves."""
        data = b"%x\r\n%b\r\n" % (len(fault.forever), fault.forever) if chunked else fault.forever
        while fault.forever:
            await self._sleep(fault.pause or TICK)
            if self._gone():
                raise _Left
            self.writer.write(data)
            await self.writer.drain()

    async def _end(self, end: End) -> None:
        await self.writer.drain()
        if end == "hang":
            await self._sleep(float("inf"))
        if end == "reset":
            await asyncio.sleep(2 * TICK)  # a reset overtakes what the client has not read yet
            if self.writer.transport.is_closing():
                raise _Left
            sock = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()

    async def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._gone():
                raise _Left
            await asyncio.sleep(min(left, TICK))

    def _gone(self) -> bool:
        return self.reader.at_eof() or self.reader.exception() is not None or self.writer.is_closing()


def _cut(data: bytes, fault: Fault) -> Sequence[bytes]:
    data = data if fault.cut is None else data[: fault.cut]
    size = fault.piece or len(data) or 1
    return [data[at : at + size] for at in range(0, len(data), size)]


def _packer(wanted: bool, request: Received) -> Any:
    accepted = "gzip" in request.headers.get("accept-encoding", "")
    return zlib.compressobj(wbits=31) if wanted and accepted else None


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def events(*bodies: Any) -> Iterator[bytes]:
    """Server-sent events: JSON for what is not bytes."""
    for body in bodies:
        yield b"data: " + (body if isinstance(body, bytes) else HTTPAnswer(body=body).whole) + b"\n\n"


__all__ = ["NO_FAULT", "HTTPServer", "Received", "events"]
