"""What is changed: recorded traffic, and small things of our own."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import recorded
from fuzzing import changes
from fuzzing.hosts import HOSTS, OPERATIONS, OWN, Reader

LARGEST = 3_000
"""Bytes of a seed. A longer reply has nothing that these have not, and takes longer."""
MOST = 120
"""Seeds of one kind, the shortest first."""


def of_host(shared: Path | None, name: str, reader: Reader) -> list[bytes]:
    """Replies that fit a dialect, each behind the byte that says what was asked."""
    found = [(operation, body) for operation, bodies in OWN.items() for body in bodies]
    if shared is not None:
        found += _recorded(shared, name)
    ways = {operation: bytes([reader.names.index(operation)]) for operation in reader.names}
    return [ways[operation] + body for operation, body in found if operation in ways]


def _recorded(shared: Path, name: str) -> Iterator[tuple[str, bytes]]:
    for provider, endpoint in HOSTS[name].recorded:
        operation = next((each for end, each in OPERATIONS.items() if endpoint.endswith(end)), "")
        groups: dict[str, set[bytes]] = {}
        for item in recorded.load(shared, provider, endpoint):
            streamed = item.streamed or endpoint in ("/converse-stream", "/api/chat")
            kind = "refused" if item.status >= 300 else operation or ("stream" if streamed else "whole")
            if 0 < len(item.body) <= LARGEST:
                groups.setdefault(kind, set()).add(item.body)
        for kind, bodies in groups.items():
            yield from ((kind, body) for body in sorted(bodies, key=len)[:MOST])


@lru_cache(maxsize=8)
def streams(shared: Path | None, name: str) -> tuple[bytes, ...]:
    """Recorded streams of a dialect, without the byte."""
    if shared is None:
        return ()
    return tuple(body for kind, body in _recorded(shared, name) if kind == "stream")


def sse(shared: Path | None) -> list[bytes]:
    own = [
        b"data: x\n\n",
        b"\xef\xbb\xbf:c\r\nevent: e\r\ndata: a\r\ndata: b\r\n\r\n",
        b"data\n\ndata:\rdata: x\r\r",
        b"",
    ]
    return [bytes([way]) + body for way in (0, 64, 65, 200) for body in (*own, *streams(shared, "openai")[:8])]


def ndjson(shared: Path | None) -> list[bytes]:
    own = [b'{"a": 1}\n{"b": 2}\r\n\n {"c": 3} \n', b""]
    return [bytes([way]) + body for way in (0, 64, 67, 200) for body in (*own, *streams(shared, "ollama")[:8])]


def frames(shared: Path | None) -> list[bytes]:
    text = b"\x0b:event-type\x07\x00\x04text" + b"\x0d:message-type\x07\x00\x05event"
    numbers = (
        b"\x01a\x00\x01b\x01\x01c\x02x\x01d\x03xx\x01e\x04xxxx\x01f\x05xxxxxxxx\x01g\x06\x00\x02xx\x01h\x09" + b"x" * 16
    )
    fault = b"\x0d:message-type\x07\x00\x09exception\x0f:exception-type\x07\x00\x01E"
    own = [changes.sealed(headers, b'{"a": 1}') for headers in (text, numbers, fault, b"")]
    return [bytes([way]) + body for way in (0, 66, 200) for body in (*own, *streams(shared, "bedrock")[:8])]


def http(shared: Path | None) -> list[bytes]:
    del shared
    bodies = [
        b"HTTP/1.1 200 OK\r\nContent-Type: x\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nx: y\r\n\r\n",
        b"HTTP/1.0 404 Not Found\nx: a\n folded\n\nuntil the end",
        b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n",
        b"HTTP/1.1 429 Slow\r\nretry-after: 2\r\ncontent-length: 2, 2\r\n\r\n{}",
    ]
    return [bytes([way]) + body for way in (0, 64, 65, 66, 200, 230) for body in bodies]


def compressed(shared: Path | None) -> list[bytes]:
    bodies = [b"", b"hello " * 30, *streams(shared, "openai")[:3]]
    bare = zlib.compressobj(wbits=-15)
    raw = bare.compress(b"hello " * 30) + bare.flush()
    packed = [(0, gzip.compress(body, mtime=0)) for body in bodies] + [(1, zlib.compress(body)) for body in bodies]
    packed += [(0, gzip.compress(b"a", mtime=0) * 3 + b"\0" * 5), (1, raw)]
    return [bytes([way + more]) + body for way, body in packed for more in (0, 64, 66, 200)]
