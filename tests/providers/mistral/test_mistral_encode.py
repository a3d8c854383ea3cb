"""Requests as they go over the wire to Mistral, and what comes back for them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from dialects import HI, events, fold, sent, shown

from llmsdk.errors import (
    ConfigError,
    ContextTooLong,
    InvalidRequest,
    LLMError,
    MissingKey,
    RateLimited,
    Unauthorized,
    Unsupported,
)
from llmsdk.types import Media, Message, Request, Text, Tool, ToolCall, ToolResult, Usage
from llmsdk_providers.mistral import Mistral, Settings

KEY = "sk-canary-0123456789"
HOST = Mistral("mistral", Settings(api_key=KEY))
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool("get_weather", CITY)
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": CITY}}
USER = {"role": "user", "content": "Hi!"}


def body(*messages: Any, model: str = "m", **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": list(messages or (USER,)), **fields}


def call(call_id: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}


PARTS = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "Yes."}]
REPLY = {
    "id": "r", "model": "m", "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": PARTS}, "finish_reason": "model_length"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14, "num_cached_tokens": 4},
}  # fmt: skip
THOUGHT = fold(HOST, json.dumps(REPLY).encode()).choices[0].message

CASES: list[tuple[Request, dict[str, Any]]] = [
    (Request("m", HI), body()),
    (Request("m", HI, stream=True, seed=7, max_tokens=9, n=2), body(stream=True, random_seed=7, max_tokens=9, n=2)),
    (Request("m", HI, tools=(WEATHER,), tool_choice="required"), body(tools=[TOOL], tool_choice="any")),
    (Request("m", HI, tools=(WEATHER,), tool_choice="none"), body(tools=[TOOL], tool_choice="none")),
    (Request("m", HI, reasoning="high"), body(reasoning_effort="high")),
    (Request("m", HI, reasoning=False), body(reasoning_effort="none")),
    (Request("magistral-small", HI, reasoning=True), body(model="magistral-small", prompt_mode="reasoning")),
    (Request("magistral-small", HI, reasoning=False), body(model="magistral-small", prompt_mode=None)),
    (Request("m", (*HI, THOUGHT, *HI)), body(USER, {"role": "assistant", "content": PARTS}, USER)),
    (
        Request("m", (
            *HI,
            Message("assistant", (ToolCall("abcDEF123", "get_weather", ""), ToolCall("call_0", "get_weather", ""))),
            Message("tool", (ToolResult("abcDEF123", "Sunny"), ToolResult("call_0", "Late"))),
        )),
        body(
            USER, {"role": "assistant", "tool_calls": [call("abcDEF123"), call("c557a85a0")]},
            {"role": "tool", "tool_call_id": "abcDEF123", "content": "Sunny", "name": "get_weather"},
            {"role": "tool", "tool_call_id": "c557a85a0", "content": "Late", "name": "get_weather"},
        ),
    ),
    (
        Request("m", (Message("user", (
            Text("See"), Media("image/png", b"x"), Media("application/pdf", b"x", name="a.pdf"),
            Media("application/pdf", url="https://files.example/b.pdf"),
        )),)),
        body({"role": "user", "content": [
            {"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}},
            {"type": "document_url", "document_url": "data:application/pdf;base64,eA==", "document_name": "a.pdf"},
            {"type": "document_url", "document_url": "https://files.example/b.pdf", "document_name": "document.pdf"},
        ]}),
    ),
]  # fmt: skip
FIM: list[tuple[Request, dict[str, Any]]] = [
    (
        Request("codestral-latest", "def f(", suffix="return 1", temperature=0, max_tokens=5, seed=1, stop=("x",)),
        {
            "model": "codestral-latest", "prompt": "def f(", "suffix": "return 1", "temperature": 0, "max_tokens": 5,
            "random_seed": 1, "stop": ["x"],
        },
    ),
    (Request("codestral-latest", "x", stream=True), {"model": "codestral-latest", "prompt": "x", "stream": True}),
]  # fmt: skip
BODIES = [*(("/v1/chat/completions", e) for _, e in CASES), *(("/v1/fim/completions", e) for _, e in FIM)]


@pytest.mark.parametrize(("request_", "expected"), [*CASES, *FIM])
def test_bodies(request_: Request, expected: dict[str, Any]) -> None:
    assert sent(HOST, request_) == expected
    path = "/fim/completions" if "prompt" in expected else "/chat/completions"
    assert HOST.encode(request_).url == f"https://api.mistral.ai/v1{path}"


def test_settings_and_what_cannot_be_sent() -> None:
    assert sent(Mistral("mistral", Settings(api_key=KEY, safe_prompt=True)), Request("m", HI)) == body(safe_prompt=True)
    assert KEY not in repr(HOST)
    with pytest.raises(MissingKey, match="MISTRAL_API_KEY"):
        Mistral("mistral", Settings())
    with pytest.raises(ConfigError, match="ends in"):
        Mistral("mistral", Settings(api_key=KEY, base_url="https://api.mistral.ai/v1/fim/completions"))
    for wish in ("low", 500):
        with pytest.raises(Unsupported):
            HOST.encode(Request("m", HI, reasoning=wish))  # type: ignore[arg-type]
    assert HOST.capabilities("codestral-2508").suffix
    assert not HOST.capabilities("codestral-embed").complete
    assert not HOST.capabilities("mistral-large-latest").complete


def test_a_reply_both_ways() -> None:
    whole = fold(HOST, json.dumps(REPLY).encode())
    head = {"id": "r", "model": "m"}

    def chunk(content: Any, reason: str | None = None, **more: Any) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": reason}], **more}

    opening, text = PARTS
    stream = events(
        chunk([opening]), chunk([text | {"text": "Ye"}]), chunk("s.", "model_length", usage=REPLY["usage"]), "[DONE]"
    )
    for size in (0, 1, 7):
        assert shown(fold(HOST, stream, streamed=True, size=size)) == shown(whole)
    assert (whole.text, whole.reasoning, whole.usage) == ("Yes.", "Hm.", Usage(9, 5, 4))
    assert whole.finish is not None
    assert whole.finish.reason == "length"


def test_a_filled_in_reply() -> None:
    filled = {
        "id": "r",
        "model": "codestral",
        "choices": [{"index": 0, "message": {"content": "x):"}, "finish_reason": "stop"}],
    }
    assert fold(HOST, json.dumps(filled).encode()).text == "x):"


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (401, {"detail": "Unauthorized"}, Unauthorized),
        (401, {"object": "error", "message": "Unauthorized", "type": "invalid_request_error"}, Unauthorized),
        (422, {"detail": [{"loc": ["body", "top_p"], "msg": "too large", "type": "x"}]}, InvalidRequest),
        (400, {"object": "error", "message": "Prompt contains 9 tokens: 5 maximum context length"}, ContextTooLong),
        (429, {"object": "error", "message": "Requests rate limit exceeded", "type": "rate_limited"}, RateLimited),
    ],
)  # fmt: skip
def test_errors(status: int, said: Any, kind: type[LLMError]) -> None:
    error = HOST.error(status, {"retry-after": "3"}, json.dumps({**said, "echo": KEY}).encode())
    assert type(error) is kind
    assert KEY not in str(error) + repr(vars(error)).replace(repr(said), "")
    assert getattr(error, "retry_after", 3) == 3
