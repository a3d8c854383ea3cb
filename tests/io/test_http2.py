"""HTTP/2, where its package is installed: one connection for many requests, and each keeps its own limits."""

from __future__ import annotations

import ssl
import threading
import time
from typing import Any

import pytest
import trustme
from wire import Peer, ask, post, timed

from llmsdk.errors import DeadlineExceeded

h2 = pytest.importorskip("h2.connection")
config = pytest.importorskip("h2.config")
events = pytest.importorskip("h2.events")


@pytest.fixture
def h2_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    context.set_alpn_protocols(["h2"])
    return context


def speak(peer: Peer) -> None:
    """Answer each request with its body; one whose body is ``wait`` only after a second."""
    connection = h2.H2Connection(config.H2Configuration(client_side=False))
    lock = threading.Lock()
    connection.initiate_connection()
    peer.send(connection.data_to_send())
    bodies: dict[int, bytes] = {}

    def answer(stream: int) -> None:
        with lock:
            connection.send_headers(stream, [(":status", "200")])
            connection.send_data(stream, bodies[stream], end_stream=True)
            peer.send(connection.data_to_send())

    while data := peer.sock.recv(65536):
        with lock:
            happened = connection.receive_data(data)
        for event in happened:
            if isinstance(event, events.RequestReceived):
                bodies[event.stream_id] = b""
            elif isinstance(event, events.DataReceived):
                bodies[event.stream_id] += event.data
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, events.StreamEnded):
                wait = 1.0 if bodies[event.stream_id] == b"wait" else 0.0
                threading.Timer(wait, answer, (event.stream_id,)).start()
        with lock:
            peer.send(connection.data_to_send())


def test_requests_share_a_connection(face: Any, serve: Any, h2_tls: ssl.SSLContext, ca_bundle: str) -> None:
    server = serve(speak, h2_tls)

    async def scenario(io: Any) -> None:
        async def one(number: int) -> None:
            body = b"%d" % number
            assert await ask(io, post(server.url, body, http2=True, ca_bundle=ca_bundle), timed(10)) == (200, body)

        await one(0)
        await io.gather([lambda number=number: one(number) for number in range(1, 9)], 4)

    face(scenario)
    assert server.connections == 1


def test_a_deadline_holds_beside_a_longer_one(serve: Any, h2_tls: ssl.SSLContext, ca_bundle: str) -> None:
    """The slow request reads for both; the one with the short deadline does not wait for its turn."""
    import anyio

    from llmsdk.io.loop import LoopIO

    server = serve(speak, h2_tls)
    took: list[float] = []

    async def main() -> None:
        io = LoopIO()

        def request(body: bytes) -> Any:
            return post(server.url, body, http2=True, ca_bundle=ca_bundle)

        assert await ask(io, request(b"first"), timed(10)) == (200, b"first")

        async def slow() -> None:
            assert await ask(io, request(b"wait"), timed(10)) == (200, b"wait")

        async with anyio.create_task_group() as group:
            group.start_soon(slow)
            await anyio.sleep(0.1)
            began = time.monotonic()
            with pytest.raises(DeadlineExceeded):
                await ask(io, request(b"wait"), timed(0.3))
            took.append(time.monotonic() - began)
        await io.pools.aclose()

    for backend in ("asyncio", "trio"):
        anyio.run(main, backend=backend)
    assert max(took) < 0.9
