"""Lines of JSON from bytes, incrementally: any cut of the input gives the same lines.

A line ends in LF or CRLF; one without anything in it is discarded, and so is one that is cut off by the end of the
stream: whether the stream was complete is for the dialect to know.
"""

from __future__ import annotations

from collections.abc import Iterator

from llmsdk.errors import ResponseTooLarge
from llmsdk.io.sse import LARGER_EVENT, MAX_EVENT, ServerSentEvent


class LineDecoder:
    """Feed it chunks, get whole lines. A line is out with the byte that ends it, in linear time."""

    __slots__ = ("_line", "_most")

    def __init__(self, most: int = MAX_EVENT) -> None:
        self._most = most
        self._line = bytearray()

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """Yield the lines that ``chunk`` completes, as events without a name.

        Raises:
            ResponseTooLarge: a line without end grows past ``most`` bytes.
        """
        *lines, rest = chunk.split(b"\n")
        if lines and self._line:
            lines[0] = bytes(self._line) + lines[0]
            self._line.clear()
        for line in lines:
            if line := line.strip():
                self._check(len(line))
                yield ServerSentEvent(line)
        self._line += rest
        self._check(len(self._line))

    def _check(self, size: int) -> None:
        if size > self._most:
            raise ResponseTooLarge(f"one line of the stream is larger than {self._most} bytes", hint=LARGER_EVENT)
