"""One client, one kind of call, many times, in a fresh process: prints the CPU seconds of each unit, answers checked.

worker.py CLIENT {sync|async} {call|stream} URL COUNT
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable

from pin import pin
from server import ANSWER, CHUNKS, PIECE

PROMPT = "What is the weather like in Rome today?"
BODY = {"model": "gpt-x", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 64}
LONG = PIECE * CHUNKS
WARM_UP = 5


def piece(line: str) -> str:
    """The text in one line of a raw event stream."""
    if not line.startswith("data: {"):
        return ""
    choices = json.loads(line[6:])["choices"]
    return (choices[0]["delta"].get("content") or "") if choices else ""


def httpx2_sync(url: str, stream: bool) -> Callable[[], str]:
    import httpx2

    client = httpx2.Client(headers={"authorization": "Bearer sk-x"})

    def call() -> str:
        reply = client.post(f"{url}/chat/completions", json=BODY)
        return str(reply.raise_for_status().json()["choices"][0]["message"]["content"])

    def streamed() -> str:
        with client.stream("POST", f"{url}/chat/completions", json={**BODY, "stream": True}) as reply:
            return "".join(piece(line) for line in reply.iter_lines())

    return streamed if stream else call


def httpx2_async(url: str, stream: bool) -> Callable[[], Awaitable[str]]:
    import httpx2

    client = httpx2.AsyncClient(headers={"authorization": "Bearer sk-x"})

    async def call() -> str:
        reply = await client.post(f"{url}/chat/completions", json=BODY)
        return str(reply.raise_for_status().json()["choices"][0]["message"]["content"])

    async def streamed() -> str:
        async with client.stream("POST", f"{url}/chat/completions", json={**BODY, "stream": True}) as reply:
            return "".join([piece(line) async for line in reply.aiter_lines()])

    return streamed if stream else call


def openai_sync(url: str, stream: bool) -> Callable[[], str]:
    import openai

    client = openai.OpenAI(api_key="sk-x", base_url=url, max_retries=0)

    def call() -> str:
        return client.chat.completions.create(**BODY).choices[0].message.content or ""  # type: ignore[call-overload]

    def streamed() -> str:
        chunks = client.chat.completions.create(**BODY, stream=True)  # type: ignore[call-overload]
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)

    return streamed if stream else call


def openai_async(url: str, stream: bool) -> Callable[[], Awaitable[str]]:
    import openai

    client = openai.AsyncOpenAI(api_key="sk-x", base_url=url, max_retries=0)

    async def call() -> str:
        reply = await client.chat.completions.create(**BODY)  # type: ignore[call-overload]
        return reply.choices[0].message.content or ""

    async def streamed() -> str:
        chunks = await client.chat.completions.create(**BODY, stream=True)  # type: ignore[call-overload]
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])

    return streamed if stream else call


def llmsdk_sync(url: str, stream: bool) -> Callable[[], str]:
    from llmsdk import Client

    client = Client("openai:gpt-x", api_key="sk-x", base_url=url, retry=1, config={})

    def call() -> str:
        return client.chat(PROMPT, max_tokens=64).text

    def streamed() -> str:
        return "".join(event.text for event in client.chat(PROMPT, max_tokens=64, stream=True))

    return streamed if stream else call


def llmsdk_async(url: str, stream: bool) -> Callable[[], Awaitable[str]]:
    from llmsdk import AsyncClient

    client = AsyncClient("openai:gpt-x", api_key="sk-x", base_url=url, retry=1, config={})

    async def call() -> str:
        return (await client.chat(PROMPT, max_tokens=64)).text

    async def streamed() -> str:
        async with client.chat(PROMPT, max_tokens=64, stream=True) as events:
            return "".join([event.text async for event in events])

    return streamed if stream else call


def time_sync(call: Callable[[], str], expected: str, count: int) -> float:
    for _ in range(WARM_UP):
        assert call() == expected
    began = time.process_time()
    right = sum(call() == expected for _ in range(count))
    seconds = time.process_time() - began
    assert right == count
    return seconds


async def time_async(make: Callable[[], Callable[[], Awaitable[str]]], expected: str, count: int) -> float:
    call, right = make(), 0
    for _ in range(WARM_UP):
        assert await call() == expected
    began = time.process_time()
    for _ in range(count):
        right += await call() == expected
    seconds = time.process_time() - began
    assert right == count
    return seconds


def main(client: str, face: str, kind: str, url: str, times: str) -> None:
    pin(0)
    make, stream, count = globals()[f"{client}_{face}"], kind == "stream", int(times)
    expected, units = (LONG, count * CHUNKS) if stream else (ANSWER, count)
    if face == "sync":
        seconds = time_sync(make(url, stream), expected, count)
    else:
        seconds = asyncio.run(time_async(lambda: make(url, stream), expected, count))
    print(json.dumps(seconds / units))


if __name__ == "__main__":
    main(*sys.argv[1:])
