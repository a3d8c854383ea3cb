"""Requests and replies over real sockets, on every face."""

from __future__ import annotations

import gzip
import os
import random
import zlib
from typing import Any

import pytest
from wire import Peer, ask, clean, echo, post, timed

from llmsdk.errors import (
    ConfigError,
    Disconnected,
    InputError,
    InvalidBody,
    Redirected,
    ResponseTooLarge,
)
from llmsdk.io import HTTPRequest, closing

CHOOSE = random.Random(7).choice  # noqa: S311 - the same words in every run
WORDS = b" ".join(CHOOSE([b"one", b"two", "三".encode()]) for _ in range(4000))


def chunked(data: bytes, size: int) -> bytes:
    parts = [data[index : index + size] for index in range(0, len(data), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def test_a_request_arrives_as_it_was_made(face: Any, serve: Any) -> None:
    server = serve(echo)
    request = HTTPRequest("POST", f"{server.url}?key=1", [(b"X-One", b"1"), (b"Authorization", b"Bearer k")], b"body")

    async def scenario(io: Any) -> None:
        clock = timed()
        reply = await io.within(clock).send(request)
        async with closing(reply):
            assert reply.status == 200
            assert reply.headers["content-length"] == "4"
            assert await reply.read() == b"body"
        assert (clock.sent, clock.reused) == (True, False)
        assert clock.received > 4

    face(scenario)
    (asked,) = server.requests
    assert (asked.method, asked.target, asked.body) == ("POST", "/v1/chat?key=1", b"body")
    assert asked.headers == {
        "host": f"127.0.0.1:{server.port}",
        "x-one": "1",
        "authorization": "Bearer k",
        "accept-encoding": "gzip, deflate",
        "content-length": "4",
    }


def test_get_has_no_body(face: Any, serve: Any) -> None:
    server = serve(echo)
    assert face(lambda io: ask(io, HTTPRequest("GET", server.url, []))) == (200, b"")
    assert "content-length" not in server.requests[0].headers


@pytest.mark.parametrize("size", [1, 7, 5000])
@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("", bytes),
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("x-gzip", lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:]) + b"\0\0"),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
    ],
)
def test_bodies_are_unpacked(face: Any, serve: Any, encoding: str, pack: Any, size: int) -> None:
    def handler(peer: Peer) -> None:
        while peer.request():
            peer.reply(chunked(pack(WORDS[:6000]), size), headers=head)

    head = {"content-length": "", "transfer-encoding": "chunked", "content-encoding": encoding}
    server = serve(handler)
    assert face(lambda io: ask(io, post(server.url))) == (200, WORDS[:6000])


def test_chunks_come_as_they_are_sent(face: Any, serve: Any) -> None:
    """The second half is sent only when the client has said, over another connection, that it has the first."""

    def handler(peer: Peer) -> None:
        asked = peer.request()
        if asked is None or asked.body == b"go on":
            return
        packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
        first = packer.compress(b"first") + packer.flush(zlib.Z_SYNC_FLUSH)
        peer.reply(headers={"content-length": "", "connection": "close", "content-encoding": "gzip"})
        peer.send(first)
        while len(peer.server.requests) < 2 and not peer.gone(0.01):
            pass
        peer.send(packer.compress(b"second") + packer.flush())

    server = serve(handler)

    async def scenario(io: Any) -> list[bytes]:
        seen = []
        async with closing(await io.send(post(server.url))) as reply, closing(reply.chunks()) as chunks:
            async for chunk in chunks:
                seen.append(chunk)
                if len(seen) == 1:
                    with pytest.raises(Disconnected):
                        await io.send(post(server.url, b"go on"))
        return seen

    assert face(scenario) == [b"first", b"second"]


def test_a_reply_without_length_ends_with_the_connection(face: Any, serve: Any) -> None:
    def handler(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")

    assert face(lambda io: ask(io, post(serve(handler).url))) == (200, b"all of it")


@pytest.mark.parametrize("status", [301, 302, 303, 304, 307, 308])
def test_redirects_are_not_followed(face: Any, serve: Any, status: int) -> None:
    target = serve(echo)

    def handler(peer: Peer) -> None:
        while peer.request():
            peer.reply(status=status, headers={"location": f"{target.url}?key=sk-secret"})

    server = serve(handler)
    with pytest.raises(Redirected) as caught:
        face(lambda io: ask(io, post(server.url)))
    assert caught.value.status == status
    assert f"127.0.0.1:{target.port}" in str(caught.value)
    assert "sk-secret" not in str(caught.value)
    assert "base_url" in caught.value.hint
    assert target.connections == 0


@pytest.mark.parametrize(
    "words",
    [b"SSH-2.0-OpenSSH_9.6\r\n", b"220 mail ESMTP\r\n", b"\x15\x03\x01\x00\x02\x02P", b"-ERR unknown command\r\n"],
)
def test_a_peer_that_is_not_http(face: Any, serve: Any, words: bytes) -> None:
    def handler(peer: Peer) -> None:
        peer.send(words)
        peer.gone()

    server = serve(handler)
    with pytest.raises(InvalidBody) as caught:
        face(lambda io: ask(io, post(server.url), timed(5)))
    assert f"127.0.0.1:{server.port} answered" in caught.value.message
    assert "port" in caught.value.hint


def test_words_of_the_peer_are_shown_without_the_key(face: Any, serve: Any) -> None:
    def handler(peer: Peer) -> None:
        asked = peer.request()
        assert asked
        peer.send(b"ECHO " + asked.body + b"\r\n")

    server = serve(handler)
    with pytest.raises(InvalidBody) as caught:
        face(lambda io: ask(io, post(server.url, b"sk-0123456789", secrets=("sk-0123456789",))))
    assert "ECHO" in caught.value.message
    assert "0123456789" not in caught.value.message


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort", Disconnected),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", Disconnected),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n", Disconnected),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello", InvalidBody),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + gzip.compress(WORDS)[:-9], InvalidBody),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: deflate\r\n\r\n" + zlib.compress(WORDS) + b"more", InvalidBody),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: deflate\r\n\r\nx", InvalidBody),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 5\r\n\r\nhello", InvalidBody),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", InvalidBody),
        (b"HTTP/1.1 abc OK\r\n\r\n", InvalidBody),
        (b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", InvalidBody),
        (b"HTTP/1.1 2", Disconnected),
        (b"", Disconnected),
    ],
)
def test_damaged_replies(face: Any, serve: Any, reply: bytes, error: type[Exception]) -> None:
    def handler(peer: Peer) -> None:
        peer.request()
        peer.send(reply)

    server = serve(handler)
    with pytest.raises(error) as caught:
        face(lambda io: ask(io, post(server.url)))
    if isinstance(caught.value, Disconnected):
        assert caught.value.sent
        assert not caught.value.stale
    assert clean(caught.value)


def test_an_early_refusal_is_read_though_the_body_was_not_taken(face: Any, serve: Any) -> None:
    def handler(peer: Peer) -> None:
        peer.sock.recv(1000)
        peer.reply(b"too big", 413, {"connection": "close"})
        peer.gone(0.2)

    status, _ = face(lambda io: ask(io, post(serve(handler).url, b"x" * 5_000_000), timed(5)))
    assert status == 413


def test_reading_stops_at_the_limit(face: Any, serve: Any) -> None:
    gone = []

    def handler(peer: Peer) -> None:
        asked = peer.request()
        assert asked
        peer.send(b"HTTP/1.1 200 OK\r\n" + asked.body + b"\r\n\r\n")
        while peer.send(b"x" * 10_000):
            pass
        gone.append(True)

    server = serve(handler)

    async def scenario(io: Any) -> None:
        for head in (b"content-length: 100000000", b"x: y"):
            async with closing(await io.within(timed(10)).send(post(server.url, head))) as reply:
                with pytest.raises(ResponseTooLarge):
                    await reply.read(50_000)
        reply = await io.send(post(server.url, b"content-length: 50000"))
        async with closing(reply):
            assert len(await reply.read(50_000)) == 50_000

    face(scenario)
    server.__exit__()
    assert len(gone) == 3


def packed(kind: str, block: bytes) -> bytes:
    """24 MiB of a block."""
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16 if kind == "gzip" else zlib.MAX_WBITS)
    return b"".join([*(packer.compress(block * (2**20 // len(block))) for _ in range(24)), packer.flush()])


@pytest.mark.parametrize("kind", ["gzip", "deflate"])
def test_a_bomb_costs_no_memory(face: Any, serve: Any, kind: str) -> None:
    blocks = b"0123456789abcdef", b"\0", os.urandom(2**9) + bytes(2**15 - 2**9)
    bombs = iter([packed(kind, block) for block in blocks])

    def handler(peer: Peer) -> None:
        while peer.request():
            peer.reply(next(bombs), headers={"content-encoding": kind})

    server = serve(handler)

    async def scenario(io: Any) -> int:
        async with closing(await io.send(post(server.url))) as reply:
            with pytest.raises(ResponseTooLarge, match="than 1048576 bytes"):
                await reply.read(2**20)
        largest = total = 0
        async with closing(await io.send(post(server.url))) as reply, closing(reply.chunks()) as chunks:
            with pytest.raises(ResponseTooLarge, match=f"{kind} unpack to more than 200 times"):  # noqa: PT012
                async for chunk in chunks:
                    total += len(chunk)
        assert total < 6 * 2**20
        total = 0
        async with closing(await io.send(post(server.url))) as reply, closing(reply.chunks()) as chunks:
            async for chunk in chunks:
                largest, total = max(largest, len(chunk)), total + len(chunk)
        assert total == 24 * 2**20
        return largest

    assert face(scenario) <= 256 * 1024


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"Authorization", b"Bearer sk-1\r\nX-Evil: 1"),
        (b"Authorization", b"Bearer sk-1\n"),
        (b"Authorization", b"Bearer sk\x001"),
        (b"Authorization", b" Bearer sk-1"),
        (b"X Y", b"1"),
        (b"", b"1"),
        (b"Content-Length", b"3"),
        (b"Transfer-Encoding", b"chunked"),
    ],
)
def test_headers_that_http_forbids(face: Any, serve: Any, name: bytes, value: bytes) -> None:
    server = serve(echo)
    with pytest.raises(InputError) as caught:
        face(lambda io: ask(io, HTTPRequest("POST", server.url, [(name, value)], b"{}")))
    assert "sk" not in str(caught.value)
    assert server.connections == 0


def test_values_beyond_ascii_pass(face: Any, serve: Any) -> None:
    server = serve(echo)
    face(lambda io: ask(io, HTTPRequest("POST", server.url, [(b"X-Name", "žluťoučký".encode())], b"{}")))
    assert server.requests[0].headers["x-name"].encode("latin-1").decode() == "žluťoučký"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/x",
        "example.com/v1",
        "http://",
        "https://h:99999/",
        "https://u:sk-1@h/",
        "http://h/a b",
        "http://h/\n",
        "http://hé/",
        "http://h/é",
        "http://a..b/",
        "https://h/#part",
        "http://[::1/",
        "http://-a/",
        f"http://{'a' * 64}/",
    ],
)
def test_urls_that_cannot_be_asked(face: Any, url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        face(lambda io: ask(io, post(url)))
    assert caught.value.hint
    assert "sk-1" not in str(caught.value)
