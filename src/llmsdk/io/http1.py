"""HTTP/1.1 as bytes, without I/O: the head of a reply, and where its body ends.

Lenient about what does no harm (a bare LF, blanks at the ends, an unknown reason), and strict about whatever could let
one reply run into the next: lengths that disagree, codings nobody asked for, heads and chunks that are not of the form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from llmsdk.errors import InvalidBody
from llmsdk.io.limit import Lost, NotHTTP

MAX_HEAD = 64 * 1024
"""Bytes of the head of a reply, or of the line before a chunk."""

MAX_FIELDS = 256
"""Header lines of a reply."""

_END = re.compile(rb"\n\r?\n")
_STATUS = re.compile(r"HTTP/1\.([01]) ([1-9]\d\d)(?: [^\r\n]*)?\r?\n")
_FIELD = re.compile(r"^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*)\r?\n", re.MULTILINE)
_FOLD = re.compile(r"\r?\n[ \t]+")
_LASTS = re.compile(r"timeout\s*=\s*(\d{1,6})", re.IGNORECASE)
_LIST = ("content-length", "transfer-encoding", "connection")
"""Headers of which every line counts."""
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")
_LINE = re.compile(rb"([^\n]*?)\r?\n")


class Framing(Protocol):
    """How a body ends. ``done`` once it has ended, and ``extra`` if there was more behind its end.

    ``broken`` once what comes cannot be read. Whoever feeds it has got all that came before, and asks ``end`` then.
    """

    done: bool
    extra: bool
    broken: bool

    def feed(self, data: bytes) -> bytes:
        """What of ``data`` is content; may be empty."""
        ...

    def end(self) -> None:
        """Nothing more comes, or nothing that can be read.

        Raises:
            Lost: before the body had ended.
        """
        ...


class Head:
    """The head of a reply."""

    __slots__ = ("framing", "headers", "keeps", "lasts", "status")

    def __init__(self, status: int, headers: Mapping[str, str], framing: Framing, keeps: bool) -> None:
        self.status: int = status
        self.headers: Mapping[str, str] = headers
        """Names in lower case; the last value of a repeated one, all values where every line counts."""
        self.framing: Framing = framing
        self.keeps: bool = keeps
        """Whether the connection may be used again after the body."""
        said = _LASTS.search(headers["keep-alive"]) if "keep-alive" in headers else None
        self.lasts: float | None = float(said[1]) if said else None
        """Seconds for which the peer says that it keeps the connection unused."""


def split(data: bytes) -> tuple[Head, bytes] | None:
    """The head at the beginning of ``data``, and what follows it; ``None`` if it has not come whole.

    Raises:
        NotHTTP: it is no head of a reply.
        InvalidBody: it is larger than any that is one.
    """
    end = _END.search(data)
    if (len(data) if end is None else end.start()) > MAX_HEAD:
        raise _oversized(data, f"larger than {MAX_HEAD} bytes")
    if end is None:
        return None
    return _head(data[: end.start() + 1]), data[end.end() :]


def _head(data: bytes) -> Head:
    if data.count(b"\n") > MAX_FIELDS + 1:
        raise _oversized(data, f"of more than {MAX_FIELDS} headers")
    text = data.decode("latin-1")
    if "\n " in text or "\n\t" in text:
        text = _FOLD.sub(" ", text)
    status = _STATUS.match(text)
    fields = _FIELD.findall(text, status.end()) if status else []
    if status is None or len(fields) != text.count("\n") - 1:
        raise NotHTTP(data)
    headers = {name.lower(): value.rstrip(" \t") for name, value in fields}
    if len(headers) < len(fields):
        for name in _LIST:
            if values := [value.strip() for other, value in fields if other.lower() == name]:
                headers[name] = ", ".join(values)
    code = int(status[2])
    keeps = status[1] == "1" and not ("connection" in headers and "close" in _words(headers["connection"]))
    if "transfer-encoding" in headers and "content-length" in headers:
        keeps = False  # two lengths are how one reply is smuggled into another: the chunks hold, and nothing follows
    return Head(code, headers, _framing(code, headers, data), keeps)


def _oversized(data: bytes, what: str) -> Exception:
    """What is wrong with a head that is too large; of one that does not even begin like one, that it is none."""
    return InvalidBody(f"the head of the reply is {what}") if data.startswith(b"HTTP/1.") else NotHTTP(data)


def _framing(status: int, headers: Mapping[str, str], data: bytes) -> Framing:
    if status < 200 or status in (204, 304):
        return Sized(0)
    if (coding := headers.get("transfer-encoding")) is not None:
        if _words(coding) != ["chunked"]:
            raise NotHTTP(data)  # nobody asked for another coding
        return Chunked()
    if (length := headers.get("content-length")) is None:
        return Endless()
    said = {length} if length.isdigit() else set(_words(length))
    size = said.pop() if len(said) == 1 else ""
    if not (size.isascii() and size.isdigit()) or len(size) > 15:
        raise NotHTTP(data)
    return Sized(int(size))


def _words(value: str) -> list[str]:
    return [word.strip() for word in value.lower().split(",")] if value else []


class Sized:
    """A body whose length was announced."""

    __slots__ = ("_left", "done", "extra")

    broken = False

    def __init__(self, length: int) -> None:
        self._left = length
        self.done: bool = length == 0
        self.extra: bool = False

    def feed(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left <= 0:
            self.done, self.extra = True, self._left < 0
            return data[: self._left] if self.extra else data
        return data

    def end(self) -> None:
        raise Lost("the reply is shorter than announced")


class Endless:
    """A body that lasts until the peer hangs up."""

    __slots__ = ("done", "extra")

    broken = False

    def __init__(self) -> None:
        self.done: bool = False
        self.extra: bool = False

    def feed(self, data: bytes) -> bytes:
        return data

    def end(self) -> None:
        self.done = self.extra = True


class Chunked:
    """A body in chunks. All that have come are joined: what reads them has its own idea of pieces."""

    __slots__ = ("_left", "_rest", "_trailer", "broken", "done", "extra")

    def __init__(self) -> None:
        self._left = 0
        """Bytes of the present chunk that are still to come, the line break behind it included."""
        self._rest = b""
        """A line that has not come whole."""
        self._trailer = False
        self.broken: bool = False
        self.done: bool = False
        self.extra: bool = False

    def feed(self, data: bytes) -> bytes:
        if self._rest:
            data, self._rest = self._rest + data, b""
        pieces: list[bytes] = []
        at, size = 0, len(data)
        while at < size and not (self.done or self.broken):
            if not self._left:
                line = self._line(data, at)
                if line is None:
                    self._rest = data[at:]
                    break
                at = line.end()
            if self._left:
                at = self._payload(data, at, pieces)
        self.extra = self.done and at < size
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _line(self, data: bytes, at: int) -> re.Match[bytes] | None:
        """Read the line before a chunk, or one behind the last; ``None`` if it has not come whole."""
        line = (_LINE if self._trailer else _SIZE).match(data, at)
        if line is None:
            self.broken = b"\n" in data[at:] or len(data) - at > MAX_HEAD
        elif self._trailer:
            self.done = not line[1]
        elif size := int(line[1], 16):
            self._left = size + 2
        else:
            self._trailer = True
        return line

    def _payload(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Take what has come of a chunk; the position behind it."""
        end = at + self._left
        if end <= len(data) and self._left > 2:  # all of it
            pieces.append(data[at : end - 2])
            after = data[end - 2 : end]
        else:
            piece = data[at : max(at, end - 2)]
            after = data[at + len(piece) : end]
            end = at + len(piece) + len(after)
            if piece:
                pieces.append(piece)
        self._left -= end - at
        self.broken = bool(after) and not b"\r\n"[-self._left - len(after) :].startswith(after)
        return end

    def end(self) -> None:
        raise Lost("the reply's chunks are malformed" if self.broken else "it hung up in the middle of the reply")


__all__ = ["MAX_FIELDS", "MAX_HEAD", "Chunked", "Endless", "Framing", "Head", "Sized", "split"]
