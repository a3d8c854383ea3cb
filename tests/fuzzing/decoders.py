"""What takes bytes apart: streams into events, replies into heads and bodies, compressed data into plain.

Each is held to something else that does the same: the words of the standard, h11, zlib, or itself fed in other pieces.
"""

from __future__ import annotations

import contextlib
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import h11

from llmsdk.errors import LLMError
from llmsdk.io import http1
from llmsdk.io.body import PIECE, Decoder
from llmsdk.io.eventstream import FrameDecoder
from llmsdk.io.limit import Fault
from llmsdk.io.ndjson import LineDecoder
from llmsdk.io.sse import ServerSentEvent, SSEDecoder

MOST = 50
"""Pieces."""
SLOW = 1000
"""Bytes of a stream that is read by the slow reader too."""
UNPACKED = 4 * 2**20
"""Bytes after which nobody would read on."""


def pieces(data: bytes, way: int) -> list[bytes]:
    """``data`` in pieces, as ``way`` says: whole, or in equal ones."""
    if way < 64 or not data:
        return [data]
    step = (1, 2, 7, 61, 512)[way % 5] if way < 192 else 1 + len(data) * (way - 191) // 65
    step = max(step, len(data) // MOST)
    return [data[at : at + step] for at in range(0, len(data), step)]


def fed(decoder: Any, parts: list[bytes]) -> tuple[list[Any], str]:
    """What comes out, and the name of the error that ended it."""
    seen: list[Any] = []
    try:
        for part in parts:
            seen += decoder.feed(part)
    except (LLMError, Fault) as error:
        return seen, type(error).__name__
    return seen, ""


def same(make: Callable[[], Any], way: int, data: bytes) -> tuple[list[Any], str]:
    """What comes out, whatever the pieces."""
    whole = fed(make(), [data])
    assert fed(make(), pieces(data, way)) == whole, "pieces change what comes out"
    return whole


def sse(way: int, data: bytes) -> str:
    events, error = same(SSEDecoder, way, data)
    if not error and len(data) <= SLOW:
        assert events == list(by_the_standard(data)), "not what the standard says"
    return error or f"events: {min(len(events), 2)}"


def by_the_standard(stream: bytes) -> Iterator[ServerSentEvent]:
    """The algorithm of the WHATWG's "Interpreting an event stream", character for character. Slow, and nothing shared.

    Ours differs in one thing: an event whose data is empty is not dispatched.
    """
    data, kind, line, last = b"", b"", b"", b""
    for at in range(3 if stream.startswith(b"\xef\xbb\xbf") else 0, len(stream)):
        char, before, last = stream[at : at + 1], last, stream[at : at + 1]
        if char == b"\n" and before == b"\r":
            continue
        if char not in (b"\r", b"\n"):
            line += char
            continue
        if not line:
            if data not in (b"", b"\n"):
                yield ServerSentEvent(data[:-1], kind.decode("utf-8", "replace") or "message")
            data, kind = b"", b""
        name, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if name == b"data":
            data += value + b"\n"
        elif name == b"event":
            kind = value
        line = b""


def ndjson(way: int, data: bytes) -> str:
    lines, error = same(LineDecoder, way, data)
    expected = [line.strip() for line in data.split(b"\n")[:-1] if line.strip()]
    assert error or [line.data for line in lines] == expected
    return error or f"lines: {min(len(lines), 2)}"


def eventstream(way: int, data: bytes) -> str:
    events, error = same(FrameDecoder, way, data)
    return error or f"events: {min(len(events), 2)}"


# --- HTTP/1.1 -----------------------------------------------------------------------------------------------------


def http(way: int, data: bytes) -> str:
    ours = read(pieces(data, way))
    assert read([data]) == ours, "pieces change what is read"
    theirs = by_h11(data)
    if isinstance(ours, tuple) and isinstance(theirs, tuple) and not _differs(data):
        assert ours == theirs, f"{ours} and by h11 {theirs}"
    return ours if isinstance(ours, str) else f"{ours[0] // 100}xx"


def read(parts: list[bytes]) -> tuple[int, bytes] | str:
    """Status and body of the reply, or what is wrong with it."""
    held, head, body = b"", None, b""
    try:
        for part in parts:
            if head is None:
                held += part
                if (found := http1.split(held)) is None:
                    continue
                head, part = found
            if part and not head.framing.done:
                body += head.framing.feed(part)
        if head is None:
            return "no head"
        if not head.framing.done:
            head.framing.end()
    except Fault as error:
        return type(error).__name__
    return head.status, body


def by_h11(data: bytes) -> tuple[int, bytes] | str:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=2**20)
    connection.send(h11.Request(method="POST", target="/", headers=[("host", "h")]))
    connection.send(h11.EndOfMessage())
    status, body = 0, b""
    try:
        connection.receive_data(data)
        connection.receive_data(b"")
        while (event := connection.next_event()) is not h11.NEED_DATA:
            match event:
                case h11.InformationalResponse():
                    return "informational"  # which the connection above ours leaves out
                case h11.Response():
                    status = event.status_code
                case h11.Data():
                    body += event.data
                case h11.EndOfMessage():
                    return status, body
                case _:
                    break
    except h11.RemoteProtocolError as error:
        return str(error)
    return "unfinished"


def _differs(data: bytes) -> bool:
    """Where h11 is another matter: it believes the length that comes first, or a blank line before the head."""
    head = re.split(rb"\n\r?\n", data, maxsplit=1)[0].lower()
    return head.count(b"transfer-encoding") + head.count(b"content-length") > 1 or data[:1] in (b"\r", b"\n")


# --- compression --------------------------------------------------------------------------------------------------


def compressed(way: int, data: bytes) -> str:
    kind = ("gzip", "deflate")[way % 2]
    whole = unpacked(kind, [data])
    assert unpacked(kind, pieces(data, way)) == whole, "pieces change what comes out"
    if not isinstance(whole, str) and len(whole) < UNPACKED and kind == "gzip" and data[:1] == b"\x1f":
        with contextlib.suppress(zlib.error):
            first = zlib.decompressobj(31).decompress(data)
            assert whole.startswith(first)
    return whole if isinstance(whole, str) else f"unpacked: {min(len(whole), 1)}"


def unpacked(kind: str, parts: list[bytes]) -> bytes | str:
    decoder, out = Decoder(kind), []
    size = 0
    try:
        for part in parts:
            for piece in decoder.feed(part):
                assert len(piece) <= PIECE
                size += len(piece)
                if size >= UNPACKED:
                    return "more than anybody reads"
                out.append(piece)
        decoder.finish()
    except LLMError as error:
        return type(error).__name__
    return b"".join(out)
