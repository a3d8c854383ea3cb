"""Decompression in bounded pieces, and of no bombs: a small body that unpacks to gigabytes costs no memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

from llmsdk.errors import InvalidBody, ResponseTooLarge

PIECE = 256 * 1024
"""Bytes that one step unpacks at most."""
RATIO = 200
"""How many times larger than what came a body may be. Embeddings in JSON have 3, the same word over and over 50."""
FREE = 4 * 2**20
"""Bytes that may be unpacked whatever the ratio."""


class Decoder:
    """Unpacks ``gzip`` or ``deflate`` as it comes.

    Raises:
        InvalidBody: the data is damaged or cut.
        ResponseTooLarge: it unpacks to what nothing but a bomb would.
    """

    __slots__ = ("_came", "_head", "_inflate", "_kind", "_unpacked", "_whole")

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16) if kind == "gzip" else None
        self._head = b""
        self._whole = True
        self._came = self._unpacked = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Unpack ``data`` into pieces of at most ``PIECE`` bytes."""
        self._came += len(data)
        if self._whole and self._kind == "gzip":
            data = data.lstrip(b"\0")  # padding between members
        if self._inflate is None:
            data = self._head = self._head + data
            self._whole = not data
            if len(data) < 2:
                return
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS if _is_zlib(data) else -zlib.MAX_WBITS)
        full = False
        while data or full:
            self._whole = False
            before = self._inflate.copy()
            try:
                piece = self._inflate.decompress(data, PIECE)
            except zlib.error as error:
                yield from _undamaged(before, data)
                raise InvalidBody(f"the {self._kind} body is damaged: {error}") from None
            if piece:
                self._count(len(piece))
                yield piece
            full = len(piece) == PIECE
            data = self._inflate.unconsumed_tail
            if self._inflate.eof:
                self._whole, full = True, False
                data = self._next_member()

    def _count(self, size: int) -> None:
        self._unpacked += size
        if self._unpacked > max(FREE, RATIO * self._came):
            came = f"{self._came} bytes of {self._kind} unpack to more than {RATIO} times as much"
            raise ResponseTooLarge(f"the reply is larger than what it may be: {came}")

    def _next_member(self) -> bytes:
        assert self._inflate is not None
        rest = self._inflate.unused_data
        if self._kind == "gzip":
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
            return rest.lstrip(b"\0")
        if rest:
            raise InvalidBody("there are bytes behind the end of the deflate body")
        return b""

    def finish(self) -> None:
        """Say that the body is over.

        Raises:
            InvalidBody: the compressed data is not.
        """
        if not self._whole:
            raise InvalidBody(f"the {self._kind} body ends too early")


def _undamaged(inflate: Any, data: bytes) -> Iterator[bytes]:
    """What was packed before the damage, which zlib keeps to itself where both come together."""
    try:
        for at in range(len(data)):
            if piece := inflate.decompress(data[at : at + 1], PIECE):
                yield piece
    except zlib.error:
        return


def _is_zlib(head: bytes) -> bool:
    """Whether it begins with a zlib header; some servers send bare deflate under the same name."""
    return head[0] & 0x0F == 8 and int.from_bytes(head[:2], "big") % 31 == 0


def decoder(encoding: str, quote: Callable[[str], str] = repr) -> Decoder | None:
    """A decoder for a Content-Encoding, ``None`` where nothing is encoded. ``quote`` shows words of the peer.

    Raises:
        InvalidBody: an encoding that was not asked for.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return Decoder("gzip")
        case "deflate":
            return Decoder("deflate")
        case _:
            words = quote(encoding.strip())
            raise InvalidBody(f"the reply is encoded as {words}, though only gzip and deflate were asked for")


__all__ = ["Decoder", "decoder"]
