"""Rows of the matrix that are no table: a stream cut at every byte, waits, many at once, closing."""

from __future__ import annotations

import socket
import ssl
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import anyio
import httpx2
import pytest
import trustme
from fault_table import DONE, END, FIGURES, KEY, delta

from llmsdk import AsyncClient, Client, LLMError
from llmsdk.errors import (
    ClientClosed,
    ConnectFailed,
    DeadlineExceeded,
    Disconnected,
    RateLimited,
    Redirected,
    ResponseTooLarge,
    ServerFault,
    StreamInterrupted,
)
from llmsdk.testing import Fault, FaultServer, faults

ONCE = {"retry": {"attempts": 1}, "circuit": {"failures": 0}}


def settled(error: LLMError) -> list[str]:
    return [row.settled for row in error.attempts]


async def seen(host: FaultServer, condition: Callable[[], bool]) -> bool:
    """Whether it comes to that. The loop turns meanwhile: only then is a connection closed."""
    return await anyio.to_thread.run_sync(lambda: host.wait(condition))


@pytest.mark.anyio
async def test_F001_nobody_there(anyio_backend: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    config = {"providers": {"openai": {"base_url": url, "api_key": KEY}}, "retry": {"base": 0.001}}
    with Client("openai:any", config=config) as client, pytest.raises(ConnectFailed, match="refused") as failed:
        client.chat("x")
    async with AsyncClient("openai:any", config=config) as other:
        with pytest.raises(ConnectFailed, match="refused"):
            await other.chat("x")
    assert settled(failed.value) == ["none"] * 3


@pytest.mark.parametrize("fault", ["another name", "unknown authority"])
def test_F001_certificates_are_checked_and_a_bad_one_is_not_tried_again(fault: str, tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.example" if fault == "another name" else "127.0.0.1").configure_cert(context)
    bundle = tmp_path / "ca.pem"
    (authority if fault == "another name" else other).cert_pem.write_to_path(str(bundle))
    with FaultServer(tls=context) as host:
        config = host.config(retry={"base": 0.001})
        config["providers"]["openai"]["ca_bundle"] = str(bundle)
        with Client("openai:any", config=config) as client:
            with pytest.raises(ConnectFailed, match=r"certificate of 127\.0\.0\.1") as failed:
                client.chat("x")
        assert settled(failed.value) == ["none"]
        assert host.requests == []


def test_F020_a_wait_beyond_the_deadline_is_refused_at_once() -> None:
    with FaultServer() as host, Client("openai:any", config=host.config()) as client:
        host.inject(faults.status(429, retry_after=86400))
        with pytest.raises(RateLimited, match="deadline") as refused:
            client.chat("x", deadline=5)
        assert (settled(refused.value), len(host.requests)) == (["none"], 1)


def test_F024_a_redirect_carries_no_byte_elsewhere() -> None:
    with FaultServer() as host, FaultServer() as stranger:
        for code in (301, 302, 303, 307, 308):
            host.inject(faults.redirect(f"{stranger.url}/chat/completions", code))
            with Client("openai:any", config=host.config()) as client, pytest.raises(Redirected):
                client.chat("the whole prompt")
        assert (stranger.connections, stranger.prompt_bytes, len(host.requests)) == (0, 0, 5)


def test_F027_a_page_of_5_MB_is_a_short_message() -> None:
    with FaultServer() as host, Client("openai:any", config=host.config(**ONCE)) as client:
        host.inject(faults.status(500, "<p>" + "x" * 5_000_000))
        with pytest.raises(ServerFault) as fault:
            client.chat("x")
        assert len(fault.value.message) <= 2000


@pytest.mark.parametrize("borrowed", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
def test_F032_a_bomb_of_400_MB_takes_little_memory(streamed: bool, borrowed: bool) -> None:
    """The short form of ``scripts/soak/bombs.py``, which measures the process."""
    bomb, given = faults.gzip_bomb(400, b"{"), {"http_client": httpx2.Client()} if borrowed else {}
    with FaultServer() as host, Client("openai:any", config=host.config(**ONCE), **given) as client:
        client.chat("x")
        host.inject(bomb)
        tracemalloc.start()
        try:
            with pytest.raises(ResponseTooLarge, match="gzip"):
                client.chat("x", stream=True).result if streamed else client.chat("x")
            assert tracemalloc.get_traced_memory()[1] < 24 * 2**20
        finally:
            tracemalloc.stop()
        assert [row.settled for row in client.ledger.rows] == ["exact", "upper_bound"]
        assert len(host.requests) == 2


@pytest.mark.parametrize("streamed", [False, True])
def test_F032_a_body_without_end_is_read_as_far_as_the_settings_say(streamed: bool) -> None:
    limit = 2**20
    with FaultServer() as host:
        config = host.config(**ONCE)
        config["providers"]["openai"]["max_body"] = limit
        with Client("openai:any", config=config) as client:
            client.chat("x")
            host.inject(Fault(body=[b"{"], forever=b" " * 2**16))
            tracemalloc.start()
            try:
                with pytest.raises(ResponseTooLarge, match=rf"larger than {limit} bytes(.|\n)*max_body") as failed:
                    client.chat("x", stream=True).result if streamed else client.chat("x")
                assert tracemalloc.get_traced_memory()[1] < 6 * limit
            finally:
                tracemalloc.stop()
            assert settled(failed.value) == ["upper_bound"]
            assert host.wait(lambda: host.requests[-1].aborted)


def test_F032_an_event_without_end_is_read_as_far_as_the_settings_say() -> None:
    with FaultServer() as host:
        config = host.config(**ONCE)
        config["providers"]["openai"]["max_event"] = limit = 2**15
        with Client("openai:any", config=config) as client:
            host.inject(Fault(body=[b"data: {"], forever=b" " * 2**12, headers=faults.EVENT_STREAM))
            with pytest.raises(ResponseTooLarge, match=rf"larger than {limit} bytes(.|\n)*max_event") as failed:
                _ = client.chat("x", stream=True).result
            assert settled(failed.value) == ["upper_bound"]
            assert host.wait(lambda: host.requests[-1].aborted)


@pytest.mark.parametrize("end", ["clean", "close"])
def test_F046_a_stream_cut_at_every_byte_is_never_taken_for_whole(end: str) -> None:
    body = delta("a") + delta("é", finish=None) + END + FIGURES + DONE
    finished = body.index(FIGURES)
    wrong = []
    with FaultServer() as host, Client("openai:any", config=host.config(**ONCE)) as client:
        for at in range(len(body) + 1):
            host.inject(Fault(body=[body], cut=at, end=end, headers=faults.EVENT_STREAM))  # type: ignore[arg-type]
            try:
                with client.chat("x", stream=True) as stream:
                    text = "".join(event.text for event in stream)
            except (StreamInterrupted, Disconnected):
                whole = False
            else:
                whole = True
                assert text == "aé", f"cut after {at} bytes, and {text!r} is given as if it were all"
            allowed = at >= finished - 1
            if whole and not allowed:
                wrong.append(at)
        assert client.ledger.open == ()
        assert len(client.ledger.rows) == len(body) + 1
    assert wrong == []


async def ended(client: AsyncClient, streamed: bool) -> None:
    if not streamed:
        await client.chat("x", deadline=0.15)
        return
    async with client.chat("x", stream=True, deadline=0.15) as stream:
        async for _ in stream:
            pass


@pytest.mark.anyio
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("fault", [faults.drip(0.01), faults.drip_head(0.01), faults.hang(), faults.comments(0.01)])
async def test_F053_every_drip_ends_with_its_deadline(fault: Fault, streamed: bool, anyio_backend: str) -> None:
    if streamed is False and fault.forever.startswith(b":"):
        pytest.skip("comments are of streams")
    with FaultServer() as host:
        async with AsyncClient("openai:any", config=host.config(**ONCE)) as client:
            await client.chat("x")
            host.inject(fault)
            started = anyio.current_time()
            with pytest.raises((DeadlineExceeded, StreamInterrupted)):
                await ended(client, streamed)
            assert anyio.current_time() - started < 3
            assert await seen(host, lambda: host.requests[-1].aborted)


@pytest.mark.anyio
async def test_F060_cancelled_at_any_moment_nothing_is_left(anyio_backend: str) -> None:
    """The short form of ``scripts/soak``: a pool of 10 serves as before, and every row is settled."""
    with FaultServer() as host:
        host.always = Fault(delay=0.002, piece=200, pause=0.002)
        config = host.config()
        config["providers"]["openai"]["max_connections"] = 10
        async with AsyncClient("openai:any", config=config) as client:

            async def one(number: int) -> None:
                with anyio.move_on_after(number % 23 / 1000):
                    if number % 2:
                        await client.chat("x")
                    else:
                        async with client.chat("x", stream=True) as stream:
                            async for _ in stream:
                                pass

            for start in range(0, 300, 30):
                async with anyio.create_task_group() as group:
                    for number in range(start, start + 30):
                        group.start_soon(one, number)
            host.always = Fault()
            async with anyio.create_task_group() as group:
                for _ in range(10):
                    group.start_soon(client.chat, "x")
            assert client.ledger.open == ()
        assert await seen(host, lambda: host.open_connections == 0)


def test_F064_one_client_in_32_threads() -> None:
    with FaultServer() as host, Client("openai:any", config=host.config()) as client:
        texts: list[str] = []
        threads = [threading.Thread(target=lambda: texts.append(client.chat("x").text)) for _ in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert texts == [host.reply] * 32
        assert client.ledger.usage.output_tokens == host.usage.output_tokens


@pytest.mark.anyio
async def test_F065_closed_while_a_request_runs(anyio_backend: str) -> None:
    with FaultServer() as host:
        host.inject(faults.hang())
        client, caught = AsyncClient("openai:any", config=host.config(**ONCE)), []

        async def ask() -> None:
            try:
                await client.chat("x")
            except LLMError as error:
                caught.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await seen(host, lambda: bool(host.requests))
            await client.aclose()
        assert [type(error) for error in caught] == [ClientClosed]
        assert client.ledger.open == ()
