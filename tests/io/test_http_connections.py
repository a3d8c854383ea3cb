"""Connections are reused, noticed when stale, closed at once, and never shared where they must not be."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import os
import random
import socket
import ssl
import struct
import threading
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import anyio
import pytest
from wire import Peer, ask, clean, echo, post, proxy, timed

from llmsdk.errors import ClientClosed, ConnectFailed, Disconnected
from llmsdk.io import HTTPRequest, closing, dial, origin, protocol, streams
from llmsdk.io.drive import Steps, drive
from llmsdk.io.loop import LoopIO
from llmsdk.io.pools import Pools
from llmsdk.io.streams import LoopNetwork
from llmsdk.io.sync import SyncIO


def test_a_connection_is_used_again(face: Any, serve: Any) -> None:
    server = serve(echo)

    async def scenario(io: Any) -> list[bool]:
        reused = []
        for _ in range(3):
            clock = timed()
            await ask(io, post(server.url), clock)
            reused.append(clock.reused)
        return reused

    assert face(scenario) == [False, True, True]
    assert server.connections == 1


def test_different_options_use_different_connections(face: Any, serve: Any) -> None:
    server = serve(echo)

    async def scenario(io: Any) -> None:
        for limit in (1, 2, 1, None):
            await ask(io, post(server.url, max_connections=limit))

    face(scenario)
    assert server.connections == 3


def test_a_connection_that_the_server_closed_is_not_used_again(face: Any, serve: Any) -> None:
    hung_up = threading.Event()

    def handler(peer: Peer) -> None:
        asked = peer.request()
        assert asked
        peer.reply(asked.body)
        peer.sock.close()
        hung_up.set()

    server = serve(handler)

    async def scenario(io: Any) -> None:
        await ask(io, post(server.url))
        hung_up.wait(5)
        clock = timed()
        await ask(io, post(server.url), clock)
        assert not clock.reused

    face(scenario)


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_F004_a_used_connection_that_closes_under_a_request_may_have_run_it(face: Any, serve: Any, method: str) -> None:
    """The server hangs up once the second request has come: what only asks for something may be sent again."""

    def handler(peer: Peer) -> None:
        asked = peer.request()
        assert asked
        peer.reply(asked.body)
        peer.request()

    server = serve(handler)

    async def scenario(io: Any) -> Disconnected:
        await ask(io, post(server.url))
        with pytest.raises(Disconnected) as caught:
            await ask(io, HTTPRequest(method, server.url, []))
        return caught.value

    error = face(scenario)
    assert (error.stale, error.sent) == (method == "GET", True)
    assert clean(error)


@pytest.mark.parametrize("reused", [True, False])
def test_F004_a_request_that_did_not_get_out_whole_did_not_run(
    face: Any, serve: Any, monkeypatch: pytest.MonkeyPatch, reused: bool
) -> None:
    """The connection is dead when the request is written, as if it had died in the moment before."""
    dead = threading.Event()

    def handler(peer: Peer) -> None:
        if reused:
            asked = peer.request()
            assert asked
            peer.reply(asked.body)
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.sock.close()
        time.sleep(0.02)  # until its word has come
        dead.set()

    server = serve(handler)
    for kind in (dial.Blocking, protocol.Connection, streams.Direct):
        monkeypatch.setattr(kind, "stale", lambda stream: False)
    opened = origin.Origin._connect

    async def connect(self: Any, limit: Any) -> Any:
        stream = await opened(self, limit)
        if not reused:
            dead.wait(5)
        return stream

    monkeypatch.setattr(origin.Origin, "_connect", connect)

    async def scenario(io: Any) -> Any:
        if reused:
            await ask(io, post(server.url))
            dead.wait(5)
        with pytest.raises((Disconnected, ConnectFailed)) as caught:
            await ask(io, post(server.url, b"x" * 2_000_000))
        return caught.value

    error = face(scenario)
    assert (getattr(error, "stale", False), error.sent) == (reused, False)
    assert len(server.requests) == int(reused)


def test_F007_what_comes_on_an_idle_connection_is_no_reply(face: Any, serve: Any) -> None:
    said = threading.Event()

    def handler(peer: Peer) -> None:
        while asked := peer.request():
            peer.reply(asked.body)
            time.sleep(0.02)
            peer.reply(b"not yours")
            said.set()

    server = serve(handler)

    async def scenario(io: Any) -> None:
        for number in range(3):
            said.clear()
            clock = timed(5)
            assert await ask(io, post(server.url, b"%d" % number), clock) == (200, b"%d" % number)
            assert not clock.reused
            said.wait(5)
            await io.sleep(0.02)

    face(scenario)
    assert server.connections == 3


def test_F007_a_second_reply_behind_the_first_one_in_tls(
    face: Any, serve: Any, server_tls: Any, ca_bundle: str
) -> None:
    """Both come in one packet, each in a record of its own: what is not read yet is in no socket."""

    def handler(peer: Peer) -> None:
        sock, incoming, outgoing = peer.sock, ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = server_tls.wrap_bio(incoming, outgoing, server_side=True)

        def pumped(call: Any, *args: Any) -> Any:
            while True:
                try:
                    return call(*args)
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    data = sock.recv(65536)
                    if not data:
                        return b""
                    incoming.write(data)

        pumped(tls.do_handshake)
        while data := pumped(tls.read, 65536):
            body = data.partition(b"\r\n\r\n")[2]
            tls.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            tls.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nnot yours")
            sock.sendall(outgoing.read())

    server = serve(handler)
    url = server.url.replace("http", "https")

    async def scenario(io: Any) -> None:
        for number in range(3):
            clock = timed(5)
            assert await ask(io, post(url, b"%d" % number, ca_bundle=ca_bundle), clock) == (200, b"%d" % number)
            assert not clock.reused

    face(scenario)
    assert server.connections == 3


@pytest.mark.parametrize(("status", "first"), [(200, False), (413, False), (200, True)])
def test_F007_a_reply_to_half_a_request_is_a_refusal_or_none(face: Any, serve: Any, status: int, first: bool) -> None:
    """On a connection that was used before, a reply before the request is out belongs to nothing that was asked."""

    def handler(peer: Peer) -> None:
        if not first:
            peer.request()
            peer.reply(b"ok")
        while b"\r\n\r\n" not in peer._buffer:
            peer._more()
        peer.reply(b"early", status)
        time.sleep(0.05)  # it is there before the rest can be
        peer.request()

    server = serve(handler)

    async def scenario(io: Any) -> Any:
        if not first:
            await ask(io, post(server.url))
        return await ask(io, post(server.url, b"x" * 8_000_000), timed(5))

    if status == 200 and not first:
        with pytest.raises(Disconnected, match="before the request was out") as caught:
            face(scenario)
        assert (caught.value.sent, caught.value.stale) == (True, False)
    else:
        assert face(scenario) == (status, b"early")


@pytest.mark.parametrize(("said", "reused"), [("timeout=1", False), ("max=5, timeout = 9", True), ("timeout=x", True)])
def test_F004_a_connection_is_not_used_in_the_last_second_that_its_peer_keeps_it(
    face: Any, serve: Any, said: str, reused: bool
) -> None:
    def handler(peer: Peer) -> None:
        while asked := peer.request():
            peer.reply(asked.body, headers={"keep-alive": said})

    server = serve(handler)

    async def scenario(io: Any) -> None:
        await ask(io, post(server.url))
        clock = timed(5)
        await ask(io, post(server.url), clock)
        assert clock.reused is reused

    face(scenario)


@pytest.mark.parametrize("more", [b"junk", b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad"])
def test_a_connection_with_words_behind_the_reply_is_not_used_again(face: Any, serve: Any, more: bytes) -> None:
    """They would be taken for the reply to the next request."""

    def handler(peer: Peer) -> None:
        while asked := peer.request():
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n" + asked.body + more)

    server = serve(handler)

    async def scenario(io: Any) -> None:
        for _ in range(3):
            clock = timed(5)
            assert await ask(io, post(server.url), clock) == (200, b"{}")
            assert not clock.reused

    face(scenario)


def test_a_connection_unused_for_long_is_closed(face: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "KEEP_IDLE", 0.02)
    gone: list[float] = []

    def handler(peer: Peer) -> None:
        echo(peer)
        gone.append(time.monotonic())

    server = serve(handler)

    async def scenario(io: Any) -> None:
        await io.gather([lambda: ask(io, post(server.url), timed(5))] * 3, 3)
        await io.sleep(0.05)
        clock = timed(5)
        await ask(io, post(server.url), clock)
        assert not clock.reused

    face(scenario)
    server.__exit__()
    assert len(gone) == server.connections >= 2


def test_headers_that_differ_from_call_to_call(face: Any, serve: Any) -> None:
    """Heads are kept prebuilt, as many as make sense."""
    server = serve(echo)

    async def scenario(io: Any) -> None:
        for number in range(origin.HEADS + 3):
            await ask(io, HTTPRequest("POST", server.url, ((b"X-Number", b"%d" % number),), b"{}"))
            await ask(io, HTTPRequest("POST", server.url, ((b"X-Number", b"0"),), b"{}"))

    face(scenario)
    numbers = [int(asked.headers["x-number"]) for asked in server.requests]
    assert numbers == [number for pair in range(origin.HEADS + 3) for number in (pair, 0)]


@pytest.mark.anyio
async def test_many_at_once_and_again(serve: Any) -> None:
    server = serve(echo)
    io = LoopIO()
    jobs = [partial(ask, io, post(server.url, b"%d" % number), timed(20)) for number in range(150)]
    for _ in range(2):
        assert await io.gather(jobs, len(jobs)) == [(200, b"%d" % number) for number in range(150)]
    assert server.connections <= 150
    await io.pools.aclose()


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_an_address_of_version_6(face: Any) -> None:
    with contextlib.ExitStack() as stack:
        try:
            listener = stack.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6))
        except OSError:
            pytest.skip("no IPv6 here")
        heard: list[bytes] = []

        def serve_one() -> None:
            with listener.accept()[0] as sock:
                heard.append(sock.recv(65536))
                sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

        thread = threading.Thread(target=serve_one, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        assert face(lambda io: ask(io, post(f"http://[::1]:{port}/"), timed(5))) == (200, b"ok")
        thread.join(5)
    assert f"Host: [::1]:{port}".encode() in heard[0]


def test_nothing_listens(face: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    with pytest.raises(ConnectFailed) as caught:
        face(lambda io: ask(io, post(url)))
    assert "refused" in caught.value.message
    assert url.split("/")[2] in caught.value.message
    assert not caught.value.sent
    assert caught.value.retryable
    assert clean(caught.value)


def test_a_name_that_does_not_exist(face: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*args: Any, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(ConnectFailed) as caught:
        face(lambda io: ask(io, post("http://nowhere.example/")))
    assert "nowhere.example:80" in caught.value.message
    assert "name" in caught.value.message


def test_the_next_address_is_tried(face: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(echo)

    def look_up(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, server.port)) for address in addresses]

    addresses = ("127.0.0.2", "127.0.0.1")
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert face(lambda io: ask(io, post(server.url.replace("127.0.0.1", "two.example")), timed(5)))[0] == 200


@pytest.mark.parametrize("tls", [False, True])
def test_a_reply_left_early_hangs_up_at_once(face: Any, serve: Any, server_tls: Any, ca_bundle: str, tls: bool) -> None:
    gone = threading.Event()

    def handler(peer: Peer) -> None:
        peer.request()
        peer.reply(b"x", headers={"content-length": "1000"})
        if peer.gone():
            gone.set()

    server = serve(handler, server_tls if tls else None)

    async def scenario(io: Any) -> bool:
        request = post(server.url, ca_bundle=ca_bundle)
        async with closing(await io.send(request)) as reply, closing(reply.chunks()) as chunks:
            async for _ in chunks:
                break
        await reply.aclose()
        return await io.run(lambda: gone.wait(5))

    assert face(scenario)


# --- the sync face inside a running loop ------------------------------------------------------------------------


@pytest.mark.anyio
async def test_break_inside_a_running_loop_hangs_up_at_once(serve: Any) -> None:
    gone = threading.Event()

    def handler(peer: Peer) -> None:
        peer.request()
        peer.reply(b"x", headers={"content-length": "1000"})
        if peer.gone():
            gone.set()

    server = serve(handler)
    io = SyncIO()

    async def events() -> AsyncIterator[bytes]:
        async with closing(await io.send(post(server.url))) as reply, closing(reply.chunks()) as chunks:
            async for chunk in chunks:
                yield chunk

    with contextlib.closing(Steps(events())) as steps:
        for chunk in steps:
            assert chunk == b"x"
            break
    assert gone.wait(5)
    await anyio.lowlevel.checkpoint()  # the loop is alive and has nothing to clean up
    io.pools.close()


@pytest.mark.anyio
async def test_the_sync_face_works_inside_a_running_loop(serve: Any) -> None:
    server = serve(echo)
    io = SyncIO()
    assert drive(ask(io, post(server.url, b"one"))) == (200, b"one")
    assert drive(io.gather([lambda: ask(io, post(server.url, b"two"))] * 5, 3)) == [(200, b"two")] * 5
    io.pools.close()


# --- threads and forks ------------------------------------------------------------------------------------------


def test_many_threads_share_a_client(serve: Any) -> None:
    server = serve(echo)
    io = SyncIO()
    wrong: list[Any] = []

    def work(number: int) -> None:
        for turn in range(10):
            body = f"{number}.{turn}".encode()
            if drive(ask(io, post(server.url, body, max_connections=4), timed(20))) != (200, body):
                wrong.append(body)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    io.pools.close()
    assert not wrong
    assert len(server.requests) == 120
    assert server.connections <= 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_makes_its_own_connections(serve: Any) -> None:
    gone = threading.Event()

    def handler(peer: Peer) -> None:
        while asked := peer.request():
            peer.reply(asked.body)
            if asked.body == b"last":
                peer.gone()
                gone.set()
                return

    server = serve(handler)
    io = SyncIO()
    assert drive(ask(io, post(server.url, b"parent"))) == (200, b"parent")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(BaseException):
            clock = timed(10)
            fine = drive(ask(io, post(server.url, b"child"), clock)) == (200, b"child") and not clock.reused
            status = 0 if fine else 2
            os.close(writer)
            os.read(reader, 1)  # stay alive: the parent's connection must still be able to close
        os._exit(status)
    os.close(reader)
    clock = timed(10)
    assert drive(ask(io, post(server.url, b"parent"), clock)) == (200, b"parent")
    assert clock.reused
    assert server.connections >= 1
    drive(ask(io, post(server.url, b"last")))
    io.pools.close()
    assert gone.wait(5)
    os.close(writer)
    assert os.waitpid(child, 0)[1] == 0
    assert server.connections == 2


# --- cancelling -------------------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("tls", [False, True])
async def test_cancelling_at_any_moment_loses_nothing(serve: Any, server_tls: Any, ca_bundle: str, tls: bool) -> None:
    """Two hundred requests over three connections, each cancelled at a random moment; then one gets through."""
    chance = random.Random(11)  # noqa: S311 - the same moments in every run

    def handler(peer: Peer) -> None:
        while asked := peer.request():
            peer.reply(headers={"content-length": str(len(asked.body))})
            for _ in range(4):
                if peer.gone(0.002):
                    return
                peer.send(asked.body[: len(asked.body) // 4])

    server = serve(handler, server_tls if tls else None)
    request = post(server.url, b"x" * 400, max_connections=3, ca_bundle=ca_bundle if tls else None)
    io = LoopIO()
    done = []

    async def one(moment: float) -> None:
        with anyio.move_on_after(moment):
            done.append(await ask(io, request, timed(20)))

    async with anyio.create_task_group() as group:
        for _ in range(200):
            group.start_soon(one, chance.uniform(0, 0.5))
    with anyio.fail_after(10):
        for body in await io.gather([lambda: ask(io, request)] * 6, 6):
            assert body == (200, b"x" * 400)
    assert all(result == (200, b"x" * 400) for result in done)
    await io.pools.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("proxied", [False, True])
async def test_cancelling_between_connecting_and_sending(
    serve: Any, monkeypatch: pytest.MonkeyPatch, proxied: bool
) -> None:
    server, middle = serve(echo), serve(proxy)
    way = {"proxy": f"http://127.0.0.1:{middle.port}"} if proxied else {}
    request = post(server.url, max_connections=1, **way)
    scope = anyio.CancelScope()

    def cancelled(connect: Any) -> Any:
        async def connecting(*args: Any, **options: Any) -> Any:
            stream = await connect(*args, **options)
            scope.cancel()
            return stream

        return connecting

    io = LoopIO()
    with monkeypatch.context() as patch, scope:
        patch.setattr(LoopNetwork, "connect_tcp", cancelled(LoopNetwork.connect_tcp))
        patch.setattr(protocol, "dial", cancelled(protocol.dial))
        await ask(io, request)
    assert scope.cancelled_caught
    assert await ask(io, request, timed(3)) == (200, b"{}")
    await io.pools.aclose()


def test_cancelling_a_task_again_while_it_closes(serve: Any) -> None:
    """asyncio's own cancellation knows no shields."""

    def handler(peer: Peer) -> None:
        while peer.request():
            peer.reply(b"x", headers={"content-length": "9"})
            if peer.gone(1):
                return

    server = serve(handler)
    request = post(server.url, max_connections=1)

    async def read(io: LoopIO) -> None:
        async with closing(await io.within(timed(5)).send(request)) as reply:
            await reply.read()

    async def main() -> None:
        io = LoopIO()
        for turns in range(12):
            task = asyncio.create_task(read(io))
            await asyncio.sleep(0.02)
            task.cancel()
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        async with closing(await io.within(timed(5)).send(request)) as reply:
            assert reply.status == 200
        await io.pools.aclose()

    asyncio.run(main())


@pytest.mark.anyio
async def test_cancellation_passes_as_it_is(serve: Any) -> None:
    arrived = threading.Event()
    server = serve(lambda peer: (arrived.set(), peer.gone()))
    io = LoopIO()
    seen: list[BaseException] = []

    async def one() -> None:
        try:
            await ask(io, post(server.url))
        except BaseException as error:
            seen.append(error)
            raise

    async with anyio.create_task_group() as group:
        group.start_soon(one)
        await io.run(lambda: arrived.wait(5))
        group.cancel_scope.cancel()
    assert isinstance(seen[0], anyio.get_cancelled_exc_class())
    await io.pools.aclose()


# --- closing and ending -----------------------------------------------------------------------------------------


def test_a_closed_client_sends_nothing(face: Any, serve: Any) -> None:
    server = serve(echo)

    async def scenario(io: Any) -> None:
        await ask(io, post(server.url))
        await io.pools.aclose() if isinstance(io, LoopIO) else io.pools.close()
        with pytest.raises(ClientClosed):
            await ask(io, post(server.url))

    face(scenario)
    assert len(server.requests) == 1


def test_closing_from_another_thread_ends_a_request_under_way(serve: Any) -> None:
    under_way = threading.Event()

    def handler(peer: Peer) -> None:
        peer.request()
        under_way.set()
        peer.gone()

    server = serve(handler)
    io = SyncIO()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            drive(ask(io, post(server.url), timed(20)))
        except ClientClosed as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert under_way.wait(5)
    began = time.monotonic()
    io.pools.close()
    thread.join(10)
    assert time.monotonic() - began < 4
    assert len(errors) == 1


@pytest.mark.anyio
async def test_closing_in_another_task_ends_a_request_under_way(serve: Any) -> None:
    def handler(peer: Peer) -> None:
        peer.request()
        peer.reply(b"x", headers={"content-length": "9"})
        peer.gone()

    server = serve(handler)
    io = LoopIO()

    async def read() -> None:
        with pytest.raises(ClientClosed):
            await ask(io, post(server.url), timed(20))

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        while not server.requests:  # noqa: ASYNC110 - the server has no event of this loop
            await anyio.sleep(0.01)
        await anyio.sleep(0.1)
        await io.pools.aclose()


def test_one_client_over_several_loops_in_turn(serve: Any) -> None:
    """Nobody closes the client: each loop closes its own connections when it ends."""
    server = serve(echo)
    io = LoopIO()
    for backend in ("asyncio", "trio", "asyncio"):
        assert anyio.run(ask, io, post(server.url), backend=backend) == (200, b"{}")
        gc.collect()
    assert server.connections == 3


def test_one_client_on_two_loops_at_once(serve: Any) -> None:
    server = serve(echo)
    io = LoopIO()
    results: list[Any] = []

    async def several() -> None:
        for _ in range(20):
            results.append(await ask(io, post(server.url)))

    threads = [threading.Thread(target=anyio.run, args=(several,), kwargs={"backend": b}) for b in ("asyncio", "trio")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [(200, b"{}")] * 40
    assert server.connections == 2


def test_a_client_that_is_dropped_leaves_no_warning(serve: Any) -> None:
    server = serve(echo)

    async def main() -> None:
        io = LoopIO()
        await ask(io, post(server.url))
        del io
        gc.collect()
        await anyio.sleep(0.01)

    for backend in ("asyncio", "trio"):
        anyio.run(main, backend=backend)
    blocking = SyncIO()
    drive(ask(blocking, post(server.url)))
    del blocking
    gc.collect()


def test_pools_open_nothing_by_themselves() -> None:
    with contextlib.closing(Pools()) as pools:
        assert not threading.current_thread().name.startswith("llmsdk")
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("llmsdk")]
        assert pools.portal is not None


def test_context_variables_reach_the_transport(face: Any, serve: Any) -> None:
    """A tracer's context holds on both sides of a request."""
    server = serve(echo)
    span = contextvars.ContextVar("span", default="none")

    async def scenario(io: Any) -> str:
        span.set("mine")
        await ask(io, post(server.url))
        return span.get()

    assert face(scenario) == "mine"
