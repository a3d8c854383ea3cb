"""Streams that end before their connection does, and streams that are left: on real sockets, both faces."""

from __future__ import annotations

import gc
import json
import time
import warnings
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from servers.openai_server import OpenAIServer

from llmsdk import AsyncClient, Client
from llmsdk.errors import InputError

WHOLE = [
    {"choices": [{"index": 0, "delta": {"content": "Once"}}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}},
]
EVENTS = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in WHOLE]
DONE = b"data: [DONE]\n\n"
SSE = {"content-type": "text/event-stream"}
PATIENT: dict[str, Any] = {"timeouts": {"idle": 20, "first_token": 20}}


@pytest.fixture
def host(openai_server: OpenAIServer) -> Iterator[OpenAIServer]:
    yield openai_server
    gc.collect()


def hangs_after(host: OpenAIServer, events: list[bytes], end: Any = "hang") -> None:
    body = b"".join(events)
    host.script(body=[body, b"data: never\n\n"], headers=SSE, cut=len(body), end=end)


def test_a_host_that_stays_after_the_end_is_not_waited_for(host: OpenAIServer) -> None:
    hangs_after(host, [*EVENTS, DONE])
    with Client("openai:m", base_url=host.url, api_key="k", config=PATIENT) as client:
        began = time.monotonic()
        stream = client.chat("Hi!", stream=True)
        assert "".join(event.text for event in stream) == "Once"
        assert time.monotonic() - began < 10  # and not the 20 s of an idle stream
        assert stream.result.usage.total_tokens == 4
        assert [row.settled for row in client.ledger.rows] == ["exact"]


@pytest.mark.anyio
async def test_a_host_that_stays_after_the_end_is_not_waited_for_on_a_loop(host: OpenAIServer) -> None:
    hangs_after(host, [*EVENTS, DONE])
    async with AsyncClient("openai:m", base_url=host.url, api_key="k", config=PATIENT) as client:
        with anyio.fail_after(10):
            async with client.chat("Hi!", stream=True) as stream:
                assert "".join([event.text async for event in stream]) == "Once"
        assert [row.settled for row in client.ledger.rows] == ["exact"]


@pytest.mark.parametrize("end", ["reset", "close"])
def test_what_breaks_after_the_last_word_is_no_loss(host: OpenAIServer, end: str) -> None:
    hangs_after(host, EVENTS, end)
    with Client("openai:m", base_url=host.url, api_key="k") as client:
        assert "".join(event.text for event in client.chat("Hi!", stream=True)) == "Once"
        assert [row.settled for row in client.ledger.rows] == ["exact"]


@pytest.mark.anyio
async def test_a_stream_that_was_left_does_not_end_as_if_it_were_whole(host: OpenAIServer) -> None:
    hangs_after(host, [*EVENTS, DONE])
    hangs_after(host, [*EVENTS, DONE])
    left = "the stream was left before its end"
    with Client("openai:m", base_url=host.url, api_key="k", config=PATIENT) as client:
        stream = client.chat("Hi!", stream=True)
        for _ in stream:
            break
        for more in (list, next, lambda stream: stream.result):
            with pytest.raises(InputError, match=left):
                more(stream)
    async with AsyncClient("openai:m", base_url=host.url, api_key="k", config=PATIENT) as other:
        async with other.chat("Hi!", stream=True) as flow:
            await anext(flow)
        with pytest.raises(InputError, match=left):
            [event async for event in flow]


@pytest.mark.anyio
@pytest.mark.parametrize("way", ["break", "error", "dropped", "with", "closed after break"])
async def test_leaving_a_stream_frees_its_connection_and_settles_its_row(host: OpenAIServer, way: str) -> None:
    hangs_after(host, EVENTS[:1])
    async with AsyncClient("openai:m", base_url=host.url, api_key="k", config=PATIENT) as client:
        stream = client.chat("Hi!", stream=True)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if way == "dropped":
                assert (await anext(stream)).text is not None
                del stream
            elif way == "with":
                async with stream:
                    async for _ in stream:
                        break
            else:
                try:
                    async for _ in stream:
                        if way == "error":
                            raise ValueError("mine")
                        break
                except ValueError:
                    pass
                if way == "closed after break":
                    await stream.aclose()
            gc.collect()
        assert [w.category for w in caught] == ([ResourceWarning] if way == "dropped" else [])
        with anyio.fail_after(10):
            while client.ledger.open or not host.requests[0].aborted:  # noqa: ASYNC110 - it is looked at from outside
                await anyio.sleep(0.01)
        assert [row.settled for row in client.ledger.rows] == ["estimated"]
