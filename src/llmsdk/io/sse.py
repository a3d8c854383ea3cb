"""Server-sent events from bytes, incrementally: any cut of the input gives the same events.

Follows the WHATWG event stream grammar: lines end in LF, CRLF or CR, ``data`` lines join with LF, an event ends at a
blank line, a line that begins with a colon is a comment. An event cut off by the end of the stream is discarded, as
the grammar says; whether the stream was complete is for the dialect to know. One thing is stricter: an event with
empty data, which some servers send to keep a connection alive, is discarded too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from llmsdk.errors import ResponseTooLarge

MAX_EVENT = 8 * 2**20
"""Bytes of one event, where nothing else is said. More is not a token stream."""
LARGER_EVENT = "If the host is right to send so much at once, raise max_event in its settings."
_BOM = b"\xef\xbb\xbf"


class ServerSentEvent(NamedTuple):
    """One event. ``data`` stays bytes: a JSON parser takes them as they are."""

    data: bytes
    event: str = "message"


class SSEDecoder:
    """Feed it chunks, get whole events. An event is out with the byte that ends it, in linear time."""

    __slots__ = ("_after_cr", "_data", "_event", "_head", "_line", "_more", "_most", "_size")

    def __init__(self, most: int = MAX_EVENT) -> None:
        self._most = most
        self._head: bytes | None = b""
        """The first bytes, until it is clear whether they are a byte order mark."""
        self._line = bytearray()
        self._data: bytes | None = None
        """The first line of data."""
        self._more = bytearray()
        """The lines behind it. In one piece: millions of short ones would take many times their bytes."""
        self._event = b""
        self._size = 0
        self._after_cr = False

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """Yield the events that ``chunk`` completes.

        Raises:
            ResponseTooLarge: an event, or a line without end, grows past ``most`` bytes.
        """
        if self._head is not None:
            chunk = self._begin(chunk)
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in chunk:
            # The CR ends its line at once. A LF that comes with the next chunk belongs to it.
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = chunk.split(b"\n")
        if lines and self._line:
            lines[0] = bytes(self._line) + lines[0]
            self._line.clear()
        for line in lines:
            if line:
                self._field(line)
            elif (data := self._data) is not None:
                if self._more or self._event:
                    event = self._take(data)
                else:  # as nearly all are
                    event = ServerSentEvent(data)
                    self._data, self._size = None, 0
                if event.data:
                    yield event
            else:
                self._event = b""
        self._line += rest
        self._check(len(self._line))

    def _begin(self, chunk: bytes) -> bytes:
        head = (self._head or b"") + chunk
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head.removeprefix(_BOM)

    def _check(self, more: int) -> None:
        if self._size + more > self._most:
            raise ResponseTooLarge(f"one event of the stream is larger than {self._most} bytes", hint=LARGER_EVENT)

    def _field(self, line: bytes) -> None:
        if self._data is None and line.startswith(b"data: "):
            self._data, self._size = line[6:], len(line)
            self._check(0)
            return
        name, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if name == b"data":
            if self._data is None:
                self._data = value
            else:
                self._more += b"\n" + value
            self._size += len(value) + 1
            self._check(0)
        elif name == b"event":
            self._event = value

    def _take(self, first: bytes) -> ServerSentEvent:
        name = self._event.decode("utf-8", "replace") if self._event else "message"
        event = ServerSentEvent(first + self._more, name)
        self._data, self._more, self._event, self._size = None, bytearray(), b"", 0
        return event
