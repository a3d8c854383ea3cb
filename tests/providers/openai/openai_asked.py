"""Requests with everything that a host says it honours, for whoever checks the bodies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from llmsdk.types import Media, Message, Request, Text, Tool, ToolCall, ToolResult
from llmsdk_providers.openai import OpenAI

HI = (Message("system", "Be brief."), Message("user", "Hi!"))
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CLOSED = {**PARAMETERS, "additionalProperties": False}
VALUES: dict[str, Any] = {
    "max_tokens": 40, "temperature": 0.5, "top_p": 0.5, "top_k": 3, "min_p": 0.1, "stop": ("END",), "seed": 1, "n": 2,
    "frequency_penalty": 0.1, "presence_penalty": 0.1, "repetition_penalty": 1.1, "logit_bias": {1: 1.0},
}  # fmt: skip
CALLED = (
    *HI,
    Message("assistant", (Text("Let me look."), ToolCall("call_1", "look", '{"city": "Paris"}'))),
    Message("tool", (ToolResult("call_1", "sunny", "look"),)),
)
SEEN = (Message("user", (Text("What is this?"), Media("image/png", url="https://example.com/cat.png"))),)


def requests(provider: OpenAI, model: str = "m") -> Iterator[tuple[str, Request]]:
    """Named requests: each thing that ``model`` can do, by itself."""
    can = provider.capabilities(model)
    plain = Request(model, HI)
    yield "plain", plain
    yield "streamed", replace(plain, stream=True)
    yield "options", replace(plain, **{name: VALUES[name] for name in sorted(can.options & VALUES.keys())})
    if can.schema != "none":
        yield "schema", replace(plain, schema=CLOSED, schema_name="City")
    if can.logprobs:
        yield "logprobs", replace(plain, logprobs=min(5, can.logprobs))
    for wish in ("low", True, False, 900):
        if "reasoning" in can.options and provider.row.switch(wish) is not None:
            yield f"reasoning={wish}", replace(plain, reasoning=wish)
    yield "image", replace(plain, input=SEEN)
    if can.tools:
        yield from tools(replace(plain, tools=(Tool("look", PARAMETERS, "Looks."),)), "tool_choice" in can.options)


def tools(asking: Request, forced: bool) -> Iterator[tuple[str, Request]]:
    yield "tools", asking
    yield "results", replace(asking, input=CALLED)
    if forced:
        yield "any tool", replace(asking, tool_choice="required")
        yield "one tool", replace(asking, tool_choice="look")
