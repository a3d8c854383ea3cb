"""No peer can hold a call past its limits, whatever it does at whatever moment."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
from wire import Peer, ask, clean, echo, post, timed

from llmsdk.errors import DeadlineExceeded, TimedOut
from llmsdk.health import is_alive
from llmsdk.io import Clock, Timeouts, closing

E = TypeVar("E", bound=Exception)
DEADLINE = 0.5
SLACK = 0.1


def held(error: type[E], attempt: Callable[[], Any], until: float = DEADLINE) -> E:
    """The error of an attempt, raised in time: in one of five attempts, for the machine may be busy with others."""
    for _ in range(5):
        began = time.monotonic()
        with pytest.raises(error) as caught:
            attempt()
        took = time.monotonic() - began
        assert took >= until - 0.01
        assert clean(caught.value)
        if took < until + SLACK:
            return caught.value
    raise AssertionError(f"it took {took:.3f} s, not {until} s")


def drips_head(peer: Peer) -> None:
    peer.request()
    peer.drip(b"HTTP/1.1 200 OK\r\nx-" + b"a" * 200, 0.1)


def drips_body(peer: Peer) -> None:
    peer.request()
    peer.reply(headers={"content-length": "200"})
    peer.drip(b"x" * 200, 0.1)


def drips_chunks(peer: Peer) -> None:
    peer.request()
    peer.reply(headers={"content-length": "", "transfer-encoding": "chunked"})
    peer.drip(b"1\r\nx\r\n" * 50, 0.02)


def is_silent(peer: Peer) -> None:
    peer.request()
    peer.gone()


def stops_half_way(peer: Peer) -> None:
    peer.request()
    peer.reply(b"half", headers={"content-length": "8"})
    peer.gone()


@pytest.mark.parametrize("handler", [drips_head, drips_body, drips_chunks, is_silent, stops_half_way])
def test_a_reply_that_never_ends(face: Any, serve: Any, handler: Any) -> None:
    server = serve(handler)
    error = held(DeadlineExceeded, lambda: face(lambda io: ask(io, post(server.url), timed(DEADLINE))))
    assert error.phase in ("send", "reply")  # a starved machine may use the time up while it sends
    assert error.sent


def test_a_request_that_nobody_reads(face: Any, serve: Any) -> None:
    server = serve(lambda peer: over.wait(20))
    over = threading.Event()
    body = b"x" * 30_000_000
    error = held(DeadlineExceeded, lambda: face(lambda io: ask(io, post(server.url, body), timed(DEADLINE))))
    over.set()
    assert (error.phase, error.sent) == ("send", True)


def test_a_request_that_is_read_in_drips(face: Any, serve: Any) -> None:
    def handler(peer: Peer) -> None:
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        while peer.sock.recv(4096):
            time.sleep(0.01)

    server = serve(handler)
    body = b"x" * 30_000_000
    held(DeadlineExceeded, lambda: face(lambda io: ask(io, post(server.url, body), timed(DEADLINE))))


@pytest.mark.parametrize("drip", [False, True])
def test_a_tls_handshake_that_never_ends(face: Any, serve: Any, ca_bundle: str, drip: bool) -> None:
    def handler(peer: Peer) -> None:
        if drip:
            peer.drip(b"\x16\x03\x03\x0f\xff\x02" + bytes(200), 0.05)
        else:
            peer.gone()

    server = serve(handler)
    url = server.url.replace("http:", "https:")
    request = post(url, ca_bundle=ca_bundle)
    error = held(DeadlineExceeded, lambda: face(lambda io: ask(io, request, timed(DEADLINE))))
    assert (error.phase, error.sent) == ("connect", False)


def test_drips_inside_tls(face: Any, serve: Any, ca_bundle: str, server_tls: ssl.SSLContext) -> None:
    server = serve(drips_body, server_tls)
    request = post(server.url, ca_bundle=ca_bundle)
    held(DeadlineExceeded, lambda: face(lambda io: ask(io, request, timed(DEADLINE))))


@pytest.fixture
def deaf() -> Iterator[str]:
    """A port whose queue is full, so that a further connection is never answered."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


def test_a_connection_that_is_never_made(face: Any, deaf: str) -> None:
    error = held(TimedOut, lambda: face(lambda io: ask(io, post(deaf), timed(10, connect=0.2))), 0.2)
    assert (error.phase, error.sent) == ("connect", False)
    late = held(DeadlineExceeded, lambda: face(lambda io: ask(io, post(deaf), timed(DEADLINE))))
    assert (late.phase, late.sent) == ("connect", False)


def test_a_name_that_is_never_resolved(face: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def look_up(*args: Any, **options: Any) -> Any:
        flags = options.get("flags") or (args[5] if len(args) > 5 else 0)
        if not flags & socket.AI_NUMERICHOST:  # which trio asks on its own thread first
            over.wait(10)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    try:
        with pytest.raises(TimedOut) as caught:
            face(lambda io: _release(ask(io, post("http://slow.example/"), timed(10, connect=0.3)), over))
    finally:
        over.set()
    assert (caught.value.phase, caught.value.sent) == ("connect", False)


async def _release(asking: Any, over: threading.Event) -> None:
    began = time.monotonic()
    try:
        await asking
    finally:
        assert time.monotonic() - began < 3  # the look-up itself lasts for ten seconds
        over.set()  # trio waits for its threads before it ends


def test_all_connections_in_use(face: Any, serve: Any) -> None:
    server = serve(drips_body)

    async def scenario(io: Any) -> None:
        first = await io.send(post(server.url, max_connections=1))
        async with closing(first):
            began = time.monotonic()
            with pytest.raises(DeadlineExceeded) as caught:
                await ask(io, post(server.url, max_connections=1), timed(0.3))
            assert time.monotonic() - began < 3  # the other one lasts for twenty seconds
            assert (caught.value.phase, caught.value.sent) == ("pool", False)
            with pytest.raises(TimedOut, match="no free connection within the total timeout") as timed_out:
                await ask(io, post(server.url, max_connections=1), Clock(time.monotonic, Timeouts(total=0.1)))
            assert (timed_out.value.phase, is_alive(timed_out.value)) == ("pool", None)

    face(scenario)


@pytest.mark.parametrize(
    ("limits", "phase"),
    [({"total": 0.3}, "total"), ({"first_token": 0.3}, "first_token"), ({"idle": 0.3}, "idle")],
)
def test_limits_of_an_attempt(face: Any, serve: Any, limits: dict[str, float], phase: str) -> None:
    def handler(peer: Peer) -> None:
        peer.request()
        peer.reply(b"x", headers={"content-length": "9"})
        peer.gone()

    server = serve(handler)

    async def scenario(io: Any) -> None:
        clock = timed(9, stream=True, **limits)
        async with closing(await io.within(clock).send(post(server.url))) as reply, closing(reply.chunks()) as chunks:
            assert await anext(chunks) == b"x"
            clock.content = phase == "idle"
            await anext(chunks)

    error = held(TimedOut, lambda: face(scenario), 0.3)
    assert (error.phase, error.sent) == (phase, True)
    assert phase in error.hint


def test_limits_of_calls_that_share_a_connection(face: Any, serve: Any) -> None:
    """Neither a longer limit nor a shorter one of the call before holds for the next."""

    def handler(peer: Peer) -> None:
        while asked := peer.request():
            if peer.gone(float(asked.body)):
                return
            peer.reply(asked.body)

    server = serve(handler)

    async def scenario(io: Any) -> None:
        for wait, deadline in ((0.0, 20.0), (0.0, 0.4), (0.6, 20.0)):
            clock = timed(deadline)
            assert await ask(io, post(server.url, str(wait).encode()), clock) == (200, str(wait).encode())
        assert clock.reused
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            await ask(io, post(server.url, b"9"), timed(0.3))
        assert time.monotonic() - began < 3

    face(scenario)
    assert server.connections == 1


def test_the_first_token_timeout_does_not_bound_a_buffered_reply(face: Any, serve: Any) -> None:
    def handler(peer: Peer) -> None:
        asked = peer.request()
        if asked and not peer.gone(0.3):
            peer.reply(asked.body)

    server = serve(handler)
    assert face(lambda io: ask(io, post(server.url), timed(5, first_token=0.1, idle=0.1)))[0] == 200


def test_no_limit_at_all(face: Any, serve: Any, ca_bundle: str, server_tls: ssl.SSLContext) -> None:
    server = serve(echo, server_tls)
    clock = timed(connect=None, first_token=None, idle=None, total=None)
    assert face(lambda io: ask(io, post(server.url, ca_bundle=ca_bundle), clock))[0] == 200


def test_a_deadline_already_over_opens_nothing(face: Any, serve: Any) -> None:
    server = serve(echo)
    with pytest.raises(DeadlineExceeded):
        face(lambda io: ask(io, post(server.url), timed(-1)))
    assert server.connections == 0
