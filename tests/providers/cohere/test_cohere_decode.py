"""Replies of Cohere as events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from dialects import agree, events, fold, interruptions, pieces, shown
from hypothesis import given, settings
from hypothesis import strategies as st

from llmsdk.errors import (
    ContentFiltered,
    ContextTooLong,
    InvalidBody,
    LLMError,
    NotFound,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    ServerFault,
    Unauthorized,
)
from llmsdk.types import Reasoning, Text, ToolCall, Usage
from llmsdk_providers.cohere import Cohere, Settings

KEY = "sk-canary-0123456789"
HOST = Cohere("cohere", Settings(api_key=KEY))
USAGE = {
    "billed_units": {"input_tokens": 5, "output_tokens": 4},
    "tokens": {"input_tokens": 30, "output_tokens": 20, "reasoning_tokens": 6},
    "cached_tokens": 16,
}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
WHOLE = {
    "id": "r1",
    "message": {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Yes."}],
        "tool_plan": "I call f.",
        "tool_calls": [CALL],
    },
    "finish_reason": "TOOL_CALL",
    "usage": USAGE,
}


def delta(kind: str, index: int | None = None, **message: Any) -> dict[str, Any]:
    return {"type": kind, "delta": {"message": message}, **({} if index is None else {"index": index})}


def end(reason: str, **fields: Any) -> dict[str, Any]:
    return {"type": "message-end", "delta": {"finish_reason": reason, **fields}}


STREAM = events(
    {"type": "message-start", "id": "r1", "delta": {"message": {"role": "assistant"}}},
    delta("content-start", 0, content={"type": "thinking", "thinking": ""}),
    delta("content-delta", 0, content={"thinking": "Hm."}),
    {"type": "content-end", "index": 0},
    delta("content-start", 1, content={"type": "text", "text": ""}),
    delta("content-delta", 1, content={"text": "Ye"}),
    delta("content-delta", 1, content={"text": "s."}),
    delta("citation-start", 0, citations={"start": 0, "end": 2, "text": "Ye"}),
    delta("tool-plan-delta", tool_plan="I call f."),
    delta("tool-call-start", 0, tool_calls={**CALL, "function": {"name": "f", "arguments": ""}}),
    delta("tool-call-delta", 0, tool_calls={"function": {"arguments": '{"a":'}}),
    delta("tool-call-delta", 0, tool_calls={"function": {"arguments": " 1}"}}),
    end("TOOL_CALL", usage=USAGE),
    named=True,
) + b"data: [DONE]\n\n"  # fmt: skip


def test_a_reply_both_ways() -> None:
    whole, streamed = fold(HOST, json.dumps(WHOLE).encode()), fold(HOST, STREAM, streamed=True)
    assert shown(whole) == shown(streamed)
    assert whole.choices[0].message.content == (
        Reasoning("Hm.", {"cohere.part": "thinking"}), Text("Yes."),
        Reasoning("I call f.", {"cohere.part": "tool_plan"}), ToolCall("c1", "f", '{"a": 1}'),
    )  # fmt: skip
    assert whole.usage == Usage(30, 20, 16, None, 6)
    assert whole.finish is not None
    assert (whole.finish.reason, whole.finish.raw_reason, whole.id) == ("tool_call", "TOOL_CALL", "r1")


def test_complete_only_with_the_end_of_the_message() -> None:
    whole = fold(HOST, STREAM, streamed=True)
    assert min(interruptions(HOST, STREAM, whole)) == STREAM.index(b"\n\ndata: [DONE]") + 2


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("COMPLETE", "stop"), ("STOP_SEQUENCE", "stop"), ("MAX_TOKENS", "length"), ("ERROR", "error"),
        ("TIMEOUT", "error"), ("ERROR_TOXIC", "content_filter"), ("TOOL_CALL", "other"), ("NEW", "other"),
        (None, "other"),
    ],
)  # fmt: skip
def test_reasons(raw: str | None, reason: str) -> None:
    body = {"message": {"role": "assistant", "content": "x"}, "finish_reason": raw}
    finish = fold(HOST, json.dumps(body).encode()).finish
    assert finish is not None
    assert (finish.reason, finish.raw_reason) == (reason, raw)


@pytest.mark.parametrize(
    ("figures", "usage"),
    [
        ({"tokens": {"input_tokens": 34, "output_tokens": 5, "image_tokens": 259}}, Usage(293, 5)),
        ({"tokens": {"input_tokens": 34.0, "output_tokens": 5.0}}, Usage(34, 5)),
        ({"tokens": {"input_tokens": 3, "output_tokens": 5}, "cached_tokens": 9}, Usage(3, 5, 3)),
        ({"billed_units": {"input_tokens": 3}}, None),
        ("odd", None),
    ],
)
def test_figures(figures: Any, usage: Usage | None) -> None:
    body = {"message": {"content": "x"}, "finish_reason": "COMPLETE", "usage": figures}
    reply = fold(HOST, json.dumps(body).encode())
    assert reply.usage == usage
    assert bool(reply.warnings) is (usage == Usage(3, 5, 3))


@pytest.mark.parametrize("body", [b"{}", b"[]", b"null", b'{"message": []}', b"<html>", b""])
def test_what_is_no_reply(body: bytes) -> None:
    with pytest.raises(InvalidBody):
        fold(HOST, body)


def test_errors_inside_a_reply_that_says_200() -> None:
    said = {"message": f"too many tokens: limit {KEY}"}
    for body, streamed in ((json.dumps(said).encode(), False), (events(said), True)):
        with pytest.raises(ContextTooLong) as caught:
            fold(HOST, body, streamed=streamed)
        assert KEY not in str(caught.value)
    with pytest.raises(ServerFault, match="it broke"):
        fold(HOST, events(end("ERROR", error="it broke")), streamed=True)
    with pytest.raises(InvalidBody, match="event 2"):
        fold(HOST, events({"type": "debug"}, "{oops"), streamed=True)


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (401, "invalid api token", Unauthorized),
        (404, "model 'x' not found, make sure the correct model ID was used", NotFound),
        (
            400,
            "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 9002",
            ContextTooLong,
        ),
        (422, "too many tokens: 9002", ContextTooLong),
        (498, "the request contains a term that is not allowed", ContentFiltered),
        (429, "You are using a Trial key, which is limited to 20 API calls / minute.", RateLimited),
        (429, "You are using a Trial key, which is limited to 1000 API calls / month.", QuotaExhausted),
        (402, "please add a payment method", QuotaExhausted),
        (503, "no capacity", Overloaded),
        (500, "internal server error", ServerFault),
    ],
)
def test_errors(status: int, message: str, kind: type[LLMError]) -> None:
    body = json.dumps({"id": "e1", "message": f"{message} {KEY}"}).encode()
    error = HOST.error(status, {"retry-after": "7"}, body)
    assert type(error) is kind
    assert error.status == status
    assert message in error.message
    assert KEY not in str(error) + repr(vars(error))
    assert getattr(error, "retry_after", 7) == 7
    if kind is ContextTooLong and status == 400:
        assert (error.limit, error.needed) == (4081, 9002)  # type: ignore[attr-defined]


# --- any reply ------------------------------------------------------------------------------------------------------

TEXT = st.text(max_size=12)


@st.composite
def replies(draw: st.DrawFn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant"}
    kinds = draw(st.sampled_from([(), ("thinking",), ("text",), ("thinking", "text")]))
    message["content"] = [{"type": kind, kind: draw(TEXT)} for kind in kinds]
    message["tool_plan"] = draw(TEXT)
    message["tool_calls"] = [
        {"id": f"c{n}", "type": "function", "function": {"name": "f", "arguments": json.dumps({"x": draw(TEXT)})}}
        for n in range(draw(st.integers(0, 2)))
    ]
    reason = draw(st.sampled_from(["COMPLETE", "MAX_TOKENS", "TOOL_CALL", "ERROR", "ODD"]))
    return {"id": "r", "message": message, "finish_reason": reason, "usage": draw(st.sampled_from([USAGE, {}]))}


def chunks(reply: dict[str, Any], cut: st.DataObject) -> Iterator[dict[str, Any]]:
    message = reply["message"]
    yield {"type": "message-start", "id": reply["id"], "delta": {"message": {"role": "assistant"}}}
    for index, block in enumerate(message["content"]):
        kind = block["type"]
        yield delta("content-start", index, content={"type": kind, kind: ""})
        for piece in pieces(block[kind], cut):
            yield delta("content-delta", index, content={kind: piece})
    for piece in pieces(message["tool_plan"], cut):
        yield delta("tool-plan-delta", tool_plan=piece)
    for index, call in enumerate(message["tool_calls"]):
        yield delta("tool-call-start", index, tool_calls={**call, "function": {"name": "f", "arguments": ""}})
        for piece in pieces(call["function"]["arguments"], cut):
            yield delta("tool-call-delta", index, tool_calls={"function": {"arguments": piece}})
    yield end(reply["finish_reason"], usage=reply["usage"])


@settings(max_examples=60)
@given(replies(), st.data())
def test_any_reply_folds_to_the_same_streamed(reply: dict[str, Any], cut: st.DataObject) -> None:
    agree(HOST, reply, events(*chunks(reply, cut)), cut)


NAMES = st.sampled_from([
    "type", "delta", "message", "content", "tool_calls", "function", "name", "arguments", "index", "id", "usage",
    "tokens", "finish_reason", "error", "text", "thinking", "tool_plan", "input_tokens",
])  # fmt: skip
KINDS = st.sampled_from(["message-end", "content-delta", "tool-call-start", "tool-plan-delta"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | KINDS | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=150)
@given(JSON, KINDS, st.binary(max_size=30))
def test_whatever_comes_only_typed_errors_come_out(value: Any, kind: str, noise: bytes) -> None:
    body = json.dumps(value).encode()
    for whole in (
        body,
        noise,
        json.dumps({"message": {"content": value, "tool_calls": value}, "usage": value}).encode(),
    ):
        with suppress(LLMError):
            fold(HOST, whole)
    with suppress(LLMError):
        fold(
            HOST,
            events({"type": kind, "delta": {"message": value, "usage": value}, "index": value}, value),
            streamed=True,
        )
