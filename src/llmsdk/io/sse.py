"""Server-sent events from bytes, incrementally: any cut of the input gives the same events.

Follows the WHATWG event stream grammar: lines end in LF, CRLF or CR, ``data`` lines join with LF, an event ends at a
blank line, a line that begins with a colon is a comment. An event cut off by the end of the stream is discarded, as
the grammar says; whether the stream was complete is for the dialect to know.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from llmsdk.errors import ResponseTooLarge

MAX_EVENT = 16 * 2**20
"""Bytes of one event. More is not a token stream."""


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event. ``data`` stays bytes: a JSON parser takes them as they are."""

    data: bytes
    event: str = "message"


class SSEDecoder:
    """Feed it chunks, get whole events."""

    __slots__ = ("_buffer", "_data", "_event", "_first", "_size")

    def __init__(self) -> None:
        self._buffer = b""
        self._data: list[bytes] = []
        self._event = b""
        self._first = True
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """Yield the events that ``chunk`` completes.

        Raises:
            ResponseTooLarge: an event, or a line without end, grows past ``MAX_EVENT``.
        """
        buffer = self._buffer + chunk if self._buffer else chunk
        if self._first and buffer:
            if len(buffer) < 3 and b"\xef\xbb\xbf".startswith(buffer):
                self._buffer = buffer
                return
            self._first = False
            buffer = buffer.removeprefix(b"\xef\xbb\xbf")
        if b"\r" in buffer:
            # A CR at the very end may be half of a CRLF: it waits for the next chunk.
            held = buffer.endswith(b"\r")
            buffer = buffer[:-1] if held else buffer
            buffer = buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            *lines, rest = buffer.split(b"\n")
            self._buffer = rest + b"\r" if held else rest
        else:
            *lines, self._buffer = buffer.split(b"\n")
        if self._size + len(self._buffer) > MAX_EVENT:
            raise ResponseTooLarge(f"one event of the stream is larger than {MAX_EVENT} bytes")
        for line in lines:
            if line:
                self._field(line)
            elif self._data:
                yield self._take()
            else:
                self._event = b""

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if name == b"data":
            self._data.append(value)
            self._size += len(value)
            if self._size > MAX_EVENT:
                raise ResponseTooLarge(f"one event of the stream is larger than {MAX_EVENT} bytes")
        elif name == b"event":
            self._event = value

    def _take(self) -> ServerSentEvent:
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        event = ServerSentEvent(data, self._event.decode("utf-8", "replace") if self._event else "message")
        self._data, self._event, self._size = [], b"", 0
        return event
