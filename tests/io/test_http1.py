"""Heads and bodies of HTTP/1.1: the same for any cut, the same as h11 reads them, and strict where it matters."""

from __future__ import annotations

import contextlib
from itertools import pairwise
from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsdk.errors import InvalidBody
from llmsdk.io.http1 import MAX_FIELDS, MAX_HEAD, Chunked, Endless, Head, Sized, split
from llmsdk.io.limit import Lost, NotHTTP

TOKEN = st.text("abcdefghijklmnopqrstuvwxyz-!#$0123456789", min_size=1, max_size=12)
VALUE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20).filter(
    lambda text: text.strip() == text and "\x85" not in text and "\xa0" not in text
)
FRAMED = {"content-length", "transfer-encoding", "connection"}


def head_of(lines: str) -> Head:
    found = split(lines.replace("\n", "\r\n").encode("latin-1"))
    assert found is not None
    return found[0]


def read(data: bytes, cuts: list[int]) -> tuple[int, dict[str, str], bytes, bool]:
    """A reply in pieces: status, headers, body, and whether the connection may be used again."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    pieces = [data[start:end] for start, end in pairwise(places)]
    held, head, body = b"", None, b""
    for piece in pieces:
        if head is None:
            held += piece
            found = split(held)
            if found is None:
                continue
            head, piece = found
        if piece and not head.framing.done:
            body += head.framing.feed(piece)
    assert head is not None
    return head.status, dict(head.headers), body, head.framing.done and head.keeps and not head.framing.extra


@st.composite
def replies(draw: Any) -> tuple[bytes, bytes]:
    """A reply with a length or in chunks, and its body."""
    body = draw(st.binary(max_size=200))
    names = draw(st.lists(TOKEN.filter(lambda name: name not in FRAMED), unique=True, max_size=5))
    fields = [f"{name}:{draw(st.sampled_from(['', ' ', chr(9)]))}{draw(VALUE)}" for name in names]
    if draw(st.booleans()):
        fields.append(f"Content-Length: {len(body)}")
        sent = body
    else:
        fields.append("Transfer-Encoding: Chunked")
        sent = b""
        at = 0
        while at < len(body):
            size = draw(st.integers(1, len(body) - at))
            extension = draw(st.sampled_from(["", ";a=b", " ;a"]))
            sent += f"{size:x}{extension}\r\n".encode() + body[at : at + size] + b"\r\n"
            at += size
        sent += b"0\r\n" + draw(st.sampled_from([b"", b"x: y\r\n"])) + b"\r\n"
    code = draw(st.sampled_from([200, 201, 400, 429, 503]))
    reason = draw(st.sampled_from(["", " ", " OK", " Not so well"]))
    return "\r\n".join([f"HTTP/1.1 {code}{reason}", *fields, "", ""]).encode("latin-1") + sent, body


@given(replies(), st.lists(st.integers(0, 1000), max_size=8))
def test_any_cut_gives_what_h11_reads(reply: tuple[bytes, bytes], cuts: list[int]) -> None:
    data, body = reply
    theirs = h11.Connection(h11.CLIENT)
    theirs.send(h11.Request(method="GET", target="/", headers=[("host", "h")]))
    theirs.send(h11.EndOfMessage())
    theirs.receive_data(data)
    response = theirs.next_event()
    assert isinstance(response, h11.Response)
    status, headers, read_body, again = read(data, cuts)
    assert status == response.status_code
    assert {name: value.encode("latin-1").lower() for name, value in headers.items()} == {
        bytes(name).decode(): bytes(value).lower() for name, value in response.headers
    }
    assert (read_body, again) == (body, True)


@given(st.binary(max_size=400), st.lists(st.integers(0, 1000), max_size=8))
def test_chunks_of_any_bytes_end_in_a_fault_of_ours_or_none(data: bytes, cuts: list[int]) -> None:
    with contextlib.suppress(Lost):
        read(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + data, cuts)


@given(st.binary(max_size=200))
def test_heads_of_any_bytes_end_in_a_fault_of_ours_or_none(data: bytes) -> None:
    for begin in (b"", b"HTTP/1.1 200 OK\r\n"):
        with contextlib.suppress(NotHTTP):
            split(begin + data + b"\r\n\r\n")


@pytest.mark.parametrize(
    "head",
    [
        "HTTP/1.1 200 OK\ncontent-length: 5\ncontent-length: 6\n\n",
        "HTTP/1.1 200 OK\ncontent-length: 5, 6\n\n",
        "HTTP/1.1 200 OK\ncontent-length: -5\n\n",
        "HTTP/1.1 200 OK\ncontent-length: +5\n\n",
        "HTTP/1.1 200 OK\ncontent-length: 0x5\n\n",
        "HTTP/1.1 200 OK\ncontent-length: ²\n\n",
        "HTTP/1.1 200 OK\ncontent-length:\n\n",
        "HTTP/1.1 200 OK\ntransfer-encoding: gzip, chunked\n\n",
        "HTTP/1.1 200 OK\ntransfer-encoding: chunked\ntransfer-encoding: chunked\n\n",
        "HTTP/1.1 200 OK\nname : value\n\n",
        "HTTP/1.1 200 OK\nbad name: value\n\n",
        "HTTP/1.1 200 OK\n: value\n\n",
        "HTTP/1.1 200 OK\nname: a\0b\n\n",
        "HTTP/2 200 OK\n\n",
        "HTTP/1.1 20 OK\n\n",
        "HTTP/1.1 2000 OK\n\n",
        "HTTP/1.1 200OK\n\n",
    ],
)
def test_heads_that_are_none(head: str) -> None:
    with pytest.raises(NotHTTP):
        head_of(head)


def test_a_head_without_end_is_none() -> None:
    assert split(b"HTTP/1.1 200 OK\r\nx: a") is None
    with pytest.raises(NotHTTP):
        split(b"SSH-2.0 " + b"a" * MAX_HEAD)


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
def test_heads_have_a_limit(end: bytes) -> None:
    begin, more = b"HTTP/1.1 200 OK\r\nx: ", MAX_HEAD - 19
    with pytest.raises(InvalidBody, match="larger than 65536"):
        split(begin + b"a" * more + end)
    if end:
        assert split(begin + b"a" * (more - 4) + end)
        line = b"HTTP/1.1 200 OK\r\n"
        assert split(line + b"x: a\r\n" * MAX_FIELDS + b"\r\n")
        with pytest.raises(InvalidBody, match="more than 256 headers"):
            split(line + b"x: a\r\n" * (MAX_FIELDS + 1) + b"\r\n")


def test_a_bare_line_feed_and_a_folded_line_are_read() -> None:
    found = split(b"HTTP/1.1 200\nA: 1\nB: 2\r\n  more\n\nrest")
    assert found is not None
    assert (dict(found[0].headers), found[1]) == ({"a": "1", "b": "2 more"}, b"rest")


@pytest.mark.parametrize(
    ("head", "kind", "keeps"),
    [
        ("HTTP/1.1 200 OK\ncontent-length: 5\n\n", Sized, True),
        ("HTTP/1.1 200 OK\ncontent-length: 5, 5\n\n", Sized, True),
        ("HTTP/1.1 200 OK\ncontent-length: 5\nconnection: keep-alive, Close\n\n", Sized, False),
        ("HTTP/1.1 200 OK\ncontent-length: 5\nconnection: x\nconnection: close\n\n", Sized, False),
        ("HTTP/1.0 200 OK\ncontent-length: 5\n\n", Sized, False),
        ("HTTP/1.1 200 OK\ncontent-length: 5\ntransfer-encoding: chunked\n\n", Chunked, False),
        ("HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n", Chunked, True),
        ("HTTP/1.1 200 OK\n\n", Endless, True),
        ("HTTP/1.1 204 No Content\ncontent-length: 5\n\n", Sized, True),
        ("HTTP/1.1 304 Not Modified\n\n", Sized, True),
    ],
)
def test_where_a_body_ends(head: str, kind: type, keeps: bool) -> None:
    found = head_of(head)
    assert (type(found.framing), found.keeps) == (kind, keeps)


def test_what_comes_behind_the_end_is_seen() -> None:
    for framing, data in ((Sized(2), b"okHTTP/1.1"), (Chunked(), b"2\r\nok\r\n0\r\n\r\nHTTP/1.1")):
        assert framing.feed(data) == b"ok"
        assert (framing.done, framing.extra) == (True, True)


@pytest.mark.parametrize("data", [b"x\r\n", b"-1\r\n", b"2\r\nokay\r\n", b"2\r\nok\n\n", b"1" * 16 + b"\r\n", b"\r\n"])
def test_chunks_that_are_none(data: bytes) -> None:
    whole, bytewise = Chunked(), Chunked()
    whole.feed(data)
    _ = [bytewise.feed(data[index : index + 1]) for index in range(len(data))]
    for framing in (whole, bytewise):
        assert framing.broken
        assert framing.feed(b"2\r\nok\r\n") == b"", "nothing is read behind it"
        with pytest.raises(Lost, match="malformed"):
            framing.end()


def test_what_came_before_a_bad_chunk_is_given() -> None:
    framing = Chunked()
    assert framing.feed(b"2\r\nok\r\n3\r\nyes\r\nzz\r\n") == b"okyes"
    assert (framing.broken, framing.done) == (True, False)
