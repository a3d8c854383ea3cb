"""Frames of AWS's event stream from bytes, incrementally: any cut of the input gives the same events.

A frame is its length and that of its headers (4 bytes each, big-endian), a CRC of those 8 bytes, the headers, the
payload, and a CRC of all before. One that is cut off by the end of the stream is discarded: whether the stream was
complete is for the dialect to know.

An event comes out under its ``:event-type``; an exception as ``exception:NAME``; an error that has no payload as
``error:CODE``, its words as JSON.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from pydantic_core import to_json

from llmsdk.errors import InvalidBody, ResponseTooLarge
from llmsdk.io.sse import LARGER_EVENT, MAX_EVENT, ServerSentEvent

MAX_HEADERS = 128 * 1024
"""Bytes of the headers of one frame, as AWS's own clients have it: read, they take many times as much."""
_PRELUDE, _CRC = 12, 4
_FIXED = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Sizes of the values of headers, by their type, but for bytes and text, which begin with their length."""
_BYTES, _TEXT = 6, 7


class FrameDecoder:
    """Feed it chunks, get whole events. An event is out with the byte that ends its frame, in linear time."""

    __slots__ = ("_buffer", "_most", "_wanted")

    def __init__(self, most: int = MAX_EVENT) -> None:
        self._most = most
        self._buffer = bytearray()
        self._wanted = 0
        """Bytes of the frame that has begun; 0 until its prelude is whole."""

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """Yield the events that ``chunk`` completes.

        Raises:
            InvalidBody: these are no frames, or they are damaged.
            ResponseTooLarge: a frame says that it is larger than ``most`` bytes, or its headers than ``MAX_HEADERS``.
        """
        self._buffer += chunk
        at = 0
        while (frame := self._next(at)) is not None:
            at += len(frame)
            yield _event(frame)
        del self._buffer[:at]

    def _next(self, at: int) -> bytes | None:
        """The frame that begins at ``at``, once it is whole."""
        if not self._wanted and len(self._buffer) - at >= _PRELUDE:
            self._wanted = _length(bytes(self._buffer[at : at + _PRELUDE]), self._most)
        if not self._wanted or len(self._buffer) - at < self._wanted:
            return None
        frame = bytes(self._buffer[at : at + self._wanted])
        self._wanted = 0
        return frame


def _length(prelude: bytes, most: int) -> int:
    """The length of the frame that a prelude announces."""
    _check(prelude)
    total, headers = int.from_bytes(prelude[:4]), int.from_bytes(prelude[4:8])
    if total > most:
        raise ResponseTooLarge(f"a frame of the stream is larger than {most} bytes", hint=LARGER_EVENT)
    if total < _PRELUDE + headers + _CRC:
        raise InvalidBody("a frame of the stream is shorter than its headers")
    if headers > MAX_HEADERS:
        raise ResponseTooLarge(f"the headers of a frame of the stream are larger than {MAX_HEADERS} bytes")
    return total


def _check(data: bytes) -> None:
    if zlib.crc32(data[:-_CRC]) != int.from_bytes(data[-_CRC:]):
        raise InvalidBody("the reply is no event stream of AWS, or it was damaged: a checksum does not fit")


def _event(frame: bytes) -> ServerSentEvent:
    _check(frame)
    end = _PRELUDE + int.from_bytes(frame[4:8])
    headers = dict(_headers(frame[_PRELUDE:end]))
    payload = frame[end:-_CRC]
    match headers.get(":message-type"):
        case "exception":
            return ServerSentEvent(payload, f"exception:{headers.get(':exception-type', '')}")
        case "error":
            words = to_json({"message": headers.get(":error-message", "")})
            return ServerSentEvent(words, f"error:{headers.get(':error-code', '')}")
    return ServerSentEvent(payload, headers.get(":event-type", ""))


def _headers(data: bytes) -> Iterator[tuple[str, str]]:
    """The headers whose values are text."""
    at = 0
    while at < len(data):
        start = at + 1 + data[at]
        name, kind = data[at + 1 : start], data[start : start + 1]
        at = start + 1
        size = _FIXED.get(kind[0]) if kind else None
        if size is None:
            if kind not in (bytes([_BYTES]), bytes([_TEXT])):
                raise InvalidBody("a frame of the stream has a header of an unknown kind")
            size = int.from_bytes(data[at : at + 2])
            at += 2
        value = data[at : at + size]
        at += size
        if at > len(data):
            raise InvalidBody("a header of a frame of the stream is cut")
        if kind[0] == _TEXT:
            yield name.decode("utf-8", "replace"), value.decode("utf-8", "replace")
