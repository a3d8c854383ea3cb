"""Inputs changed where it hurts: JSON by its values, streams by their events, heads by their lines, and bytes.

Noise in bytes rarely gets behind a JSON parser. So a change keeps the form, most of the time, and spoils what is in it.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

Change = Callable[[bytes, Random], bytes]

ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 7, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 10**25, 0.5, -0.0, 1e308, 1e-320,
    float("nan"), float("inf"), "", " ", "x", "0", "-1", "1e9", "null", "[DONE]", "stop", "\0", "\ud83d",
    "\ud83d\ude00",
    "é" * 40, "\r\n\r\n", "data: {}\n\n", '{"a": 1}', "{", "9" * 60, [], {}, [[]], [None], [{}], {"": None},
    {"error": {}},
    {"type": "x"}, {"text": []}, ["x", 1],
)  # fmt: skip
"""What stands where nobody would put it."""
LARGEST = 16_000
"""Bytes to which an input may grow."""
TEXT = (
    b"[" * 400,
    b'{"a":' * 300,
    b"1" * 5000,
    b"1e999",
    b"-",
    b"NaN",
    b'"\\ud800"',
    b'"\\u0000"',
    b"\xff",
    b"\xed\xa0\x80",
)
"""What a JSON parser must take with care."""


def noise(data: bytes, chance: Random) -> bytes:
    """Some bytes changed, taken out, put in or doubled."""
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.choice((1, 1, 2, 8, 64)))
        piece = chance.choice(
            (b"", chance.randbytes(1), data[at:end] * 2, b"\n", b"\r", b"\0", b'"', b"\xff\xff\xff\xff")
        )
        data = data[:at] + piece + data[end:]
    return data


def document(data: bytes, chance: Random) -> bytes:
    """JSON with another value, another place for one, or something in it that is none."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return noise(data, chance)
    changed = json.dumps(_tree(value, chance), ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    if chance.random() < 0.05:
        at = changed.find(b":", chance.randrange(len(changed))) + 1
        changed = changed[:at] + chance.choice(TEXT) + changed[at:]
    return changed


def _tree(value: Any, chance: Random) -> Any:
    if not isinstance(value, dict | list) or not value:
        return chance.choice(ODD)
    holder, key = _place(value, chance)
    match chance.randrange(9):
        case 0:
            del holder[key]
        case 1:
            other, place = _place(value, chance)
            holder[key] = json.loads(json.dumps(other[place]))  # a copy: no tree is to stand in itself
        case 2:
            holder[key] = [holder[key]] * chance.choice((1, 2, 3))
        case 3:
            holder[key] = {str(chance.choice(ODD[:12])): holder[key]}
        case 4 if isinstance(holder, dict):
            other, place = _place(value, chance)
            holder[str(place) if chance.random() < 0.7 else "x"] = holder.pop(key)
        case 5 if isinstance(holder[key], str):
            holder[key] = _spoiled(holder[key], chance)
        case _:
            holder[key] = chance.choice(ODD)
    return value


def _place(value: Any, chance: Random) -> tuple[Any, Any]:
    """A place in a tree where a value stands: on the way down, more often deep than not."""
    while True:
        key = chance.choice(list(value)) if isinstance(value, dict) else chance.randrange(len(value))
        below = value[key]
        if not isinstance(below, dict | list) or not below or chance.random() < 0.25:
            return value, key
        value = below


def _spoiled(text: str, chance: Random) -> str:
    at = chance.randrange(len(text) + 1)
    return text[:at] + chance.choice(("", text, "\ud800", "\0", "\u2028", '"', "\\", "x" * 300)) + text[at + 1 :]


# --- streams ----------------------------------------------------------------------------------------------------


def _rearranged(pieces: list[bytes], chance: Random, change: Change) -> list[bytes]:
    """Pieces changed, cut, left out, doubled, or in another order."""
    at, other = chance.randrange(len(pieces)), chance.randrange(len(pieces))
    match chance.randrange(10):
        case 0:
            del pieces[at]
        case 1:
            pieces.insert(other, pieces[at])
        case 2:
            pieces[at], pieces[other] = pieces[other], pieces[at]
        case 3:
            del pieces[at:]
        case 4:
            pieces[at] = pieces[at][: chance.randrange(len(pieces[at]) + 1)]
        case _:
            pieces[at] = change(pieces[at], chance)
    return pieces


def sse(data: bytes, chance: Random) -> bytes:
    """Server-sent events."""
    return b"\n\n".join(_rearranged(data.replace(b"\r\n", b"\n").split(b"\n\n"), chance, _event))


def _event(piece: bytes, chance: Random) -> bytes:
    lines = piece.split(b"\n")
    at = chance.randrange(len(lines)) if chance.random() < 0.2 else len(lines) - 1
    name, colon, value = lines[at].partition(b": ")
    lines[at] = name + colon + (document(value, chance) if name == b"data" else noise(value, chance))
    return b"\n".join(lines)


def lines(data: bytes, chance: Random) -> bytes:
    """Lines of JSON."""
    return b"\n".join(_rearranged(data.split(b"\n"), chance, document))


def frames(data: bytes, chance: Random) -> bytes:
    """Frames of AWS's event stream, with checksums that fit."""
    return b"".join(_rearranged(list(_frames(data)), chance, _frame))


def _frames(data: bytes) -> Iterator[bytes]:
    while data:
        size = max(int.from_bytes(data[:4]), 16)
        yield data[:size]
        data = data[size:]
    yield b""


def _frame(frame: bytes, chance: Random) -> bytes:
    if len(frame) < 16:
        return chance.choice((b"", sealed(b"", b""), sealed(b"\x01a\x07\x00\x01b", b"{}")))
    end = 12 + int.from_bytes(frame[4:8])
    headers, payload = frame[12:end], frame[end:-4]
    if chance.random() < 0.3:
        headers = noise(headers, chance)
    else:
        payload = document(payload, chance)
    return sealed(headers, payload, len(headers) if chance.random() < 0.9 else chance.choice((0, 1, 2**31)))


def sealed(headers: bytes, payload: bytes, length: int | None = None) -> bytes:
    """A frame, that may lie about the length of its headers."""
    total = 16 + len(headers) + len(payload)
    begin = total.to_bytes(4) + (len(headers) if length is None else length).to_bytes(4)
    begin += zlib.crc32(begin).to_bytes(4) + headers + payload
    return begin + zlib.crc32(begin).to_bytes(4)


# --- HTTP and compression ---------------------------------------------------------------------------------------

HEADS = (
    b"content-length: 5", b"Content-Length: 05, 5", b"content-length: 99999999999999999999",
    b"transfer-encoding: chunked",
    b"Transfer-Encoding: gzip, chunked", b"connection: close", b" folded", b"\tfolded", b"x:", b":", b"x : y", b"",
    b"HTTP/1.0 200", b"HTTP/1.1 204 No", b"0", b"5;a=b", b"fffffffffffffff", b"-1", b"5\r", b"\x00", b"x: \xff\x80",
)  # fmt: skip


def reply(data: bytes, chance: Random) -> bytes:
    """The lines of an HTTP/1.1 reply, chunks and their sizes among them."""
    end = chance.choice((b"\r\n", b"\r\n", b"\n"))
    pieces = data.split(b"\r\n") if end == b"\r\n" else data.split(b"\n")
    return end.join(_rearranged(pieces, chance, lambda piece, chance: chance.choice((*HEADS, noise(piece, chance)))))


def packed(data: bytes, chance: Random) -> bytes:
    """Compressed data that is damaged, cut, padded, followed by more, or very much."""
    match chance.randrange(6):
        case 0:
            return data + chance.choice((data, b"\0" * 9, b"x", data[:11]))[:LARGEST]
        case 1:
            size = 5 * 10**6 if chance.random() < 0.002 else chance.choice((0, 1, 1000))
            return compressed(bytes(size) + chance.randbytes(9), chance)
        case 2:
            return compressed(data, chance)
        case 3:
            return data[: chance.randrange(len(data) + 1)]
        case _:
            return noise(data, chance)


def compressed(data: bytes, chance: Random) -> bytes:
    packer = zlib.compressobj(chance.choice((0, 1, 9)), wbits=chance.choice((31, 15, -15)))
    return packer.compress(data) + packer.flush()
