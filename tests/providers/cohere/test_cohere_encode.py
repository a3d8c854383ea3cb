"""Requests as they go over the wire to Cohere."""

from __future__ import annotations

from typing import Any

import pytest
from dialects import HI, sent

from llmsdk.errors import ConfigError, InputError, LLMError, MissingKey, Unsupported
from llmsdk.types import Media, Message, Reasoning, Request, Text, Tool, ToolCall, ToolResult
from llmsdk_providers.cohere import Cohere, Settings

HOST = Cohere("cohere", Settings(api_key="k"))
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool("get_weather", CITY, "The weather.")
TOOL = {"type": "function", "function": {"name": "get_weather", "description": "The weather.", "parameters": CITY}}
TIME = Tool("get_time", {"type": "object"}, strict=True)
USER = {"role": "user", "content": "Hi!"}
PIXEL = Media("image/png", b"\x89PNG")
THOUGHT = Reasoning("Hm.", {"cohere.part": "thinking"})
PLAN = Reasoning("I will look.", {"cohere.part": "tool_plan"})
CALL = ToolCall("c1", "get_weather", '{"city":"Paris"}')
CALLED = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}}


def body(*messages: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages or (USER,)), **fields}


CASES: list[tuple[Request, dict[str, Any]]] = [
    (Request("m", HI), body()),
    (Request("m", "Hi!", stream=True), body(stream=True)),
    (
        Request(
            "m", HI, max_tokens=9, temperature=0.5, top_p=0.9, top_k=4, seed=7, stop=("a", "b"), frequency_penalty=0.1,
            presence_penalty=0.2,
        ),
        body(
            max_tokens=9, temperature=0.5, p=0.9, k=4, seed=7, stop_sequences=["a", "b"], frequency_penalty=0.1,
            presence_penalty=0.2,
        ),
    ),
    (
        Request("m", (Message("system", "Be brief."), Message("user", (Text("See"), PIXEL, Media("image/jpeg", url="https://x/y.jpg"))))),
        body(
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "text", "text": "See"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
                {"type": "image_url", "image_url": {"url": "https://x/y.jpg"}},
            ]},
        ),
    ),
    (
        Request("m", (
            *HI, Message("assistant", (PLAN, CALL)),
            Message("tool", (ToolResult("c1", "Sunny"), ToolResult("c2", "Late"))),
        ), tools=(WEATHER,)),
        body(
            USER, {"role": "assistant", "tool_calls": [CALLED], "tool_plan": "I will look."},
            {"role": "tool", "tool_call_id": "c1", "content": "Sunny"},
            {"role": "tool", "tool_call_id": "c2", "content": "Late"}, tools=[TOOL],
        ),
    ),
    (
        Request("m", (*HI, Message("assistant", (THOUGHT, Reasoning("not ours"), Text("Yes."))), *HI)),
        body(USER, {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Yes."},
        ]}, USER),
    ),
    (Request("m", HI, tools=(WEATHER,), tool_choice="required"), body(tools=[TOOL], tool_choice="REQUIRED")),
    (Request("m", HI, tools=(WEATHER,), tool_choice="none"), body(tools=[TOOL], tool_choice="NONE")),
    (Request("m", HI, tools=(WEATHER,), tool_choice="auto", parallel_tool_calls=True), body(tools=[TOOL])),
    (Request("m", HI, tools=(TIME, WEATHER), tool_choice="get_weather"), body(tools=[TOOL], tool_choice="REQUIRED")),
    (
        Request("m", HI, tools=(TIME,)),
        body(
            tools=[{"type": "function", "function": {"name": "get_time", "parameters": {"type": "object"}}}],
            strict_tools=True,
        ),
    ),
    (Request("m", HI, schema=CITY), body(response_format={"type": "json_object", "json_schema": CITY})),
    (Request("m", HI, reasoning=False), body(thinking={"type": "disabled"})),
    (Request("m", HI, reasoning=True), body(thinking={"type": "enabled"})),
    (Request("m", HI, reasoning=500), body(thinking={"type": "enabled", "token_budget": 500})),
    (Request("m", HI, reasoning="low"), body(thinking={"type": "enabled", "token_budget": 1024})),
    (Request("m", HI, extra_body={"safety_mode": "STRICT"}), body(safety_mode="STRICT")),
]  # fmt: skip
BODIES = [("/v2/chat", expected) for _, expected in CASES]
BODIES.append(
    ("/v2/embed", {"model": "m", "texts": ["x"], "input_type": "search_document", "embedding_types": ["float"]})
)


@pytest.mark.parametrize(("request_", "expected"), CASES)
def test_bodies(request_: Request, expected: dict[str, Any]) -> None:
    assert sent(HOST, request_) == expected


@pytest.mark.parametrize(
    ("request_", "kind", "word"),
    [
        (Request("m", HI, tools=(WEATHER,), schema=CITY), Unsupported, "beside tools"),
        (Request("m", HI, tools=(WEATHER,), parallel_tool_calls=False), Unsupported, "one call at a time"),
        (Request("m", HI, tools=(WEATHER,), tool_choice="nobody"), InputError, "nobody"),
        (Request("m", (Message("user", (Media("application/pdf", b"%PDF"),)),)), Unsupported, "application/pdf"),
        (Request("m", (Message("tool", "Sunny"),)), InputError, "which call"),
    ],
)
def test_what_cannot_be_sent(request_: Request, kind: type[LLMError], word: str) -> None:
    with pytest.raises(kind, match=word) as caught:
        HOST.encode(request_)
    assert caught.value.hint


def test_where_it_goes() -> None:
    encoded = HOST.encode(Request("m", HI, idempotency_key="once", extra_headers={"x-client-name": "t"}))
    assert encoded.url == "https://api.cohere.com/v2/chat"
    headers = dict(encoded.headers)
    assert headers[b"authorization"] == b"Bearer k"
    assert (headers[b"idempotency-key"], headers[b"x-client-name"]) == (b"once", b"t")


def test_settings() -> None:
    with pytest.raises(MissingKey, match="CO_API_KEY"):
        Cohere("cohere", Settings()).encode(Request("m", HI))
    for path in ("/v2/chat", "/v2"):
        with pytest.raises(ConfigError, match="ends in"):
            Cohere("cohere", Settings(api_key="k", base_url=f"https://api.cohere.com{path}"))
    assert "sk-canary" not in repr(Cohere("cohere", Settings(api_key="sk-canary")))
