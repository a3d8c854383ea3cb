"""Requests as they go over the wire to Ollama."""

from __future__ import annotations

from typing import Any

import pytest
from dialects import HI, sent

from llmsdk.errors import ConfigError, InputError, LLMError, MissingKey, Unsupported
from llmsdk.types import Media, Message, Reasoning, Request, Text, Tool, ToolCall, ToolResult
from llmsdk_providers.ollama import Ollama, Settings

HOST = Ollama("ollama", Settings())
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool("get_weather", CITY, "The weather.")
TOOL = {"type": "function", "function": {"name": "get_weather", "description": "The weather.", "parameters": CITY}}
USER = {"role": "user", "content": "Hi!"}
BASE = {"model": "m", "stream": False, "truncate": False, "shift": False}
CALL = ToolCall("c1", "get_weather", '{"city":"Paris"}')
CALLED = {"id": "c1", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}


def body(*messages: Any, **fields: Any) -> dict[str, Any]:
    return {**BASE, "messages": list(messages or (USER,)), **fields}


CHAT: list[tuple[Request, dict[str, Any]]] = [
    (Request("m", HI), body()),
    (Request("m", HI, stream=True), body(stream=True)),
    (
        Request(
            "m", HI, max_tokens=9, temperature=0.5, top_p=0.9, top_k=4, min_p=0.1, seed=7, stop=("a", "b"),
            frequency_penalty=0.1, presence_penalty=0.2, repetition_penalty=1.1,
        ),
        body(options={
            "num_predict": 9, "temperature": 0.5, "top_p": 0.9, "top_k": 4, "min_p": 0.1, "seed": 7, "stop": ["a", "b"],
            "frequency_penalty": 0.1, "presence_penalty": 0.2, "repeat_penalty": 1.1,
        }),
    ),
    (Request("m", HI, schema=CITY), body(format=CITY)),
    (Request("m", HI, logprobs=3), body(logprobs=True, top_logprobs=3)),
    (Request("m", HI, reasoning=False), body(think=False)),
    (Request("m", HI, reasoning="high"), body(think="high")),
    (Request("m", HI, tools=(WEATHER,), tool_choice="auto"), body(tools=[TOOL])),
    (Request("m", HI, tools=(WEATHER,), tool_choice="none"), body()),
    (
        Request("m", (
            Message("system", "Be brief."), Message("user", (Text("See"), Media("image/png", b"\x89PNG"))),
            Message("assistant", (Reasoning("Hm.", {"ollama.message": "thinking"}), Reasoning("not ours"), CALL)),
            Message("tool", (ToolResult("c1", "Sunny"), ToolResult("c9", "Late", "clock"))),
        )),
        body(
            {"role": "system", "content": "Be brief."}, {"role": "user", "content": "See", "images": ["iVBORw=="]},
            {"role": "assistant", "content": "", "thinking": "Hm.", "tool_calls": [CALLED]},
            {"role": "tool", "content": "Sunny", "tool_name": "get_weather", "tool_call_id": "c1"},
            {"role": "tool", "content": "Late", "tool_name": "clock", "tool_call_id": "c9"},
        ),
    ),
    (Request("m", HI, extra_body={"keep_alive": "1m"}), body(keep_alive="1m")),
]  # fmt: skip
RAW: list[tuple[Request, dict[str, Any]]] = [
    (Request("m", "Once", max_tokens=3), {**BASE, "prompt": "Once", "raw": True, "options": {"num_predict": 3}}),
    (Request("m", "def f(", suffix="return 1"), {**BASE, "prompt": "def f(", "suffix": "return 1"}),
]
BODIES = [*(("/api/chat", expected) for _, expected in CHAT), *(("/api/generate", expected) for _, expected in RAW)]
BODIES.append(("/api/embed", {"model": "m", "input": ["x"], "truncate": False}))


@pytest.mark.parametrize(("request_", "expected"), [*CHAT, *RAW])
def test_bodies(request_: Request, expected: dict[str, Any]) -> None:
    assert sent(HOST, request_) == expected
    path = "/api/generate" if isinstance(request_.input, str) else "/api/chat"
    assert HOST.encode(request_).url == f"http://127.0.0.1:11434{path}"


@pytest.mark.parametrize(
    ("request_", "kind", "word"),
    [
        (Request("m", HI, tools=(WEATHER,), tool_choice="required"), Unsupported, "made to call"),
        (Request("m", HI, tools=(WEATHER,), parallel_tool_calls=False), Unsupported, "one call at a time"),
        (Request("m", HI, reasoning=500), Unsupported, "budget"),
        (Request("m", (Message("user", (Media("application/pdf", b"%PDF"),)),)), Unsupported, "application/pdf"),
        (Request("m", (Message("user", (Media("image/png", url="https://x/y"),)),)), Unsupported, "URL"),
        (Request("m", (Message("tool", "Sunny"),)), InputError, "which call"),
        (Request("m", (Message("assistant", (ToolCall("c", "f", "{oops"),)),)), InputError, "not JSON"),
    ],
)
def test_what_cannot_be_sent(request_: Request, kind: type[LLMError], word: str) -> None:
    with pytest.raises(kind, match=word) as caught:
        HOST.encode(request_)
    assert caught.value.hint


def test_settings() -> None:
    told = Ollama("ollama", Settings(num_ctx=8192, keep_alive=-1, suffix=True))
    assert sent(told, Request("m", HI)) == body(options={"num_ctx": 8192}, keep_alive=-1)
    assert (told.capabilities("m").context, told.capabilities("m").suffix) == (8192, True)
    for path in ("/api/chat", "/api", "/v1"):
        with pytest.raises(ConfigError, match="ends in"):
            Ollama("ollama", Settings(base_url=f"http://127.0.0.1:11434{path}"))
    lan = Ollama("lan", Settings(base_url="http://10.0.0.5:11434"))
    assert b"authorization" not in dict(lan.encode(Request("m", HI)).headers)
    with pytest.raises(MissingKey, match="OLLAMA_API_KEY"):
        Ollama("ollama", Settings(base_url="https://ollama.com"))
    keyed = Ollama("ollama", Settings(base_url="https://ollama.com", api_key="sk-canary"))
    assert dict(keyed.encode(Request("m", HI)).headers)[b"authorization"] == b"Bearer sk-canary"
    assert "sk-canary" not in repr(keyed)
