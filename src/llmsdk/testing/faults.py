"""What a network can do to a reply, in words: ``server.inject(faults.reset(after=10))``.

Each function makes one ``Fault``, which holds for one request (``times`` for more); faults queue up. They can be
combined by hand: a ``Fault`` is plain data.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

End = Literal["clean", "close", "reset", "hang"]
Body = bytes | str | Mapping[str, Any] | Sequence[bytes]


@dataclass(frozen=True, slots=True)
class HTTPAnswer:
    """A reply: a mapping is sent as JSON, a list of bytes as a stream, a piece a write."""

    status: int = 200
    body: Body = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def pieces(self) -> tuple[bytes, ...] | None:
        """The pieces of a stream; ``None`` of a body that comes in one."""
        return None if isinstance(self.body, bytes | str | Mapping) else tuple(map(bytes, self.body))

    @property
    def whole(self) -> bytes:
        """The body, of a stream too."""
        if isinstance(self.body, bytes):
            return self.body
        if isinstance(self.body, str):
            return self.body.encode()
        if isinstance(self.body, Mapping):
            return json.dumps(self.body, ensure_ascii=False).encode()
        return b"".join(self.body)


@dataclass(frozen=True, slots=True)
class Fault:
    """How a request is answered instead of, or on top of, the proper answer."""

    status: int | None = None
    headers: Mapping[str, str] | None = None
    body: Body | None = None
    """These three replace those of the proper answer."""
    raw: bytes | None = None
    """Replaces everything, down to the status line, and is followed by ``end`` (default: close)."""
    delay: float = 0.0
    """Seconds before the first byte."""
    piece: int | None = None
    """Bytes that go out at once."""
    pause: float = 0.0
    """Seconds between two pieces."""
    cut: int | None = None
    """Bytes of the body after which the reply stops."""
    end: End | None = None
    """How it stops: ``clean`` as if that were all, ``close`` by FIN, ``reset`` by RST, ``hang`` by saying nothing
    until the client leaves."""
    drop: End | None = None
    """One of those before any byte."""
    before: bytes = b""
    """Goes out ahead of the status line, such as an interim answer."""
    after: bytes = b""
    """Follows the whole reply on the same connection, unasked."""
    forever: bytes = b""
    """Follows the pieces of the body again and again until the client leaves."""
    path: str = ""
    """Limits it to requests whose path ends so."""
    times: int = 1
    """How many requests it holds for."""

    def applied(self, answer: HTTPAnswer) -> HTTPAnswer:
        """The proper answer, as far as it is not replaced."""
        body = answer.body if self.body is None else self.body
        headers = dict(answer.headers) if self.body is None else {}
        return HTTPAnswer(self.status or answer.status, body, headers | dict(self.headers or {}))

    @property
    def replaces(self) -> bool:
        """The proper answer is not sent."""
        return self.body is not None or self.raw is not None or self.drop is not None

    @property
    def refuses(self) -> bool:
        """The host says no, so that nothing runs and nothing is billed."""
        return self.status is not None and self.status >= 300

    def __mul__(self, times: int) -> Fault:
        return replace(self, times=times)


# --- the connection ---------------------------------------------------------------------------------------------


def reset(*, after: int | None = None) -> Fault:
    """The connection is reset (RST): before any byte, or ``after`` so many bytes of the body."""
    return Fault(drop="reset") if after is None else Fault(cut=after, end="reset")


def close(*, after: int | None = None) -> Fault:
    """The host hangs up (FIN): before any byte, or ``after`` so many bytes of the body."""
    return Fault(drop="close") if after is None else Fault(cut=after, end="close")


def hang(*, after: int | None = None) -> Fault:
    """The host says nothing more, before any byte or ``after`` so many bytes of the body, and keeps the connection."""
    return Fault(drop="hang") if after is None else Fault(cut=after, end="hang")


def cut(at_byte: int) -> Fault:
    """The body ends at a byte as if that were all of it: HTTP is satisfied, the reply is not whole."""
    return Fault(cut=at_byte, end="clean")


def slow(seconds: float) -> Fault:
    """The host thinks before its first byte."""
    return Fault(delay=seconds)


def drip(every: float = 0.01, *, size: int = 1) -> Fault:
    """The body comes ``size`` bytes at a time, with a pause before each."""
    return Fault(piece=size, pause=every)


def drip_head(every: float = 0.01) -> Fault:
    """A status line, and then headers without end, a byte at a time."""
    return Fault(raw=b"HTTP/1.1 200 OK\r\nx-slow: ", forever=b"a", piece=1, pause=every)


def comments(every: float = 0.01) -> Fault:
    """A stream that is kept alive for ever and says nothing."""
    return Fault(body=[b": wait\n\n"], forever=b": wait\n\n", pause=every, headers=EVENT_STREAM)


def desync(more: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") -> Fault:
    """The reply, and behind it one that nobody asked for."""
    return Fault(after=more)


def interim(*statuses: int) -> Fault:
    """Interim answers ahead of the reply, such as 100 and 103."""
    return Fault(before=b"".join(b"HTTP/1.1 %d Interim\r\n\r\n" % status for status in statuses))


def garbage(data: bytes = b"SSH-2.0-OpenSSH_9.9\r\n") -> Fault:
    """Whoever answers does not speak HTTP."""
    return Fault(raw=data)


# --- the reply --------------------------------------------------------------------------------------------------

EVENT_STREAM: dict[str, str] = {"content-type": "text/event-stream; charset=utf-8"}


def status(
    code: int,
    body: Body | None = None,
    *,
    retry_after: float | str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Fault:
    """A refusal. Without a ``body`` it has one such as OpenAI's."""
    wait = {} if retry_after is None else {"retry-after": str(retry_after)}
    given = {"error": {"message": f"The host answers {code}.", "type": "error", "code": None}}
    return Fault(status=code, body=given if body is None else body, headers=wait | dict(headers or {}))


def redirect(location: str, code: int = 307) -> Fault:
    """The host sends the client elsewhere."""
    return Fault(status=code, body=b"", headers={"location": location})


def says(body: Body, *, headers: Mapping[str, str] | None = None) -> Fault:
    """Another body, with status 200: bytes and text as they are, a mapping as JSON, a list as a stream."""
    streamed = not isinstance(body, bytes | str | Mapping)
    return Fault(status=200, body=body, headers=(EVENT_STREAM if streamed else {}) | dict(headers or {}))


def gzip_bomb(megabytes: int = 400, beginning: bytes = b"") -> Fault:
    """A small body that unpacks to a very large one."""
    packer = zlib.compressobj(9, wbits=31)
    block = bytes(2**20)
    packed = packer.compress(beginning) + b"".join(packer.compress(block) for _ in range(megabytes)) + packer.flush()
    return Fault(status=200, body=packed, headers={"content-encoding": "gzip"})


def endless(data: bytes = b"data: " + b"a" * 2**16) -> Fault:
    """A line of a stream that never ends."""
    return Fault(body=[data], forever=b"a" * 2**16, headers=EVENT_STREAM)


__all__ = [
    "EVENT_STREAM",
    "Body",
    "End",
    "Fault",
    "HTTPAnswer",
    "close",
    "comments",
    "cut",
    "desync",
    "drip",
    "drip_head",
    "endless",
    "garbage",
    "gzip_bomb",
    "hang",
    "interim",
    "redirect",
    "reset",
    "says",
    "slow",
    "status",
]
