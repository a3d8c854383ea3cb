"""The sync client where others fail: in a running loop, in threads, after a fork; and both over a real wire."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest
import trio
from servers.openai_server import KEY, OpenAIServer

from llmsdk import AsyncClient, Client
from llmsdk.errors import DeadlineExceeded, LLMError, RateLimited, Unauthorized

MODEL = "openai:test-model"


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.fixture
def client(server: OpenAIServer) -> Iterator[Client]:
    no_circuit = {"circuit": {"failures": 0}}  # some tests fail on purpose, again and again
    with Client(MODEL, api_key=KEY, base_url=server.url, config=no_circuit) as made:
        yield made


def hello(client: Client) -> str:
    whole = client.chat("Hi!").text
    assert "".join(event.text for event in client.chat("Hi!", stream=True)) == whole
    for _ in client.chat("Hi!", stream=True):
        break
    return whole


def test_in_a_running_asyncio_loop(client: Client) -> None:
    async def main() -> str:
        return hello(client)

    assert asyncio.run(main()) == hello(client)


def test_in_a_running_trio_loop(client: Client) -> None:
    async def main() -> str:
        return hello(client)

    assert trio.run(main) == hello(client)


def test_in_many_threads_at_once(client: Client) -> None:
    said: list[str] = []
    threads = [threading.Thread(target=lambda: said.append(hello(client))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == [said[0]] * 12
    assert client.ledger.open == ()
    assert len(client.ledger.rows) == 36


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_after_a_fork(client: Client) -> None:
    whole = hello(client)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # the child must not run pytest's own ending
        try:
            os.write(write, hello(client).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert pipe.read().decode() == whole
    os.waitpid(child, 0)
    assert hello(client) == whole


@pytest.mark.anyio
async def test_many_async_calls_at_once_on_either_loop(server: OpenAIServer) -> None:
    async with AsyncClient(MODEL, api_key=KEY, base_url=server.url) as client:
        batch = await client.chat([f"Hi {i}" for i in range(20)], concurrency=10)
        assert len({item.text for item in batch}) >= 1
        assert len(client.ledger.rows) == len(server.requests) == 20


def test_one_async_client_on_one_loop_after_another(server: OpenAIServer) -> None:
    client = AsyncClient(MODEL, api_key=KEY, base_url=server.url)

    async def ask() -> str:
        return (await client.chat("Hi!")).text

    async def end() -> None:
        await ask()
        await client.aclose()

    assert asyncio.run(ask()) == asyncio.run(ask())
    asyncio.run(end())


def test_a_stream_cut_at_any_byte_is_never_taken_for_whole(server: OpenAIServer, client: Client) -> None:
    whole = client.chat("Hi!", stream=True).result.text
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    events = [
        b'{"choices":[{"index":0,"delta":{"content":"Hel"}}]}',
        b'{"choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":"stop"}]}',
        b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}',
        b"[DONE]",
    ]
    body = b"".join(b"data: " + event + b"\n\n" for event in events)
    told = body.index(b'"stop"}]}') + len(b'"stop"}]}\n\n')
    for cut in range(len(body)):
        server.script(raw=head + body[:cut])
        stream = client.chat("Hi!", stream=True, retry=1)
        if cut < told:
            with pytest.raises(LLMError):
                _ = stream.result
        else:
            assert stream.result.text == "Hello", cut
    assert whole
    assert client.ledger.open == ()


def test_the_servers_wish_to_wait_is_obeyed_and_one_past_the_deadline_refused(
    server: OpenAIServer, client: Client
) -> None:
    server.script(status=429, headers={"retry-after-ms": "20"}, body={"error": {"message": "slow down"}})
    result = client.chat("Hi!")
    assert [row.error for row in result.attempts] == ["RateLimited", None]
    server.script(status=429, headers={"retry-after": "86400"}, body={"error": {"message": "slow down"}})
    with pytest.raises(RateLimited):
        client.chat("Hi!", deadline=5)


def test_the_deadline_holds_against_a_hanging_server(server: OpenAIServer, client: Client) -> None:
    server.script(drop="hang")
    with pytest.raises(DeadlineExceeded) as caught:
        client.chat("Hi!", deadline=0.2)
    assert caught.value.attempts[0].settled == "upper_bound"


def test_the_key_shows_nowhere(server: OpenAIServer) -> None:
    key = "sk-canary-0123456789"
    with Client(MODEL, api_key=key, base_url=server.url) as client, pytest.raises(Unauthorized) as caught:
        client.chat("Hi!")
    import traceback

    shown = "".join(traceback.format_exception(caught.value)) + repr(client) + repr(client.ledger.rows)
    shown += repr(vars(client)) + repr(caught.value.__dict__)
    assert "canary" not in shown
