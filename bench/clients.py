"""Every client as a row of one interface: buffered and streamed chat calls, blocking and awaited. Imports when made.

``call`` and ``acall`` return the text of a reply, ``stream`` and ``astream`` that of a streamed one, piece by piece. A
client that has no blocking form leaves it out. Each is given the server's base URL, and the model with every call.
"""

from __future__ import annotations

import json
import os
from typing import Any

KEY = "sk-x"
TOKENS = 64


def turns(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


def body(model: str, prompt: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": turns(prompt), "max_tokens": TOKENS, **more}


def text(reply: Any) -> str:
    return str(reply["choices"][0]["message"]["content"])


def piece(line: str | bytes) -> str:
    """The text in one line of a raw event stream."""
    if not line.startswith("data: {" if isinstance(line, str) else b"data: {"):
        return ""
    choices = json.loads(line[6:])["choices"]
    return (choices[0]["delta"].get("content") or "") if choices else ""


class HTTPX:
    """The bare HTTP library: posts a dict and reads ``choices[0]``, or splits lines and parses JSON; nothing else."""

    module = "httpx"

    def __init__(self, url: str) -> None:
        self.library = library = __import__(self.module)
        limits = library.Limits(max_connections=2000, max_keepalive_connections=2000)
        self.url, own = f"{url}/chat/completions", {"authorization": f"Bearer {KEY}"}
        self.client = library.Client(headers=own, limits=limits, timeout=60)
        self.aclient = library.AsyncClient(headers=own, limits=limits, timeout=60)

    def call(self, model: str, prompt: str) -> str:
        return text(self.client.post(self.url, json=body(model, prompt)).raise_for_status().json())

    def stream(self, model: str, prompt: str) -> str:
        with self.client.stream("POST", self.url, json=body(model, prompt, stream=True)) as reply:
            return "".join(piece(line) for line in reply.iter_lines())

    async def acall(self, model: str, prompt: str) -> str:
        return text((await self.aclient.post(self.url, json=body(model, prompt))).raise_for_status().json())

    async def astream(self, model: str, prompt: str) -> str:
        async with self.aclient.stream("POST", self.url, json=body(model, prompt, stream=True)) as reply:
            return "".join([piece(line) async for line in reply.aiter_lines()])


class HTTPX2(HTTPX):
    module = "httpx2"


class AIOHTTP:
    def __init__(self, url: str) -> None:
        self.url, self.session = f"{url}/chat/completions", None

    def opened(self) -> Any:
        import aiohttp

        if self.session is None:
            own = {"authorization": f"Bearer {KEY}"}
            self.session = aiohttp.ClientSession(headers=own, connector=aiohttp.TCPConnector(limit=2000))
        return self.session

    async def acall(self, model: str, prompt: str) -> str:
        async with self.opened().post(self.url, json=body(model, prompt)) as reply:
            return text(await reply.json())

    async def astream(self, model: str, prompt: str) -> str:
        async with self.opened().post(self.url, json=body(model, prompt, stream=True)) as reply:
            return "".join([piece(line) async for line in reply.content])


class PyReqwest:
    def __init__(self, url: str) -> None:
        from pyreqwest.client import ClientBuilder

        self.url, self.aclient = f"{url}/chat/completions", ClientBuilder().build()
        self.own = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}

    async def acall(self, model: str, prompt: str) -> str:
        asked = self.aclient.post(self.url).headers(self.own).body_bytes(json.dumps(body(model, prompt)).encode())
        return text(json.loads(bytes(await (await asked.build().send()).bytes())))


class Transport:
    """Our transport alone, as bare as the HTTP libraries, but for the deadline."""

    def __init__(self, url: str) -> None:
        from llmsdk.io import Clock, HTTPRequest, drive, loop, sync

        self.url, self.request, self.drive = f"{url}/chat/completions", HTTPRequest, drive.drive
        self.own = ((b"authorization", f"Bearer {KEY}".encode()), (b"content-type", b"application/json"))
        self.io, self.aio, self.clock = sync.SyncIO(), loop.LoopIO(), Clock

    async def asked(self, io: Any, model: str, prompt: str) -> str:
        clock = self.clock(io.now, deadline=io.now() + 60)
        given = json.dumps(body(model, prompt)).encode()
        reply = await io.within(clock).send(self.request("POST", self.url, self.own, given))
        try:
            return text(json.loads(await reply.read()))
        finally:
            await reply.aclose()

    def call(self, model: str, prompt: str) -> str:
        return self.drive(self.asked(self.io, model, prompt))

    async def acall(self, model: str, prompt: str) -> str:
        return await self.asked(self.aio, model, prompt)


class OpenAI:
    def __init__(self, url: str) -> None:
        import openai

        self.client = openai.OpenAI(api_key=KEY, base_url=url).chat.completions
        self.aclient = openai.AsyncOpenAI(api_key=KEY, base_url=url).chat.completions

    def call(self, model: str, prompt: str) -> str:
        return self.client.create(**body(model, prompt)).choices[0].message.content or ""

    def stream(self, model: str, prompt: str) -> str:
        chunks = self.client.create(**body(model, prompt, stream=True))
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)

    async def acall(self, model: str, prompt: str) -> str:
        return (await self.aclient.create(**body(model, prompt))).choices[0].message.content or ""

    async def astream(self, model: str, prompt: str) -> str:
        chunks = await self.aclient.create(**body(model, prompt, stream=True))
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])


class LiteLLM:
    def __init__(self, url: str) -> None:
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would ask the internet
        import litellm

        self.litellm, self.to = litellm, {"api_key": KEY, "api_base": url}

    def given(self, model: str, prompt: str, **more: Any) -> dict[str, Any]:
        return {**body(f"openai/{model}", prompt, **more), **self.to}

    def call(self, model: str, prompt: str) -> str:
        return str(self.litellm.completion(**self.given(model, prompt)).choices[0].message.content)

    def stream(self, model: str, prompt: str) -> str:
        chunks = self.litellm.completion(**self.given(model, prompt, stream=True))
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    async def acall(self, model: str, prompt: str) -> str:
        return str((await self.litellm.acompletion(**self.given(model, prompt))).choices[0].message.content)

    async def astream(self, model: str, prompt: str) -> str:
        chunks = await self.litellm.acompletion(**self.given(model, prompt, stream=True))
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])


class AnyLLM:
    def __init__(self, url: str) -> None:
        from any_llm import AnyLLM as Made

        self.client = Made.create("openai", api_key=KEY, api_base=url)
        self.aclient = Made.create("openai", api_key=KEY, api_base=url)  # the blocking calls have a loop of their own

    def call(self, model: str, prompt: str) -> str:
        return self.client.completion(**body(model, prompt)).choices[0].message.content or ""  # type: ignore

    def stream(self, model: str, prompt: str) -> str:
        chunks: Any = self.client.completion(**body(model, prompt, stream=True))
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)

    async def acall(self, model: str, prompt: str) -> str:
        return (await self.aclient.acompletion(**body(model, prompt))).choices[0].message.content or ""  # type: ignore

    async def astream(self, model: str, prompt: str) -> str:
        chunks: Any = await self.aclient.acompletion(**body(model, prompt, stream=True))
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])


class PydanticAI:
    def __init__(self, url: str) -> None:
        from pydantic_ai import Agent
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai import OpenAIProvider

        self.provider, self.model, self.agent = OpenAIProvider(base_url=url, api_key=KEY), OpenAIChatModel, Agent
        self.agents: dict[str, Any] = {}

    def of(self, model: str) -> Any:
        if model not in self.agents:
            settings: Any = {"max_tokens": TOKENS}
            self.agents[model] = self.agent(self.model(model, provider=self.provider), model_settings=settings)
        return self.agents[model]

    def call(self, model: str, prompt: str) -> str:
        return str(self.of(model).run_sync(prompt).output)

    async def acall(self, model: str, prompt: str) -> str:
        return str((await self.of(model).run(prompt)).output)

    async def astream(self, model: str, prompt: str) -> str:
        async with self.of(model).run_stream(prompt) as reply:
            return "".join([part async for part in reply.stream_text(delta=True, debounce_by=None)])


class Quiet:
    """A tracing hook that keeps nothing."""

    def start(self, name: str, attributes: dict[str, Any]) -> Any:
        return len


class LLMSDK:
    """Ours, with everything on: types, retries, a deadline, the ledger, a tracing hook."""

    def __init__(self, url: str, **more: Any) -> None:
        from llmsdk import AsyncClient, Client

        given: Any = {"api_key": KEY, "base_url": url, "deadline": 60, "config": {}, "tracer": Quiet()}
        self.client = Client("openai:now", **given, **more.get("sync", {}))
        self.aclient = AsyncClient("openai:now", **given, **more.get("loop", {}))

    def call(self, model: str, prompt: str) -> str:
        return self.client.chat(prompt, model=f"openai:{model}", max_tokens=TOKENS).text

    def stream(self, model: str, prompt: str) -> str:
        events = self.client.chat(prompt, model=f"openai:{model}", max_tokens=TOKENS, stream=True)
        return "".join(event.text for event in events)

    async def acall(self, model: str, prompt: str) -> str:
        return (await self.aclient.chat(prompt, model=f"openai:{model}", max_tokens=TOKENS)).text

    async def astream(self, model: str, prompt: str) -> str:
        async with self.aclient.chat(prompt, model=f"openai:{model}", max_tokens=TOKENS, stream=True) as events:
            return "".join([event.text async for event in events])


class Borrowed(LLMSDK):
    """Ours over a client of httpx2 that the caller made (``http_client=``)."""

    def __init__(self, url: str) -> None:
        import httpx2

        limits = httpx2.Limits(max_connections=2000, max_keepalive_connections=2000)
        sync, loop = httpx2.Client(limits=limits), httpx2.AsyncClient(limits=limits)
        super().__init__(url, sync={"http_client": sync}, loop={"http_client": loop})


CLIENTS: dict[str, Any] = {
    "httpx": HTTPX,
    "httpx2": HTTPX2,
    "aiohttp": AIOHTTP,
    "pyreqwest": PyReqwest,
    "llmsdk.io": Transport,
    "openai": OpenAI,
    "litellm": LiteLLM,
    "any-llm-sdk": AnyLLM,
    "pydantic-ai": PydanticAI,
    "llmsdk": LLMSDK,
    "llmsdk over httpx2": Borrowed,
}
