"""A client that the user made is used as it is."""

from __future__ import annotations

import gzip
import time
from typing import Any

import httpx2
import pytest
from wire import Peer, ask, clean, echo, post, timed

from llmsdk.errors import ConfigError, ConnectFailed, Disconnected, Redirected, ResponseTooLarge, TimedOut
from llmsdk.io import closing

# httpx2 leaves the generators of a reply that is not read to its end to the garbage collector, and trio says so.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'httpcore2:ResourceWarning")


def client(face: Any, **options: Any) -> Any:
    return httpx2.Client(**options) if face.name == "sync" else httpx2.AsyncClient(**options)


async def close(client: Any) -> None:
    client.close() if isinstance(client, httpx2.Client) else await client.aclose()


def test_it_sends(face: Any, serve: Any) -> None:
    server = serve(echo)
    own = client(face, headers={"X-Mine": "1", "User-Agent": "mine/1"})

    async def scenario(io: Any) -> None:
        for _ in range(2):
            clock = timed(5)
            assert await ask(io, post(server.url, b"one", client=own), clock) == (200, b"one")
            assert clock.sent
            assert clock.received == 3
        await close(own)

    face(scenario)
    assert server.connections == 1
    asked = server.requests[0]
    assert (asked.headers["x-mine"], asked.headers["user-agent"]) == ("1", "mine/1")
    assert asked.headers["content-type"] == "application/json"


def test_its_replies_are_like_ours(face: Any, serve: Any) -> None:
    def handler(peer: Peer) -> None:
        while peer.request():
            peer.reply(gzip.compress(b"x" * 100_000), 200, {"Content-Encoding": "gzip", "X-Two": "b"})

    server = serve(handler)
    own = client(face)

    async def scenario(io: Any) -> None:
        request = post(server.url, client=own)
        async with closing(await io.send(request)) as reply:
            assert reply.headers["x-two"] == "b"
            assert await reply.read() == b"x" * 100_000
        async with closing(await io.send(request)) as reply:
            with pytest.raises(ResponseTooLarge):
                await reply.read(1000)
        async with closing(await io.send(request)) as reply, closing(reply.chunks()) as chunks:
            async for _ in chunks:
                break
        assert (await ask(io, request))[0] == 200
        await close(own)

    face(scenario)


def test_its_errors_become_ours(face: Any, serve: Any) -> None:
    def hangs_up(peer: Peer) -> None:
        peer.request()

    def redirects(peer: Peer) -> None:
        peer.request()
        peer.reply(status=307, headers={"location": "https://elsewhere.example/"})

    def stalls(peer: Peer) -> None:
        peer.request()
        peer.reply(b"half", headers={"content-length": "8"})
        peer.gone()

    own = client(face, follow_redirects=True)

    async def scenario(io: Any) -> None:
        with pytest.raises(Disconnected) as lost:
            await ask(io, post(serve(hangs_up).url, client=own))
        assert lost.value.sent
        assert not lost.value.stale
        assert clean(lost.value)
        with pytest.raises(Redirected):
            await ask(io, post(serve(redirects).url, client=own))
        with pytest.raises(ConnectFailed) as refused:
            await ask(io, post("http://127.0.0.1:9/", client=own))
        assert not refused.value.sent
        with pytest.raises(TimedOut):
            await ask(io, post(serve(stalls).url, client=own), timed(total=0.3))
        await close(own)

    began = time.monotonic()
    face(scenario)
    assert time.monotonic() - began < 8


def test_the_deadline_holds_between_chunks(face: Any, serve: Any) -> None:
    def handler(peer: Peer) -> None:
        peer.request()
        peer.reply(headers={"content-length": "500"})
        peer.drip(b"x" * 500, 0.03)

    own = client(face)

    async def scenario(io: Any) -> None:
        with pytest.raises(TimedOut):
            await ask(io, post(serve(handler).url, client=own), timed(total=0.3))
        await close(own)

    began = time.monotonic()
    face(scenario)
    assert time.monotonic() - began < 8


def test_the_wrong_kind_is_refused(face: Any) -> None:
    wrong = httpx2.AsyncClient() if face.name == "sync" else httpx2.Client()
    for thing in (wrong, object(), "client"):
        with pytest.raises(ConfigError, match="http_client"):
            face(lambda io, thing=thing: ask(io, post("https://api.example/", client=thing)))
